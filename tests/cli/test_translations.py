"""German is complete, what is compiled is what was written, and programs read English."""

from __future__ import annotations

import json
import re
import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from luxusb_cli import helptexts, i18n
from luxusb_cli.app import cli

from tests.cli import world
from tests.cli.conftest import Run, Spawn
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.process import ROOT
from tests.translations import catalogue


@pytest.fixture
def german(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "de_DE.UTF-8")


def test_german_is_there() -> None:
    assert [path.parts[-3] for path in catalogue.languages()] == ["de"]


@pytest.mark.parametrize("path", catalogue.languages(), ids=lambda path: path.parts[-3])
def test_a_language_has_every_text_and_no_other(path: Path) -> None:
    found = catalogue.read(path)
    known = {text.forms if len(text.forms) > 1 else text.forms[0] for text in catalogue.texts()}
    assert {message.id for message in found if message.id} == known, "run python -m tests.translations"
    assert [message.id for message in found if message.id and not catalogue.complete(message.string)] == []
    assert [message.id for message in found if message.fuzzy] == []
    assert path.read_bytes() == catalogue.written(catalogue.merge(found)), "run python -m tests.translations"


@pytest.mark.parametrize("path", catalogue.languages(), ids=lambda path: path.parts[-3])
def test_what_is_compiled_is_what_was_written(path: Path) -> None:
    assert path.with_suffix(".mo").read_bytes() == catalogue.compiled(catalogue.read(path))


SHOWN = re.compile(r"\b(?:say|UsageError|CliError|CancelledError|NoDaemonError|ask_yes)\(f?\"[^\"{]*[A-Za-z]{3}")
"""A call that shows its first argument, which is not marked."""


def fields(text: str) -> set[tuple[str, str, str]]:
    return {(name, spec or "", kind or "") for _, name, spec, kind in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("path", catalogue.languages(), ids=lambda path: path.parts[-3])
def test_translations_fill_in_the_same_values_and_name_the_same_commands(path: Path) -> None:
    for message in catalogue.read(path):
        if not message.id or '{"event"' in message.id:
            continue
        one, many = (message.id, message.id) if isinstance(message.id, str) else message.id
        forms = [message.string] if isinstance(message.string, str) else list(message.string or ())
        for original, translated in zip((one, many), forms, strict=False):
            assert fields(translated) == fields(original), original
            commands = re.findall(r"`(?:luxusb|systemctl|journalctl|sudo)[^`A-Z]*", original)
            assert [command for command in commands if command not in translated] == [], original
            options = re.findall(r"(?<![\w-])--[a-z][a-z-]*", original)
            assert sorted(set(options) - set(re.findall(r"--[a-z][a-z-]*", translated))) == [], original


def test_every_text_of_the_program_is_collected() -> None:
    """What is written for people and not marked would stay English."""
    found = []
    for path in sorted(path for source in catalogue.SOURCES for path in source.rglob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if SHOWN.search(line):
                found.append(f"{path.name}:{number}: {line.strip()}")
    assert found == []


def test_commands_speak_german(german: None, luxusb: Run, daemon: FakeDaemon) -> None:
    page = luxusb("create", "--help").out
    assert page.startswith("Aufruf: luxusb create")
    assert "\nOptionen:\n" in page
    assert "  Beispiele:\n    luxusb create --device /dev/sdb debian-live" in page
    assert "Die Datenträger auflisten." in luxusb("--help").out
    assert "GRÖSSE" in luxusb("devices").out
    assert "luxusb, 2 Abbilder" in luxusb("devices").out
    plan = luxusb("plan", "--device", "sdb", "ubuntu").out
    assert "  wird gelöscht, und damit:\n" in plan
    download = luxusb("download", "ubuntu").out
    assert "Auftrag 1 download ubuntu: übertragen" in download
    error = luxusb("devics").err.splitlines()
    assert error == [
        "luxusb: Die Befehlszeile wurde nicht verstanden",
        "  warum: Es gibt keinen Befehl devics. War devices gemeint?",
        "  was tun: Siehe `luxusb --help`.",
    ]
    assert "Es gibt keine Option" in luxusb("devices", "--jsn").err
    assert luxusb("restore", "--device", "sdx", "--yes", "--device-id", "x").err.splitlines()[0] == (
        "luxusb: Es gibt keinen Datenträger sdx"
    )


def test_programs_read_english(german: None, luxusb: Run, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = [
        ["devices"],
        ["devics"],
        ["delete", "nothing", "--yes"],
        ["restore", "--device", "sdb"],
        ["plan", "--device", "sdb"],
        ["pause", "7"],
        ["plan", "--device", "sdb", "ubuntu", "--size", "x"],
    ]
    translated: list[Any] = [luxusb(*command, "--json").document for command in commands]
    monkeypatch.setenv("LANG", "C.UTF-8")
    assert [luxusb(*command, "--json").document for command in commands] == translated
    assert "There is no command devics. Did you mean devices?" in json.dumps(translated)


def test_english_comes_back(luxusb: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = luxusb("create", "--help").out
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    assert luxusb("create", "--help").out != before
    monkeypatch.setenv("LANG", "C.UTF-8")
    assert luxusb("create", "--help").out == before


@pytest.mark.parametrize("answer", ["j\n", "ja\n", "y\n"])
def test_yes_in_german(german: None, spawn: Spawn, daemon: FakeDaemon, answer: str) -> None:
    command = spawn("delete", "arch.iso", terminal=True)
    command.wait_for("arch.iso (3 GiB) löschen? [j/N] ")
    command.type(answer)
    assert command.finish() == 0
    assert f"image:{world.SHA_B}" not in daemon.images


def test_the_german_help_imports_nothing_heavy_either(german: None) -> None:
    program = (
        "import sys; from luxusb_cli.app import main; main(['--help']); "
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'dbus_next', 'rich', 'asyncio', 'babel'}))"
    )
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'clients'}", "LANG": "de_DE.UTF-8", "PYTHONUTF8": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True, timeout=20
    )
    assert ended.stdout.startswith("Aufruf:")
    assert ended.stdout.splitlines()[-1] == "[]"


def test_paragraphs_keep_their_meaning() -> None:
    text = "One\ntwo.\n\n\b\nExamples:\n  luxusb a  b\n  luxusb c   for this\n"
    shown = [helptexts.paragraph(part, str.upper) for part in helptexts.paragraphs(text)]
    assert shown == ["ONE TWO.", "\b\nEXAMPLES:\n  luxusb a  b\n  luxusb c   FOR THIS"]


def test_a_language_that_is_not_there_is_english(luxusb: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "xx_YY.UTF-8")
    assert luxusb("--help").out.startswith("Usage:")
    assert i18n._("why") == "why"
    assert cli.help is not None
