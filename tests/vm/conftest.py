"""One virtual machine for all scenarios, with the Debian packages installed by apt."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.harness import deb
from tests.vm import image
from tests.vm.image import BaseImage
from tests.vm.machine import Guest
from tests.vm.payload import payload

BUILD = Path(__file__).parents[2] / "build" / "vm"
SUITE = os.environ.get("LUXUSB_VM_SUITE") or None
"""Another release than that of this machine; `make test-vm SUITE=` sets it."""
MIB = 1024 * 1024


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def disk() -> BaseImage:
    """The machine's disk, with the packages under test."""
    return await image.installed(await image.base_image(BUILD, SUITE), await deb.built())


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def archive() -> Path:
    """What is to be downloaded, and the packages once more."""
    return await payload(BUILD / "payload")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def guest(disk: BaseImage, archive: Path) -> AsyncIterator[Guest]:
    """A machine that is up, with the software installed and something to download."""
    async with Guest(disk, archive) as machine:
        await machine.booted()
        await machine.furnish()
        yield machine


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def tidy(guest: Guest) -> AsyncIterator[None]:
    """No stick and no unfinished job is left for the next scenario."""
    yield
    for job in (await guest.luxusb("jobs --unfinished --all-users", user="root"))["jobs"]:
        # it may end by itself meanwhile
        await guest.run(f"luxusb cancel {job['id']}", check=False)
    await guest.pull_all()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def awake(guest: Guest) -> AsyncIterator[None]:
    """The service does not end for idleness in the middle of a module."""
    await guest.write("/etc/luxusb/luxusbd.toml", "[daemon]\nidle_exit = 0\n")
    await guest.run("systemctl try-restart luxusbd", timeout=150)
    yield
    await guest.run("rm /etc/luxusb/luxusbd.toml; systemctl try-restart luxusbd", timeout=150)


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """An empty stick of 1 GiB."""
    return empty_stick(tmp_path / "stick.img")


def empty_stick(path: Path, size: int = 1024 * MIB) -> Path:
    """A sparse file, all zero."""
    with path.open("wb") as file:
        file.truncate(size)
    return path
