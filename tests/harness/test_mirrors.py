"""The mirrors themselves: honest answers, and faults exactly where they were ordered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from luxusbd.images.model import Firmware
from tests.harness.images import RealImage
from tests.harness.mirrors import At, Faults, Mirror, catalogue

BODY = bytes(range(256)) * 4096


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "body.iso"
    path.write_bytes(BODY)
    return path


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_whole_file(file: Path, client: aiohttp.ClientSession) -> None:
    async with Mirror({"a.iso": file}) as mirror, client.get(f"{mirror.url}/a.iso") as answer:
        assert answer.status == 200
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["ETag"].startswith('"')
        assert await answer.read() == BODY
    assert [(item.name, item.status, item.sent) for item in mirror.served] == [("a.iso", 200, len(BODY))]


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [("bytes=0-0", 0, 1), ("bytes=1000-", 1000, len(BODY)), ("bytes=-7", len(BODY) - 7, len(BODY))],
)
async def test_ranges(file: Path, client: aiohttp.ClientSession, header: str, start: int, end: int) -> None:
    async with (
        Mirror({"a.iso": file}) as mirror,
        client.get(f"{mirror.url}/a.iso", headers={"Range": header}) as answer,
    ):
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(BODY)}"
        assert await answer.read() == BODY[start:end]


async def test_range_beyond_the_end(file: Path, client: aiohttp.ClientSession) -> None:
    headers = {"Range": f"bytes={len(BODY)}-"}
    async with Mirror({"a.iso": file}) as mirror, client.get(f"{mirror.url}/a.iso", headers=headers) as answer:
        assert answer.status == 416
        assert answer.headers["Content-Range"] == f"bytes */{len(BODY)}"


async def test_if_range_with_another_etag_gives_the_whole_file(file: Path, client: aiohttp.ClientSession) -> None:
    async with Mirror({"a.iso": file}) as mirror:
        async with client.head(f"{mirror.url}/a.iso") as answer:
            etag = answer.headers["ETag"]
            assert answer.content_length == len(BODY)
        for value, status in ((etag, 206), ('"old"', 200)):
            headers = {"Range": "bytes=5-9", "If-Range": value}
            async with client.get(f"{mirror.url}/a.iso", headers=headers) as answer:
                assert answer.status == status


async def test_status_and_unknown_names(file: Path, client: aiohttp.ClientSession) -> None:
    async with Mirror({"a.iso": file}, faults=Faults(status=503)) as mirror:
        async with client.get(f"{mirror.url}/a.iso") as answer:
            assert answer.status == 503
        mirror.faults = Faults()
        async with client.get(f"{mirror.url}/b.iso") as answer:
            assert answer.status == 404


async def test_no_ranges(file: Path, client: aiohttp.ClientSession) -> None:
    async with Mirror({"a.iso": file}, faults=Faults(no_ranges=True)) as mirror:
        async with client.get(f"{mirror.url}/a.iso", headers={"Range": "bytes=5-9"}) as answer:
            assert answer.status == 200
            assert "Accept-Ranges" not in answer.headers


async def test_cut(file: Path, client: aiohttp.ClientSession) -> None:
    async with Mirror({"a.iso": file}, faults=Faults(cut_at=300_000)) as mirror:
        async with client.get(f"{mirror.url}/a.iso") as answer:
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
        assert mirror.served[0].sent == 300_000
        async with client.get(f"{mirror.url}/a.iso", headers={"Range": "bytes=300001-"}) as answer:
            assert await answer.read() == BODY[300_001:]


async def test_corrupt_byte(file: Path, client: aiohttp.ClientSession) -> None:
    async with Mirror({"a.iso": file}, faults=Faults(corrupt_at=300_000)) as mirror:
        async with client.get(f"{mirror.url}/a.iso") as answer:
            got = await answer.read()
    assert [at for at, (ours, theirs) in enumerate(zip(BODY, got, strict=True)) if ours != theirs] == [300_000]


async def test_stall_sends_what_is_before_it_and_no_more(file: Path, client: aiohttp.ClientSession) -> None:
    async with Mirror({"a.iso": file}, faults=Faults(stall_at=1000)) as mirror:
        async with client.get(f"{mirror.url}/a.iso") as answer:
            assert await answer.content.readexactly(1000) == BODY[:1000]
            more = asyncio.create_task(answer.content.read(1))
            done, _ = await asyncio.wait([more], timeout=0.2)
            assert not done
            more.cancel()


def test_catalogue_names_every_mirror(file: Path) -> None:
    image = RealImage("x", "X", "d", "https://x.example", "utility", "1", file, frozenset({Firmware.BIOS}))
    mirrors = [At("http://127.0.0.1:1"), At("http://127.0.0.1:2")]
    document = catalogue([image], mirrors)
    (release,) = document["distributions"][0]["releases"]
    assert document["version"] == "2.0"
    assert release["sha256"] == image.sha256()
    assert release["size"] == len(BODY)
    assert release["iso_url"] == release["mirrors"][0] == "http://127.0.0.1:1/body.iso"
    assert release["mirrors"][1] == "http://127.0.0.1:2/body.iso"
