"""The user's own catalogue: when it is passed on, what a broken one does, and where its badge is."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from dbus_next.signature import Variant
from luxusb_cli import own

from tests.catalog.test_migrate import old
from tests.catalog.test_schema import document
from tests.cli import world
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon


@pytest.fixture
def file(environment: None) -> Path:
    found = own.location()
    assert found is not None
    found.parent.mkdir()
    found.write_text(json.dumps(document()))
    return found


def imported(daemon: FakeDaemon) -> list[tuple[str, bytes]]:
    return list(daemon.own_catalogues)


def test_it_is_passed_on_once_and_again_when_it_changed(luxusb: Run, daemon: FakeDaemon, file: Path) -> None:
    first = file.read_bytes()
    for command in (["distros"], ["info", "ubuntu"], ["plan", "--device", "sdb", "ubuntu"], ["mirrors", "ubuntu"]):
        done = luxusb(*command)
        assert (done.code, done.err) == (0, "")
    assert imported(daemon) == [(str(file), first)]
    file.write_bytes(first + b"\n")
    assert luxusb("distros", "--json").err == ""
    assert imported(daemon)[1:] == [(str(file), first + b"\n")]


def test_a_daemon_that_was_started_anew_gets_it_again(luxusb: Run, daemon: FakeDaemon, file: Path) -> None:
    luxusb("distros")
    daemon.do(lambda: daemon.catalog_status.update(own=Variant("s", "")))
    luxusb("distros")
    assert len(imported(daemon)) == 2


def test_what_is_deleted_is_forgotten_once(luxusb: Run, daemon: FakeDaemon, file: Path) -> None:
    luxusb("distros")
    file.unlink()
    luxusb("distros")
    luxusb("distros")
    assert [json.loads(data)["distributions"] for _name, data in imported(daemon)[1:]] == [[]]


def test_without_one_nothing_is_asked(luxusb: Run, daemon: FakeDaemon) -> None:
    luxusb("distros")
    luxusb("jobs")
    assert imported(daemon) == []


def test_commands_without_the_catalogue_do_not_read_it(luxusb: Run, daemon: FakeDaemon, file: Path) -> None:
    for command in ("jobs", "devices", "settings"):
        assert luxusb(command).code == 0
    assert imported(daemon) == []


def test_a_refusal_is_one_line_and_stops_nothing(luxusb: Run, daemon: FakeDaemon, file: Path) -> None:
    daemon.do(lambda: setattr(daemon, "refuses_catalogues", f"{file}: $: found 1\n{file}: $.x: found 2\n{file}: third"))
    done = luxusb("distros", "--json")
    assert done.code == 0
    assert len(done.document["distributions"]) == 3
    assert done.err == f"Your own catalogue is not used: {file}: $: found 1 (and 2 more)\n"


@pytest.mark.parametrize("trap", ["pipe", "directory", "loop", "large", "another's"])
def test_what_cannot_be_one_is_told_and_waits_for_nobody(
    luxusb: Run, daemon: FakeDaemon, file: Path, trap: str
) -> None:
    if trap != "another's":
        file.unlink()
    match trap:
        case "pipe":
            os.mkfifo(file)
        case "directory":
            file.mkdir()
        case "loop":
            file.symlink_to(file)
        case "large":
            file.write_bytes(b" " * (own.MAX_BYTES + 1))
        case _:
            os.chown(file, 65534, -1)
    done = luxusb("distros")
    assert done.code == 0
    assert "Debian Live" in done.out
    assert done.err.startswith(f"Your own catalogue is not used: {file}: ")
    assert done.err.count("\n") == 1
    assert imported(daemon) == []


def test_an_older_daemon_is_not_complained_of(luxusb: Run, daemon: FakeDaemon, file: Path) -> None:
    daemon.do(lambda: daemon.missing.add("ImportCatalog"))
    done = luxusb("distros")
    assert (done.code, done.err) == (0, "")


def test_another_users_home_is_not_looked_into(
    luxusb: Run, daemon: FakeDaemon, file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (home / ".config" / "luxusb").mkdir(parents=True)
    (home / ".config" / "luxusb" / own.NAME).write_text(json.dumps(document()))
    os.chown(home, 65534, -1)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME")
    done = luxusb("distros")
    assert (done.code, done.err, imported(daemon)) == (0, "", [])
    refused = luxusb("catalog", "import", file)
    assert refused.code == 1
    assert "belongs to another user" in refused.err


def test_import_adds_to_it(luxusb: Run, daemon: FakeDaemon, file: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.json"
    entries = document()
    entries["distributions"] = [
        {**entries["distributions"][0], "name": "Newer"},
        {**entries["distributions"][0], "id": "other"},
    ]
    more.write_text(json.dumps(entries))
    assert luxusb("catalog", "import", more).out == "2 distributions were added.\n"
    found = json.loads(file.read_text())
    assert [(entry["id"], entry["name"]) for entry in found["distributions"]] == [("mine", "Newer"), ("other", "Mine")]
    assert daemon.catalog_status["own"].value == hashlib.sha256(file.read_bytes()).hexdigest()
    assert imported(daemon)[-1] == (str(more), file.read_bytes())
    assert luxusb("catalog", "check", file).code == 0
    count = len(imported(daemon))
    assert luxusb("catalog", "import", file).out == "2 distributions were added.\n"
    assert imported(daemon)[count:] == [(str(file), file.read_bytes())]


def test_import_of_what_is_wrong_changes_nothing(luxusb: Run, daemon: FakeDaemon, file: Path, tmp_path: Path) -> None:
    before = file.read_bytes()
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{}")
    refused = luxusb("catalog", "import", wrong, "--json")
    assert (refused.code, refused.document["error"]["name"]) == (1, "org.luxusb.Error.InvalidCatalog")
    daemon.do(lambda: setattr(daemon, "refuses_catalogues", "no"))
    wrong.write_text(json.dumps(document()))
    assert luxusb("catalog", "import", wrong).code == 1
    assert file.read_bytes() == before
    file.write_text("{")
    refused = luxusb("catalog", "import", wrong)
    assert refused.code == 1
    assert f"{file} cannot be used" in refused.err
    assert file.read_text() == "{"


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: None) -> Path:
    """What LUXusb before 1.0 has in a home directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    found = tmp_path / ".local/lib/python3.99/site-packages/luxusb/data/distros"
    found.mkdir(parents=True)
    (found / "garden.json").write_text(json.dumps(old()))
    (found / "ubuntu.json").write_text(json.dumps(old("ubuntu", sha256="5c" * 31 + "5d")))
    (found / "broken.json").write_text("{")
    return found


def test_an_older_luxusb_is_taken_over_once(luxusb: Run, daemon: FakeDaemon, older: Path) -> None:
    done = luxusb("distros")
    file = own.location()
    assert file is not None
    assert done.code == 0
    assert done.err.startswith(f"1 distribution of an older LUXusb was taken over into {file}; ")
    assert [entry["id"] for entry in json.loads(file.read_text())["distributions"]] == ["garden"]
    assert imported(daemon) == [(str(file), file.read_bytes())]
    assert "broken.json: $: not valid JSON" in file.with_name("migrated").read_text()
    file.unlink()
    assert luxusb("distros").err == ""
    assert not file.exists()


def test_an_own_catalogue_is_not_overwritten_by_an_older_one(
    luxusb: Run, daemon: FakeDaemon, file: Path, older: Path
) -> None:
    before = file.read_bytes()
    assert luxusb("distros").err == ""
    assert file.read_bytes() == before


def custom(daemon: FakeDaemon) -> None:
    """The first distribution, what is stored of it, and everything made of it, is the user's own."""
    daemon.distros[0]["origin"] = Variant("s", "user")
    daemon.distros[0]["releases"].value[1]["origin"] = Variant("s", "user")
    next(iter(daemon.images.values()))["custom"] = Variant("b", True)
    daemon.devices[world.STICK]["Images"][0]["custom"] = Variant("b", True)
    daemon.change(daemon.new_job("download", "Debian Live 12.4"), Details=details())


def details() -> dict[str, Any]:
    return {"title": Variant("s", "Debian Live 12.4"), "custom": Variant("b", True)}


@pytest.mark.parametrize(
    ("command", "count"),
    [
        (["distros"], 1),
        (["distros", "debian"], 1),
        (["info", "debian-live"], 2),
        (["catalog", "show", "debian-live"], 2),
        (["images"], 1),
        (["jobs"], 1),
        (["contents", "--device", "sdc"], 1),
    ],
)
def test_the_badge_is_everywhere(luxusb: Run, daemon: FakeDaemon, command: list[str], count: int) -> None:
    daemon.auto = False
    assert "[custom]" not in luxusb(*command).out
    daemon.do(lambda: custom(daemon))
    assert luxusb(*command).out.count("[custom]") == count
