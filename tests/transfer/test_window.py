"""Downloads of which only a window lies on the disk, while somebody reads them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.transfer.fault_server import FaultServer
from tests.transfer.passing import Reader, passed
from tests.transfer.test_crew import DATA, SHA256, SIZE, SMALL, Mirrors, steady

KIB = 1024
WINDOW = 512 * KIB
UNIT = 64 * KIB
SLACK = 192 * KIB
"""What comes while the hashes catch up with the last mark, and the blocks at both ends."""
ORDER = {"sha256": SHA256, "size": SIZE, "window": WINDOW}


@pytest.fixture
async def mirrors() -> AsyncIterator[Mirrors]:
    async with AsyncExitStack() as stack:
        yield Mirrors(
            [await stack.enter_async_context(FaultServer(DATA, address=f"127.0.0.{host}")) for host in range(2, 5)]
        )


@pytest.fixture
def reader(memory_path: Path) -> Iterator[Reader]:
    made = Reader(memory_path, UNIT)
    yield made
    made.close()


@pytest.mark.parametrize("count", [1, 3])
async def test_a_file_passes_through(reader: Reader, mirrors: Mirrors, count: int) -> None:
    urls = mirrors.route(*[steady(3_000_000)] * count)
    outcome = await passed(reader, urls, SMALL, **ORDER)
    assert outcome.error is None
    assert outcome.result is not None
    assert (outcome.result.sha256, outcome.result.size) == (SHA256, SIZE)
    assert outcome.result.path == str(reader.directory / "file.iso")
    assert reader.content == DATA
    assert reader.seen[-1].prefix == SIZE
    assert outcome.left == frozenset()
    assert reader.farthest <= WINDOW
    assert 0 < reader.most <= WINDOW + SLACK
    assert not reader.backs
