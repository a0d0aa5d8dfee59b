"""What comes on the virtual machine's second disk: the Debian packages under test, and images for them."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from luxusbd.process import run
from tests.harness import deb
from tests.harness.images import RealImage, find
from tests.harness.mirrors import At, write_catalogue
from tests.harness.service import environment
from tests.transfer.keys import made

MIRRORS = (At("http://127.0.0.1:8001"), At("http://127.0.0.1:8002"))
SLOW = At("http://127.0.0.1:8009")
"""2 MB/s for each connection."""
BIG = "big"
"""Id of an entry of `BIG_SIZE` bytes that no machine can start, on the slow mirror alone."""
WIDE, WIDE_OF = "wide", "debian-mini"
"""Id of an entry that is that small system followed by `BIG_SIZE` bytes."""
BIG_SIZE = 96 * 1024 * 1024
PACKAGES, NEWER_PACKAGES = "/srv/packages", "/srv/newer"
"""Where the Debian packages lie in the machine, and those of a later version."""
REMOTE = "/srv/remote"
"""Where editions of a signed catalogue lie in the machine, a directory each, with the key and its fingerprint."""
EDITIONS = {"first": ("school",), "second": ("school", "exam"), "forged": ("school", "exam", "trojan")}
"""Ids of their entries; the serials rise, and the last one is signed by another key."""


async def payload(directory: Path) -> Path:
    """Build the packages, add a later version of them and images with a catalogue; returns an archive of it all.

    Args:
        directory: where this may build, and where the archive stays.

    Raises:
        ToolFailedError: the packages could not be built.
    """
    directory = directory.absolute()
    tree = directory / "tree"
    archive = directory / "payload.tar"
    await asyncio.to_thread(shutil.rmtree, tree, ignore_errors=True)
    for place in (PACKAGES, NEWER_PACKAGES):
        (tree / place.removeprefix("/")).mkdir(parents=True)
    packages = await deb.built()
    for package in packages.glob("*.deb"):
        shutil.copyfile(package, tree / PACKAGES.removeprefix("/") / package.name)
    await deb.newer(packages, tree / NEWER_PACKAGES.removeprefix("/"))
    found = await find(directory)
    if found.missing:
        raise FileNotFoundError("; ".join(found.missing))
    await asyncio.to_thread(_mirror, tree, found.images)
    await asyncio.to_thread(_remote, tree, found.images)
    await run(
        ["tar", "--owner=0", "--group=0", "--numeric-owner", "-b", "128", "-cf", str(archive), "-C", str(tree), "."],
        timeout=300,
    )
    await asyncio.to_thread(shutil.rmtree, tree)
    return archive


def _mirror(tree: Path, images: Sequence[RealImage]) -> None:
    served = tree / "srv/mirror"
    served.mkdir()
    big = served / "big.iso"
    # no compression helps with these bytes, and they are the same in every run
    block = b"".join(hashlib.sha256(b"%d" % at).digest() for at in range(32768))
    with big.open("wb") as file:
        for _ in range(BIG_SIZE // len(block)):
            file.write(block)
    for image in images:
        shutil.copyfile(image.path, served / image.path.name)
    # a system that starts, with much behind its end
    startable = served / "wide.iso"
    small = next(image for image in images if image.id == WIDE_OF)
    startable.write_bytes(small.path.read_bytes() + big.read_bytes())
    wide = RealImage(WIDE, "Wide", "A system and bytes", "https://example.org", "test", "1", startable, frozenset())
    entry = RealImage(BIG, "Big", "Bytes", "https://example.org", "test", "1", big, frozenset())
    folder = tree / "etc/luxusb/distros.d"
    folder.mkdir(parents=True)
    write_catalogue(folder / "test.json", [*images, wide], MIRRORS)
    write_catalogue(folder / "slow.json", [entry], [SLOW])
    for path in (*served.iterdir(), *folder.iterdir()):
        path.chmod(0o644)
    for path in (tree / "srv", served, tree / "etc", tree / "etc/luxusb", folder):
        path.chmod(0o755)


def _remote(tree: Path, images: Sequence[RealImage]) -> None:
    """Sign the editions with the command that is for it."""
    remote = tree / REMOTE.removeprefix("/")
    remote.mkdir()
    small = next(image for image in images if image.id == WIDE_OF)
    # gpg's agent needs a short path
    with tempfile.TemporaryDirectory(prefix="lux-") as place, made(Path(place) / "gpg") as keys:
        signers = {name: keys.make(name) for name in ("school", "other")}
        for serial, (name, ids) in enumerate(EDITIONS.items(), start=1):
            entries = [replace(small, id=each, name=each.title()) for each in ids]
            file = Path(place) / "distros.json"
            write_catalogue(file, entries, [At("https://school.example")])
            signer = signers["other" if name == "forged" else "school"]
            command = ["catalog", "sign", str(file), "--key", signer, "--serial", str(serial)]
            subprocess.run(
                [sys.executable, "-m", "luxusb_cli", *command, "--output", str(remote / name)],
                env={**environment(), "GNUPGHOME": str(keys.home)},
                check=True,
                capture_output=True,
            )
        (remote / "fingerprint").write_text(signers["school"])
    for path in (remote, *remote.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
