"""Used bytes of filesystems that were made by their own tools, and of ones that lie."""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luxusbd.errors import DeviceError
from luxusbd.images.filesystems import probe
from luxusbd.images.space import SLACK, Space, space_of

MIB = 1024 * 1024
FILE = 10 * MIB

Commands = Sequence[Sequence[str]]

MAKE: Mapping[str, tuple[int, Commands, Commands]] = {
    "FAT12": (24, [["mkfs.fat", "-F", "12", "-s", "16", "{}"]], [["mcopy", "-i", "{}", "{file}", "::a"]]),
    "FAT16": (64, [["mkfs.fat", "-F", "16", "{}"]], [["mcopy", "-i", "{}", "{file}", "::a"]]),
    "FAT32": (300, [["mkfs.fat", "-F", "32", "{}"]], [["mcopy", "-i", "{}", "{file}", "::a"]]),
    "NTFS": (64, [["mkntfs", "-q", "-Q", "-F", "{}"]], [["ntfscp", "-q", "{}", "{file}", "a"]]),
    "ext4": (64, [["mke2fs", "-qF", "-t", "ext4", "{}"]], [["debugfs", "-w", "-R", "write {file} a", "{}"]]),
    "ext2": (64, [["mke2fs", "-qF", "-t", "ext2", "{}"]], [["debugfs", "-w", "-R", "write {file} a", "{}"]]),
}
"""MiB, commands that make it, and commands that put a file of 10 MiB into it."""


def run(commands: Commands, path: Path, file: Path) -> None:
    for command in commands:
        words = [word.format(path, file=file) for word in command]
        subprocess.run(words, check=True, capture_output=True)


def space(path: Path) -> tuple[str, Space | None]:
    data = path.read_bytes()

    def read(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    found = probe(read, 0, len(data))
    assert found is not None
    return found.kind, space_of(read, 0, len(data), found.kind)


@pytest.mark.parametrize("kind", MAKE)
def test_a_file_shows_in_the_used_bytes(tmp_path: Path, kind: str) -> None:
    size, make, fill = MAKE[kind]
    path, file = tmp_path / "disk", tmp_path / "file"
    file.write_bytes(b"x" * FILE)
    path.write_bytes(bytes(size * MIB))
    run(make, path, file)
    named, empty = space(path)
    run(fill, path, file)
    _kind, full = space(path)
    assert named == kind
    assert empty is not None
    assert full is not None
    assert full.total == empty.total <= size * MIB
    assert full.total > size * MIB * 9 // 10
    # the file, and at most what its own bookkeeping takes
    assert FILE <= full.used - empty.used <= FILE + 256 * 1024


@pytest.mark.parametrize(
    ("kind", "size", "command"),
    [
        ("exFAT", 64, ["mkfs.exfat", "{}"]),
        ("btrfs", 128, ["mkfs.btrfs", "-q", "{}"]),
        ("XFS", 400, ["mkfs.xfs", "-q", "{}"]),
    ],
)
def test_an_empty_filesystem(tmp_path: Path, kind: str, size: int, command: list[str]) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(size * MIB))
    run([command], path, path)
    named, found = space(path)
    assert named == kind
    assert found is not None
    assert size * MIB * 7 // 10 < found.total <= size * MIB
    assert 0 < found.used < found.total // 3


def test_exfat_counts_its_map(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(64 * MIB))
    run([["mkfs.exfat", "-c", "4096", "{}"]], path, path)
    before = space(path)[1]
    data = bytearray(path.read_bytes())
    (heap, _count, root) = struct.unpack_from("<III", data, 88)
    directory = (heap << data[108]) + (root - 2) * 4096
    entry = next(at for at in range(directory, directory + 4096, 32) if data[at] == 0x81)
    (cluster,) = struct.unpack_from("<I", data, entry + 20)
    at = (heap << data[108]) + (cluster - 2) * 4096 + 100
    assert data[at : at + 4] == bytes(4)
    data[at : at + 4] = b"\xff\x01\x00\x80"
    path.write_bytes(data)
    after = space(path)[1]
    assert before is not None
    assert after is not None
    assert after.used - before.used == 10 * 4096


@cache
def corpus() -> tuple[tuple[str, bytes], ...]:
    found = []
    with tempfile.TemporaryDirectory() as directory:
        for kind, (size, make, _fill) in MAKE.items():
            path = Path(directory, kind)
            path.write_bytes(bytes(size * MIB))
            run(make, path, path)
            found.append((kind, path.read_bytes()[: 6 * MIB]))
    return tuple(found)


KINDS = ("ext4", "FAT12", "FAT16", "FAT32", "exFAT", "NTFS", "btrfs", "XFS", "HFS+", "ISO 9660")
EDITS = st.lists(st.tuples(st.integers(0, 2047), st.binary(min_size=1, max_size=8)), max_size=6)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, len(MAKE) - 1), EDITS, st.sampled_from(KINDS), st.integers(0, 6 * MIB))
def test_whatever_a_superblock_claims(which: int, edits: list[tuple[int, bytes]], kind: str, size: int) -> None:
    data = bytearray(corpus()[which][1])
    for at, new in edits:
        data[at : at + len(new)] = new
    asked = 0

    def read(offset: int, length: int) -> bytes:
        nonlocal asked
        assert 0 <= offset <= offset + length <= size
        asked += length
        return bytes(data[offset : offset + length])

    for name in {kind, corpus()[which][0]}:
        found = space_of(read, 0, size, name)
        assert found is None or (0 <= found.used <= found.total <= size + SLACK)
    assert asked <= 2 * (9 * MIB + 200_000)


def test_a_disk_that_cannot_be_read() -> None:
    def read(_offset: int, _length: int) -> bytes:
        raise DeviceError("broken")

    assert all(space_of(read, 0, MIB, kind) is None for kind in KINDS)
