"""What a command of `luxusb` needs and has to say, one case each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.daemon.shared import World

Arguments = Sequence[str | Path]
Arrange = Callable[[World], Awaitable[Arguments]]


@dataclass(frozen=True)
class Case:
    """One command.

    Attributes:
        arrange: makes what the command needs, before each of its two runs, and returns its arguments.
        says: what stands in its text.
        holds: whether its document says what it should; for `watch`, the list of its documents.
        feature: member of the bus behind it. Where the daemon has none, `NotSupported` is the right answer.
    """

    arrange: Arrange
    says: tuple[str, ...] = ()
    holds: Callable[[Any], bool] = bool
    feature: str = ""


class Cases(dict[str, Case]):
    """The cases of some commands, by the commands' names."""

    def case(
        self, command: str, says: Sequence[str] = (), holds: Callable[[Any], bool] = bool, feature: str = ""
    ) -> Callable[[Arrange], Arrange]:
        """Make a function that arranges things the case of a command."""

        def add(arrange: Arrange) -> Arrange:
            self[command] = Case(arrange, tuple(says), holds, feature)
            return arrange

        return add

    def plain(
        self, command: str, *arguments: str, says: Sequence[str] = (), holds: Callable[[Any], bool] = bool
    ) -> None:
        """The case of a command that needs nothing made for it."""

        async def nothing(_world: World) -> Arguments:
            return arguments

        self[command] = Case(nothing, tuple(says), holds)


async def new_file(world: World, name: str) -> Path:
    path = world.place / name
    path.unlink(missing_ok=True)
    world.undo.callback(path.unlink, missing_ok=True)
    return path


def succeeded(document: Any) -> bool:
    return bool(document["job"]["state"] == "succeeded")
