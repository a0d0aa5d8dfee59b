"""kill -9 at every step of a download with a window: a run after that ends well, whether it has a window or not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.transfer.fault_server import FaultServer
from tests.transfer.test_crash import DATA, Downloads, downloads_in

pytestmark = pytest.mark.chaos

WINDOW = 16 * 1024


@pytest.fixture
async def downloads(memory_path: Path) -> AsyncIterator[Downloads]:
    async with FaultServer(DATA) as server, downloads_in(memory_path, server) as made:
        yield made


async def test_killed_at_every_step(downloads: Downloads) -> None:
    downloads.size = len(DATA)
    steps, _written, killed = await downloads.run(0, WINDOW)
    assert not killed
    assert not list(downloads.directory.iterdir())
    claimed = []
    for kill_at in range(1, steps + 5):
        _steps, _written, killed = await downloads.run(kill_at, WINDOW)
        claimed.append(downloads.check_claims())
        if killed and kill_at % 2:
            await downloads.run(0, WINDOW)
            assert not list(downloads.directory.iterdir())
            continue
        assert (await downloads.run(0))[2] is False
        downloads.check_done()
        (downloads.directory / "file.iso").unlink()
    # before the first hole it claims like any other, and never more than fits the window
    assert 0 < max(claimed) <= WINDOW
    holed = max(place for place, count in enumerate(claimed) if count)
    assert not any(claimed[holed + 1 :])
    assert holed < len(claimed) - 5
