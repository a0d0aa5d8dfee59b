"""Every command's JSON has a schema, and what the commands print fits it.

The fixture `luxusb` holds all JSON of all tests against the schemas; here every command is run for that alone.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from jsonschema import Draft202012Validator
from luxusb_cli.app import cli

from tests.catalog.test_migrate import old
from tests.cli import bundles, schemas, world
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.process import ROOT

CONSENT = ("--yes", "--device-id", world.USB_ID)
STICK_CONSENT = ("--yes", "--device-id", world.STICK_ID)
COMMANDS: dict[str, list[str]] = {
    "version": ["--version"],
    "devices": ["devices"],
    "distros": ["distros"],
    "info": ["info", "ubuntu"],
    "images": ["images"],
    "import": ["import", "ISO"],
    "inspect": ["inspect", "ISO"],
    "delete": ["delete", "image:a1a1a1", "--yes"],
    "pin": ["pin", "image:a1a1a1"],
    "unpin": ["unpin", "image:a1a1a1"],
    "download": ["download", "ubuntu"],
    "plan": ["plan", "--device", "sdb", "ubuntu", "ISO"],
    "create": ["create", "--device", "sdb", "ubuntu", *CONSENT],
    "contents": ["contents", "--device", "sdc"],
    "add": ["add", "--device", "sdc", "ubuntu"],
    "remove": ["remove", "--device", "sdc", "arch.iso", *STICK_CONSENT],
    "refresh": ["refresh", "--device", "sdc"],
    "verify": ["verify", "--device", "sdc"],
    "rescan": ["rescan", "--device", "sdc"],
    "adopt": ["adopt", "--device", "sdb", "--dry-run"],
    "jobs": ["jobs"],
    "watch": ["watch"],
    "pause": ["pause", "1"],
    "resume": ["resume", "2"],
    "cancel": ["cancel", "1"],
    "modify": ["modify", "1", "--priority", "3"],
    "settings": ["settings"],
    "export": ["export", f"image:{world.IMAGE_SHA}", "NEW"],
    "mirrors": ["mirrors", "ubuntu", "--race"],
    "logo": ["logo", "ubuntu", "NEW"],
    "catalog-show": ["catalog", "show"],
    "catalog-update": ["catalog", "update"],
    "catalog-status": ["catalog", "status"],
    "catalog-remote": ["catalog", "remote"],
    "catalog-sign": ["catalog", "sign", "CATALOGUE", "--key", "somebody", "--output", "NEW"],
    "catalog-import": ["catalog", "import", "CATALOGUE"],
    "catalog-export": ["catalog", "export", "NEW"],
    "catalog-check": ["catalog", "check", "CATALOGUE"],
    "recipes-list": ["recipes", "list"],
    "recipes-check": ["recipes", "check", "RECIPE"],
    "catalog-migrate": ["catalog", "migrate", "OLD", "--output", "NEW"],
    "update": ["update", "--device", "sdc", "--check"],
    "repair": ["repair", "--device", "sdc"],
    "persistence": ["persistence", "arch.iso", "4GiB", "--device", "sdc"],
    "write-raw": ["write-raw", "ISO", "--device", "sdb", *CONSENT],
    "restore": ["restore", "--device", "sdb", *CONSENT],
    "probe": ["probe", "--device", "sdb", *CONSENT],
    "eject": ["eject", "--device", "sdb"],
    "bundle-create": ["bundle", "create", "NEW", "ubuntu"],
    "bundle-add": ["bundle", "add", "BUNDLE", "ubuntu"],
    "bundle-remove": ["bundle", "remove", "BUNDLE", "ubuntu"],
    "bundle-update": ["bundle", "update", "BUNDLE"],
    "bundle-use": ["bundle", "use", "BUNDLE"],
    "bundle-leave": ["bundle", "leave"],
    "bundle-check": ["bundle", "check", "BUNDLE"],
    "try": ["try", "ISO"],
    "report": ["report"],
}
OFFLINE = frozenset(
    [
        *(
            "version",
            "catalog-check",
            "catalog-migrate",
            "catalog-sign",
            "recipes-list",
            "recipes-check",
            "try",
            "report",
        ),
        "bundle-check",
    ]
)
"""What works without a daemon."""
NO_JSON: frozenset[str] = frozenset({"completion"})
"""Commands that print something that is no document."""


def command_names(group: click.Group = cli, prefix: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from command_names(command, f"{name}-")
        else:
            yield prefix + name


def documents(luxusb: Run, daemon: FakeDaemon, iso: Path, arguments: list[str]) -> list[Any]:
    """What a command line prints, with jobs at hand that it can work on."""

    def jobs() -> None:
        daemon.auto = False
        daemon.new_job("download", "ubuntu")
        daemon.change(daemon.new_job("download", "debian"), State="paused")
        daemon.auto = True

    if arguments[0] == "export":
        stored = world.stored("good.iso", world.IMAGE_SHA)
        daemon.do(lambda: daemon.images.update({f"image:{world.IMAGE_SHA}": stored}))
    elif arguments[0] in {"jobs", "pause", "resume", "cancel", "modify"}:
        daemon.do(jobs)
    elif arguments[0] == "bundle":
        daemon.do(lambda: bundles.known_to(daemon))
    elif arguments[0] == "watch":
        daemon.do(lambda: daemon.new_job("download", "ubuntu"))
    result = luxusb(*fill(arguments, iso), "--json")
    assert (result.code, result.err) == (0, ""), result.out
    return [json.loads(line) for line in result.out.splitlines()]


def fill(arguments: list[str], iso: Path) -> list[str]:
    """With real files in the place of their names; a NEW one is another one every time."""
    new = iso.with_name(f"new{len(list(iso.parent.iterdir()))}")
    older = iso.with_name("garden.json")
    older.write_text(json.dumps(old()))
    known = {"ISO": iso, "CATALOGUE": ROOT / "data" / "distros.json", "NEW": new, "OLD": older}
    if "BUNDLE" in arguments:
        known["BUNDLE"] = bundles.make(new.with_name(f"{new.name}-bundle"))
    known["RECIPE"] = ROOT / "data" / "recipes" / "casper.json"
    return [str(known.get(argument, argument)) for argument in arguments]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A virtual machine that is over at once, and a gpg that has one key."""
    program = tmp_path / "bin" / "qemu-system-x86_64"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    key = f"sec:u:255:22:ABABABABABABABAB:1::::::scESC:\nfpr:::::::::{'AB' * 20}:"
    gpg = program.with_name("gpg")
    gpg.write_text(f"#!/bin/sh\ncat >/dev/null\necho '{key}'\n")
    gpg.chmod(0o755)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("DISPLAY", ":77")


def test_there_is_a_schema_for_every_command_and_for_nothing_else() -> None:
    names = {path.name.removesuffix(".schema.json") for path in schemas.DIRECTORY.iterdir()}
    assert names - {"common", "version"} == set(command_names()) - NO_JSON
    assert set(COMMANDS) == names - {"common"}


@pytest.mark.parametrize("name", [*COMMANDS, "common"])
def test_schemas_are_schemas(name: str) -> None:
    schema = schemas.read(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"].endswith(f"/cli/{name}.schema.json")


@pytest.mark.parametrize("name", COMMANDS)
def test_success(luxusb: Run, daemon: FakeDaemon, iso: Path, name: str) -> None:
    for document in documents(luxusb, daemon, iso, COMMANDS[name]):
        assert schemas.faults(name, document) == []
        assert "error" not in document


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_missing_or_new_is_noticed(luxusb: Run, daemon: FakeDaemon, iso: Path, name: str) -> None:
    document = documents(luxusb, daemon, iso, COMMANDS[name])[-1]
    for broken in mutilated(document):
        assert schemas.faults(name, broken), broken


def mutilated(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield document | {"surprise": 1}
    for key in document:
        yield {other: value for other, value in document.items() if other != key}
        yield document | {key: 1.5}
        inner = copy.deepcopy(document)
        below = inner[key][0] if isinstance(inner[key], list) and inner[key] else inner[key]
        if isinstance(below, dict) and key not in {"settings", "report"}:
            below["surprise"] = 1
            yield inner


@pytest.mark.parametrize("name", COMMANDS)
def test_failure(luxusb: Run, iso: Path, tmp_path: Path, name: str) -> None:
    """Without a daemon; the fixture holds the document against the schema."""
    command = [*fill(COMMANDS[name], iso), "--json"]
    if name == "catalog-check":
        command[2] = str(iso)
    result = luxusb("--address", f"unix:path={tmp_path}/no", *command)
    if name in OFFLINE:
        assert (result.code, "error" in result.document) == ((1, True) if name == "catalog-check" else (0, False))
    else:
        assert (result.code, result.document["error"]["name"]) == (4, "org.luxusb.Client.NoDaemon")
