"""The manual pages: complete, and good roff."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import click
import pytest
from luxusb_cli.app import cli
from luxusb_cli.helptexts import walk

from luxusbd import config
from luxusbd.__main__ import parser
from tests.cli.process import ROOT

PAGES = ("luxusb.1", "luxusb-gtk.1", "luxusbd.8", "luxusbd.toml.5")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the program of `make man` wrote them, for somebody whose language is German."""
    directory = tmp_path_factory.mktemp("man") / "made"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'clients'}", "LANG": "de_DE.UTF-8"}
    command = [sys.executable, str(ROOT / "packaging" / "manpages.py"), str(directory)]
    subprocess.run(command, env=environment, check=True, timeout=30)
    return directory


def shown(page: Path) -> str:
    """As man shows it on a very wide terminal."""
    environment = os.environ | {"MANWIDTH": "1000", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": ""}
    ended = subprocess.run(
        ["man", "--warnings", "--no-hyphenation", "-l", str(page)],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
        timeout=30,
    )
    assert ended.stderr == ""
    return re.sub(r" +", " ", re.sub(r".\x08", "", ended.stdout))


@pytest.mark.parametrize("name", PAGES)
def test_groff_has_no_complaint(pages: Path, name: str) -> None:
    ended = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", str(pages / name)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert (ended.stdout, ended.stderr) == ("", "")
    section = name.rpartition(".")[2]
    assert shown(pages / name).startswith(f"{name.rpartition('.')[0].upper()}({section})")


def test_every_command_and_option_is_in_it(pages: Path) -> None:
    page = shown(pages / "luxusb.1")
    for name in ("devices", "create", "catalog check", "write-raw"):
        assert f"\n luxusb {name} [OPTIONS]" in page
    for command in walk(cli):
        first = " ".join((command.help or "").partition("\n\n")[0].split())
        assert first.replace("`", "").rstrip(".")[1:] in page
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert re.search(rf"\n {re.escape(parameter.opts[0])}\b", page), parameter.opts
                assert " ".join((parameter.help or "").replace("`", "").split()) in page
    for code in ("0 Done.", "5 The job was cancelled", "130 Interrupted"):
        assert f"\n {code}" in page


def test_every_option_of_the_daemon_is_in_it(pages: Path) -> None:
    page = shown(pages / "luxusbd.8")
    for action in parser()._actions:
        assert f"\n {', '.join(action.option_strings)}" in page
        assert (action.help or "-") in page


def test_every_setting_is_in_it(pages: Path) -> None:
    page = shown(pages / "luxusbd.toml.5")
    for section in fields(config.Config()):
        assert f"\n [{section.name}]\n" in page
        for key in fields(getattr(config.Config(), section.name)):
            assert f"\n {key.name} = " in page
            assert key.metadata["doc"].replace("`", "") in page


def test_the_program_wants_a_directory() -> None:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'clients'}"}
    command = [sys.executable, str(ROOT / "packaging" / "manpages.py")]
    ended = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=30)
    assert (ended.returncode, ended.stderr) == (2, b"usage: manpages.py DIR\n")
