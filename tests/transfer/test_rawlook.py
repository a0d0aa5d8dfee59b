"""Images that are to be written byte for byte: what they are, and how they unpack, in every compression."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.errors import InvalidArgumentError, LuxusbError, MalformedImageError
from luxusbd.images.startable import HEAD, Starts, how_it_starts
from luxusbd.transfer import rawmodel
from luxusbd.transfer.frames import Fan, Frames, make_pipe
from luxusbd.transfer.packing import Packing
from luxusbd.transfer.rawlook import look, unpack
from luxusbd.transfer.rawmodel import RawLook

SIZE = 3 * 1024 * 1024 + 512
DATA = (b"\xeb\x3c".ljust(510, b"\x90") + b"\x55\xaa" + random.Random(1).randbytes(65536)).ljust(SIZE, b"\0")
MEMTEST = Path("/usr/lib/memtest86+/memtest86+x64.iso")


def tool(*command: str) -> Callable[[bytes, Path], bytes]:
    return lambda data, _place: subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def zipped(data: bytes, place: Path) -> bytes:
    with zipfile.ZipFile(place / "made.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README", "about it")
        archive.writestr("appliance.img", data)
    return (place / "made.zip").read_bytes()


PACKED: dict[str, tuple[Packing, Callable[[bytes, Path], bytes], int]] = {
    "xz": (Packing.XZ, lambda data, _place: lzma.compress(data, preset=0), SIZE),
    "xz-blocks": (Packing.XZ, tool("xz", "-0", "--block-size=100000", "-T2"), SIZE),
    "xz-twice": (Packing.XZ, lambda data, _place: lzma.compress(data[:9999]) + lzma.compress(data[9999:]), 0),
    "lzma": (Packing.LZMA, lambda data, _place: lzma.compress(data, lzma.FORMAT_ALONE), 0),
    "gzip": (Packing.GZIP, lambda data, _place: gzip.compress(data, 1), 0),
    "bzip2": (Packing.BZIP2, lambda data, _place: bz2.compress(data, 1), 0),
    "zstd": (Packing.ZSTD, tool("zstd", "-q1"), 0),
    "zip": (Packing.ZIP, zipped, SIZE),
}


@contextmanager
def opened(path: Path, data: bytes) -> Iterator[int]:
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def unpacked(fd: int) -> bytes:
    """What comes out of the other end of the pipe."""
    read, write = make_pipe()
    failures: list[LuxusbError] = []

    def run() -> None:
        try:
            unpack(fd, Fan([write]))
        except LuxusbError as error:
            failures.append(error)
        finally:
            os.close(write)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        return Frames(read, lambda: False).read(1 << 30)
    except MalformedImageError:
        thread.join()
        raise failures[0] from None
    finally:
        os.close(read)
        thread.join()


@pytest.mark.parametrize("name", PACKED)
def test_every_compression(tmp_path: Path, name: str) -> None:
    packing, pack, size = PACKED[name]
    with opened(tmp_path / "image", pack(DATA, tmp_path)) as fd:
        assert look(fd) == RawLook(packing, size, Starts.DISK)
        assert unpacked(fd) == DATA


@pytest.mark.parametrize("name", PACKED)
def test_damage_is_found_by_the_end(tmp_path: Path, name: str) -> None:
    _packing, pack, _size = PACKED[name]
    data = pack(DATA, tmp_path)
    with opened(tmp_path / "image", data[: len(data) * 2 // 3]) as fd, pytest.raises(LuxusbError):
        unpacked(fd)


def test_what_is_not_compressed(tmp_path: Path) -> None:
    with opened(tmp_path / "image", DATA) as fd:
        assert look(fd) == RawLook(None, SIZE, Starts.DISK)
        with pytest.raises(MalformedImageError, match="not compressed"):
            unpack(fd, Fan([]))
    with opened(tmp_path / "empty", b"") as fd, pytest.raises(MalformedImageError, match="empty"):
        look(fd)
    with opened(tmp_path / "nothing.xz", lzma.compress(b"")) as fd, pytest.raises(MalformedImageError, match="empty"):
        look(fd)


def test_a_map_of_bmaptool(tmp_path: Path) -> None:
    """The map of a sparse file, made by bmaptool itself, and one of another image."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.write(DATA[:8192])
        file.seek(1024 * 1024)
        file.write(b"x" * 5000)
        file.truncate(SIZE)
    made = tmp_path / "image.bmap"
    subprocess.run(["bmaptool", "create", "-o", made, image], check=True, capture_output=True)
    with image.open("rb") as file, made.open("rb") as bmap:
        found = look(file.fileno(), bmap.fileno())
    assert found.map is not None
    assert found.map.algorithm == "sha256"
    assert found.map.size == found.size == SIZE
    assert 8192 + 5000 <= found.map.mapped < SIZE // 2
    assert rawmodel.from_json(rawmodel.to_json(found)) == found
    with opened(tmp_path / "other", DATA + b"x") as fd, made.open("rb") as bmap:
        with pytest.raises(InvalidArgumentError, match="belongs to another"):
            look(fd, bmap.fileno())
    with opened(tmp_path / "packed", gzip.compress(image.read_bytes())) as fd, made.open("rb") as bmap:
        assert look(fd, bmap.fileno()).size == SIZE, "the map says what gzip does not"


def disc(*, sector: bytes = b"", descriptor: bytes = b"\x01CD001\x01") -> bytes:
    return sector.ljust(32768, b"\0") + descriptor.ljust(2048, b"\0")


BOOT = b"\xeb\x3c".ljust(510, b"\x90") + b"\x55\xaa"
TABLE = bytes(446) + b"\x80".ljust(64, b"\1") + b"\x55\xaa"


@pytest.mark.parametrize(
    ("head", "starts"),
    [
        (disc(sector=BOOT), Starts.HYBRID),
        (disc(sector=TABLE), Starts.HYBRID),
        (disc(), Starts.OPTICAL),
        (disc(sector=bytes(510) + b"\x55\xaa"), Starts.OPTICAL),
        (disc(descriptor=b"\0BEA01\x01".ljust(2048, b"\0") + b"\0NSR02\x01"), Starts.OPTICAL),
        (BOOT, Starts.DISK),
        (TABLE, Starts.DISK),
        (bytes(512) + b"EFI PART", Starts.DISK),
        (bytes(65536), Starts.NOTHING),
        (b"", Starts.NOTHING),
        (b"x" * 600, Starts.NOTHING),
    ],
)
def test_how_an_image_starts(head: bytes, starts: Starts) -> None:
    assert how_it_starts(head) is starts


def test_a_real_hybrid() -> None:
    assert how_it_starts(MEMTEST.read_bytes()[:HEAD]) is Starts.HYBRID


@given(st.binary(max_size=2048))
def test_any_beginning_is_something(head: bytes) -> None:
    assert how_it_starts(head) in Starts


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        {"size": -1, "packing": "", "starts": "disk"},
        {"size": 1, "packing": "rar", "starts": "disk"},
        {"size": 1, "packing": "", "starts": "perhaps"},
        {"size": 1, "packing": "", "starts": "disk", "map": {}},
    ],
)
def test_nonsense_from_another_process(document: object) -> None:
    with pytest.raises(InvalidArgumentError):
        rawmodel.from_json(document)
