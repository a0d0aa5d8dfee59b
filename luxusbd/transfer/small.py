"""Fetches small files about images, such as lists of hashes, signatures and keys: over https alone, all or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from luxusbd.errors import NetworkError
from luxusbd.text import clean, without_secrets
from luxusbd.transfer.network import Network
from luxusbd.transfer.smallmodel import NotThereError, Small, Version
from luxusbd.transfer.source import REDIRECTS, SessionFactory, credentials, default_session

PATIENCE = 20.0
"""Seconds for one file, redirects included."""
MAX_REDIRECTS = 5
NOT_MODIFIED = 304
GONE = frozenset({404, 410})
_LINE = 16384


class SmallFiles:
    """Fetches small files; an asynchronous context manager, or `close` it at the end."""

    def __init__(
        self,
        session_factory: SessionFactory = default_session,
        patience: float = PATIENCE,
        network: Network | None = None,
    ) -> None:
        self._session_factory = session_factory
        self._network = network or Network()
        self._patience = patience
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; nothing may be fetched any more."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, url: str, most: int) -> Small:
        """Fetch a file of at most `most` bytes, by caches on the way as its server has it now.

        Raises:
            NotThereError: the server has no such file.
            NetworkError: it cannot be had; the text says why.
        """
        found = await self.get_if_changed(url, most, Version())
        if found is None:
            raise NetworkError(f"{_shown(url)} answered 304 to a question for any version")
        return found

    async def get_if_changed(self, url: str, most: int, known: Version) -> Small | None:
        """As `get`; None when the server says that it is still the version that is `known`."""
        try:
            async with asyncio.timeout(self._patience):
                return await self._get(url, most, known)
        except TimeoutError:
            raise NetworkError(f"{_shown(url)} did not come within {self._patience:g} seconds") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            why = clean(str(error) or type(error).__name__, 200)
            raise NetworkError(f"{_shown(url)} cannot be had: {why}") from error

    async def size(self, url: str) -> int:
        """Bytes of a file, by its headers alone; 0 when its server does not tell.

        Raises:
            NotThereError: the server has no such file.
            NetworkError: there is no answer.
        """
        try:
            async with asyncio.timeout(self._patience), self._open("HEAD", url, {}) as (response, _address):
                if response.status in GONE:
                    raise _gone(url, response.status)
                length = response.headers.get("Content-Length", "")
                told = response.status == 200 and length.isascii() and length.isdigit() and len(length) < 16
                return int(length) if told else 0
        except TimeoutError:
            raise NetworkError(f"{_shown(url)} did not answer within {self._patience:g} seconds") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NetworkError(f"{_shown(url)} cannot be asked: {clean(str(error), 200)}") from error

    async def _get(self, url: str, most: int, known: Version) -> Small | None:
        headers = {"Cache-Control": "no-cache"}
        if known.etag:
            headers["If-None-Match"] = known.etag
        elif known.last_modified:
            headers["If-Modified-Since"] = known.last_modified
        async with self._open("GET", url, headers) as (response, address):
            if response.status == NOT_MODIFIED and (known.etag or known.last_modified):
                return None
            if response.status in GONE:
                raise _gone(url, response.status)
            if response.status != 200:
                raise NetworkError(f"{_shown(url)} cannot be had: the server answered {response.status}")
            if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
                raise NetworkError(f"{_shown(url)} was sent in an encoding that was not asked for")
            data = await _body(response, url, most)
            version = Version(response.headers.get("ETag", "")[:512], response.headers.get("Last-Modified", "")[:64])
            return Small(data, str(address), version)

    @asynccontextmanager
    async def _open(
        self, method: str, url: str, headers: Mapping[str, str]
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, URL]]:
        """The answer behind all redirects, and its address."""
        if self._session is None:
            self._session = self._session_factory()
        address = _address(url, url)
        for _hop in range(MAX_REDIRECTS + 1):
            proxy = self._network.proxy_for(address.scheme, address.host or "")
            async with self._session.request(
                method,
                address,
                headers=headers,
                allow_redirects=False,
                max_line_size=_LINE,
                max_field_size=_LINE,
                proxy=proxy.url if proxy else None,
                proxy_headers=credentials(proxy) if proxy else None,
            ) as response:
                if response.status not in REDIRECTS:
                    yield response, address
                    return
                target = response.headers.get("Location", "").strip()
                address = _address(str(address.join(URL(target, encoded=target.isascii()))), url)
        raise NetworkError(f"{_shown(url)} redirects more than {MAX_REDIRECTS} times")


def _gone(url: str, status: int) -> NotThereError:
    return NotThereError(f"{_shown(url)} cannot be had: the server answered {status}")


async def _body(response: aiohttp.ClientResponse, url: str, most: int) -> bytes:
    found = bytearray()
    while chunk := await response.content.readany():
        found += chunk
        if len(found) > most:
            response.close()
            raise NetworkError(f"{_shown(url)} has more than {most // 1024} KiB: is it the right address?")
    return bytes(found)


def _address(url: str, asked: str) -> URL:
    address = URL(url, encoded=url.isascii() and url.isprintable() and " " not in url)
    if address.scheme != "https" or not address.host:
        raise NetworkError(f"{_shown(asked)} leads to {_shown(url)}, which is no https address")
    return address


def _shown(url: str) -> str:
    return clean(without_secrets(url), 200)
