"""FAT32 and exFAT of strangers, and broken ones: read, refused or mended."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luxusbd.errors import MalformedImageError
from luxusbd.stick import clusterfsck, detect
from luxusbd.stick.clusters import SECTOR, ClusterFilesystem
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.survey import survey
from tests.stick.clusterimage import UUID
from tests.stick.clustermodel import (
    DIRECTORIES,
    KINDS,
    SIZE,
    Log,
    content,
    empty,
    fresh,
    put_big,
    writer_of,
)


@functools.cache
def populated(kind: Kind) -> bytes:
    """A small filesystem with everything in it that a reader can meet."""
    log = Log(empty(kind))
    writer = writer_of(log, kind)
    for directory in (*DIRECTORIES, "/iso/below"):
        writer.make_directory(directory)
    for index in range(45):
        writer.write_small(f"/iso/file {index} of many.txt", b"%d" % index)
    for index in range(0, 45, 3):
        writer.remove(f"/iso/file {index} of many.txt")
    writer.write_small("/luxusb/stick.json", b"{}" * 3000)
    put_big(log, writer, "/iso/big.iso", content(5, 90_000))
    writer.finish()
    return bytes(log.durable)


def use_everything(read: Callable[[int, int], bytes]) -> None:
    """Whatever a reader may be asked; ends, and raises no other error."""
    kind_of: list[Kind] = []
    for kind in KINDS:
        try:
            filesystem = detect.open_as(kind, read, SIZE)
        except MalformedImageError:
            continue
        kind_of.append(kind)
        assert isinstance(filesystem, ClusterFilesystem)
        for look in (
            lambda fs=filesystem: fs.free_bytes(),
            lambda fs=filesystem: fs.list("/iso"),
            lambda fs=filesystem: fs.entries("/iso/below", 10),
            lambda fs=filesystem: fs.read_file("/luxusb/stick.json", 1 << 20),
            lambda fs=filesystem: fs.extents("/iso/big.iso"),
            lambda fs=filesystem: survey(fs, bytearray(fs.clusters + 2)),
        ):
            try:
                look()
            except MalformedImageError:
                continue


@functools.cache
def metadata(kind: Kind) -> tuple[int, ...]:
    touched: set[int] = set()
    data = populated(kind)

    def read(offset: int, length: int) -> bytes:
        touched.update(range(offset, offset + min(length, 2048), 32))
        return data[offset : offset + length]

    use_everything(read)
    return tuple(sorted(touched))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_hostile_bytes_are_read_or_refused(kind: Kind, data: st.DataObject) -> None:
    hurt = bytearray(populated(kind))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.sampled_from(metadata(kind))) + data.draw(st.integers(0, 31))
        noise = data.draw(
            st.one_of(
                st.binary(min_size=1, max_size=8),
                st.sampled_from([b"\0" * 32, b"\xff" * 32, b"\xff\xff", b"\x02\0\0\0", b"\x03\0\0\0", b"\0\0"]),
            )
        )
        hurt[at : at + len(noise)] = noise
    if kind is Kind.EXFAT:
        # a checksum is no hindrance for whoever means it
        from luxusbd.stick import exfat

        hurt[: 12 * SECTOR] = exfat.with_serial(bytes(hurt[: 12 * SECTOR]), UUID)
    medium = Log(bytes(hurt[:SIZE].ljust(SIZE, b"\0")))
    use_everything(medium.read)


@pytest.mark.parametrize("kind", KINDS)
def test_chains_in_circles_and_into_each_other(kind: Kind) -> None:
    data = bytearray(populated(kind))
    filesystem = fresh(Log(bytes(data)).read, kind)
    root = filesystem.root.first
    # the root directory's chain leads back to itself
    data[filesystem.table_start + root * 4 : filesystem.table_start + root * 4 + 4] = root.to_bytes(4, "little")
    hurt = writer_of(Log(bytes(data)), kind)
    with pytest.raises(MalformedImageError, match="no end"):
        list(hurt.fs.slots(hurt.fs.root))
    assert survey(hurt.fs, hurt.used).problems[0] == "'/' shares clusters with another file"
    data = bytearray(populated(kind))
    # a file that says to begin where another one does
    one, other = (filesystem.lookup(f"/iso/file {index} of many.txt") for index in (1, 2))
    assert one is not None
    assert other is not None
    writer = writer_of(Log(bytes(data)), kind)
    slots = writer._with_clusters(other.raw, one.first, 1, 1, row=True)
    for place, slot in zip(other.slots, slots, strict=True):
        data[place : place + 32] = slot
    writer = writer_of(Log(bytes(data)), kind)
    found = survey(writer.fs, writer.used)
    assert any("shares clusters" in problem for problem in found.problems)
    assert found.lost


def walk(kind: Kind) -> Iterator[str]:
    yield from fresh(Log(populated(kind)).read, kind).list("/iso")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_volume_that_is_marked_as_broken_is_looked_through(kind: Kind, tmp_path: Path) -> None:
    data = bytearray(populated(kind))
    if kind is Kind.FAT32:
        data[fresh(Log(bytes(data)).read, kind).table_start + 7] &= 0xFB
    else:
        data[106] |= 4
    log = Log(bytes(data))
    assert fresh(log.read, kind).has_errors
    assert not await clusterfsck.is_sound(log, kind, SIZE, tmp_path)
    assert (await clusterfsck.mend(log, kind, SIZE, tmp_path)).forced
    assert await clusterfsck.is_sound(log, kind, SIZE, tmp_path)
    assert not fresh(log.read, kind).has_errors


@pytest.mark.parametrize("kind", KINDS)
async def test_bad_clusters_stay_bad(kind: Kind, tmp_path: Path) -> None:
    log = Log(populated(kind))
    writer = writer_of(log, kind)
    bad = writer.find_room(1)[0]
    writer.begin()
    writer._allocate([bad])
    mark = (writer.fs.table_limit + 1).to_bytes(4, "little")
    place = writer.fs.table_start + bad.first * 4
    sector = bytearray(log.read(place // SECTOR * SECTOR, SECTOR))
    sector[place % SECTOR : place % SECTOR + 4] = mark
    log.write(bytes(sector), place // SECTOR * SECTOR)
    log.flush()
    await clusterfsck.mend(log, kind, SIZE, tmp_path)
    assert writer_of(log, kind).used[bad.first]
    assert fresh(log.read, kind).table(bad.first) == writer.fs.table_limit + 1


@pytest.mark.parametrize("kind", KINDS)
async def test_fsck_mends_what_is_broken(kind: Kind, tmp_path: Path) -> None:
    data = bytearray(populated(kind))
    filesystem = fresh(Log(bytes(data)).read, kind)
    one, other = (filesystem.lookup(f"/iso/file {index} of many.txt") for index in (1, 2))
    assert one is not None
    assert other is not None
    big = filesystem.read_file("/iso/big.iso", SIZE)
    writer = writer_of(Log(bytes(data)), kind)
    for place, slot in zip(other.slots, writer._with_clusters(other.raw, one.first, 1, 1, row=True), strict=True):
        data[place : place + 32] = slot
    log = Log(bytes(data))
    assert not await clusterfsck.is_sound(log, kind, SIZE, tmp_path)
    mended = await clusterfsck.mend(log, kind, SIZE, tmp_path)
    assert mended.forced
    assert any("shares clusters" in line for line in mended.lines)
    assert await clusterfsck.is_sound(log, kind, SIZE, tmp_path)
    assert fresh(log.read, kind).read_file("/iso/big.iso", SIZE) == big
    assert len(list(walk(kind))) - 2 <= len(fresh(log.read, kind).list("/iso"))
    assert list(tmp_path.iterdir()) == []
