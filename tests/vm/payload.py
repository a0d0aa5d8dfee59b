"""What is under test, as `make install` puts it on a machine, in one archive for the virtual machine's second disk."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from luxusbd.process import run

PROJECT = Path(__file__).parents[2]


async def payload(directory: Path) -> Path:
    """Install into `directory` and pack what came of it; returns the archive.

    Raises:
        ToolFailedError: the installation failed.
    """
    directory = directory.absolute()
    tree = directory / "tree"
    archive = directory / "payload.tar"
    await asyncio.to_thread(shutil.rmtree, tree, ignore_errors=True)
    tree.mkdir(parents=True)
    await run([str(PROJECT / "packaging/install.sh"), "install", str(tree), "/usr"], timeout=900, cwd=str(PROJECT))
    # tar reads a disk in blocks: without the padding its end would be taken for a short read
    await run(
        ["tar", "--owner=0", "--group=0", "--numeric-owner", "-b", "128", "-cf", str(archive), "-C", str(tree), "."],
        timeout=300,
    )
    return archive
