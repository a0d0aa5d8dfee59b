"""A live system of Ubuntu by casper, made of the packages of its archive.

A machine whose own archive is Debian's has to reach Ubuntu's for it: LUXUSB_UBUNTU_ARCHIVE names a mirror of that, and
nothing is asked for without.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from luxusbd.process import run
from tests.matrix.livetree import SQUASH, furnish

FORMAT = 1
"""Counted up when what is done to the tree changes in a way that the inputs do not show."""
SUITE = "noble"
KEY = "F6ECB3762474EDA9D21B7022871920D1991BC93C"
"""Ubuntu Archive Automatic Signing Key (2018)."""
ARCHIVE = os.environ.get("LUXUSB_UBUNTU_ARCHIVE", "")
"""Address of a mirror; empty where none is named."""
PACKAGES = ("linux-image-virtual", "casper", "systemd-sysv", "initramfs-tools", "udev", "zstd")


@dataclass(frozen=True)
class CasperParts:
    """Files of which an image is put together."""

    kernel: Path
    initrd: Path
    userland: Path
    """squashfs of the root directory."""


async def casper_parts(directory: Path) -> CasperParts:
    """The parts in `directory`, made there when they are missing or their inputs have changed; takes minutes then.

    Raises:
        RuntimeError: this is not root, which debootstrap needs, or the archive's key is another one.
        ToolFailedError: the archive or a tool fails.
    """
    inputs = json.dumps([FORMAT, SUITE, PACKAGES])
    place = directory / f"casper-{SUITE}-{hashlib.sha256(inputs.encode()).hexdigest()[:12]}"
    made = CasperParts(place / "vmlinuz", place / "initrd", place / "filesystem.squashfs")
    if (place / "complete").exists():
        return made
    if not ARCHIVE:
        raise RuntimeError("LUXUSB_UBUNTU_ARCHIVE has to name a mirror of Ubuntu's archive")
    if os.geteuid() != 0:
        raise RuntimeError("making the live images takes root (debootstrap); use sudo make boot-changes")
    if place.exists():
        await asyncio.to_thread(shutil.rmtree, place)
    place.mkdir(parents=True)
    keyring = await _keyring(place, ARCHIVE)
    tree = place / "tree"
    await run(
        [
            # in a mount namespace of its own, so that what is mounted goes with it however it ends
            *("unshare", "--mount", "--propagation", "private", "debootstrap", "--variant=minbase"),
            *(f"--keyring={keyring}", "--components=main,universe", f"--include={','.join(PACKAGES)}"),
            # the script that all releases of Ubuntu share; debootstrap knows by name those alone that are older than it
            *(SUITE, str(tree), ARCHIVE, "gutsy"),
        ],
        timeout=3600,
    )
    for name, target in (("vmlinuz", made.kernel), ("initrd.img", made.initrd)):
        shutil.copyfile((tree / "boot" / name).resolve(), target)
    await asyncio.to_thread(furnish, tree)
    await run(["mksquashfs", str(tree), str(made.userland), *SQUASH], timeout=1800)
    await asyncio.to_thread(shutil.rmtree, tree)
    (place / "complete").touch()
    return made


async def _keyring(place: Path, mirror: str) -> Path:
    """The key of the archive, out of the archive itself, and known by its fingerprint."""
    for name in ("lists/partial", "cache/archives/partial"):
        (place / "apt" / name).mkdir(parents=True)
    (place / "apt" / "sources.list").write_text(f"deb [trusted=yes] {mirror} {SUITE} main\n")
    conf = place / "apt" / "apt.conf"
    conf.write_text(
        f'Dir::Etc::sourcelist "{place}/apt/sources.list";\nDir::Etc::sourceparts "/dev/null";\n'
        f'Dir::State::lists "{place}/apt/lists";\nDir::Cache "{place}/apt/cache";\nAPT::Sandbox::User "root";\n'
    )
    apt = ("env", f"--chdir={place / 'apt'}", f"APT_CONFIG={conf}", "apt-get", "-q")
    await run([*apt, "update"], timeout=600)
    await run([*apt, "download", "ubuntu-keyring"], timeout=600)
    (package,) = (place / "apt").glob("ubuntu-keyring_*.deb")
    await run(["dpkg-deb", "--extract", str(package), str(place / "apt" / "unpacked")])
    every = place / "apt" / "unpacked" / "usr" / "share" / "keyrings" / "ubuntu-archive-keyring.gpg"
    only = place / "archive.gpg"
    gpg = ("gpg", "--batch", "--no-options", "--homedir", str(place / "apt"), "--no-default-keyring")
    await run([*gpg, "--keyring", str(every), "--output", str(only), "--export", KEY])
    if not only.is_file():
        raise RuntimeError(f"the archive's keyring lacks its key {KEY}")
    return only
