"""The way into the network: proxies, further authorities, and addresses of two kinds."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver

from luxusbd.config import Config, NetworkConfig
from luxusbd.configfile import parse
from luxusbd.errors import ConfigError, LuxusbError, NetworkError, ProxyError, VerificationError
from luxusbd.transfer import network as ways
from luxusbd.transfer.engine import Downloader
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.model import DownloadProgress, DownloadRequest
from luxusbd.transfer.network import Network
from luxusbd.transfer.source import default_session
from tests.harness.names import Names
from tests.harness.tls import Authority, openssl
from tests.transfer.conftest import DATA, FAST, SHA256, Outcome
from tests.transfer.fault_server import FaultServer, file, flip, half, redirect
from tests.transfer.proxies import Proxy, hangs_up, says
from tests.transfer.test_engine import closed_port

SIZE = len(DATA)


async def fetch(
    directory: Path,
    network: Network,
    *urls: str,
    size: int = 0,
    sha256: str = SHA256,
    context: ssl.SSLContext | None = None,
    resolver: AbstractResolver | None = None,
    limits: TransferLimits = FAST,
) -> Outcome:
    def session() -> aiohttp.ClientSession:
        made = default_session(context or network.tls())
        if resolver is not None:
            connector = made.connector
            assert isinstance(connector, aiohttp.TCPConnector)
            connector._resolver = resolver
        return made

    seen: list[DownloadProgress] = []
    downloader = Downloader(session, limits, network)
    result = error = None
    try:
        request = DownloadRequest(urls, sha256, size, str(directory), "file.iso")
        result = await downloader.download(request, seen.append)
    except LuxusbError as failed:
        error = failed
    finally:
        await downloader.close()
    final = directory / "file.iso"
    return Outcome(result, error, seen, final.read_bytes() if final.exists() else None)


def port_of(server: FaultServer) -> int:
    return int(server.base.rpartition(":")[2])


@pytest.fixture
async def proxy(server: FaultServer) -> AsyncIterator[Proxy]:
    async with Proxy({"mirror.test": port_of(server), "other.test": port_of(server)}) as running:
        yield running


def through(proxy: Proxy, **changes: object) -> Network:
    """The network as a configuration with this proxy says."""
    return ways.load(NetworkConfig(proxy=proxy.url, **changes))  # type: ignore[arg-type]


# Proxies


async def test_http_goes_through_the_proxy(memory_path: Path, server: FaultServer, proxy: Proxy) -> None:
    """The name of the mirror is one that only the proxy knows."""
    server.route("/a", file(cut=200_000), file())
    outcome = await fetch(memory_path, through(proxy), "http://mirror.test/a")
    assert outcome.content == DATA
    assert {(asked.method, asked.target) for asked in proxy.log} == {("GET", "http://mirror.test/a")}
    # and is resumed through it
    assert [asked.headers["range"].startswith("bytes=0-") for asked in proxy.log] == [True, False]


async def test_https_goes_through_a_tunnel(
    memory_path: Path, tls_server: FaultServer, authority: Authority, tmp_path: Path
) -> None:
    tls_server.route("/a", file())
    async with Proxy({"localhost": port_of(tls_server)}) as proxy:
        address = f"https://localhost:{port_of(tls_server)}/a"
        network = through(proxy, no_proxy=(), ca_file=str(authority.file))
        outcome = await fetch(memory_path, network, address)
        assert outcome.content == DATA
        assert [(asked.method, asked.target) for asked in proxy.log] == [
            ("CONNECT", f"localhost:{port_of(tls_server)}")
        ]
        # the proxy sees nothing of what is asked for
        assert "range" not in proxy.log[0].headers


async def test_a_proxy_that_is_spoken_to_over_tls(
    memory_path: Path, tls_server: FaultServer, authority: Authority
) -> None:
    tls_server.route("/a", file())
    async with Proxy({"localhost": port_of(tls_server)}, context=authority.good) as proxy:
        network = through(proxy, no_proxy=(), ca_file=str(authority.file))
        outcome = await fetch(memory_path, network, f"https://localhost:{port_of(tls_server)}/a")
    assert outcome.content == DATA


async def test_a_tunnel_is_no_way_round_certificates(memory_path: Path, authority: Authority) -> None:
    async with FaultServer(DATA, authority.wrong_host) as bad, Proxy({"localhost": port_of(bad)}) as proxy:
        bad.route("/a", file())
        network = through(proxy, no_proxy=(), ca_file=str(authority.file))
        outcome = await fetch(memory_path, network, f"https://localhost:{port_of(bad)}/a")
        assert isinstance(outcome.error, NetworkError)
        assert "its TLS certificate is not valid" in outcome.error.message
        assert not bad.log


async def test_a_redirect_may_need_another_way(memory_path: Path, server: FaultServer, proxy: Proxy) -> None:
    server.route("/a", redirect(f"{server.base}/b"))
    server.route("/b", file())
    outcome = await fetch(memory_path, through(proxy), "http://mirror.test/a")
    assert outcome.content == DATA
    assert [asked.target for asked in proxy.log] == ["http://mirror.test/a"]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("known", [False, True])
async def test_49_a_proxy_that_wants_a_password(
    memory_path: Path, proxy: Proxy, tmp_path: Path, scheme: str, known: bool
) -> None:
    proxy.credentials = "luxusb:s3cret:x"
    credentials = tmp_path / "credentials"
    credentials.write_text("luxusb:wrong-one\n")
    credentials.chmod(0o600)
    network = through(proxy, **({"proxy_credentials": str(credentials)} if known else {}))
    outcome = await fetch(memory_path, network, f"{scheme}://mirror.test/a", f"{scheme}://other.test/a")
    assert isinstance(outcome.error, ProxyError)
    first = outcome.error.message.splitlines()[0]
    what = "does not take our user name and password" if known else "wants a user name and a password"
    assert first.startswith(f"the proxy {proxy.url} {what} (407); the administrator sets them in the file")
    assert "network.proxy_credentials" in first
    assert "wrong-one" not in outcome.error.message


@pytest.mark.parametrize("place", ["file", "address"])
async def test_a_proxy_gets_its_password_and_nobody_else(
    memory_path: Path, server: FaultServer, proxy: Proxy, tmp_path: Path, place: str
) -> None:
    proxy.credentials = "luxusb:s3:c%ret"
    if place == "file":
        credentials = tmp_path / "credentials"
        credentials.write_text("luxusb:s3:c%ret\n")
        credentials.chmod(0o600)
        network = through(proxy, proxy_credentials=str(credentials))
    else:
        network = ways.load(NetworkConfig(proxy=proxy.url.replace("://", "://luxusb:s3%3Ac%25ret@")))
    server.route("/a", file(cut=100_000), file())
    outcome = await fetch(memory_path, network, "http://mirror.test/a")
    assert outcome.content == DATA
    assert not any("authorization" in name for request in server.log for name in request.headers)
    told = json.dumps([progress.note for progress in outcome.seen]) + repr(network)
    assert "ret" not in told
    assert str(network.http) == proxy.url


async def test_a_proxy_that_is_not_there_is_named(memory_path: Path) -> None:
    network = ways.load(NetworkConfig(proxy=f"http://127.0.0.1:{closed_port()}"))
    outcome = await fetch(memory_path, network, "http://mirror.test/a", "https://mirror.test/a")
    assert isinstance(outcome.error, NetworkError)
    assert outcome.error.message.count(f"the proxy {network.http} could not be reached: Connection refused") == 2
    assert "no mirror could be reached: check the network" in outcome.error.message


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_hangs_up(memory_path: Path, server: FaultServer, proxy: Proxy, scheme: str) -> None:
    proxy.lie = hangs_up
    good = server.route("/b", file())
    outcome = await fetch(memory_path, through(proxy), f"{scheme}://mirror.test/a", good)
    assert outcome.content == DATA


@pytest.mark.parametrize(
    ("status", "said"), [("502 Bad Gateway", "502 Bad Gateway"), ("403 Not for you", "403 Not for you")]
)
async def test_a_proxy_that_lets_nothing_through(memory_path: Path, proxy: Proxy, status: str, said: str) -> None:
    proxy.lie = says(status)
    outcome = await fetch(memory_path, through(proxy), "https://mirror.test/a")
    assert isinstance(outcome.error, NetworkError)
    assert f"is not let through by the proxy {proxy.url}: it answered {said}" in outcome.error.message
    # with 403 it will say the same again
    assert len(proxy.log) == (1 if status.startswith("403") else FAST.attempts)


async def test_a_proxy_with_a_page_of_its_own(memory_path: Path, proxy: Proxy) -> None:
    proxy.lie = says("200 OK", "Content-Type: text/html", body=b"<h1>Blocked by policy</h1>")
    outcome = await fetch(memory_path, through(proxy), "http://mirror.test/a", size=SIZE)
    assert isinstance(outcome.error, NetworkError)
    assert "answered with a web page" in outcome.error.message


async def test_49_a_cache_that_has_a_part_only(memory_path: Path, server: FaultServer, proxy: Proxy) -> None:
    """It says that the part is all: the known size gives it away, and another way is taken."""
    proxy.lie = says("200 OK", "Content-Type: application/octet-stream", body=DATA[:50_000])
    good = server.route("/b", file())
    outcome = await fetch(memory_path, through(proxy), "http://mirror.test/a", good, size=SIZE)
    assert outcome.content == DATA


async def test_49_a_cache_that_has_another_version(memory_path: Path, server: FaultServer, proxy: Proxy) -> None:
    proxy.lie = says("200 OK", "Content-Type: application/octet-stream", body=flip(DATA))
    alone = await fetch(memory_path, through(proxy), "http://mirror.test/a", size=SIZE)
    assert isinstance(alone.error, VerificationError)
    good = server.route("/b", file())
    outcome = await fetch(memory_path, through(proxy), "http://mirror.test/a", good, size=SIZE)
    assert outcome.content == DATA


@pytest.mark.parametrize(
    ("rules", "host", "direct"),
    [
        ((), "127.0.0.1", False),
        (NetworkConfig().no_proxy, "127.0.0.1", True),
        (NetworkConfig().no_proxy, "127.8.9.1", True),
        (NetworkConfig().no_proxy, "::1", True),
        (NetworkConfig().no_proxy, "localhost", True),
        (NetworkConfig().no_proxy, "mirror.localhost", True),
        (NetworkConfig().no_proxy, "localhost.example.org", False),
        (("example.org",), "example.org", True),
        (("example.org",), "mirror.EXAMPLE.org.", True),
        (("example.org",), "badexample.org", False),
        ((".example.org",), "mirror.example.org", True),
        (("*.example.org",), "mirror.example.org", True),
        (("10.0.0.0/8",), "10.20.30.40", True),
        (("10.0.0.0/8",), "11.0.0.1", False),
        (("10.0.0.7",), "10.0.0.7", True),
        (("fd00::/8",), "fd12::1", True),
        (("[fd12::1]",), "fd12::1", True),
        (("1.test",), "10.0.0.1", False),
        (("*",), "anything.example.org", True),
        (("", " "), "anything.example.org", False),
    ],
)
def test_what_is_reached_without(rules: tuple[str, ...], host: str, direct: bool) -> None:
    network = ways.load(NetworkConfig(proxy="http://proxy.test:3128", no_proxy=rules))
    assert (network.proxy_for("http", host) is None) is direct
    assert (network.proxy_for("https", host) is None) is direct


def test_one_proxy_for_each_scheme() -> None:
    network = ways.load(NetworkConfig(proxy="http://all.test:1", https_proxy="https://tls.test:2"))
    assert str(network.proxy_for("http", "x.test")) == "http://all.test:1"
    assert str(network.proxy_for("https", "x.test")) == "https://tls.test:2"
    only = ways.load(NetworkConfig(http_proxy="http://plain.test:1"))
    assert only.proxy_for("https", "x.test") is None
    assert ways.from_json(json.loads(json.dumps(ways.to_json(network)))) == network
    assert ways.from_json(ways.to_json(Network())) == Network()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('proxy = "socks5://proxy.test:1080"', "socks5 is no kind of proxy that can be used; supported are http://"),
        ('proxy = "proxy.test:3128"', "supported are http:// and https://"),
        ('proxy = "http://"', "has to name a host and a port"),
        ('proxy = "http://proxy.test:3128/path"', "nothing behind them"),
        ('https_proxy = "http://user:s3cret@proxy.test:99999"', "is no address of a proxy"),
        ('proxy_credentials = "here"', "begins with /"),
        ('no_proxy = "localhost"', "list of texts"),
    ],
)
def test_mistakes_in_the_configuration(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"[network]\n{text}\n", "x.toml", Config())
    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_files_that_the_configuration_names(tmp_path: Path) -> None:
    wrong = tmp_path / "file"
    for content, mode, said in (
        ("user:s3cret\n", 0o644, "can be read or written by others: chmod 600"),
        ("s3cret\n", 0o600, "has to be one line, user:password"),
        (":s3cret\n", 0o600, "has to be one line, user:password"),
        ("user:s3cret\nmore\n", 0o600, "has to be one line, user:password"),
        ("u:" + "s" * 2000, 0o600, "has to be one line, user:password"),
    ):
        wrong.write_text(content)
        wrong.chmod(mode)
        with pytest.raises(ConfigError, match=r"network\.proxy_credentials") as caught:
            ways.load(NetworkConfig(proxy="http://x.test:1", proxy_credentials=str(wrong)))
        assert said in str(caught.value)
        assert "s3cret" not in str(caught.value)
    for content in ("", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        wrong.write_text(content)
        with pytest.raises(ConfigError, match="holds no certificate authorities in PEM"):
            ways.load(NetworkConfig(ca_file=str(wrong)))
    none = str(tmp_path / "none")
    for network in (NetworkConfig(proxy_credentials=none), NetworkConfig(ca_file=none)):
        with pytest.raises(ConfigError, match=r"network\.\w+: .* cannot be read: No such file"):
            ways.load(network)


# TLS


async def test_45_an_authority_of_one_s_own(memory_path: Path, tls_server: FaultServer, authority: Authority) -> None:
    url = tls_server.route("/a", file())
    refused = await fetch(memory_path, Network(), url)
    assert isinstance(refused.error, NetworkError)
    assert "its TLS certificate is not valid" in refused.error.message
    assert tls_server.log == []
    outcome = await fetch(memory_path, ways.load(NetworkConfig(ca_file=str(authority.file))), url)
    assert outcome.content == DATA


async def test_45_a_server_that_vouches_for_itself(memory_path: Path, tmp_path: Path, authority: Authority) -> None:
    key, crt = str(tmp_path / "self.key"), str(tmp_path / "self.crt")
    subject = ("-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", crt, *subject)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    async with FaultServer(DATA, context) as server:
        url = server.route("/a", file())
        outcome = await fetch(memory_path, ways.load(NetworkConfig(ca_file=str(authority.file))), url)
        assert isinstance(outcome.error, NetworkError)
        assert "its TLS certificate is not valid" in outcome.error.message
        assert "self-signed certificate" in outcome.error.message
        assert server.log == []
        assert server.connections <= 1


async def test_45_a_stream_that_ends_without_goodbye(
    memory_path: Path, tls_server: FaultServer, authority: Authority
) -> None:
    """A cut TLS stream looks like an end; the length says that it is none."""
    url = tls_server.route("/a", half("close"), file())
    outcome = await fetch(memory_path, ways.load(NetworkConfig(ca_file=str(authority.file))), url, sha256="")
    assert outcome.content == DATA
    assert tls_server.log[-1].start > 0


# Addresses of two kinds


@contextlib.contextmanager
def black_hole(port: int) -> Iterator[None]:
    """On ::1 nobody answers at this port: a full queue of connections lets the kernel drop what comes (tcp(7))."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_INET6))
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(("::1", port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket(socket.AF_INET6))
            filler.setblocking(False)
            filler.connect_ex(("::1", port))
        yield


async def test_46_a_black_hole_does_not_stand_in_the_way(memory_path: Path, server: FaultServer) -> None:
    server.route("/a", file())
    with black_hole(port_of(server)):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.open_connection("::1", port_of(server))
        # one that waited for the first address would not get to the second one within these limits
        outcome = await fetch(
            memory_path,
            Network(),
            f"http://two.test:{port_of(server)}/a",
            resolver=Names("::1", "127.0.0.1"),
            limits=replace(FAST, header_timeout=10.0, attempts=1),
        )
    assert outcome.content == DATA
    assert outcome.seen[-1].note == ""
    assert not any("gave no answer" in progress.note for progress in outcome.seen)


async def test_46_addresses_of_the_new_kind_alone(memory_path: Path) -> None:
    served: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n".encode() + DATA)
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, "::1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        for address in (f"http://six.test:{port}/a", f"http://[::1]:{port}/a"):
            outcome = await fetch(memory_path, Network(), address, resolver=Names("::1"))
            assert outcome.content == DATA
            (memory_path / "file.iso").unlink()
    assert len(served) == 2
