"""Imports by the real daemon: clones and copies, pipes, a disk that is too small, compressed images."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from luxusb_cli.errors import DaemonError
from luxusb_cli.model import JobState

from luxusbd.transfer.packing import Packing
from tests.daemon.caller import Caller
from tests.daemon.daemon import TRANSFER, Daemon
from tests.daemon.images import MIB, Images
from tests.daemon.importing import check_refused, check_stored, imported, pipe, streamed, unknown
from tests.daemon.leftovers import check_files
from tests.daemon.test_jobs import ERROR, stored
from tests.transfer.packs import STREAMS, pack, zipped

# Files


async def test_a_file_stays_as_it_is(daemon: Daemon, caller: Caller, images: Images) -> None:
    before = images.alpha.path.stat()
    job = await imported(caller, images.alpha.path)
    await check_stored(caller, daemon, job, images.alpha, "alpha.iso")
    after = images.alpha.path.stat()
    assert (after.st_ino, after.st_nlink, after.st_mode, after.st_mtime_ns) == (
        before.st_ino,
        1,
        before.st_mode,
        before.st_mtime_ns,
    )


async def test_a_genuine_image(daemon: Daemon, caller: Caller, images: Images) -> None:
    job = await imported(caller, images.alpha.path, "mine.iso")
    assert job.result["genuine"] == "Alpha 1.0"
    assert job.result["genuine_reference"] == "distro:alpha@1.0"
    assert job.result["trust"] == "hash"
    (entry,) = await caller.client.images()
    assert (entry.genuine, entry.genuine_reference, entry.trust) == ("Alpha 1.0", "distro:alpha@1.0", "hash")


async def test_an_image_that_nobody_knows(daemon: Daemon, caller: Caller, images: Images, place: Path) -> None:
    strange = unknown(images.alpha, place)
    job = await imported(caller, strange.path)
    assert job.state is JobState.SUCCEEDED, job.error_message
    assert (job.result["genuine"], job.result["genuine_reference"], job.result["trust"]) == ("", "", "none")
    assert (job.result["matched"], job.result["signed_by"], job.result["unpacked_from"]) == ("", "", "")


async def test_a_file_that_is_no_image(daemon: Daemon, caller: Caller, place: Path) -> None:
    path = place / "text.iso"
    path.write_bytes(b"this is a text\n" * 10_000)
    await check_refused(caller, daemon, await imported(caller, path), "MalformedImage", "")
    with pytest.raises(DaemonError) as refused:
        await imported(caller, Path("/dev/null"))
    assert refused.value.name == ERROR + "InvalidArgument"
    with pytest.raises(DaemonError) as refused:
        await imported(caller, path, size=7)
    assert "150000 bytes, not the 7" in refused.value.why


# Pipes


@pytest.mark.parametrize("sized", [False, True])
async def test_a_pipe(daemon: Daemon, caller: Caller, images: Images, sized: bool) -> None:
    data = images.alpha.path.read_bytes()
    job = await streamed(caller, data, size=len(data) if sized else 0)
    await check_stored(caller, daemon, job, images.alpha, "x.iso")
    assert job.bytes_done == len(data)
    assert job.bytes_total == len(data)


async def test_a_pipe_of_another_size(daemon: Daemon, caller: Caller, images: Images) -> None:
    data = images.alpha.path.read_bytes()
    short = await streamed(caller, data[:-1], size=len(data))
    await check_refused(caller, daemon, short, "MalformedImage", f"{len(data) - 1} of {len(data)} bytes")
    long = await streamed(caller, data + b"x", size=len(data))
    await check_refused(caller, daemon, long, "VerificationFailed", "more than the")
    nothing = await streamed(caller, b"")
    await check_refused(caller, daemon, nothing, "MalformedImage", "nothing came")


async def test_a_silent_pipe_is_cancelled_and_not_paused(daemon: Daemon, caller: Caller, images: Images) -> None:
    with pipe(images.alpha.path.read_bytes()[:100_000], end=False) as (read, _write):
        path = await caller.client.import_image(read, "x.iso")
        await caller.progress(path, 100_000)
        job = await caller.client.job(path)
        assert (job.progress, job.bytes_total) == (-1.0, 0)
        with pytest.raises(DaemonError) as refused:
            await caller.client.pause(path)
        assert refused.value.name == ERROR + "WrongJobState"
        await caller.client.cancel(path)
        assert (await caller.finished(path)).state is JobState.CANCELLED
    assert await caller.client.images() == ()
    check_files(daemon)


async def test_silent_pipes_do_not_hold_up_files(daemon: Daemon, caller: Caller, images: Images) -> None:
    with contextlib.ExitStack() as stack:
        paths = []
        for _ in range(5):
            read, _write = stack.enter_context(pipe(b"CD001", end=False))
            paths.append(await caller.client.import_image(read, "x.iso"))
        assert (await imported(caller, images.alpha.path)).state is JobState.SUCCEEDED
        assert (await caller.client.job(paths[-1])).state is JobState.QUEUED
        for path in paths:
            await caller.client.cancel(path)
        for path in paths:
            assert (await caller.finished(path)).state is JobState.CANCELLED
    check_files(daemon)


async def test_a_transfer_process_that_dies_over_a_pipe(daemon: Daemon, caller: Caller, images: Images) -> None:
    with pipe(images.alpha.path.read_bytes()[:100_000], end=False) as (read, _write):
        path = await caller.client.import_image(read, "x.iso")
        await caller.progress(path, 100_000)
        (transfer,) = daemon.pids(TRANSFER)
        os.kill(transfer, signal.SIGKILL)
        job = await caller.finished(path)
    await check_refused(caller, daemon, job, "Interrupted", "send it again")


async def test_a_core_that_dies_over_a_pipe(daemon: Daemon, images: Images) -> None:
    with pipe(images.alpha.path.read_bytes()[:100_000], end=False) as (read, _write):
        async with Caller.connect(daemon.address) as caller:
            path = await caller.client.import_image(read, "x.iso")
            await caller.progress(path, 100_000)
            await daemon.kill()
        await daemon.start()
        async with Caller.connect(daemon.address) as caller:
            job = await caller.client.job(path)
            await check_refused(caller, daemon, job, "Interrupted", "import it again")


# A small disk


@pytest.fixture
def small(place: Path, catalogue: Path) -> Iterator[Path]:
    """A filesystem that can clone, with room for a few hundred MiB, for a daemon's state and a user's files."""
    mounted = place / "disk"
    mounted.mkdir()
    with (place / "disk.img").open("wb") as file:
        file.truncate(700 * MIB)
    for command in (
        ["mkfs.xfs", "-q", str(place / "disk.img")],
        ["mount", "-o", "loop", str(place / "disk.img"), str(mounted)],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    try:
        yield mounted
    finally:
        subprocess.run(["umount", str(mounted)], check=True, timeout=60)


@pytest.mark.root
async def test_an_endless_pipe_ends_where_the_disk_does(small: Path, images: Images) -> None:
    async with Daemon(small) as daemon, Caller.connect(daemon.address) as caller:
        with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as endless:
            assert endless.stdout is not None
            path = await caller.client.import_image(endless.stdout.fileno(), "x.iso")
            endless.stdout.close()
            job = await caller.finished(path)
        # nobody reads any more, so that it could not go on
        assert endless.returncode == -signal.SIGPIPE
        await check_refused(caller, daemon, job, "NotEnoughSpace", "256.0 MiB are kept free")
        assert job.bytes_done > 50 * MIB
        assert (await imported(caller, images.alpha.path)).state is JobState.SUCCEEDED


@pytest.mark.root
async def test_a_file_of_the_same_disk_is_cloned(small: Path, images: Images) -> None:
    mine = small / "mine.iso"
    mine.write_bytes(images.large.path.read_bytes())
    os.sync()
    async with Daemon(small) as daemon, Caller.connect(daemon.address) as caller:
        free = os.statvfs(small)
        job = await imported(caller, mine)
        await check_stored(caller, daemon, job, images.large, "mine.iso")
        assert job.result["cloned"] is True
        assert (free.f_bavail - os.statvfs(small).f_bavail) * free.f_frsize < images.large.size // 2
        assert mine.stat().st_nlink == 1
        with mine.open("r+b") as file:
            file.write(b"changed")
        assert stored(daemon, images.large.sha256) == images.large.sha256
        assert (await imported(caller, images.alpha.path)).result["cloned"] is False


# Compressed


@pytest.mark.parametrize("packing", [*STREAMS, Packing.ZIP])
async def test_a_compressed_image(
    daemon: Daemon, caller: Caller, images: Images, place: Path, packing: Packing
) -> None:
    suffix = {Packing.GZIP: "gz", Packing.BZIP2: "bz2", Packing.ZSTD: "zst"}.get(packing, packing.value)
    path = place / f"alpha.iso.{suffix}"
    packed = pack(packing, images.alpha.path.read_bytes(), "alpha.iso")
    path.write_bytes(packed)
    job = await imported(caller, path, sha256=hashlib.sha256(packed).hexdigest())
    await check_stored(caller, daemon, job, images.alpha, "alpha.iso")
    assert (job.result["unpacked_from"], job.result["matched"]) == (packing.value, "packed")
    assert job.result["genuine"] == "Alpha 1.0"
    assert job.bytes_done == len(packed)
    assert path.read_bytes() == packed
    again = await imported(caller, path, sha256=images.alpha.sha256)
    assert again.result["matched"] == "image"


async def test_a_compressed_pipe(daemon: Daemon, caller: Caller, images: Images) -> None:
    packed = pack(Packing.XZ, images.alpha.path.read_bytes())
    job = await streamed(caller, packed, "alpha.iso.xz", size=len(packed))
    await check_stored(caller, daemon, job, images.alpha, "alpha.iso")


async def test_compressed_images_that_are_damaged(daemon: Daemon, caller: Caller, images: Images, place: Path) -> None:
    path = place / "x.iso.xz"
    packed = pack(Packing.XZ, images.alpha.path.read_bytes())
    for data, said in (
        (packed[:-100], "ends too early"),
        (packed + b"garbage", "follows the end"),
        (packed[:5000] + b"x" * 100 + packed[5100:], "is damaged"),
        (zipped({"a.iso": b"1", "b.iso": b"2"}), "a.iso, b.iso"),
    ):
        path.write_bytes(data)
        await check_refused(caller, daemon, await imported(caller, path), "MalformedImage", said)
    path.write_bytes(packed)
    wrong = await imported(caller, path, sha256="0" * 64)
    await check_refused(caller, daemon, wrong, "VerificationFailed", "of the compressed file is")


@pytest.mark.parametrize("settings", ["[images]\nmax_unpacked = 1\n"])
async def test_a_bomb(daemon: Daemon, caller: Caller, place: Path) -> None:
    path = place / "bomb.iso.zst"
    command = f"truncate -s 1100M {place}/zeros && zstd -q -1 {place}/zeros -o {path} && rm {place}/zeros"
    subprocess.run(command, shell=True, check=True, timeout=60)
    assert path.stat().st_size < MIB
    await check_refused(caller, daemon, await imported(caller, path), "LimitExceeded", "more than 1.0 GiB")


async def test_a_compressed_import_is_paused_and_cancelled(
    daemon: Daemon, caller: Caller, images: Images, place: Path
) -> None:
    path = place / "huge.iso.bz2"
    path.write_bytes(pack(Packing.BZIP2, images.large.path.read_bytes()))
    with path.open("rb") as file:
        job = await caller.client.import_image(file.fileno(), path.name)
    await caller.stage(job, "copy")
    await caller.client.pause(job)
    await caller.property(job, "State", "paused")
    check_files(daemon)
    await caller.client.resume(job)
    done = await caller.succeeded(job)
    await check_stored(caller, daemon, done, images.large, "huge.iso")
    await caller.client.delete_image(images.large.reference)
    with path.open("rb") as file:
        job = await caller.client.import_image(file.fileno(), path.name)
    await caller.stage(job, "copy")
    await caller.client.cancel(job)
    assert (await caller.finished(job)).state is JobState.CANCELLED
    assert await caller.client.images() == ()
    check_files(daemon)
