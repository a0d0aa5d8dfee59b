"""Who vouches for downloads by the real daemon: signed lists, signed images, metalinks, and what an admin demands."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from luxusb_cli.connection import Typed
from luxusb_cli.errors import DaemonError
from luxusb_cli.model import JobInfo, JobState

from tests.daemon.caller import Caller
from tests.daemon.daemon import TRANSFER, Daemon
from tests.daemon.images import Images, TestImage
from tests.daemon.leftovers import check_files
from tests.daemon.test_jobs import ERROR
from tests.harness.maker import Maker
from tests.harness.mirrors import Faults, Mirror, catalogue
from tests.harness.tls import Authority
from tests.transfer.keys import Keys

DEMANDS = '\n[verification]\nminimum_trust = "{}"\n'
OTHER = "0b" * 32


@pytest.fixture(scope="module")
def pinned(keys: Keys) -> str:
    return keys.make("maker")


@pytest.fixture
async def maker(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Maker]:
    # what OpenSSL reads instead of the system's authorities; the daemon hands it on
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with Maker(authority.good) as running:
        yield running


@pytest.fixture
def release() -> dict[str, str]:
    """Further fields of the release of alpha; tests replace it by parametrize. `@/` is the maker's server, `=` the
    SHA-512 of the image."""
    return {"sums_url": "@/SHA256SUMS", "signature_url": "@/SHA256SUMS.gpg"}


@pytest.fixture
def signable(images: Images, mirror: Mirror, maker: Maker, place: Path, pinned: str, release: dict[str, str]) -> Path:
    """A catalogue with those fields."""
    document = catalogue([image.for_catalogue() for image in images.all], [mirror])
    entry = next(entry for entry in document["distributions"] if entry["id"] == "alpha")
    sha512 = hashlib.sha512(images.alpha.path.read_bytes()).hexdigest()
    fields = {key: value.replace("@/", f"{maker.url}/").replace("=", sha512) for key, value in release.items()}
    entry["releases"][0] |= {"key_fingerprint": pinned, **fields}
    path = place / "catalogue.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
async def daemon(place: Path, signable: Path, settings: str, keys: Keys, pinned: str) -> AsyncIterator[Daemon]:
    (place / "s" / "keys.d").mkdir(parents=True)
    (place / "s" / "keys.d" / f"{pinned}.asc").write_bytes(keys.export(pinned, armor=True))
    async with Daemon(place, catalogues=[signable], config=settings) as running:
        yield running


def sums_of(*images: TestImage, algorithm: str = "sha256") -> bytes:
    return "".join(
        f"{hashlib.new(algorithm, image.path.read_bytes()).hexdigest()} *{image.path.name}\n" for image in images
    ).encode()


def publish(maker: Maker, keys: Keys, key: str, sums: bytes, name: str = "SHA256SUMS") -> None:
    maker.put(name, sums)
    maker.put(f"{name}.gpg", keys.sign(sums, key))


async def downloaded(caller: Caller, name: str = "alpha") -> JobInfo:
    return await caller.finished(await caller.client.download(f"distro:{name}"))


async def check_trust(caller: Caller, job: JobInfo, trust: str, *, by: str = "", reason: str = "") -> None:
    """The job and the list of images say the same."""
    assert job.state is JobState.SUCCEEDED, job.error_message
    assert (job.result["trust"], job.result["signed_by"]) == (trust, by)
    said = str(job.result["unsigned_reason"])
    assert reason in said
    assert bool(said) is (trust != "signed")
    (entry,) = [image for image in await caller.client.images() if image.reference == job.result["image"]]
    assert entry.trust == trust


async def check_refused(caller: Caller, daemon: Daemon, job: JobInfo, error: str, *said: str) -> None:
    assert (job.state, job.error_name) == (JobState.FAILED, ERROR + error), job.error_message
    for word in said:
        assert word in job.error_message
    assert await caller.client.images() == ()


def served(mirror: Mirror, image: TestImage) -> int:
    return sum(one.sent for one in mirror.served if one.name == image.path.name)


# Lists of hashes


ALONE = {"sha256": "", "sha512": "=", "sums_url": "@/SHA512SUMS", "signature_url": "@/SHA512SUMS.gpg"}


@pytest.mark.parametrize("release", [ALONE])
async def test_a_signed_list_of_sha512_alone(
    daemon: Daemon, caller: Caller, mirror: Mirror, maker: Maker, images: Images, keys: Keys, pinned: str
) -> None:
    # what is there already is asked for again until it is signed, and is not fetched for that
    await check_trust(caller, await downloaded(caller), "hash", reason="404")
    publish(maker, keys, pinned, sums_of(images.alpha, algorithm="sha512"), "SHA512SUMS")
    sent = served(mirror, images.alpha)
    await check_trust(caller, await downloaded(caller), "signed", by=pinned)
    assert served(mirror, images.alpha) == sent
    check_files(daemon)


@pytest.mark.parametrize("release", [ALONE])
async def test_a_signed_list_with_another_sha512(
    daemon: Daemon, caller: Caller, maker: Maker, keys: Keys, pinned: str
) -> None:
    publish(maker, keys, pinned, f"{'0b' * 64} *alpha.iso\n".encode(), "SHA512SUMS")
    await check_refused(caller, daemon, await downloaded(caller), "VerificationFailed", "sha512", "0b" * 64)


async def test_signed(
    daemon: Daemon, caller: Caller, maker: Maker, images: Images, keys: Keys, pinned: str, stick: Path
) -> None:
    publish(maker, keys, pinned, sums_of(images.beta, images.alpha))
    (found,) = [entry for entry in await caller.client.distributions() if entry.id == "alpha"]
    assert [release.trust for release in found.releases] == ["signed"]
    planned = await caller.plan([await caller.target(stick, 1 << 30)], ["distro:alpha", "distro:beta"])
    assert [(image.trust, image.download) for image in planned.images] == [("signed", True), ("hash", True)]
    job = await downloaded(caller)
    await check_trust(caller, job, "signed", by=pinned)
    planned = await caller.plan([await caller.target(stick)], [images.alpha.reference])
    assert [image.trust for image in planned.images] == ["signed"]
    check_files(daemon)
    # what is not signed by anybody says so
    await check_trust(caller, await downloaded(caller, "beta"), "hash", reason="the catalogue knows no signature")
    # and a restart forgets nothing
    await daemon.stop()
    await daemon.start()
    async with Caller.connect(daemon.address) as again:
        assert {image.trust for image in await again.client.images()} == {"signed", "hash"}


@pytest.mark.parametrize("release", [{"sums_url": "@/alpha-CHECKSUM"}])
async def test_signed_in_the_list_itself(
    daemon: Daemon, caller: Caller, maker: Maker, images: Images, keys: Keys, pinned: str
) -> None:
    digest = images.alpha.sha256
    body = f"# alpha.iso: 5 bytes\nSHA256 (beta.iso) = {OTHER}\nSHA256 (alpha.iso) = {digest}\n"
    maker.put("alpha-CHECKSUM", keys.clearsign(body.encode(), pinned))
    await check_trust(caller, await downloaded(caller), "signed", by=pinned)


async def test_signed_by_a_subkey(
    daemon: Daemon, caller: Caller, maker: Maker, images: Images, keys: Keys, pinned: str
) -> None:
    subkey = keys.add_subkey(pinned)
    (daemon.state / "keys.d" / f"{pinned}.asc").write_bytes(keys.export(pinned, armor=True))
    publish(maker, keys, subkey, sums_of(images.alpha))
    job = await downloaded(caller)
    await check_trust(caller, job, "signed", by=pinned)
    assert f"(with its subkey {subkey})" in " ".join(job.details.log)


@pytest.mark.parametrize("release", [{"sums_url": "@/SHA512SUMS", "signature_url": "@/SHA512SUMS.gpg"}])
async def test_a_list_of_another_algorithm_than_the_catalogue_s(
    daemon: Daemon, caller: Caller, maker: Maker, images: Images, keys: Keys, pinned: str
) -> None:
    publish(maker, keys, pinned, sums_of(images.alpha, algorithm="sha512"), "SHA512SUMS")
    await check_trust(caller, await downloaded(caller), "signed", by=pinned)
    await caller.client.delete_image(images.alpha.reference)
    publish(maker, keys, pinned, f"{OTHER}{OTHER} *alpha.iso\n".encode(), "SHA512SUMS")
    job = await downloaded(caller)
    await check_refused(caller, daemon, job, "VerificationFailed", "its sha512 is", f"its maker signed {OTHER}{OTHER}")
    check_files(daemon)


@pytest.mark.parametrize(
    "release", [{"sums_url": "@/SHA512SUMS", "signature_url": "@/SHA512SUMS.gpg", "sha512": OTHER * 2}]
)
async def test_stored_bytes_are_compared_and_not_what_the_catalogue_says_of_them(
    daemon: Daemon, caller: Caller, maker: Maker, images: Images, keys: Keys, pinned: str
) -> None:
    """A catalogue whose sha512 is the signed one, and whose sha256 is that of other bytes, which are there already."""
    await caller.imported(images.alpha.path)
    publish(maker, keys, pinned, f"{OTHER}{OTHER} *alpha.iso\n".encode(), "SHA512SUMS")
    job = await downloaded(caller)
    assert (job.state, job.error_name) == (JobState.FAILED, ERROR + "VerificationFailed"), job.error_message
    assert f"its maker signed {OTHER}{OTHER}" in job.error_message
    (entry,) = await caller.client.images()
    assert entry.trust == "hash"


async def test_the_signature_is_missing(
    daemon: Daemon, caller: Caller, maker: Maker, images: Images, keys: Keys, pinned: str
) -> None:
    maker.put("SHA256SUMS", sums_of(images.alpha))
    await check_trust(
        caller, await downloaded(caller), "hash", reason="SHA256SUMS.gpg cannot be had: the server answered 404"
    )
    # the image is asked about again, without being fetched again
    publish(maker, keys, pinned, sums_of(images.alpha))
    await check_trust(caller, await downloaded(caller), "signed", by=pinned)


async def test_forged_sums(
    daemon: Daemon, caller: Caller, maker: Maker, images: Images, keys: Keys, pinned: str
) -> None:
    publish(maker, keys, pinned, sums_of(images.alpha))
    maker.put("SHA256SUMS", f"{OTHER} *alpha.iso\n".encode())
    await check_trust(caller, await downloaded(caller), "hash", reason="the signature does not fit the list of hashes")


async def test_another_key(daemon: Daemon, caller: Caller, maker: Maker, images: Images, keys: Keys) -> None:
    stranger = keys.make("stranger")
    publish(maker, keys, stranger, sums_of(images.alpha))
    await check_trust(
        caller, await downloaded(caller), "hash", reason=f"made by the key {stranger}, which is not among"
    )


async def test_the_maker_signed_another_hash(
    daemon: Daemon, caller: Caller, maker: Maker, mirror: Mirror, images: Images, keys: Keys, pinned: str
) -> None:
    """It is told at once, and not after gigabytes."""
    mirror.faults = Faults(stall_at=1000)
    publish(maker, keys, pinned, f"{OTHER} *alpha.iso\n".encode())
    job = await downloaded(caller)
    await check_refused(
        caller, daemon, job, "VerificationFailed", OTHER, images.alpha.sha256, "out of date, or was forged"
    )
    assert served(mirror, images.alpha) < images.alpha.size
    check_files(daemon)


async def test_the_network_comes_back_later(
    daemon: Daemon, caller: Caller, maker: Maker, mirror: Mirror, images: Images, keys: Keys, pinned: str
) -> None:
    """What could not be asked at the start is asked when the bytes are there."""
    mirror.rate = 400_000
    path = await caller.client.download("distro:alpha")
    await asked_for(maker, "SHA256SUMS.gpg")
    publish(maker, keys, pinned, sums_of(images.alpha))
    mirror.rate = 0
    await check_trust(caller, await caller.finished(path), "signed", by=pinned)


async def asked_for(maker: Maker, name: str) -> None:
    """Wait until somebody has asked the maker for a file."""
    async with asyncio.timeout(30):
        while name not in maker.paths():
            await asyncio.sleep(0.02)


# Signatures of images, and keys


@pytest.mark.parametrize("release", [{"signature_url": "@/alpha.iso.sig"}])
async def test_the_image_itself_is_signed(
    daemon: Daemon, caller: Caller, maker: Maker, images: Images, keys: Keys, pinned: str
) -> None:
    maker.put("alpha.iso.sig", keys.sign(b"another image", pinned))
    await check_trust(caller, await downloaded(caller), "hash", reason="the signature does not fit the file")
    maker.put("alpha.iso.sig", keys.sign(images.alpha.path.read_bytes(), pinned))
    await check_trust(caller, await downloaded(caller), "signed", by=pinned)


@pytest.mark.parametrize(
    "release", [{"sums_url": "@/SHA256SUMS", "signature_url": "@/SHA256SUMS.gpg", "key_url": "@/maker.asc"}]
)
async def test_a_fetched_key_is_kept(
    daemon: Daemon, caller: Caller, maker: Maker, images: Images, keys: Keys, pinned: str
) -> None:
    (daemon.state / "keys.d" / f"{pinned}.asc").unlink()
    publish(maker, keys, pinned, sums_of(images.alpha))
    maker.put("maker.asc", keys.export(keys.make("nobody"), armor=True))
    await check_trust(caller, await downloaded(caller), "hash", reason=f"is not the key {pinned}")
    maker.put("maker.asc", keys.export(pinned, armor=True))
    await check_trust(caller, await downloaded(caller), "signed", by=pinned)
    kept = daemon.state / "cache" / "keys" / f"{pinned}.gpg"
    assert kept.read_bytes() == keys.export(pinned)
    del maker.files["maker.asc"]
    await caller.client.delete_image(images.alpha.reference)
    await check_trust(caller, await downloaded(caller), "signed", by=pinned)


async def test_without_a_copy_of_the_key(
    daemon: Daemon, caller: Caller, maker: Maker, images: Images, keys: Keys, pinned: str
) -> None:
    (daemon.state / "keys.d" / f"{pinned}.asc").unlink()
    publish(maker, keys, pinned, sums_of(images.alpha))
    (found,) = [entry for entry in await caller.client.distributions() if entry.id == "alpha"]
    assert [release.trust for release in found.releases] == ["hash"]
    await check_trust(caller, await downloaded(caller), "hash", reason=f"no copy of the key is here: {pinned}")


# What the catalogue says


@pytest.mark.parametrize("release", [{"sha512": OTHER * 2}])
async def test_a_catalogue_that_contradicts_itself(daemon: Daemon, caller: Caller, images: Images) -> None:
    job = await downloaded(caller)
    right = hashlib.sha512(images.alpha.path.read_bytes()).hexdigest()
    await check_refused(
        caller, daemon, job, "VerificationFailed", f"its sha512 is {right}, expected {OTHER * 2}", "although its sha256"
    )
    check_files(daemon)


# Metalinks


def metalink(image: TestImage, *urls: str, sha256: str = "") -> bytes:
    listed = "".join(f'<url priority="{n}" location="de">{url}</url>' for n, url in enumerate(urls, 1))
    return (
        f'<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="{image.path.name}"><size>{image.size}</size>'
        f'<hash type="sha-256">{sha256 or image.sha256}</hash>{listed}</file></metalink>'
    ).encode()


@pytest.mark.parametrize("release", [{"metalink": "@/alpha.meta4"}])
async def test_mirrors_of_a_metalink(
    daemon: Daemon, caller: Caller, maker: Maker, mirror: Mirror, images: Images
) -> None:
    async with Mirror({"alpha.iso": images.alpha.path}) as other:
        maker.put("alpha.meta4", metalink(images.alpha, f"{other.url}/alpha.iso"))
        mirror.faults = Faults(status=403)
        job = await downloaded(caller)
        assert job.state is JobState.SUCCEEDED, job.error_message
        assert served(other, images.alpha) >= images.alpha.size


@pytest.mark.parametrize("release", [{"metalink": "@/alpha.meta4"}])
async def test_preferences_hold_for_mirrors_of_a_metalink(
    daemon: Daemon, caller: Caller, maker: Maker, mirror: Mirror, images: Images
) -> None:
    async with Mirror({"alpha.iso": images.alpha.path}) as other:
        maker.put("alpha.meta4", metalink(images.alpha, f"{other.url}/alpha.iso"))
        await caller.client.prefer_mirrors("alpha", {"exclude": Typed("as", ["DE"])})
        job = await downloaded(caller)
        assert job.state is JobState.SUCCEEDED, job.error_message
        assert "alpha.meta4" in maker.paths()
        assert other.served == []


@pytest.mark.parametrize("release", [{"metalink": "@/alpha.meta4"}])
@pytest.mark.parametrize("fault", ["lies", "silent", "bomb", "gone"])
async def test_a_metalink_that_is_of_no_use(
    daemon: Daemon, caller: Caller, maker: Maker, images: Images, fault: str
) -> None:
    async with Mirror({"alpha.iso": images.beta.path}) as liar:
        said = {
            "lies": "gives another hash of the file than the catalogue",
            "silent": "the metalink did not come in time",
            "bomb": "has a document type",
            "gone": "answered 404",
        }
        if fault == "lies":
            maker.put("alpha.meta4", metalink(images.alpha, f"{liar.url}/alpha.iso", sha256=OTHER))
        elif fault == "silent":
            maker.silent.add("alpha.meta4")
        elif fault == "bomb":
            maker.put("alpha.meta4", b'<!DOCTYPE a [<!ENTITY b "c">]><metalink>&b;</metalink>')
        job = await downloaded(caller)
        assert job.state is JobState.SUCCEEDED, job.error_message
        assert said[fault] in " ".join(job.details.log)
        assert liar.served == []


# What an administrator demands


@pytest.mark.parametrize("settings", [DEMANDS.format("signed")])
async def test_signed_is_demanded(
    daemon: Daemon,
    caller: Caller,
    maker: Maker,
    mirror: Mirror,
    images: Images,
    keys: Keys,
    pinned: str,
    stick: Path,
) -> None:
    # what nobody signs is refused before anything happens
    for start in (caller.client.download("distro:beta"), plan(caller, stick, "distro:beta")):
        with pytest.raises(DaemonError) as refused:
            await start
        assert refused.value.name == ERROR + "NotTrusted"
        assert "[verification] minimum_trust" in refused.value.why
        assert "the catalogue knows no signature" in refused.value.why
    assert mirror.served == []
    # what its maker does not vouch for today is not stored
    maker.put("SHA256SUMS", sums_of(images.alpha))
    maker.put("SHA256SUMS.gpg", keys.sign(b"something else", pinned))
    job = await downloaded(caller)
    await check_refused(
        caller, daemon, job, "NotTrusted", "'hash'", "demands 'signed'", "minimum_trust", "does not fit"
    )
    publish(maker, keys, pinned, sums_of(images.alpha))
    await caller.created([await caller.target(stick)], ["distro:alpha"])
    (entry,) = await caller.client.images()
    assert entry.trust == "signed"


async def test_a_stored_image_that_is_not_sure_enough_any_more(
    daemon: Daemon, caller: Caller, maker: Maker, mirror: Mirror, images: Images, keys: Keys, pinned: str, stick: Path
) -> None:
    await check_trust(caller, await downloaded(caller), "hash", reason="answered 404")
    await caller.imported(images.rescue.path)
    await daemon.stop()
    daemon.config += DEMANDS.format("signed")
    await daemon.start()
    async with Caller.connect(daemon.address) as strict:
        for image in (images.alpha, images.rescue):
            with pytest.raises(DaemonError) as refused:
                await plan(strict, stick, image.reference)
            assert refused.value.name == ERROR + "NotTrusted"
            assert "demands 'signed'" in refused.value.why
        with pytest.raises(DaemonError) as refused:
            await strict.client.download("distro:rescue")
        assert refused.value.name == ERROR + "NotTrusted"
        # by its own name it is asked about again, and its bytes are there
        before = served(mirror, images.alpha)
        publish(maker, keys, pinned, sums_of(images.alpha))
        await strict.created([await strict.target(stick)], ["distro:alpha"])
        assert served(mirror, images.alpha) == before


@pytest.mark.parametrize("settings", [DEMANDS.format("hash")])
async def test_a_hash_is_demanded_of_own_images(
    daemon: Daemon, caller: Caller, images: Images, place: Path, stick: Path
) -> None:
    strange = place / "strange.iso"
    strange.write_bytes(images.alpha.path.read_bytes() + bytes(2048))
    # it is stored all the same: the demand is about sticks
    job = await caller.imported(strange)
    assert job.result["trust"] == "none"
    with pytest.raises(DaemonError) as refused:
        await plan(caller, stick, str(job.result["image"]))
    assert refused.value.name == ERROR + "NotTrusted"
    assert "strange.iso has the trust 'none', and the administrator demands 'hash'" in refused.value.why
    digest = hashlib.sha256(strange.read_bytes()).hexdigest()
    with strange.open("rb") as file:
        path = await caller.client.import_image(file.fileno(), "strange.iso", sha256=digest)
    await caller.succeeded(path)
    await plan(caller, stick, str(job.result["image"]))


async def plan(caller: Caller, stick: Path, reference: str) -> Any:
    return await caller.plan([await caller.target(stick)], [reference])


async def test_the_process_that_checks_dies(
    daemon: Daemon, caller: Caller, maker: Maker, mirror: Mirror, images: Images, keys: Keys, pinned: str
) -> None:
    """The word is asked for again, as the bytes are."""
    maker.silent.add("SHA256SUMS")
    publish(maker, keys, pinned, sums_of(images.alpha))
    path = await caller.client.download("distro:alpha")
    await asked_for(maker, "SHA256SUMS")
    maker.silent.clear()
    os.kill(daemon.pids(TRANSFER)[0], signal.SIGKILL)
    await check_trust(caller, await caller.finished(path), "signed", by=pinned)
