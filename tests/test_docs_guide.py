"""The user guide tells of this program: its commands are understood, and its errors are those that there are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from luxusb_cli.app import cli

from luxusbd import errors

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "docs" / "USER_GUIDE.md", ROOT / "README.md", ROOT / "docs" / "boot.md")
GUIDE = PAGES[0].read_text("utf-8")


def typed(page: Path) -> Iterator[str]:
    """Every line of a `console` block that calls luxusb, from that word on."""
    for block in re.findall(r"^```console\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ ") and (found := re.search(r"(?:^\$ |sudo |\| )(luxusb .*)", line)):
                yield found[1]


LINES = [line for page in PAGES for line in typed(page)]


def parse(words: list[str]) -> None:
    """Have click read a command line, without running it."""
    command: click.Command = cli
    context = click.Context(cli, info_name="luxusb")
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        assert name is not None
        command, context = found, click.Context(found, info_name=name, parent=context)
    command.make_context(command.name, words)


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_guide_is_understood(line: str) -> None:
    program, *words = shlex.split(line)
    assert program == "luxusb"
    parse(words)


@pytest.mark.parametrize("line", ["luxusb creat --device sdb x", "luxusb plan --devcie sdb x", "luxusb cancel"])
def test_a_command_that_makes_no_sense_is_noticed(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(shlex.split(line)[1:])


def test_the_guide_shows_commands() -> None:
    assert len(LINES) > 20
    for name in ("devices", "plan", "create", "add", "remove", "verify", "watch", "import"):
        assert any(line.startswith(f"luxusb {name} ") or line == f"luxusb {name}" for line in LINES), name


def classes(root: type[errors.LuxusbError] = errors.LuxusbError) -> Iterator[type[errors.LuxusbError]]:
    yield root
    for child in root.__subclasses__():
        yield from classes(child)


def test_every_error_of_the_table_exists() -> None:
    names = {cls.dbus_name.rsplit(".", 1)[1] for cls in classes()}
    table = GUIDE.partition("## Problems and answers")[2]
    told = {name for cell in re.findall(r"^\| (`[A-Z][^|]*) \|", table, re.MULTILINE) for name in cell.split("`")[1::2]}
    assert len(told) > 25
    assert told <= names


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            assert "://" in link or (page.parent / link).exists(), f"{page.name}: {link}"
    assert "docs/USER_GUIDE.md" in PAGES[1].read_text("utf-8")
