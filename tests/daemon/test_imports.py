"""Imports by the real daemon: clones and copies, pipes, compressed images, lists of hashes and signatures."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from luxusb_cli.beside import Beside
from luxusb_cli.errors import DaemonError
from luxusb_cli.model import JobInfo, JobState

from luxusbd.transfer.packing import Packing
from tests.cli import schemas
from tests.daemon.caller import Caller
from tests.daemon.daemon import TRANSFER, Daemon
from tests.daemon.images import MIB, Images, TestImage
from tests.daemon.leftovers import check_files
from tests.daemon.test_jobs import ERROR, stored
from tests.harness.service import environment
from tests.transfer.keys import Keys
from tests.transfer.packs import STREAMS, pack, zipped


@contextlib.contextmanager
def pipe(data: bytes = b"", *, end: bool = True) -> Iterator[tuple[int, int]]:
    """A pipe with a thread that writes `data`; without `end` the writer then falls silent."""
    read, write = os.pipe()
    writer = os.dup(write)

    def run() -> None:
        rest = memoryview(data)
        with contextlib.suppress(BrokenPipeError):
            while rest:
                rest = rest[os.write(writer, rest) :]
        os.close(writer)

    thread = threading.Thread(target=run)
    thread.start()
    if end:
        os.close(write)
    try:
        yield read, write
    finally:
        os.close(read)
        if not end:
            os.close(write)
        thread.join()


async def streamed(caller: Caller, data: bytes, name: str = "x.iso", size: int = 0) -> JobInfo:
    """Import through a pipe; the end of the job, however it is."""
    with pipe(data) as (read, _write):
        path = await caller.client.import_image(read, name, size=size)
        return await caller.finished(path)


async def imported(caller: Caller, path: Path, name: str = "", **options: Any) -> JobInfo:
    """Import a file; the end of the job, however it is."""
    with path.open("rb") as file:
        return await caller.finished(await caller.client.import_image(file.fileno(), name or path.name, **options))


async def check_refused(caller: Caller, daemon: Daemon, job: JobInfo, error: str, said: str) -> None:
    """The job failed for this reason and nothing of it is left."""
    assert (job.state, job.error_name) == (JobState.FAILED, ERROR + error), job.error_message
    assert said in job.error_message
    assert await caller.client.images() == ()
    check_files(daemon)


async def check_stored(caller: Caller, daemon: Daemon, job: JobInfo, image: TestImage, name: str) -> None:
    """The job brought this image in, under this name."""
    assert job.state is JobState.SUCCEEDED, job.error_message
    assert (job.result["image"], job.result["name"], job.result["size"]) == (image.reference, name, image.size)
    (entry,) = await caller.client.images()
    assert (entry.reference, entry.name) == (image.reference, name)
    assert stored(daemon, image.sha256) == image.sha256
    check_files(daemon)


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


def unknown(image: TestImage, place: Path) -> TestImage:
    """The same system with a byte behind its end, which no catalogue has."""
    path = place / "unknown.iso"
    path.write_bytes(image.path.read_bytes() + bytes(2048))
    return TestImage("unknown", path, image.firmware)


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


# Lists of hashes


@pytest.fixture(scope="module")
def maker(keys: Keys) -> str:
    return keys.make("maker")


@contextlib.asynccontextmanager
async def opened(place: Path, name: str = "", **files: bytes) -> AsyncIterator[Beside]:
    fds = {}
    try:
        for kind, data in files.items():
            (place / kind).write_bytes(data)
            fds[kind] = os.open(place / kind, os.O_RDONLY)
        yield Beside(fds.get("sums"), place / "sums", name, fds.get("signature"), fds.get("key"))
    finally:
        for fd in fds.values():
            os.close(fd)


def sums_of(*images: TestImage) -> bytes:
    return b"".join(f"{image.sha256} *{image.path.name}\n".encode() for image in images)


async def test_an_unsigned_list(daemon: Daemon, caller: Caller, images: Images, place: Path) -> None:
    strange = unknown(images.alpha, place)
    async with opened(place, sums=sums_of(images.beta, strange)) as beside:
        job = await imported(caller, strange.path, beside=beside)
    await check_stored(caller, daemon, job, strange, "unknown.iso")
    assert (job.result["trust"], job.result["matched"], job.result["signed_by"]) == ("hash", "image", "")


@pytest.mark.parametrize("dialect", ["sectioned", "commented", "tagged", "by-the-name-of-the-list", "bare"])
async def test_lists_of_all_dialects(daemon: Daemon, caller: Caller, images: Images, place: Path, dialect: str) -> None:
    """What is as long as SHA-256 or SHA-512 and is none of them would be a wrong hash."""
    strange = unknown(images.alpha, place)
    blake2b = hashlib.blake2b(strange.path.read_bytes()).hexdigest()
    other = f"{'0' * 64}  unknown.iso\n"
    sums, name = {
        "sectioned": (f"### BLAKE3SUMS:\n{other}\n### SHA256SUMS:\n{strange.sha256}  unknown.iso\n", "CHECKSUMS.TXT"),
        "commented": (f"# BLAKE2B HASH\n{blake2b}  unknown.iso\n", "unknown.iso.DIGESTS"),
        "tagged": (f"SHA3-256 (unknown.iso) = {'0' * 64}\nBLAKE2b (unknown.iso) = {blake2b}\n", "CHECKSUM"),
        "by-the-name-of-the-list": (f"{blake2b}  unknown.iso\n", "b2sums.txt"),
        "bare": (strange.sha256, "unknown.iso.sha256"),
    }[dialect]
    path = place / name
    path.write_text(sums)
    with path.open("rb") as file:
        job = await imported(caller, strange.path, beside=Beside(file.fileno(), path, "", None, None))
    await check_stored(caller, daemon, job, strange, "unknown.iso")
    assert (job.result["trust"], job.result["matched"]) == ("hash", "image")


async def test_a_signed_list(
    daemon: Daemon, caller: Caller, images: Images, place: Path, keys: Keys, maker: str
) -> None:
    strange = unknown(images.alpha, place)
    sums = f"{hashlib.sha512(strange.path.read_bytes()).hexdigest()}  published.iso\n".encode() * 2
    signature, key = keys.sign(sums, maker), keys.export(maker, armor=True)
    async with opened(place, "published.iso", sums=sums, signature=signature, key=key) as beside:
        job = await imported(caller, strange.path, "Mine", beside=beside)
    await check_stored(caller, daemon, job, strange, "Mine")
    assert (job.result["trust"], job.result["signed_by"]) == ("signed", maker)
    assert any(f"signed by the key you gave, {maker}" in line for line in job.details.log)
    (entry,) = await caller.client.images()
    assert entry.trust == "signed"


async def test_a_list_with_its_signature_inside_for_a_compressed_pipe(
    daemon: Daemon, caller: Caller, images: Images, place: Path, keys: Keys, maker: str
) -> None:
    packed = pack(Packing.GZIP, images.alpha.path.read_bytes())
    sums = f"# Fedora\nSHA256 (alpha.iso.gz) = {hashlib.sha256(packed).hexdigest()}\nSHA256 (z) = {'0' * 64}\n"
    async with opened(place, sums=keys.clearsign(sums.encode(), maker), key=keys.export(maker)) as beside:
        with pipe(packed) as (read, _write):
            job = await caller.finished(await caller.client.import_image(read, "alpha.iso.gz", beside=beside))
    await check_stored(caller, daemon, job, images.alpha, "alpha.iso")
    assert (job.result["trust"], job.result["signed_by"], job.result["matched"]) == ("signed", maker, "packed")


async def test_lists_that_do_not_vouch(
    daemon: Daemon, caller: Caller, images: Images, place: Path, keys: Keys, maker: str
) -> None:
    alpha, sums = images.alpha, sums_of(images.alpha, images.beta)
    signature, key = keys.sign(sums, maker), keys.export(maker)
    other = keys.make("other")
    wrong = sums.replace(alpha.sha256.encode(), b"0" * 64)
    for files, error, said in (
        ({"sums": wrong}, "VerificationFailed", f"not {'0' * 64}, the one in the list of hashes"),
        ({"sums": sums_of(images.beta, images.large)}, "VerificationFailed", "does not name alpha.iso"),
        ({"sums": b"<html>"}, "MalformedImage", "holds no hash"),
        ({"sums": bytes(5 * MIB)}, "InvalidArgument", "more than 4.0 MiB"),
        ({"sums": wrong, "signature": signature, "key": key}, "VerificationFailed", "does not fit the list"),
        ({"sums": sums, "key": key}, "VerificationFailed", "is not signed"),
        ({"sums": sums, "signature": keys.sign(sums, other), "key": key}, "VerificationFailed", f"the key {other}"),
        ({"sums": sums, "signature": signature, "key": b"no key"}, "MalformedImage", "no OpenPGP public key"),
    ):
        async with opened(place, **files) as beside:  # type: ignore[arg-type]
            await check_refused(caller, daemon, await imported(caller, alpha.path, beside=beside), error, said)
    async with opened(place, sums=sums, signature=signature) as beside:
        with pytest.raises(DaemonError) as refused:
            await imported(caller, alpha.path, beside=beside)
    assert refused.value.name == ERROR + "InvalidArgument"
    with pipe() as (read, _write):
        job = await imported(caller, alpha.path, beside=Beside(read, place, ""))
        await check_refused(caller, daemon, job, "InvalidArgument", "no regular file")


async def test_an_image_that_is_signed_itself(
    daemon: Daemon, caller: Caller, images: Images, place: Path, keys: Keys, maker: str
) -> None:
    data, other = images.alpha.path.read_bytes(), keys.make("another")
    key = keys.export(maker)
    for signature, error, said in (
        (keys.sign(data + b"!", maker), "VerificationFailed", "does not fit the image"),
        (keys.sign(data, other), "VerificationFailed", f"the key {other}"),
        (b"no signature", "VerificationFailed", "no signature"),
    ):
        async with opened(place, signature=signature, key=key) as beside:
            await check_refused(caller, daemon, await imported(caller, images.alpha.path, beside=beside), error, said)
    packed = pack(Packing.GZIP, data)
    async with opened(place, signature=keys.sign(data, maker, armor=True), key=key) as beside:
        with pipe(packed) as (read, _write):
            job = await caller.finished(await caller.client.import_image(read, "alpha.iso.gz", beside=beside))
    await check_stored(caller, daemon, job, images.alpha, "alpha.iso")
    assert (job.result["trust"], job.result["signed_by"], job.result["matched"]) == ("signed", maker, "")


# The command


def luxusb(daemon: Daemon, *arguments: str | Path, stdin: bytes | None = None, code: int = 0) -> str:
    """Standard output of the command."""
    words = [str(argument) for argument in arguments]
    done = subprocess.run(
        [sys.executable, "-m", "luxusb_cli", *words],
        env=environment() | {"DBUS_SYSTEM_BUS_ADDRESS": daemon.address, "LC_ALL": "C.UTF-8"},
        input=stdin if stdin is not None else b"",
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, f"{words}: {done.stdout.decode()}{done.stderr.decode()}"
    schemas.check_output(words, done.stdout.decode())
    return (done.stdout if code == 0 else done.stdout + done.stderr).decode()


async def test_the_command(daemon: Daemon, images: Images, place: Path, keys: Keys, maker: str) -> None:
    strange = unknown(images.alpha, place)
    (place / "SHA256SUMS").write_bytes(sums_of(strange))
    (place / "SHA256SUMS.gpg").write_bytes(keys.sign(sums_of(strange), maker))
    (place / "key.asc").write_bytes(keys.export(maker, armor=True))
    packed = pack(Packing.ZSTD, images.beta.path.read_bytes())

    def use() -> None:
        genuine = luxusb(daemon, "import", images.alpha.path).splitlines()
        assert genuine[-1] == "This is Alpha 1.0, genuine (sha256 matches the catalogue)."
        nobody = luxusb(daemon, "import", strange.path).splitlines()
        assert nobody[-1] == "Not in the catalogue: nobody vouches for it."
        signed = luxusb(daemon, "import", strange.path, "--sums", "auto", "--key", place / "key.asc")
        assert f"SHA256SUMS is signed by the key you gave: {maker}\n" in signed
        piped = luxusb(daemon, "import", "-", "--name", "b.iso.zst", "--size", str(len(packed)), stdin=packed)
        assert "Stored b.iso (" in piped
        assert "Unpacked from zstd.\n" in piped
        luxusb(daemon, "import", "-", "--name", "b.iso", "--json", stdin=images.beta.path.read_bytes())
        luxusb(daemon, "images", "--json")
        short = luxusb(daemon, "import", "-", "--size", str(len(packed) + 1), stdin=packed, code=1)
        assert "its writer stopped too early" in short
        wrong = luxusb(daemon, "import", images.beta.path, "--sums", place / "SHA256SUMS", "--json", code=1)
        assert "VerificationFailed" in wrong

    await asyncio.to_thread(use)
    check_files(daemon)
