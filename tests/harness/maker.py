"""The https server of somebody who makes images: small files, in memory, that may change between two requests."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiohttp import web


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    headers: dict[str, str]
    status: int


class Maker:
    """Serves `files` by path, without the slash in front; an async context manager.

    A file may be a function, which is called for each request. What is in `redirects` leads elsewhere, and what is in
    `silent` is never answered.
    """

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.files: dict[str, bytes | Callable[[], bytes]] = {}
        self.redirects: dict[str, str] = {}
        self.silent: set[str] = set()
        self.asked: list[Asked] = []
        self.url = ""
        self._context = context
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_get("/{name:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context).start()
        scheme = "https" if self._context else "http"
        self.url = f"{scheme}://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def at(self, name: str) -> str:
        """The address of a file."""
        return f"{self.url}/{name}"

    def put(self, name: str, data: bytes | Callable[[], bytes]) -> str:
        """Serve a file; its address."""
        self.files[name] = data
        return self.at(name)

    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [one.path for one in self.asked]

    async def _answer(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name in self.silent:
            self.asked.append(Asked(name, dict(request.headers), 0))
            await asyncio.Event().wait()
        found = self.files.get(name)
        data = found() if callable(found) else found
        if name in self.redirects:
            response = web.Response(status=302, headers={"Location": self.redirects[name]})
        elif data is None:
            response = web.Response(status=404)
        else:
            etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
            if request.headers.get("If-None-Match") == etag:
                response = web.Response(status=304, headers={"ETag": etag})
            else:
                response = web.Response(body=data, headers={"ETag": etag})
        self.asked.append(Asked(name, dict(request.headers), response.status))
        return response
