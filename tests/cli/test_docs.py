"""docs/cli.md tells of this program and of no older one."""

from __future__ import annotations

import re

import click
import pytest
from luxusb_cli.app import cli
from luxusb_cli.errors import ExitCode

from tests import docs_cli

TEXT = docs_cli.DOCUMENT.read_text("utf-8")
AGAIN = "run python -m tests.docs_cli"


def test_the_tables_are_those_of_today() -> None:
    assert docs_cli.INTRODUCTION in TEXT, AGAIN
    assert docs_cli.command_table() in TEXT, AGAIN
    assert docs_cli.exit_table() in TEXT, AGAIN
    assert set(docs_cli.MEANINGS) == set(ExitCode)


def test_every_command_is_listed() -> None:
    listed = re.findall(r"^\| `luxusb ([a-z -]+)` \|", TEXT, re.MULTILINE)
    expected: list[str] = []
    for name, command in cli.commands.items():
        below = command.commands if isinstance(command, click.Group) else None
        expected += [f"{name} {inner}" for inner in below] if below is not None else [name]
    assert sorted(listed) == sorted(expected)


def test_the_session_is_the_recorded_one() -> None:
    assert re.findall(r"^\$ (.*)$", TEXT, re.MULTILINE) == [command for _, command in docs_cli.SESSION], AGAIN


@pytest.mark.parametrize("command", dict.fromkeys(command for _, command in docs_cli.SESSION))
def test_commands_of_the_session_exist_with_their_options(command: str) -> None:
    _, name, *arguments = command.split()
    found = cli.commands.get(name)
    if name in {"--version", "contnets"}:
        assert found is None
        return
    assert found is not None
    found.make_context(name, list(arguments), resilient_parsing=False)


def test_the_session_went_well() -> None:
    said = TEXT.partition("## A session")[2]
    assert "Done: stick.img is ready, written and read back." in said
    assert "stick.img is sound." in said
    assert said.count("luxusb: ") == 3
    assert "did you mean memtest86plus?" in said
    assert "/tmp" not in said
