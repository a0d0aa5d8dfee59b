"""The file that starts an installer: found by what its archive signed, by servers that are good, broken, or hostile."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest

from luxusbd.errors import InterruptedJobError, InvalidArgumentError, LuxusbError, NetworkError, VerificationError
from luxusbd.errors import NotBootableError as NoBuild
from luxusbd.images.startfile import StartFile
from luxusbd.transfer.feeds.transcript import Recording, Replay
from luxusbd.transfer.small import SmallFiles
from luxusbd.transfer.source import default_session
from luxusbd.transfer.startfile import find_startfile, found_from_json
from tests.harness.maker import Maker
from tests.harness.tls import Authority
from tests.transfer.keys import Keys

KERNEL, OLD, INITRD = (hashlib.sha256(each).hexdigest() for each in (b"kernel", b"old kernel", b"initrd"))
INSTALLER = "main/installer-amd64"


def sums(kernel: str = KERNEL, initrd: str = INITRD) -> bytes:
    rows = {"./cdrom/vmlinuz": kernel, "./hd-media/initrd.gz": initrd, "./hd-media/vmlinuz": kernel}
    return "".join(f"{sha256}  {name}\n" for name, sha256 in rows.items()).encode()


def release(builds: dict[str, bytes]) -> bytes:
    rows = [
        f" {hashlib.sha256(data).hexdigest()}    {len(data)} {INSTALLER}/{name}/images/SHA256SUMS"
        for name, data in builds.items()
    ]
    return "\n".join(["Origin: Debian", "Codename: bookworm", "SHA256:", *rows, ""]).encode()


@pytest.fixture(scope="module")
def pinned(keys: Keys) -> str:
    return keys.make("archive")


@pytest.fixture
async def files(authority: Authority) -> AsyncIterator[SmallFiles]:
    async with SmallFiles(lambda: default_session(authority.client), patience=5.0) as found:
        yield found


@pytest.fixture
def wanted(maker: Maker, pinned: str) -> StartFile:
    return StartFile(
        archives=(maker.url,),
        release="dists/bookworm/InRelease",
        sums=f"{INSTALLER}/*/images/SHA256SUMS",
        kernel="hd-media/vmlinuz",
        kernel_sha256=KERNEL,
        file="hd-media/initrd.gz",
        keys=(pinned,),
        size=1 << 20,
    )


def publish(maker: Maker, keys: Keys, key: str, builds: dict[str, bytes]) -> None:
    maker.put("dists/bookworm/InRelease", keys.clearsign(release(builds), key))
    for name, data in builds.items():
        maker.put(f"dists/bookworm/{INSTALLER}/{name}/images/SHA256SUMS", data)


async def test_the_build_with_the_kernel_of_the_image(
    maker: Maker, keys: Keys, pinned: str, files: SmallFiles, wanted: StartFile
) -> None:
    builds = {"20240101": sums(OLD, OLD), "20240202": sums(), "current": sums(OLD, OLD)}
    publish(maker, keys, pinned, builds)
    recording = Recording(files)
    found = await find_startfile(recording, wanted, keys.export(pinned))
    assert found.path == f"dists/bookworm/{INSTALLER}/20240202/images/hd-media/initrd.gz"
    assert (found.sha256, found.fingerprint) == (INITRD, pinned)
    again = await find_startfile(Replay(recording.transcript()), wanted, keys.export(pinned))
    assert again == found


async def test_a_build_that_the_mirror_dropped_is_passed_over(
    maker: Maker, keys: Keys, pinned: str, files: SmallFiles, wanted: StartFile
) -> None:
    publish(maker, keys, pinned, {"20240101": sums(OLD), "current": sums()})
    del maker.files[f"dists/bookworm/{INSTALLER}/20240101/images/SHA256SUMS"]
    assert "/current/" in (await find_startfile(files, wanted, keys.export(pinned))).path


async def test_another_archive_where_the_first_fails(
    maker: Maker, keys: Keys, pinned: str, files: SmallFiles, wanted: StartFile
) -> None:
    publish(maker, keys, pinned, {"current": sums()})
    there = wanted.archives[0]
    two = StartFile(**{**vars(wanted), "archives": (f"{there}/nothing", there)})
    assert (await find_startfile(files, two, keys.export(pinned))).sha256 == INITRD


async def test_no_build_has_the_kernel(
    maker: Maker, keys: Keys, pinned: str, files: SmallFiles, wanted: StartFile
) -> None:
    publish(maker, keys, pinned, {"20240101": sums(OLD)})
    with pytest.raises(NoBuild, match=r"20240101.*has the kernel of this image.*take a newer image"):
        await find_startfile(files, wanted, keys.export(pinned))
    publish(maker, keys, pinned, {})
    with pytest.raises(NoBuild, match="names no build"):
        await find_startfile(files, wanted, keys.export(pinned))


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        ("missing", NetworkError, "404"),
        ("html", VerificationError, "not signed"),
        ("changed", VerificationError, "does not fit"),
        ("torn", VerificationError, "no signature|does not fit"),
        ("other-key", VerificationError, "not among the keys given"),
        ("other-list", VerificationError, "not the list of hashes"),
    ],
)
async def test_servers_that_lie(
    maker: Maker,
    keys: Keys,
    pinned: str,
    files: SmallFiles,
    wanted: StartFile,
    fault: str,
    kind: type[LuxusbError],
    said: str,
) -> None:
    publish(maker, keys, pinned, {"current": sums()})
    place = "dists/bookworm/InRelease"
    good = maker.files[place]
    assert isinstance(good, bytes)
    match fault:
        case "missing":
            del maker.files[place]
        case "html":
            maker.put(place, b"<html>log in to this hotel</html>")
        case "changed":
            maker.put(place, good.replace(b"bookworm", b"buzzword"))
        case "torn":
            maker.put(place, good[: len(good) // 2])
        case "other-key":
            publish(maker, keys, keys.make("somebody"), {"current": sums()})
        case "other-list":
            maker.put(f"dists/bookworm/{INSTALLER}/current/images/SHA256SUMS", sums(initrd=OLD))
    with pytest.raises(kind, match=said):
        await find_startfile(files, wanted, keys.export(pinned))


async def test_a_forged_transcript_is_no_word(
    maker: Maker, keys: Keys, pinned: str, files: SmallFiles, wanted: StartFile
) -> None:
    publish(maker, keys, pinned, {"current": sums()})
    recording = Recording(files)
    await find_startfile(recording, wanted, keys.export(pinned))
    forged = recording.transcript().replace(INITRD.encode(), OLD.encode())
    with pytest.raises(VerificationError):
        await find_startfile(Replay(forged), wanted, keys.export(pinned))
    with pytest.raises(InvalidArgumentError):
        await find_startfile(Replay(recording.transcript()[:9]), wanted, keys.export(pinned))


@pytest.mark.parametrize(
    "told",
    [
        None,
        {"path": "../x", "sha256": INITRD, "fingerprint": "A" * 40},
        {"path": "x", "sha256": "0", "fingerprint": "A" * 40},
        {"path": "x", "sha256": INITRD, "fingerprint": "me"},
    ],
)
def test_nonsense(told: object) -> None:
    with pytest.raises(InterruptedJobError):
        found_from_json(told)
