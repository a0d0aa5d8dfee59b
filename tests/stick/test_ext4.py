from __future__ import annotations

import functools
import random
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luxusbd.errors import MalformedImageError
from luxusbd.stick import room
from luxusbd.stick.blockio import ReadAt
from luxusbd.stick.ext4 import Ext4
from luxusbd.stick.model import MIB
from tests.stick import helpers

SIZE = 64 * MIB
BIG = 5 * MIB + 123


def reads(data: bytes) -> ReadAt:
    def read(offset: int, length: int) -> bytes:
        assert 0 <= offset <= offset + length <= len(data), "a read outside of the partition"
        return bytes(data[offset : offset + length])

    return read


@functools.cache
def filesystem() -> bytes:
    """An ext4 as the writer makes it, with a big file, a sparse one and a hashed directory."""
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name) / "tree"
        (tree / "luxusb").mkdir(parents=True)
        (tree / "many").mkdir()
        (tree / "luxusb" / "stick.json").write_bytes(b"{}" * 3000)
        (tree / "luxusb" / "empty").write_bytes(b"")
        (tree / "big").write_bytes(random.Random(1).randbytes(BIG))
        with (tree / "sparse").open("wb") as file:
            file.seek(3 * MIB)
            file.write(b"end")
        for number in range(800):
            (tree / "many" / f"a-rather-long-file-name-{number:04}").write_bytes(b"%d" % number)
        (tree / "link").symlink_to("/luxusb/stick.json")
        path = Path(name) / "fs"
        with path.open("wb") as file:
            file.truncate(SIZE)
        command = room.mke2fs(str(path), SIZE, helpers.UUID, "LUXDATA")
        subprocess.run([*command[:-2], "-d", str(tree), *command[-2:]], check=True)
        # indexes directories, as the kernel does when they grow
        subprocess.run(["e2fsck", "-fyD", str(path)], capture_output=True, check=False)
        return path.read_bytes()


def open_it() -> Ext4:
    return Ext4(reads(filesystem()), SIZE)


def test_files_are_read() -> None:
    ext4 = open_it()
    assert (ext4.uuid, ext4.label, ext4.clean) == (helpers.UUID, "LUXDATA", True)
    assert ext4.read_file("/luxusb/stick.json", 10000) == b"{}" * 3000
    assert ext4.read_file("/luxusb/empty", 10) == b""
    assert ext4.read_file("/big", BIG) == random.Random(1).randbytes(BIG)
    assert ext4.read_file("/sparse", 4 * MIB) == bytes(3 * MIB) + b"end"
    assert ext4.read_file("/absent", 10) is None
    assert ext4.read_file("/luxusb", 10) is None
    assert ext4.read_file("/link", 100) is None
    assert ext4.read_file("/big/x", 10) is None
    assert set(ext4.list("/")) == {"lost+found", "luxusb", "many", "big", "sparse", "link"}
    assert ext4.list("/absent") == ()
    with pytest.raises(MalformedImageError):
        ext4.read_file("/big", BIG - 1)


def test_hashed_directories_are_read_in_a_line() -> None:
    assert len(open_it().list("/many")) == 800
    assert open_it().read_file("/many/a-rather-long-file-name-0567", 10) == b"567"


def test_extents_cover_the_file() -> None:
    data = filesystem()
    found = b"".join(
        data[extent.physical * 4096 : (extent.physical + extent.length) * 4096] for extent in open_it().extents("/big")
    )
    assert found[:BIG] == random.Random(1).randbytes(BIG)


def test_free_bytes_are_those_that_dumpe2fs_counts(tmp_path: Path) -> None:
    path = tmp_path / "fs"
    path.write_bytes(filesystem())
    text = subprocess.run(["dumpe2fs", "-h", path], capture_output=True, text=True, check=True).stdout
    free = next(int(line.split(":")[1]) for line in text.splitlines() if line.startswith("Free blocks:"))
    assert open_it().free_bytes() == free * 4096


def test_what_grub_cannot_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fs"
    with path.open("wb") as file:
        file.truncate(SIZE)
    subprocess.run(["mke2fs", "-qF", "-t", "ext4", "-O", "inline_data", str(path)], check=True)
    with pytest.raises(MalformedImageError, match="GRUB"):
        Ext4(reads(path.read_bytes()), SIZE)
    for data in (b"", bytes(100), bytes(SIZE)):
        with pytest.raises(MalformedImageError):
            Ext4(reads(data), len(data))


def use_everything(ext4: Ext4) -> None:
    ext4.free_bytes()
    for path in ("/luxusb/stick.json", "/luxusb/menu-a.cfg", "/big", "/sparse", "/many/a-rather-long-file-name-0001"):
        ext4.read_file(path, 8 * MIB)
        if ext4.lookup(path) is not None:
            ext4.extents(path)
    for path in ("/", "/luxusb", "/many"):
        ext4.list(path)


@functools.cache
def metadata_blocks() -> tuple[int, ...]:
    """Offsets of the blocks that describe the tree: superblock, descriptors, used inodes, directories, extent nodes."""
    touched: set[int] = set()
    data = filesystem()

    def read(offset: int, length: int) -> bytes:
        if length <= 65536:
            touched.update(range(offset, offset + min(length, 4096), 64))
        return data[offset : offset + length]

    use_everything(Ext4(read, SIZE))
    return tuple(sorted(touched))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_hostile_bytes_are_read_or_refused(data: st.DataObject) -> None:
    patches: dict[int, int] = {}
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.sampled_from(metadata_blocks())) + data.draw(st.integers(0, 63))
        noise = data.draw(
            st.one_of(
                st.binary(min_size=1, max_size=8),
                st.sampled_from([b"\0" * 64, b"\xff" * 64, b"\xff\xff", b"\x01\0\0\0", b"\0\0"]),
            )
        )
        patches.update({at + index: byte for index, byte in enumerate(noise)})
    original = reads(filesystem())

    def read(offset: int, length: int) -> bytes:
        found = bytearray(original(offset, length))
        for at, byte in patches.items():
            if offset <= at < offset + length:
                found[at - offset] = byte
        return bytes(found)

    try:
        use_everything(Ext4(read, SIZE))
    except MalformedImageError:
        return
