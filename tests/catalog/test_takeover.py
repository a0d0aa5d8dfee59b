"""What an older LUXusb left is taken over once, and only what nobody but root could have written."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path

import pytest

from luxusbd.catalog.catalog import Catalog, Sources
from luxusbd.catalog.model import Layer
from luxusbd.catalog.takeover import CATALOGUE, RECORD, TakenOver, take_over
from tests.catalog.test_migrate import old

pytestmark = pytest.mark.root


@pytest.fixture
def place(tmp_path: Path) -> Path:
    found = tmp_path / "lib" / "python3.99" / "site-packages" / "luxusb" / "data" / "distros"
    found.mkdir(parents=True)
    (tmp_path / "state").mkdir()
    return found


def write(path: Path, identifier: str, version: str = "4.2") -> Path:
    sha256 = hashlib.sha256(identifier.encode()).hexdigest()
    path.write_text(json.dumps(old(identifier, version=version, sha256=sha256)))
    return path


def taken(place: Path) -> TakenOver:
    base = place.parents[5]
    return take_over([f"{base}/lib/python3*/*-packages/luxusb/data/distros", "/nonexistent/*"], base / "state")


def layer(found: TakenOver, tmp_path: Path) -> Catalog:
    return Catalog.load(Sources(cache=tmp_path / "none", admin=tmp_path / "none.d", migrated=found.catalogue))


def test_without_an_older_one_nothing_is_done(tmp_path: Path, place: Path) -> None:
    assert taken(place) == TakenOver()
    assert list((tmp_path / "state").iterdir()) == []


def test_it_is_taken_over_once_and_lies_below_the_packaged_list(
    tmp_path: Path, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(place / "garden.json", "garden")
    write(place / "ubuntu.json", "ubuntu", "20.04")
    (place / "broken.json").write_text("{")
    (place / "bazzite.json.disabled").write_text("{")
    with caplog.at_level(logging.INFO):
        found = taken(place)
    assert found.notes[0].startswith(f"2 distributions with 2 releases of an older LUXusb in {place} were taken over")
    assert [note for note in found.notes if "broken.json: $: not valid JSON" in note]
    assert found.notes[0] in caplog.text
    catalog = layer(found, tmp_path)
    assert catalog.get("garden").layer is Layer.MIGRATED
    assert catalog.get("ubuntu").layer is Layer.PACKAGED
    assert "20.04" not in {release.version for release in catalog.get("ubuntu").releases}
    assert catalog.problems == ()
    write(place / "later.json", "later")
    again = taken(place)
    assert again == found
    assert "later" not in {entry.id for entry in layer(again, tmp_path).distributions()}


@pytest.mark.parametrize("trap", ["file of another", "file for all", "directory for all", "directory of another"])
def test_what_others_could_have_written_is_left_out(tmp_path: Path, place: Path, trap: str) -> None:
    file = write(place / "garden.json", "garden")
    match trap:
        case "file of another":
            os.chown(file, 65534, -1)
        case "file for all":
            file.chmod(0o666)
        case "directory for all":
            place.parents[2].chmod(0o777)
        case "directory of another":
            os.chown(place.parent, 65534, -1)
    found = taken(place)
    assert found.catalogue is None
    assert found.notes[0].startswith("0 distributions")
    assert "left out, because" in found.notes[1]


def test_links_out_of_it_lead_nowhere(tmp_path: Path, place: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, -1)
    (place / "garden.json").symlink_to(write(theirs / "x.json", "garden"))
    (place / "loop.json").symlink_to(place / "loop.json")
    (place / "gone.json").symlink_to(tmp_path / "nothing")
    os.mkfifo(place / "pipe.json")
    found = taken(place)
    assert found.catalogue is None
    assert len(found.notes) == 5, found.notes
    assert f"{theirs} belongs to uid 65534" in "\n".join(found.notes)


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"notes": 3}', "[" * 100_000])
def test_a_damaged_record_is_still_one(tmp_path: Path, place: Path, record: str) -> None:
    write(place / "garden.json", "garden")
    (tmp_path / "state" / RECORD).write_text(record)
    assert taken(place).catalogue is None
    assert not (tmp_path / "state" / CATALOGUE).exists()


def test_a_state_that_cannot_be_written_stops_nothing(
    tmp_path: Path, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(place / "garden.json", "garden")
    (tmp_path / "state").rmdir()
    assert taken(place) == TakenOver()
    assert "is not used" in caplog.text
