"""Who vouches for imports by the real daemon: lists of hashes and signatures that are given with an image."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from luxusb_cli.beside import Beside
from luxusb_cli.errors import DaemonError

from luxusbd.transfer.packing import Packing
from tests.cli import schemas
from tests.daemon.caller import Caller
from tests.daemon.daemon import Daemon
from tests.daemon.images import MIB, Images, TestImage
from tests.daemon.importing import check_refused, check_stored, imported, pipe, unknown
from tests.daemon.leftovers import check_files
from tests.daemon.test_jobs import ERROR
from tests.harness.service import environment
from tests.transfer.keys import Keys
from tests.transfer.packs import pack


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
