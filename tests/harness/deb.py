"""The Debian packages of what is in this tree, and the same with a higher version, built once for each content."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import shutil
from pathlib import Path

from luxusbd.process import run

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "deb"
INPUTS = ("luxusbd", "clients", "data", "dbus", "polkit", "systemd", "packaging", "CHANGELOG.md", "LICENSE")
"""What ends up in the packages, or says how they are built."""
NEWER = "9.9.9"
"""Version of `newer`, of the service as of its packages."""


def content() -> str:
    """Tells one content of the tree from another, 12 hex digits."""
    digest = hashlib.sha256()
    for name in INPUTS:
        top = ROOT / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                data = path.read_bytes()
                digest.update(f"{path.relative_to(ROOT)} {len(data)} ".encode() + data)
    return digest.hexdigest()[:12]


async def built() -> Path:
    """A directory with the packages; those of another content go.

    Raises:
        ToolFailedError: the build failed.
    """
    place = BUILD / f"tree-{content()}"
    BUILD.mkdir(parents=True, exist_ok=True)
    # tests run in several processes, and one build is enough
    with (BUILD / "lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        if (place / "complete").exists():
            return place
        for old in BUILD.glob("tree-*"):
            await asyncio.to_thread(shutil.rmtree, old)
        await run([str(ROOT / "packaging" / "deb.sh"), str(place)], timeout=900)
        (place / "complete").touch()
        return place


async def newer(packages: Path, target: Path) -> None:
    """Put these packages into `target` as a later release: another version in their fields and in the service."""
    target.mkdir(parents=True, exist_ok=True)
    for package in sorted(packages.glob("*.deb")):
        name, version, architecture = package.stem.split("_")
        tree = target / "tree"
        await run(["dpkg-deb", "--raw-extract", str(package), str(tree)], timeout=120)
        control = tree / "DEBIAN" / "control"
        control.write_text(control.read_text().replace(version, NEWER))
        own = tree / "usr/lib/luxusb/luxusbd/__init__.py"
        if own.exists():
            own.write_text(own.read_text() + f'__version__ = "{NEWER}"\n')
        made = target / f"{name}_{NEWER}_{architecture}.deb"
        await run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(tree), str(made)], timeout=120)
        await asyncio.to_thread(shutil.rmtree, tree)
