"""The way from a call to what it may do: options, engine present, authorisation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

from luxusbd.bus import options
from luxusbd.bus.authority import Authority
from luxusbd.bus.callers import Callers
from luxusbd.bus.contract import MANAGER, Method
from luxusbd.bus.dispatcher import Answer, Call, Handler
from luxusbd.bus.members import RULES, Action
from luxusbd.errors import NotSupportedError
from luxusbd.text import clean

DETAIL_LIMIT = 200
ITEM_LIMIT = 80
"""Characters of one foreign text in the dialogue, and of one in a list; with `MAX_DEVICES` a list stays whole."""

Operation = Callable[[Call, options.Options], Awaitable[Answer]]
Details = Mapping[str, str | Sequence[str]]
"""What polkit is told, by name. Of a list nothing is left out: an administrator's rule may take it apart at ", "."""


class Gate:
    """Checks that stand before every operation."""

    def __init__(self, callers: Callers, authority: Authority) -> None:
        self._callers = callers
        self._authority = authority

    async def authorise(
        self,
        call: Call,
        given: options.Options | None,
        details: Details,
        action: Action | None = None,
    ) -> None:
        """Ask whether the caller may, and stop asking when it leaves the bus.

        `action` is the one that the table has for the method, unless another is named. A method that the table asks
        nobody about passes.

        Raises:
            NotAuthorizedError: it may not.
        """
        wanted = action or RULES[call.interface, call.method.name].action
        if wanted is None:
            return
        silent = given is not None and given[options.NO_USER_INTERACTION]
        await self._callers.while_present(
            call.caller.bus_name,
            self._ask(call, wanted, _shown(details), interactive=call.interactive and not silent),
        )

    async def _ask(self, call: Call, action: Action, details: Mapping[str, str], *, interactive: bool) -> None:
        await self._authority.check(call.caller, action, details, interactive=interactive)


def _shown(details: Details) -> dict[str, str]:
    return {
        key: _harmless(value, DETAIL_LIMIT)
        if isinstance(value, str)
        else ", ".join(_harmless(item, ITEM_LIMIT).replace(", ", " ") for item in value)
        for key, value in details.items()
    }


def _harmless(foreign: str, limit: int) -> str:
    """One line for a dialogue: some take what looks like markup for markup, and polkit has `$(name)` for details."""
    return clean(foreign, limit).translate({ord("<"): "[", ord(">"): "]"}).replace("$(", "$ (")


def parse_options(interface: str, method: Method, args: tuple[Any, ...]) -> options.Options:
    """The checked trailing options of a call; a method without that argument has none."""
    if not method.inputs or method.inputs[-1].name != "options":
        return options.Options({})
    return options.parse(RULES[interface, method.name].options, args[-1])


def manager_member(name: str, operation: Operation | None, features: Collection[str]) -> Handler:
    """The handler of one of the Manager's methods; options are checked first, then whether there is an engine."""

    async def handle(call: Call) -> Answer:
        given = parse_options(MANAGER, call.method, call.args)
        if operation is None or name not in features:
            raise NotSupportedError(f"this luxusbd cannot do {name} yet; its property Features lists what it can")
        return await operation(call, given)

    return handle
