"""A medium in memory that is cut, and the steps that a writer of FAT32 or exFAT and its model are led through."""

from __future__ import annotations

import functools
import os
import random
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import strategies as st

from luxusbd.errors import DeviceDamagedError
from luxusbd.stick import clusterfsck
from luxusbd.stick.clusters import SECTOR, ClusterFilesystem
from luxusbd.stick.clusterwriter import ClusterWriter
from luxusbd.stick.exfat import ExFat
from luxusbd.stick.fat32 import Fat32
from luxusbd.stick.filesystem import Kind
from tests.stick.clusterimage import make

KINDS = (Kind.FAT32, Kind.EXFAT)
SIZE = 6 * 1024 * 1024
LARGE = 36 * 1024 * 1024
"""mtools take for a FAT16 what has fewer clusters than a FAT32 should have."""
MTOOLS = {**os.environ, "MTOOLSRC": "/dev/null", "MTOOLS_SKIP_CHECK": "1", "LC_ALL": "C.UTF-8"}
CLUSTER = 1024
DIRECTORIES = ("/iso", "/luxusb")
NAMES = (
    "A",
    "stick.json",
    "stick.json.new",
    "menu-a.cfg",
    "Some longer name (2024) with blanks.iso",
    "Ärger + 你好 🐧.iso",
    "x" * 180 + ".iso",
    "x" * 171 + ".iso.lux-part",
    "x" * 40 + ".one",
    "x" * 40 + ".two",
    "UPPER.ISO",
    "...dots",
)
Step = tuple[str, str, object]
Writer = ClusterWriter[Fat32] | ClusterWriter[ExFat]


def fresh(read: Callable[[int, int], bytes], kind: Kind) -> ClusterFilesystem:
    return Fat32(read, SIZE) if kind is Kind.FAT32 else ExFat(read, SIZE)


@functools.cache
def empty(kind: Kind) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "image"
        make(path, kind, SIZE, CLUSTER)
        return path.read_bytes()


class Log:
    """A medium in memory that keeps what was written between flushes, sector by sector."""

    def __init__(self, data: bytes) -> None:
        self.durable = bytearray(data)
        self.now = bytearray(data)
        self.tail: list[tuple[int, bytes]] = []
        self.on_write: Callable[[], None] | None = None
        self.flushes = 0

    def read(self, offset: int, length: int) -> bytes:
        assert 0 <= offset <= offset + length <= len(self.now), "a read outside of the partition"
        return bytes(self.now[offset : offset + length])

    def write(self, data: bytes | memoryview, offset: int) -> None:
        assert offset % SECTOR == 0
        assert len(data) % SECTOR == 0
        assert offset + len(data) <= len(self.now), "a write outside of the partition"
        for at in range(0, len(data), SECTOR):
            self.tail.append((offset + at, bytes(data[at : at + SECTOR])))
        self.now[offset : offset + len(data)] = data
        if self.on_write is not None:
            self.on_write()

    def flush(self) -> None:
        for place, sector in self.tail:
            self.durable[place : place + SECTOR] = sector
        self.tail.clear()
        self.flushes += 1

    def cut(self, rng: random.Random) -> bytes:
        """What the medium may hold when the power goes now: any version of each sector since the last flush."""
        return self.with_sectors(self.pick(rng))

    def pick(self, rng: random.Random) -> dict[int, bytes]:
        """The sectors of such a medium that the flush before did not leave there."""
        versions: dict[int, list[bytes]] = {}
        for place, sector in self.tail:
            versions.setdefault(place, [bytes(self.durable[place : place + SECTOR])]).append(sector)
        style = rng.random()
        chosen = {
            place: known[-1] if style < 0.1 else known[0] if style < 0.2 else rng.choice(known)
            for place, known in versions.items()
        }
        return {place: sector for place, sector in chosen.items() if sector != versions[place][0]}

    def with_sectors(self, sectors: Mapping[int, bytes]) -> bytes:
        """What the last flush left, with some sectors changed."""
        made = bytearray(self.durable)
        for place, sector in sectors.items():
            made[place : place + SECTOR] = sector
        return bytes(made)


def writer_of(log: Log, kind: Kind) -> Writer:
    return clusterfsck.open_filesystem(log, kind, SIZE)


def content(number: int, size: int) -> bytes:
    return random.Random(number).randbytes(size)


paths = st.builds(lambda directory, name: f"{directory}/{name}", st.sampled_from(DIRECTORIES), st.sampled_from(NAMES))
sizes = st.one_of(st.integers(0, 5000), st.sampled_from([0, 1023, 1024, 1025, 200_000]))
steps = st.one_of(
    st.tuples(st.just("small"), paths, sizes),
    st.tuples(st.just("big"), paths, sizes),
    st.tuples(st.just("publish"), paths, paths),
    st.tuples(st.just("remove"), paths, st.just(0)),
    st.tuples(st.just("many"), st.sampled_from(DIRECTORIES), st.integers(1, 40)),
    st.tuples(st.just("thin"), st.sampled_from(DIRECTORIES), st.just(0)),
    st.tuples(st.just("finish"), st.just(""), st.just(0)),
)


def apply(log: Log, writer: Writer, model: dict[str, bytes], step: Step, number: int) -> None:
    """Do one step, and to the model what it means."""
    what, path, value = step
    if what == "small":
        assert isinstance(value, int)
        data = content(number, value)
        writer.write_small(path, data)
        model[path] = data
    elif what == "big":
        assert isinstance(value, int)
        data = content(number, value)
        put_big(log, writer, path, data)
        model[path] = data
    elif what == "publish":
        assert isinstance(value, str)
        if path not in model:
            with pytest.raises(DeviceDamagedError):
                writer.publish(path, value)
        else:
            writer.publish(path, value)
            model[value] = model.pop(path)
    elif what == "remove":
        writer.remove(path)
        model.pop(path, None)
    elif what == "many":
        assert isinstance(value, int)
        for index in range(value):
            name = f"{path}/one of many, number {index}"
            writer.write_small(name, b"%d" % index)
            model[name] = b"%d" % index
    elif what == "thin":
        for name in [name for name in model if name.startswith(f"{path}/one of many")][::2]:
            writer.remove(name)
            del model[name]
    else:
        writer.finish()


def put_big(log: Log, writer: Writer, path: str, data: bytes) -> None:
    runs = writer.allocate(path, len(data))
    rest = data
    for run in runs:
        piece = rest[: run.count * CLUSTER]
        log.write(piece + bytes(-len(piece) % SECTOR), writer.fs.place(run.first))
        rest = rest[len(piece) :]
    writer.publish(path, path)


def check_same(filesystem: ClusterFilesystem, model: dict[str, bytes]) -> None:
    found = {f"{directory}/{name}" for directory in DIRECTORIES for name in filesystem.list(directory)}
    assert found == set(model)
    for path, data in model.items():
        assert filesystem.read_file(path, SIZE) == data, path
        assert filesystem.read_file(path.upper(), SIZE) == data, path
