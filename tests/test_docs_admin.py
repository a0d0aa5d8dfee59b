"""The pages for administrators tell of this program: settings, units, fields and commands are those that there are."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import click
import pytest
from luxusb_cli.app import cli

from luxusbd import config, configfile
from luxusbd.__main__ import parser
from luxusbd.jobs.model import Operation
from luxusbd.journal import Subject
from tests.test_docs_guide import parse, typed

ROOT = Path(__file__).resolve().parents[1]
ADMIN, INSTALL, SECURITY, CATALOGUE = (
    ROOT / "docs" / f"{name}.md" for name in ("admin", "install", "security", "catalogue")
)
PAGES = (ADMIN, INSTALL, SECURITY, CATALOGUE)
UNITS = {path.name: path.read_text() for path in (ROOT / "systemd").iterdir()}


def text(page: Path) -> str:
    return page.read_text("utf-8")


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```$", text(page), re.MULTILINE | re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.mark.parametrize("line", [line for page in PAGES for line in typed(page)])
def test_a_command_of_the_pages_is_understood(line: str) -> None:
    _options, words, _order = cli.make_parser(click.Context(cli)).parse_args(shlex.split(line)[1:])
    if words:
        parse(words)


def test_the_daemon_understands_what_is_typed() -> None:
    found = [
        shlex.split(line.split(" | ")[0])[1:]
        for page in PAGES
        for line in commands(page)
        if line.startswith("luxusbd ")
    ]
    assert len(found) >= 3
    for words in found:
        parser().parse_args(words)


def test_every_setting_is_explained_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+\.\w+)` \| `(.*?)` \| (.+) \|$", text(ADMIN), re.MULTILINE)
    default = config.Config()
    expected = [
        (
            f"{section.name}.{key.name}",
            configfile.written(getattr(getattr(default, section.name), key.name), key.metadata),
        )
        for section in fields(default)
        for key in fields(getattr(default, section.name))
    ]
    assert [row[:2] for row in rows] == expected
    starred = {row[0] for row in rows if row[2].startswith("\\* ")}
    assert starred == set(config.changeable())


def test_every_field_of_the_log_is_explained() -> None:
    fields_there = {name for name, _ in Subject(1, ("x",), 0, "create").fields()}
    told = set(re.findall(r"^\| `(LUXUSB_\w+)` \|", text(ADMIN), re.MULTILINE))
    assert told == fields_there
    assert set(re.findall(r"\bLUXUSB_[A-Z]+\b", text(ADMIN))) == fields_there
    (row,) = re.findall(r"^\| `LUXUSB_OPERATION` \| (.*) \|$", text(ADMIN), re.MULTILINE)
    assert set(re.findall(r"`([\w-]+)`", row)) == {operation.value for operation in Operation}


def test_every_unit_is_explained_and_none_is_invented() -> None:
    units = {name for name in UNITS if Path(name).suffix in (".service", ".socket", ".timer")}
    assert set(re.findall(r"^\| `(luxusb\S+)` \|", text(INSTALL), re.MULTILINE)) >= units
    for page in PAGES:
        named = set(re.findall(r"\bluxusb[\w-]*@?\.(?:service|socket|timer)\b", text(page)))
        assert named <= units, page.name


def test_what_is_enabled_is_what_the_script_enables() -> None:
    (enabled,) = re.findall(r"^enabled=\((.*)\)$", (ROOT / "packaging/install.sh").read_text(), re.MULTILINE)
    assert f"sudo systemctl enable {enabled}" in commands(INSTALL)


def test_the_capabilities_are_those_of_the_units() -> None:
    (row,) = re.findall(r"^\| capabilities \| (.*) \| (.*) \| (.*) \| (.*) \|$", text(SECURITY), re.MULTILINE)
    kinds = ("luxusbd", "luxusb-transfer", "luxusb-stick@", "luxusb-check@")
    for told, unit in zip(row, (f"{kind}.service" for kind in kinds), strict=True):
        (line,) = re.findall(r"^CapabilityBoundingSet=(.*)$", UNITS[unit], re.MULTILINE)
        assert told.strip("`") == (line or "none")


def test_actions_that_are_named_exist() -> None:
    policy = (ROOT / "polkit/org.luxusb.policy").read_text()
    for page in PAGES:
        for action in re.findall(r"org\.luxusb\.[a-z][a-z-]+", text(page)):
            assert action == "org.luxusb.policy" or f'id="{action}"' in policy, action


def test_the_packages_are_those_that_the_demo_needs() -> None:
    (line,) = (found for found in commands(INSTALL) if "sudo apt-get install" in found)
    rows = [row.split() for row in (ROOT / "packaging/apt-packages").read_text().splitlines() if row[:4] == "demo"]
    only_for_the_demo = {"xorriso", "qemu-system-x86", "ovmf", "memtest86+", "grub-rescue-pc"}
    needed = {row[1] for row in rows if not row[1].startswith("?")} - only_for_the_demo
    for names in needed:
        assert set(names.split("|")) & set(line.split()), names


def test_the_place_of_the_matrix_is_there() -> None:
    assert re.search(r"<!-- matrix:begin -->\n(.*\n)*<!-- matrix:end -->", text(SECURITY))


def heading(line: str) -> str:
    return re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-")


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)]+)\)", text(page)):
            name, _, part = link.partition("#")
            target = page.parent / name if name else page
            assert "://" in link or target.exists(), f"{page.name}: {link}"
            if part:
                headings = {heading(found) for found in re.findall(r"^#+ (.*)$", text(target), re.MULTILINE)}
                assert part in headings, f"{page.name}: {link}"
    for page in PAGES:
        assert f"docs/{page.name}" in (ROOT / "README.md").read_text()
