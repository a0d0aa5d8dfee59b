"""Sticks on block devices: loop devices, mounts in a private namespace, the worker process."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from luxusbd import resources
from luxusbd.children.protocol import Channel, Params
from luxusbd.errors import (
    CancelledError,
    DeviceChangedError,
    DeviceIsPartitionError,
    DeviceMountedError,
    InterruptedJobError,
    VerificationError,
)
from luxusbd.stick import codec, layout, mounted, partition, reader, writer
from luxusbd.stick.blockio import BLKFLSBUF, read_at
from luxusbd.stick.model import (
    MIB,
    PartitionRole,
    RawImage,
    SourceImage,
    StickContents,
    StickOperation,
    StickOptions,
    StickOrder,
)
from luxusbd.transfer.frames import Fan, make_pipe
from tests.stick import helpers

pytestmark = pytest.mark.root


@pytest.fixture(scope="session", autouse=True)
def _private_mounts() -> None:
    mounted.enter_private_namespace()


class Disk:
    """A loop device and the file behind it."""

    def __init__(self, node: str, path: Path) -> None:
        self.node = node
        self.path = path
        self.fd = os.open(node, os.O_RDWR)

    def order(self, operation: StickOperation, **changes: Any) -> StickOrder:
        return helpers.order(operation, self.fd, **{"node": self.node, **changes})

    def look(self) -> StickContents:
        fcntl.ioctl(self.fd, BLKFLSBUF)
        contents = reader.read_stick(self.fd, helpers.SIZE)
        assert contents is not None
        return contents

    def fsck(self) -> None:
        os.sync()
        target = f"{self.path}?offset={130 * MIB}"
        done = subprocess.run(["e2fsck", "-fn", target], capture_output=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "medium"
    os.close(helpers.empty_target(path))
    with helpers.loop_device(path) as node:
        made = Disk(node, path)
        yield made
        os.close(made.fd)


class Sources:
    """Makes source images and closes them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.files: dict[str, Path] = {}
        self._made: list[SourceImage] = []

    def __call__(self, name: str, size: int = 300_000, **changes: Any) -> SourceImage:
        self.files[name] = helpers.random_file(self._directory / f"source-{name}", size, len(self._made) + 1)
        self._made.append(helpers.source(self.files[name], name, **changes))
        return self._made[-1]

    def close(self) -> None:
        for source in self._made:
            os.close(source.fd)


@pytest.fixture
def sources(tmp_path: Path) -> Iterator[Sources]:
    made = Sources(tmp_path)
    yield made
    made.close()


class Worker:
    """A stick worker as the core starts it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.room = Path(tempfile.mkdtemp(prefix="luxusb-test-"))
        self.progress: list[Params] = []
        self.moved = asyncio.Event()
        self.channel = Channel(ours, on_event=self._event)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "luxusbd.children.stick_main", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": str(resources.import_root()), "TMPDIR": str(self.room)},
        )
        theirs.close()

    def _event(self, name: str, params: Params) -> None:
        assert name == "progress"
        self.progress.append(params)
        self.moved.set()

    async def execute(self, order: StickOrder) -> dict[str, Any]:
        result = await self.channel.request("execute", codec.order_to_json(order), codec.order_fds(order))
        assert isinstance(result, dict)
        return result

    async def until(self, stage: str, count: int) -> None:
        """Until `count` bytes were done in a stage."""
        while not any(item["stage"] == stage and item["bytes_done"] >= count for item in self.progress):
            self.moved.clear()
            await asyncio.wait_for(self.moved.wait(), 60)


@asynccontextmanager
async def worker() -> AsyncIterator[Worker]:
    made = Worker()
    async with asyncio.TaskGroup() as group:
        group.create_task(made.channel.run())
        try:
            yield made
        finally:
            made.channel.close()
            assert await asyncio.to_thread(made.process.wait, 60) in (0, -signal.SIGKILL)
            made.room.rmdir()  # fails when the worker left anything in it


@pytest.fixture(autouse=True)
def own_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What others leave meanwhile, or clear away, is none of these tests' business."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", str(place))


def leftovers() -> set[Path]:
    return {path for kind in ("mount", "work", "boot") for path in Path(tempfile.gettempdir()).glob(f"luxusb-{kind}-*")}


def mounts_of(node: str) -> list[str]:
    with Path("/proc/self/mountinfo").open() as file:
        return [line for line in file if f" {node}p" in line]


async def test_the_worker_makes_changes_and_verifies_a_stick(disk: Disk, sources: Sources) -> None:
    one, two = sources("one.iso", 20 * MIB + 5), sources("two.iso")
    async with worker() as child:
        made = await child.execute(disk.order(StickOperation.CREATE, add=(one,), options=StickOptions(timeout=1)))
        assert made["images"] == ["one.iso"]
        assert child.progress[-1]["bytes_done"] == child.progress[-1]["bytes_total"] > one.image.size
        assert disk.look().damage == ""
        added = await child.execute(disk.order(StickOperation.ADD, add=(two,)))
        assert added["images"] == ["one.iso", "two.iso"]
        assert added["free_bytes"] == disk.look().free_bytes
        assert (await child.execute(disk.order(StickOperation.VERIFY)))["ok"] is True
        removed = await child.execute(disk.order(StickOperation.REMOVE, remove=("one.iso",)))
        refreshed = await child.execute(disk.order(StickOperation.REFRESH))
        assert refreshed["generation"] == removed["generation"] + 1
        assert (await child.execute(disk.order(StickOperation.VERIFY)))["ok"] is True
        assert not mounts_of(disk.node)
    assert disk.look().manifest.options.timeout == 1
    disk.fsck()
    assert helpers.check_boots(disk.path, sources.files)[1] == {"two.iso"}


async def test_every_step_leaves_a_medium_that_boots(disk: Disk, sources: Sources, tmp_path: Path) -> None:
    """As after a power cut: what was not checkpointed is in the journal alone, which GRUB does not read."""
    one, two, three = sources("one.iso"), sources("two.iso"), sources("three.iso")
    await writer.execute(disk.order(StickOperation.CREATE, add=(one,)), lambda _progress: None)
    snapshots = helpers.Snapshots(disk.path, tmp_path / "snapshots")
    for order in (
        disk.order(StickOperation.ADD, add=(two, three)),
        disk.order(StickOperation.REMOVE, remove=("one.iso", "three.iso")),
    ):
        await writer.execute(order, lambda _progress: None, after_step=snapshots)
    assert len(snapshots.taken) > 20
    shown = [helpers.check_boots(path, sources.files)[1] for _step, path in snapshots.taken]
    assert list(dict.fromkeys(shown)) == [
        frozenset({"one.iso"}),
        frozenset({"one.iso", "two.iso", "three.iso"}),
        frozenset({"two.iso"}),
    ]


async def test_a_power_cut_anywhere_is_healed_by_the_next_job(disk: Disk, sources: Sources, tmp_path: Path) -> None:
    one, two, three = sources("one.iso"), sources("two.iso"), sources("three.iso")
    await writer.execute(disk.order(StickOperation.CREATE, add=(one,)), lambda _progress: None)
    snapshots = helpers.Snapshots(disk.path, tmp_path / "snapshots")
    await writer.execute(disk.order(StickOperation.ADD, add=(two,)), lambda _progress: None, after_step=snapshots)
    planned = layout.plan(helpers.SIZE, StickOptions())
    for step, path in snapshots.taken:
        with helpers.loop_device(path) as node:
            cut = Disk(node, path)
            try:
                order = cut.order(StickOperation.ADD, add=(three,))
                result = await writer.execute(order, lambda _progress: None)
                assert "three.iso" in result["images"]
                contents = cut.look()
                assert contents.damage == "", step
                filesystem = reader.open_data(read_at(cut.fd), planned)
                assert set(filesystem.list("/iso")) == set(result["images"]), step
                assert set(filesystem.list("/luxusb")) == helpers.beside_menu(filesystem), step
            finally:
                os.close(cut.fd)
        helpers.check_boots(path, sources.files)


async def test_a_killed_worker_leaves_no_mount_and_the_next_one_heals(disk: Disk, sources: Sources) -> None:
    one, big = sources("one.iso"), sources("big.iso", 40 * MIB)
    before = leftovers()
    async with worker() as child:
        await child.execute(disk.order(StickOperation.CREATE, add=(one,)))
    async with worker() as child:
        job = asyncio.ensure_future(child.execute(disk.order(StickOperation.ADD, add=(big,))))
        await child.until("write-image", 16 * MIB)
        child.process.kill()
        with pytest.raises(InterruptedJobError):
            await job
    assert not mounts_of(disk.node)
    assert leftovers() <= before
    assert helpers.check_boots(disk.path, sources.files)[1] == {"one.iso"}
    async with worker() as child:
        result = await child.execute(disk.order(StickOperation.ADD, add=(big,)))
        assert result["images"] == ["one.iso", "big.iso"]
    disk.fsck()


async def test_a_cancelled_job_clears_up_and_the_worker_ends_with_its_core(disk: Disk, sources: Sources) -> None:
    big = sources("big.iso", 40 * MIB)
    async with worker() as child:
        await child.execute(disk.order(StickOperation.CREATE))
        free = disk.look().free_bytes
        job = asyncio.ensure_future(child.execute(disk.order(StickOperation.ADD, add=(big,))))
        await child.until("write-image", 16 * MIB)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        # the next request waits for the clearing up of the one before
        assert (await child.execute(disk.order(StickOperation.VERIFY)))["ok"] is True
        assert disk.look().free_bytes == free
        assert reader.open_data(read_at(disk.fd), layout.plan(helpers.SIZE, StickOptions())).list("/iso") == ()
    async with worker() as child:
        job = asyncio.ensure_future(child.execute(disk.order(StickOperation.ADD, add=(big,))))
        await child.until("write-image", 16 * MIB)
        child.channel.close()
        with pytest.raises((InterruptedJobError, CancelledError)):
            await job
    assert not mounts_of(disk.node)
    disk.fsck()


async def test_a_create_that_was_cut_while_mounted_is_repaired(disk: Disk, sources: Sources, tmp_path: Path) -> None:
    """The journal alone knows of the images then; what was whole is kept, and nothing of the rest."""
    one, two = sources("one.iso"), sources("two.iso", 20 * MIB)
    snapshots = helpers.Snapshots(disk.path, tmp_path / "snapshots")
    order = disk.order(StickOperation.CREATE, add=(one, two))
    await writer.execute(order, lambda _progress: None, after_step=snapshots)
    kept: dict[str, list[str]] = {}
    for step, path in snapshots.taken:
        if step not in ("image-written one.iso", "image-written two.iso", "announced", "image-named two.iso"):
            continue
        with helpers.loop_device(path) as node:
            cut = Disk(node, path)
            try:
                assert "was not finished" in cut.look().damage, step
                result = await writer.execute(cut.order(StickOperation.REPAIR), lambda _progress: None)
                kept[step] = result["images"]
                assert {item["name"] for item in result["lost"]} | set(kept[step]) == {"one.iso", "two.iso"}
                assert cut.look().damage == ""
                again = await writer.execute(cut.order(StickOperation.REPAIR), lambda _progress: None)
                assert again["findings"] == []
                cut.fsck()
            finally:
                os.close(cut.fd)
        assert helpers.check_boots(path, sources.files)[1] == set(kept[step]), step
    assert kept["image-written one.iso"] == ["one.iso"]
    assert kept["announced"] == kept["image-named two.iso"] == ["one.iso", "two.iso"]


async def test_destroyed_directories_on_a_disk(disk: Disk, sources: Sources) -> None:
    await writer.execute(disk.order(StickOperation.CREATE, add=(sources("one.iso"),)), lambda _progress: None)
    for path in ("/iso", "/"):
        os.sync()
        said = subprocess.run(
            ["debugfs", "-R", f"blocks {path}", f"{disk.path}?offset={130 * MIB}"],
            check=True,
            capture_output=True,
            text=True,
        )
        os.pwrite(disk.fd, b"?" * 4096, 130 * MIB + int(said.stdout.split()[0]) * 4096)
        os.fsync(disk.fd)
        result = await writer.execute(disk.order(StickOperation.REPAIR), lambda _progress: None)
        assert (result["images"], result["lost"]) == (["one.iso"], []), path
        assert disk.look().damage == ""
        disk.fsck()
    assert helpers.check_boots(disk.path, sources.files)[1] == {"one.iso"}


async def test_errors_cross_the_socket_by_name(disk: Disk, sources: Sources) -> None:
    async with worker() as child:
        await child.execute(disk.order(StickOperation.CREATE))
        with pytest.raises(VerificationError, match="sha256"):
            await child.execute(disk.order(StickOperation.ADD, add=(sources("bad.iso", sha256="0" * 64),)))
        with pytest.raises(DeviceChangedError):
            await child.execute(disk.order(StickOperation.ADD, disk_seq=1 << 40, add=(sources("x.iso"),)))
    assert disk.look().manifest.images == ()


async def test_a_mounted_disk_is_refused(disk: Disk, sources: Sources, tmp_path: Path) -> None:
    await writer.execute(disk.order(StickOperation.CREATE), lambda _progress: None)
    before = os.pread(disk.fd, MIB, 0)
    where = tmp_path / "mnt"
    where.mkdir()
    node = partition.find_node(disk.fd, layout.plan(helpers.SIZE, StickOptions()), PartitionRole.DATA)
    subprocess.run(["mount", node.path, where], check=True)
    try:
        for order in (disk.order(StickOperation.CREATE), disk.order(StickOperation.ADD, add=(sources("one.iso"),))):
            with pytest.raises(DeviceMountedError):
                await writer.execute(order, lambda _progress: None)
    finally:
        subprocess.run(["umount", where], check=True)
    assert os.pread(disk.fd, MIB, 0) == before


async def test_a_partition_is_refused(disk: Disk) -> None:
    await writer.execute(disk.order(StickOperation.CREATE), lambda _progress: None)
    node = partition.find_node(disk.fd, layout.plan(helpers.SIZE, StickOptions()), PartitionRole.ESP)
    fd = os.open(node.path, os.O_RDWR)
    try:
        order = StickOrder(StickOperation.CREATE, fd, node.path, 0, 128 * MIB)
        with pytest.raises(DeviceIsPartitionError):
            await writer.execute(order, lambda _progress: None)
    finally:
        os.close(fd)


async def test_links_on_a_strange_stick_lead_nowhere(disk: Disk, sources: Sources, tmp_path: Path) -> None:
    """A filesystem from a stranger must not make root write outside of it."""
    await writer.execute(disk.order(StickOperation.CREATE), lambda _progress: None)
    outside = tmp_path / "outside"
    outside.mkdir()
    subprocess.run(
        ["debugfs", "-w", "-f", "-", f"{disk.path}?offset={130 * MIB}"],
        input=f"rmdir /iso\nsymlink /iso {outside}\n",
        text=True,
        check=True,
        capture_output=True,
    )
    fcntl.ioctl(disk.fd, BLKFLSBUF)
    with pytest.raises(Exception, match="no directory"):
        await writer.execute(disk.order(StickOperation.ADD, add=(sources("one.iso"),)), lambda _progress: None)
    assert list(outside.iterdir()) == []


async def test_a_raw_write_whose_worker_is_killed_half_way_starts_nothing(disk: Disk, sources: Sources) -> None:
    """What is unpacked stops in the middle, so that the moment is sure; the disk was a stick that started."""
    async with worker() as child:
        await child.execute(disk.order(StickOperation.CREATE))
    packed, data = sources("packed.iso"), os.urandom(MIB)
    read, write = make_pipe()
    raw = RawImage(0, packed=True, pipe=read)
    async with worker() as child:
        task = asyncio.create_task(child.execute(disk.order(StickOperation.WRITE_RAW, add=(packed,), raw=raw)))
        fan = Fan([write])
        for _ in range(9):
            await asyncio.to_thread(fan.write, data)
        await child.until("write-image", 7 * MIB)
        child.process.kill()
        with pytest.raises(InterruptedJobError):
            await task
    os.close(read)
    os.close(write)
    fcntl.ioctl(disk.fd, BLKFLSBUF)
    content = read_at(disk.fd)
    assert not any(content(0, MIB)), "neither a boot sector nor a table"
    assert not any(content(helpers.SIZE - MIB, MIB)), "nor the second table"
    assert content(MIB, 7 * MIB) == data * 7
    assert reader.read_stick(disk.fd, helpers.SIZE) is None
