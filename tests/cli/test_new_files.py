"""`export`, `logo`, `catalog export`: files that appear whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from dbus_next.signature import Variant

from luxusbd.catalog.model import Layer
from luxusbd.catalog.schema import parse_document
from tests.catalog.test_migrate import old
from tests.catalog.test_schema import document
from tests.cli import world
from tests.cli.conftest import Run, Spawn
from tests.cli.fake_daemon import FakeDaemon

GOOD = world.IMAGE_SHA


@pytest.fixture
def stored(daemon: FakeDaemon) -> str:
    """An image whose bytes have its hash."""
    reference = f"image:{GOOD}"
    daemon.do(lambda: daemon.images.update({reference: world.stored("good.iso", GOOD)}))
    return reference


def test_export(luxusb: Run, stored: str, tmp_path: Path) -> None:
    file = tmp_path / "out.iso"
    result = luxusb("export", stored[:14], file)
    assert (result.code, result.out) == (0, f"Saved as {file} (7.8 KiB).\n"), result.err
    assert file.read_bytes() == world.IMAGE_BYTES
    assert os.listdir(tmp_path) == ["out.iso"]  # noqa: PTH208
    assert luxusb("export", "good.iso", tmp_path, "--json").document == {
        "file": str(tmp_path / "good.iso"),
        "size": len(world.IMAGE_BYTES),
        "sha256": GOOD,
    }


def test_export_overwrites_only_with_force(luxusb: Run, stored: str, tmp_path: Path) -> None:
    file = tmp_path / "out.iso"
    file.write_bytes(b"precious")
    refused = luxusb("export", stored, file)
    assert refused.code == 1
    assert f"luxusb: {file} is there already\n" in refused.err
    assert "--force" in refused.err
    assert file.read_bytes() == b"precious"
    assert luxusb("export", stored, file, "--force").code == 0
    assert file.read_bytes() == world.IMAGE_BYTES


def test_a_damaged_image_leaves_no_file(luxusb: Run, daemon: FakeDaemon, stored: str, tmp_path: Path) -> None:
    daemon.image_bytes = b"other bytes"
    old = tmp_path / "old.iso"
    old.write_bytes(b"precious")
    for arguments in ([tmp_path / "new.iso"], [old, "--force"]):
        result = luxusb("export", stored, *arguments)
        assert result.code == 1
        assert "The stored image is damaged" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["old.iso"]
    assert old.read_bytes() == b"precious"


def test_a_full_disk_leaves_no_file(luxusb: Run, stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    result = luxusb("export", stored, tmp_path / "out.iso")
    assert result.code == 1
    assert "  why: No space left on device." in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_made(luxusb: Run, stored: str, tmp_path: Path) -> None:
    result = luxusb("export", stored, tmp_path / "no" / "out.iso", "--json")
    assert result.code == 1
    assert "No such file" in result.document["error"]["message"]
    assert luxusb("export", stored, "/dev/full", "--json").code == 1


def test_export_of_a_large_image_can_be_interrupted(
    spawn: Spawn, daemon: FakeDaemon, stored: str, tmp_path: Path
) -> None:
    daemon.silent.add("OpenImage")
    command = spawn("export", stored, tmp_path / "out.iso")
    daemon.wait_for_call("OpenImage")
    command.interrupt()
    assert command.finish() == 5
    assert list(tmp_path.iterdir()) == []


def test_logo(luxusb: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    file = tmp_path / "logo.png"
    assert luxusb("logo", "ubuntu", file).code == 0
    assert file.read_bytes() == b"\x89PNG logo"
    assert luxusb("logo", "ubuntu", file).code == 1
    assert "Did you mean ubuntu?" in luxusb("logo", "ubunut", tmp_path / "x").err


def test_descriptors_of_answers_are_closed(luxusb: Run, daemon: FakeDaemon, stored: str, tmp_path: Path) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    lent = len(daemon.lent)
    assert luxusb("export", stored, tmp_path / "a").code == 0
    assert len(set(Path("/proc/self/fd").iterdir())) == len(before) + len(daemon.lent) - lent


def test_catalog_export_is_a_catalogue(luxusb: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.json"
    ending = world.distro("old", "Old", 4, "rescue", world.release("1", end_of_life="2020-01-31"))
    daemon.do(lambda: daemon.distros.append(ending))
    result = luxusb("catalog", "export", file)
    assert result.code == 0, result.err
    found = parse_document(file.read_bytes(), str(file), Layer.USER)
    assert [distro.id for distro in found] == ["debian-live", "ubuntu", "sysrescue", "old"]
    assert [distro.releases[0].end_of_life for distro in found] == ["", "", "", "2020-01-31"]
    assert found[0].releases[0].mirrors[0].url == "https://example.org/a.iso"
    assert luxusb("catalog", "check", file).out == f"{file}: good, 4 distributions\n"


def test_catalog_check(luxusb: Run, tmp_path: Path) -> None:
    good, bad, none = (tmp_path / name for name in ("good.json", "bad.json", "none.json"))
    good.write_text(json.dumps({"version": "2.0", "last_updated": "2026-01-01", "distributions": []}))
    bad.write_text(json.dumps({"version": "2.0", "last_updated": "soon", "distributions": [{"id": "X"}]}))
    assert luxusb("catalog", "check", good).code == 0
    result = luxusb("catalog", "check", good, bad, none)
    assert result.code == 1
    assert result.out == f"{good}: good, 0 distributions\n"
    assert result.err.startswith("luxusb: 4 problems were found\n")
    assert f'{bad}: $.last_updated: found "soon", expected a date such as' in result.err
    assert f"{bad}: $.distributions[0]: found no name, description" in result.err
    assert f"{none}: No such file or directory" in result.err
    document = luxusb("catalog", "check", good, bad, "--json").document
    assert [len(entry["problems"]) for entry in document["files"]] == [0, 3]
    assert document["error"]["name"] == "org.luxusb.Error.InvalidCatalog"


def test_catalog_check_warns_of_what_is_newer(luxusb: Run, tmp_path: Path) -> None:
    newer, later, major = (tmp_path / name for name in ("newer.json", "later.json", "major.json"))
    newer.write_text(json.dumps({**document(), "version": "2.1", "motto": "x"}))
    later.write_text(json.dumps({**document(), "version": "2.1"}))
    major.write_text(json.dumps({**document(), "version": "3.0"}))
    done = luxusb("catalog", "check", newer, later)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        f"Warning: {newer}: $: found the unknown field 'motto', which a newer version may have added; it is ignored",
        f"{newer}: good, 1 distribution",
        f"{later}: good, 1 distribution",
    ]
    assert [
        len(entry["warnings"]) for entry in luxusb("catalog", "check", newer, later, "--json").document["files"]
    ] == [1, 0]
    refused = luxusb("catalog", "check", newer, major, tmp_path)
    assert refused.code == 1
    assert refused.err.startswith("luxusb: 2 problems were found\n")
    assert f"{major}: $.version: found 3.0, expected 2.x; update luxusbd to read this catalogue" in refused.err
    assert f"{tmp_path}: Is a directory" in refused.err


def test_catalog_show_says_where_everything_comes_from(luxusb: Run, daemon: FakeDaemon) -> None:
    shown = luxusb("catalog", "show", "debian-live", "--origin").out
    assert [line.split() for line in shown.splitlines()[-4:]] == [
        ["name", "packaged", "/usr/share/luxusb/data/distros.json"],
        ["description", "packaged", "/usr/share/luxusb/data/distros.json"],
        ["debian-live@12.5/xfce", "amd64", "packaged", "/usr/share/luxusb/data/distros.json"],
        ["debian-live@12.4", "amd64", "packaged", "/usr/share/luxusb/data/distros.json"],
    ]
    without = luxusb("catalog", "show", "debian-live")
    assert "DOCUMENT" not in without.out
    assert luxusb("catalog", "show", "debian-live", "--json").document["origins"] is None
    assert "Did you mean ubuntu" in luxusb("catalog", "show", "ubunut").err
    assert luxusb("catalog", "show", "--origin").code == 2


def test_catalog_migrate(luxusb: Run, tmp_path: Path) -> None:
    place, out = tmp_path / "distros", tmp_path / "out.json"
    place.mkdir()
    (place / "garden.json").write_text(json.dumps(old()))
    (place / "lost.json").write_text(json.dumps(old("lost", sha256="")))
    (place / "off.json.disabled").write_text("{")
    done = luxusb("catalog", "migrate", place, "-o", out)
    assert (done.code, done.err) == (0, "")
    assert f'{place}/lost.json: $.releases[0].sha256: found "", expected the full SHA-256' in done.out
    assert done.out.splitlines()[-2:] == ["2 entries were left out.", f"Saved as {out}, 1 distribution."]
    assert luxusb("catalog", "check", out).out == f"{out}: good, 1 distribution\n"
    again = luxusb("catalog", "migrate", place, "-o", out)
    assert (again.code, "is there already" in again.err) == (1, True)
    assert luxusb("catalog", "migrate", place, "-o", out, "--force").code == 0
    empty = luxusb("catalog", "migrate", place / "lost.json", "-o", tmp_path / "none.json", "--json")
    assert (empty.code, len([note for note in empty.document["notes"] if note["dropped"]])) == (1, 2)
    assert not (tmp_path / "none.json").exists()
    missing = luxusb("catalog", "migrate", tmp_path / "nothing", "-o", tmp_path / "none.json")
    assert (missing.code, "No such file or directory" in missing.err) == (1, True)


def test_catalog_show_and_import(luxusb: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.do(lambda: daemon.distros[0].update(origin=Variant("s", "user")))
    assert [line.split() for line in luxusb("catalog", "show").out.splitlines()[1:]] == [
        ["user", "1", "0"],
        ["packaged", "2", "4"],
    ]
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(document()))
    assert luxusb("catalog", "import", file).out == "1 distribution was added.\n"
    wrong = luxusb("catalog", "chekc", file)
    assert wrong.code == 2
    assert "Did you mean check?" in wrong.err
