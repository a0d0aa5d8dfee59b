"""One virtual machine for all scenarios of a module, with the software installed as an administrator installs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.vm.image import base_image
from tests.vm.machine import Guest
from tests.vm.payload import payload

BUILD = Path(__file__).parents[2] / "build" / "vm"
MIB = 1024 * 1024


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def archive() -> Path:
    """The software under test."""
    return await payload(BUILD / "payload")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guest(archive: Path) -> AsyncIterator[Guest]:
    """A machine that is up, with the software installed and the service not yet called."""
    async with Guest(await base_image(BUILD), archive) as machine:
        await machine.booted()
        await machine.install()
        yield machine


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """An empty stick of 1 GiB."""
    return empty_stick(tmp_path / "stick.img")


def empty_stick(path: Path, size: int = 1024 * MIB) -> Path:
    """A sparse file, all zero."""
    with path.open("wb") as file:
        file.truncate(size)
    return path
