"""One HTTP source: asks a mirror for a range, follows its redirects, and hands out the body under a watchdog."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass

import aiohttp
from yarl import URL

import luxusbd
from luxusbd.errors import NetworkError, ProxyError
from luxusbd.transfer.answers import (
    Answer,
    AnswerKind,
    Asked,
    Delimiter,
    FailureKind,
    SourceError,
    judge,
)
from luxusbd.transfer.gate import Claimant, HostGate
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.network import Network, Proxy
from luxusbd.transfer.online import LOCAL_ERRORS, has_route
from luxusbd.transfer.pace import RateMeter, RateWatch

_EARLY_END = "closed the connection before the end of the file"
REDIRECTS = (301, 302, 303, 307, 308)

SessionFactory = Callable[[], aiohttp.ClientSession]


def default_session(
    context: ssl.SSLContext | None = None, read_buffer: int = TransferLimits.read_buffer
) -> aiohttp.ClientSession:
    """A session for downloads. Must be called in a running loop.

    Connections are counted by `HostGate`, times by `HttpSource`; aiohttp's own total of 300 seconds would end every
    image download. One SSL context serves all: building one reads the whole bundle of authorities.
    """
    connector = aiohttp.TCPConnector(limit=0, ssl=context or ssl.create_default_context())
    return aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"luxusbd/{luxusbd.__version__}", "Accept": "*/*", "Accept-Encoding": "identity"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None, sock_read=None),
        read_bufsize=read_buffer,
        trust_env=False,
    )


@dataclass(frozen=True)
class Ticket:
    """On whose behalf a mirror is asked."""

    claimant: Claimant
    meter: RateMeter | None = None
    """Stands still while the request waits for its turn."""
    header_timeout: float = 0.0
    """Seconds, 0 for the usual."""
    waits: Callable[[], None] | None = None
    """Called when there are as many connections as may be, and it waits for one of them to end."""


class Body:
    """The bytes of an acceptable answer."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        answer: Answer,
        limits: TransferLimits,
        replaceable: Callable[[], bool],
        latency: float,
    ) -> None:
        self.answer = answer
        self.latency = latency
        """Seconds from the request to the headers of this answer, redirects included."""
        self.host = response.url.host or ""
        self.position = answer.start
        """Place in the file of the byte that comes next."""
        self._response = response
        self._limits = limits
        self._replaceable = replaceable
        self._watch = RateWatch(limits.slow_window, limits.slow_rate, asyncio.get_running_loop().time)
        self._broken: SourceError | None = None
        _take_more_at_once(response, limits.read_buffer)

    async def read(self, size: int = -1) -> bytes:
        """Some bytes (at most `size`, if that is positive), empty at the end of what was promised.

        Raises:
            SourceError: the connection broke, went silent, or drips while another mirror is there.
        """
        end = self.answer.end
        if end is not None and self.position >= end:
            return b""
        if self._watch.too_slow and self._replaceable():
            raise SourceError(FailureKind.SLOW, f"sent less than {self._limits.slow_rate} bytes a second")
        self._watch.begin()
        chunk = await self._receive(size)
        self._watch.end(len(chunk))
        if not chunk:
            if end is not None:
                raise SourceError(FailureKind.TRANSIENT, _EARLY_END)
            return b""
        if end is not None and self.position + len(chunk) > end:
            # more than was announced: nothing beyond the promise is taken, and the connection is not used again
            chunk = chunk[: end - self.position]
            self._response.close()
        self.position += len(chunk)
        return chunk

    async def _receive(self, size: int) -> bytes:
        if self._broken is not None:
            raise self._broken
        content = self._response.content
        try:
            async with asyncio.timeout(self._limits.stall_timeout):
                return await (content.read(size) if size > 0 else content.readany())
        except TimeoutError:
            raise SourceError(FailureKind.STALLED, f"sent nothing for {self._limits.stall_timeout:g} seconds") from None
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            # a RuntimeError is what aiohttp's StreamReader says when the connection went away between two reads
            cut = isinstance(error, aiohttp.ClientPayloadError | RuntimeError)
            text = _EARLY_END if cut else f"the connection broke: {_reason(error)}"
            self._broken = SourceError(FailureKind.TRANSIENT, text)
            if received := _received_before(content, error):
                return received
            raise self._broken from error


class HttpSource:
    """Asks mirrors for bytes, one for each download; it keeps nothing about it but what a proxy said."""

    def __init__(
        self, session: aiohttp.ClientSession, gate: HostGate, limits: TransferLimits, network: Network | None = None
    ) -> None:
        self._session = session
        self._gate = gate
        self._limits = limits
        self._network = network or Network()
        self._refused_by_proxy = ""

    def explained(self, error: BaseException) -> BaseException:
        """The failure of the whole download: where a proxy let nothing through, no mirror is to blame."""
        if isinstance(error, NetworkError) and self._refused_by_proxy:
            return ProxyError(f"{self._refused_by_proxy}\n{error}")
        return error

    def free(self, url: str) -> bool:
        """Whether a connection to the host of `url` would be had at once."""
        try:
            return self._gate.free(_host_key(_parse(url)))
        except SourceError:
            return True  # asking it fails at once, and that is worth knowing

    @property
    def contended(self) -> bool:
        """Whether downloads wait for a connection because there are too many in all."""
        return self._gate.contended

    @asynccontextmanager
    async def open(
        self, url: str, asked: Asked, replaceable: Callable[[], bool], ticket: Ticket
    ) -> AsyncIterator[Body]:
        """Ask `url` for `asked` and give the body of an acceptable answer.

        `replaceable` tells whether another mirror could take over, which is when a dripping server is left.

        Raises:
            SourceError: there is no acceptable answer.
        """
        address = _checked(_parse(url), None, asked)
        latency = 0.0
        clock = asyncio.get_running_loop().time
        for hop in range(self._limits.max_redirects + 1):
            async with self._slot(address, ticket):
                sent = clock()
                response = await self._send(address, asked, ticket.header_timeout or self._limits.header_timeout)
                latency += clock() - sent
                try:
                    if response.status not in REDIRECTS:
                        answer = self._judged(response, asked, address, redirected=hop > 0)
                        body = Body(response, answer, self._limits, replaceable, latency)
                        try:
                            yield body
                        except SourceError as error:
                            if error.kind is FailureKind.TRANSIENT and self._gate.too_many(_host_key(address)):
                                error.weight = 0
                            raise
                        self._gate.served(_host_key(address))
                        return
                    address = _redirected(response, address, asked)
                finally:
                    # frees the connection for the next request if the body was read to its end, else closes it
                    if response.content.at_eof():
                        response.release()
                    else:
                        response.close()
        raise SourceError(FailureKind.UNUSABLE, f"redirects more than {self._limits.max_redirects} times")

    @asynccontextmanager
    async def _slot(self, address: URL, ticket: Ticket) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            with ticket.meter.hold() if ticket.meter is not None else nullcontext():
                await stack.enter_async_context(self._gate.slot(_host_key(address), ticket.claimant, ticket.waits))
            yield

    def _judged(self, response: aiohttp.ClientResponse, asked: Asked, address: URL, *, redirected: bool) -> Answer:
        try:
            return judge(response.status, response.reason or "", response.headers, asked, str(address))
        except SourceError as error:
            error.redirected = redirected
            error.retry_after = min(error.retry_after, self._limits.retry_after_cap)
            if error.kind is FailureKind.BUSY and self._gate.too_many(_host_key(address)):
                error.weight = 0
            raise

    async def _send(self, address: URL, asked: Asked, patience: float) -> aiohttp.ClientResponse:
        proxy = self._network.proxy_for(address.scheme, address.host or "")
        headers = {}
        if asked.fresh:
            headers["Cache-Control"] = "no-cache"
        if asked.unless is not None:
            known = {"If-None-Match": asked.unless.etag, "If-Modified-Since": asked.unless.last_modified}
            headers.update({name: value for name, value in known.items() if value})
        if asked.ranged:
            headers["Range"] = f"bytes={asked.start}-{'' if asked.end is None else asked.end - 1}"
            had = asked.if_range
            # an ETag means something only to the server that gave it
            if had is not None and had.strong_etag and had.identity == _without_query(address):
                headers["If-Range"] = had.strong_etag
        try:
            async with asyncio.timeout(patience):
                response = await self._session.get(
                    address,
                    headers=headers,
                    allow_redirects=False,
                    max_line_size=16384,
                    max_field_size=16384,
                    proxy=proxy.url if proxy else None,
                    proxy_headers=credentials(proxy) if proxy else None,
                )
        except TimeoutError:
            through = f" through the proxy {proxy}" if proxy else ""
            raise SourceError(FailureKind.TRANSIENT, f"gave no answer{through} within {patience:g} seconds") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if proxy is not None and (fault := self._fault_of(proxy, error)) is not None:
                raise fault from error
            raise self._unreachable(error, address) from error
        if proxy is not None and response.status == 407:
            response.close()
            raise self._locked_out(proxy)
        return response

    def _fault_of(self, proxy: Proxy, error: Exception) -> SourceError | None:
        """What a proxy did, where it was the proxy and not the mirror behind it."""
        if isinstance(error, aiohttp.ClientHttpProxyError):
            if error.status == 407:
                return self._locked_out(proxy)
            said = f"{error.status} {''.join(filter(str.isprintable, error.message))[:80]}".rstrip()
            kind = FailureKind.UNUSABLE if 400 <= error.status < 500 else FailureKind.TRANSIENT
            return SourceError(kind, f"is not let through by the proxy {proxy}: it answered {said}")
        if isinstance(error, aiohttp.ClientConnectorError) and error.host == URL(proxy.url).host:
            if isinstance(error, aiohttp.ClientConnectorCertificateError):
                why = f"its TLS certificate is not valid: {error.certificate_error}"
            else:
                why = _reason(error)
            return _no_network(error, f"was not asked: the proxy {proxy} could not be reached: {why}")
        return None

    def _locked_out(self, proxy: Proxy) -> SourceError:
        what = "does not take our user name and password" if proxy.user else "wants a user name and a password"
        self._refused_by_proxy = (
            f"the proxy {proxy} {what} (407); the administrator sets them in the file that network.proxy_credentials"
            " names"
        )
        return SourceError(FailureKind.UNUSABLE, f"was not asked: the proxy {proxy} {what} (407)")

    def _unreachable(self, error: Exception, address: URL) -> SourceError:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return SourceError(FailureKind.UNUSABLE, f"its TLS certificate is not valid: {error.certificate_error}")
        if isinstance(error, aiohttp.ClientSSLError):
            return SourceError(FailureKind.TRANSIENT, f"TLS failed: {_reason(error)}", weight=2)
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return _no_network(error, f"its name {address.host} could not be resolved")
        if isinstance(error, aiohttp.ClientConnectorError):
            return _no_network(error, f"could not be reached: {_reason(error)}")
        if isinstance(error, aiohttp.ClientResponseError):
            return SourceError(FailureKind.BAD_ANSWER, f"did not answer in valid HTTP: {error.message[:200]}")
        if isinstance(error, aiohttp.InvalidURL):
            return SourceError(FailureKind.UNUSABLE, "is no valid address")
        failed = SourceError(FailureKind.TRANSIENT, f"the connection broke: {_reason(error)}")
        if self._gate.too_many(_host_key(address)):
            failed.weight = 0
        return failed


def _take_more_at_once(response: aiohttp.ClientResponse, size: int) -> None:
    # asyncio's transports read into new memory of this size (selector_events.py, sslproto.py have it as an attribute);
    # one that has no such attribute just goes on in smaller steps
    transport = response.connection.transport if response.connection is not None else None
    if transport is not None and getattr(transport, "max_size", size) < size:
        transport.max_size = size  # type: ignore[attr-defined]


def _no_network(error: aiohttp.ClientConnectorError, text: str) -> SourceError:
    # without a way out it is nobody's fault, and is to be waited out
    local = isinstance(error, aiohttp.ClientConnectorDNSError) or error.errno in LOCAL_ERRORS
    return SourceError(FailureKind.NO_NETWORK, text, weight=0 if local and not has_route() else None)


def credentials(proxy: Proxy) -> dict[str, str] | None:
    """The headers by which a proxy knows us, None without a user name."""
    # aiohttp makes a Proxy-Authorization of it, which with a tunnel the proxy alone gets
    return {"Authorization": aiohttp.encode_basic_auth(proxy.user, proxy.password, "utf-8")} if proxy.user else None


def _received_before(content: aiohttp.StreamReader, error: BaseException) -> bytes:
    """What arrived in good order before the connection broke.

    aiohttp hides it behind the error (up to twice the read buffer), so that a mirror which cuts early would never get
    anywhere; the error is lifted for one synchronous call.
    """
    content.set_exception(None)  # type: ignore[arg-type]
    received = content.read_nowait()
    content.set_exception(error)
    return received


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno:
        # asyncio puts addresses into the text, and joins those of several attempts
        return os.strerror(error.errno)
    return str(error)[:200] or type(error).__name__


def _parse(url: str) -> URL:
    try:
        # an address that is printable ASCII is taken as it is: quoting a signed one anew would break the signature
        return URL(url, encoded=url.isascii() and url.isprintable() and " " not in url)
    except (ValueError, TypeError) as error:
        raise SourceError(FailureKind.UNUSABLE, f"is no valid address: {error}") from error


def _checked(address: URL, before: URL | None, asked: Asked) -> URL:
    how = "" if before is None else "redirects to "
    if address.scheme not in ("http", "https") or not address.host:
        raise SourceError(FailureKind.UNUSABLE, f"{how or 'is '}{_shown(address)}, which is neither http nor https")
    if address.scheme == "http" and asked.https_only:
        raise SourceError(FailureKind.UNUSABLE, f"{how or 'is '}plain http, where https was asked for")
    if address.scheme == "http" and not asked.hash_known:
        raise SourceError(
            FailureKind.UNUSABLE,
            f"{how or 'is '}plain http, and without a known checksum nothing would prove that the file is genuine",
        )
    return address


def _redirected(response: aiohttp.ClientResponse, address: URL, asked: Asked) -> URL:
    location = response.headers.get("Location", "").strip()
    if not location:
        raise SourceError(FailureKind.BAD_ANSWER, f"answered {response.status} without saying where to go")
    target = _parse(location)
    try:
        joined = target if target.absolute else address.join(target)
    except ValueError as error:
        raise SourceError(FailureKind.BAD_ANSWER, f"redirects to no valid address: {error}") from error
    return _checked(joined.with_fragment(None), address, asked)


def _without_query(address: URL) -> str:
    return str(address).partition("#")[0].partition("?")[0]


def _host_key(address: URL) -> str:
    return (address.host or "").lower()


def _shown(address: URL) -> str:
    return str(address)[:200]


__all__ = ["AnswerKind", "Body", "Delimiter", "HttpSource", "SessionFactory", "default_session"]
