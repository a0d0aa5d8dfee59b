"""HTTP mirrors on loopback: honest ones, slow ones, and ones that lie or break off on purpose."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from aiohttp import web

from tests.harness.images import RealImage

CHUNK = 256 * 1024
_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")


@dataclass(frozen=True)
class Faults:
    """What is wrong with a mirror. Offsets count bytes of the file, so a fault hits the request that reaches it."""

    status: int = 0
    """Answer every request with this status."""
    no_ranges: bool = False
    """Ignore Range: always the whole file, with 200."""
    cut_at: int | None = None
    """Drop the connection before this byte."""
    stall_at: int | None = None
    """Send nothing more from this byte on, and keep the connection."""
    corrupt_at: int | None = None
    """Send this byte inverted."""


@dataclass
class Served:
    """One request that a mirror got."""

    method: str
    name: str
    range: str
    status: int
    sent: int = 0
    """Bytes of body."""


class Mirror:
    """A server for the files of one directory, with ETag, Range and If-Range; an async context manager.

    Args:
        files: what is served, by name.
        rate: bytes a second for all connections together, 0 for as fast as it goes.
        faults: what is wrong with it; may be changed while it runs.

    One that was left may be entered again, and then is at the same address.
    """

    def __init__(
        self, files: dict[str, Path], *, rate: int = 0, faults: Faults | None = None, address: str = "127.0.0.1"
    ) -> None:
        self.files = dict(files)
        self.rate = rate
        self.faults = faults or Faults()
        self.served: list[Served] = []
        self.url = ""
        self._address = address
        self._port = 0
        self._due = 0.0
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_get("/{name}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._address, self._port).start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://{self._address}:{self._port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        served = Served(request.method, name, request.headers.get("Range", ""), 200)
        self.served.append(served)
        path = self.files.get(name)
        if self.faults.status or path is None:
            served.status = self.faults.status or 404
            return web.Response(status=served.status)
        stat = path.stat()
        etag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
        start, end = 0, stat.st_size
        headers = {"ETag": etag, "Content-Type": "application/octet-stream"}
        if not self.faults.no_ranges:
            headers["Accept-Ranges"] = "bytes"
            wanted = _wanted(request, etag, stat.st_size)
            if wanted is not None:
                start, end = wanted
                served.status = 206 if start < end else 416
                headers["Content-Range"] = f"bytes {f'{start}-{end - 1}' if start < end else '*'}/{stat.st_size}"
        response = web.StreamResponse(status=served.status, headers=headers)
        response.content_length = end - start
        await response.prepare(request)
        if request.method != "HEAD":
            await self._send(request, response, served, path, start, end)
        return response

    async def _send(
        self, request: web.Request, response: web.StreamResponse, served: Served, path: Path, start: int, end: int
    ) -> None:
        with path.open("rb") as file:
            file.seek(start)
            at = start
            while at < end:
                faults = self.faults
                stops = [stop for stop in (faults.cut_at, faults.stall_at) if stop is not None and stop >= at]
                data = await asyncio.to_thread(file.read, min([CHUNK, end - at, *(stop - at for stop in stops)]))
                if data and faults.corrupt_at is not None and at <= faults.corrupt_at < at + len(data):
                    broken = bytearray(data)
                    broken[faults.corrupt_at - at] ^= 0xFF
                    data = bytes(broken)
                if data:
                    await self._pace(len(data))
                    await response.write(data)
                    at += len(data)
                    served.sent += len(data)
                if at == faults.cut_at and at < end:
                    assert request.transport is not None
                    request.transport.abort()
                    return
                if at == faults.stall_at and at < end:
                    await asyncio.Event().wait()  # until the client or the end of the mirror cancels it

    async def _pace(self, size: int) -> None:
        if self.rate:
            # by the clock and not by the length of sleeps, so that late wakings do not add up
            now = asyncio.get_running_loop().time()
            self._due = max(self._due, now - CHUNK / self.rate) + size / self.rate
            await asyncio.sleep(self._due - now)


def _wanted(request: web.Request, etag: str, size: int) -> tuple[int, int] | None:
    """The half-open range of a request with one range (RFC 9110 section 14); None for the whole file."""
    match = _RANGE.match(request.headers.get("Range", ""))
    if match is None or request.headers.get("If-Range", etag) != etag:
        return None
    first, last = match[1], match[2]
    if first:
        start = int(first)
        end = min(int(last) + 1, size) if last else size
        return (start, end) if start < end else (0, 0)
    if last:
        return (max(size - int(last), 0), size)
    return None


class Address(Protocol):
    """Whatever files can be fetched from."""

    @property
    def url(self) -> str:
        """Without a slash at its end."""


@dataclass(frozen=True)
class At:
    """An `Address` of a server that is not ours to run."""

    url: str


def catalogue(images: Sequence[RealImage], mirrors: Sequence[Address], logo: str = "") -> dict[str, Any]:
    """A catalogue of schema 2.0 in which every image is on every mirror under the name of its file.

    `logo` is the address of the logo that all of them have.
    """
    return {
        "version": "2.0",
        "last_updated": "2026-01-01T00:00:00Z",
        "distributions": [
            {
                "id": image.id,
                "name": image.name,
                "description": image.description,
                "homepage": image.homepage,
                "logo_url": logo,
                "category": image.category,
                "popularity_rank": rank,
                "releases": [
                    {
                        "version": image.version,
                        "release_date": "2026-01-01",
                        "iso_url": f"{mirrors[0].url}/{image.path.name}",
                        "sha256": image.sha256(),
                        "size_mb": max(1, round(image.size / 1e6)),
                        "size": image.size,
                        "architecture": "amd64",
                        "mirrors": [f"{mirror.url}/{image.path.name}" for mirror in mirrors],
                    }
                ],
            }
            for rank, image in enumerate(images, start=1)
        ],
    }


def write_catalogue(path: Path, images: Sequence[RealImage], mirrors: Sequence[Address], logo: str = "") -> None:
    """Write `catalogue` as a file for `luxusbd --catalog`."""
    path.write_text(json.dumps(catalogue(images, mirrors, logo), indent=2) + "\n", encoding="utf-8")
