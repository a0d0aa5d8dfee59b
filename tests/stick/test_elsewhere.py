"""Sticks of Ventoy are known and listed, and hostile ones do no harm."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luxusbd.stick import elsewhere, foreign
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.foreign import ForeignStick, Maker
from luxusbd.stick.model import MIB
from tests.stick import clusterimage, oldsticks

RESCUE = Path("/usr/lib/grub-rescue/grub-rescue-cdrom.iso")


def look(path: Path) -> ForeignStick | None:
    with path.open("rb") as file:
        return elsewhere.look(file.fileno(), path.stat().st_size)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    place = tmp_path_factory.mktemp("ventoy")
    (place / "notes.txt").write_text("buy milk")
    (place / "disk.img").write_bytes(b"x" * 5000)
    files = {"linux/live/Rescue.ISO": RESCUE, "disk.img": place / "disk.img", "notes.txt": place / "notes.txt"}
    return oldsticks.fat32(place / "fat", files)


@pytest.mark.parametrize("table", ["dos", "gpt"])
def test_images_of_a_ventoy_stick_are_listed(tmp_path: Path, data: bytes, table: str) -> None:
    path = oldsticks.ventoy(tmp_path / "ventoy.img", data, table=table)
    before = path.read_bytes()
    found = look(path)
    assert found is not None
    assert (found.maker, found.filesystem, found.notes) == (Maker.VENTOY, "FAT32", ())
    assert {(image.path, image.size) for image in found.images} == {
        ("/disk.img", 5000),
        ("/linux/live/Rescue.ISO", RESCUE.stat().st_size),
    }
    assert "luxusb create makes a LUXusb stick of it and erases everything" in found.refusal
    assert found.line == "Ventoy stick with 2 images"
    assert foreign.from_json(foreign.to_json(found)) == found
    assert path.read_bytes() == before


def test_an_empty_one_with_exfat(tmp_path: Path) -> None:
    clusterimage.make(tmp_path / "exfat", Kind.EXFAT, 32 * MIB, 4096)
    found = look(oldsticks.ventoy(tmp_path / "ventoy.img", (tmp_path / "exfat").read_bytes()))
    assert found is not None
    assert (found.filesystem, found.images, found.notes) == ("exFAT", (), ())


def test_what_lies_on_ntfs_is_not_listed(tmp_path: Path) -> None:
    ntfs = bytearray(2 * MIB)
    ntfs[3:11] = b"NTFS    "
    ntfs[510:512] = b"\x55\xaa"
    found = look(oldsticks.ventoy(tmp_path / "ventoy.img", bytes(ntfs)))
    assert found is not None
    assert (found.maker, found.images) == (Maker.VENTOY, ())
    assert found.notes[0].endswith("cannot be listed without mounting it")


@pytest.mark.parametrize("changes", [{"label": "OTHER"}, {"sectors": 65535}])
def test_what_looks_like_one_and_is_none(tmp_path: Path, data: bytes, changes: dict[str, object]) -> None:
    assert look(oldsticks.ventoy(tmp_path / "stick.img", data, **changes)) is None  # type: ignore[arg-type]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, MIB + 400_000), st.binary(min_size=1, max_size=40)), max_size=12))
def test_a_broken_one_does_no_harm(data: bytes, changes: list[tuple[int, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = oldsticks.ventoy(Path(name) / "ventoy.img", data[: 8 * MIB])
        fd = os.open(path, os.O_RDWR)
        try:
            for place, junk in changes:
                os.pwrite(fd, junk, place)
            found = elsewhere.look(fd, path.stat().st_size)
        finally:
            os.close(fd)
    assert found is None or len(found.images) <= foreign.MAX_IMAGES


@given(st.text(max_size=600), st.integers(-(2**70), 2**70), st.integers(0, 500))
def test_what_the_reading_process_says_is_bounded(text: str, size: int, count: int) -> None:
    document = {
        "maker": "ventoy",
        "filesystem": text,
        "images": [{"path": text, "size": size, "volume_id": text}] * count,
        "notes": [text] * count,
        "refusal": text,
    }
    found = foreign.from_json(document)
    assert found is not None
    assert len(found.images) <= foreign.MAX_IMAGES
    assert len(found.notes) <= foreign.NOTES_LIMIT
    assert all(image.path and "\n" not in image.path and 0 <= image.size < 1 << 64 for image in found.images)
    assert foreign.from_json(foreign.to_json(found)) == found
