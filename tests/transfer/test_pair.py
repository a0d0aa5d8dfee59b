"""A document and its signature, fetched from servers that change, lie, break off and hold back."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.errors import InterruptedJobError, InvalidArgumentError, LuxusbError, NetworkError
from luxusbd.transfer.engine import Downloader
from luxusbd.transfer.pairmodel import Pair, PairRequest, pair_from_json, pair_request_from_json
from luxusbd.transfer.source import default_session
from tests.harness.tls import Authority
from tests.transfer.conftest import FAST, IMPATIENT
from tests.transfer.fault_server import (
    DATE,
    FaultServer,
    chunked,
    file,
    half,
    raw,
    redirect,
    status,
    until_close,
)

MOST = 400_000
SIGNATURE = b"the signature"


@pytest.fixture
def targets() -> Iterator[tuple[int, int]]:
    fds = os.memfd_create("document"), os.memfd_create("signature")
    yield fds
    for fd in fds:
        os.close(fd)


@asynccontextmanager
async def downloader(authority: Authority | None = None, limits: Any = FAST) -> AsyncIterator[Downloader]:
    made = Downloader(lambda: default_session(authority.client if authority else None), limits)
    try:
        yield made
    finally:
        await made.close()


def request(server: FaultServer, **changes: Any) -> PairRequest:
    server.route("/c.json.asc", status("200 OK", body=SIGNATURE))
    return replace(PairRequest(server.base + "/c.json", server.base + "/c.json.asc", MOST, 100), **changes)


async def fetch(
    wanted: PairRequest, targets: tuple[int, int], authority: Authority | None = None, limits: Any = FAST
) -> Pair:
    async with downloader(authority, limits) as made:
        return await made.fetch_pair(wanted, *targets, lambda _done, _total: None)


async def test_both_come(server: FaultServer, targets: tuple[int, int]) -> None:
    server.route("/c.json", file(etag='W/"v1"'))
    seen: list[tuple[int, int]] = []
    async with downloader() as made:
        pair = await made.fetch_pair(request(server), *targets, lambda *now: seen.append(now))
    assert pair == Pair(True, len(server.data), len(SIGNATURE), 'W/"v1"', DATE)
    assert os.pread(targets[0], MOST, 0) == server.data
    assert os.pread(targets[1], MOST, 0) == SIGNATURE
    assert seen[-1] == (len(server.data), len(server.data))
    (asked,) = server.asked("/c.json")
    assert asked.headers["cache-control"] == "no-cache"
    assert "if-none-match" not in asked.headers
    assert asked.headers["accept-encoding"] == "identity"


async def test_what_is_at_hand_is_not_sent_again(server: FaultServer, targets: tuple[int, int]) -> None:
    """Nor is its signature asked for: the two are a pair."""
    server.route("/c.json", status("304 Not Modified"))
    wanted = request(server, etag='"v1"', last_modified=DATE)
    assert await fetch(wanted, targets) == Pair(False, etag='"v1"', last_modified=DATE)
    (asked,) = server.asked("/c.json")
    assert (asked.headers["if-none-match"], asked.headers["if-modified-since"]) == ('"v1"', DATE)
    assert server.asked("/c.json.asc") == []


async def test_nothing_new_without_a_question_is_no_answer(server: FaultServer, targets: tuple[int, int]) -> None:
    server.route("/c.json", status("304 Not Modified"))
    with pytest.raises(NetworkError, match="answered 304"):
        await fetch(request(server), targets)


@pytest.mark.parametrize(
    ("move", "said"),
    [
        (status("404 Not Found"), "answered 404"),
        (status("403 Forbidden"), "answered 403"),
        (status("200 OK", "Content-Type: text/html", body=b"<html>login</html>"), "a web page instead of the file"),
        (status("200 OK", "Content-Encoding: gzip", body=b"x"), "encoded as gzip"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", then="hang"), "sends more than 390.6 KiB"),
        (chunked(part=1.0), "sends more than 9.8 KiB"),
        (raw(b"nonsense\r\n\r\n"), "did not answer in valid HTTP"),
        (redirect("ftp://one.example/c.json"), "neither http nor https"),
        (redirect("/c.json"), "redirects more than"),
    ],
)
async def test_what_is_of_no_use_is_asked_for_once(
    server: FaultServer, targets: tuple[int, int], move: Any, said: str
) -> None:
    server.route("/c.json", move)
    wanted = request(server, most=10_000) if "9.8" in said else request(server)
    with pytest.raises(NetworkError, match=re.escape(server.base) + "/c.json: .*" + said):
        await fetch(wanted, targets)
    assert len(server.asked("/c.json")) == (11 if "redirects more" in said else 1)
    assert server.asked("/c.json.asc") == []
    assert os.fstat(targets[0]).st_size <= wanted.most


@pytest.mark.parametrize(
    "move",
    [
        status("500 Internal Server Error"),
        status("503 Service Unavailable", "Retry-After: 0"),
        file(cut=1000),
        chunked(part=0.5, terminated=False),
        half("reset"),
        raw(b"", then="close"),
    ],
)
async def test_what_may_pass_is_asked_for_again(server: FaultServer, targets: tuple[int, int], move: Any) -> None:
    server.route("/c.json", move, move, file())
    pair = await fetch(request(server), targets)
    assert pair.size == len(server.data)
    assert os.pread(targets[0], MOST, 0)[: pair.size] == server.data
    assert len(server.asked("/c.json")) == 3


async def test_it_does_not_ask_for_ever(server: FaultServer, targets: tuple[int, int]) -> None:
    server.route("/c.json", raw(b"", then="hang"))
    with pytest.raises(NetworkError, match="gave no answer within"):
        await fetch(request(server), targets, limits=replace(IMPATIENT, header_timeout=0.2))
    assert len(server.asked("/c.json")) == 4
    server.route("/c.json", status("503 Service Unavailable", "Retry-After: 3600"))
    with pytest.raises(NetworkError, match="answered 503"):
        await fetch(request(server), targets)
    assert len(server.asked("/c.json")) == 5


async def test_a_document_without_a_length_and_an_empty_one(server: FaultServer, targets: tuple[int, int]) -> None:
    """Where the end is told by the connection alone, the signature decides whether it was the end."""
    server.route("/c.json", until_close(0.5))
    assert (await fetch(request(server), targets)).size == len(server.data) // 2
    server.route("/c.json", status("200 OK"))
    assert (await fetch(request(server), targets)).size == 0


async def test_without_a_signature_nothing_is_fetched(server: FaultServer, targets: tuple[int, int]) -> None:
    server.route("/c.json", file())
    wanted = request(server)
    server.route("/c.json.asc", status("404 Not Found"))
    with pytest.raises(NetworkError, match=r"c\.json\.asc: answered 404"):
        await fetch(wanted, targets)
    server.route("/c.json.asc", status("200 OK", body=b"x" * 101))
    with pytest.raises(NetworkError, match="sends more than 100 bytes"):
        await fetch(wanted, targets)


async def test_from_https_there_is_no_way_back_to_http(
    tls_server: FaultServer, server: FaultServer, authority: Authority, targets: tuple[int, int]
) -> None:
    server.route("/c.json", file())
    tls_server.route("/c.json", redirect(server.base + "/c.json"))
    with pytest.raises(NetworkError, match="redirects to plain http, where https was asked for"):
        await fetch(request(tls_server), targets, authority)
    assert server.asked("/c.json") == []
    # plain http that the administrator named may lead to https
    tls_server.route("/c.json", file())
    server.route("/c.json", redirect(tls_server.base + "/c.json"))
    assert (await fetch(request(server), targets, authority)).changed


async def test_a_certificate_that_is_not_valid(tls_server: FaultServer, targets: tuple[int, int]) -> None:
    tls_server.route("/c.json", file())
    with pytest.raises(NetworkError, match="its TLS certificate is not valid"):
        await fetch(request(tls_server), targets)


async def test_secrets_in_addresses_are_not_told(targets: tuple[int, int]) -> None:
    wanted = PairRequest("http://me:word@127.0.0.1:1/c.json?token=secret", "http://127.0.0.1:1/s", MOST, 100)
    with pytest.raises(NetworkError) as caught:
        await fetch(wanted, targets)
    assert "secret" not in caught.value.message
    assert "word" not in caught.value.message


REQUEST = PairRequest("https://a", "https://b", 100, 10, '"v"', "")


def test_a_request_crosses_the_channel() -> None:
    assert pair_request_from_json(asdict(REQUEST)) == REQUEST
    for key in ("url", "most", "etag"):
        with pytest.raises(InvalidArgumentError):
            pair_request_from_json({**asdict(REQUEST), key: None})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    JSON
    | st.fixed_dictionaries(
        {
            "changed": JSON | st.booleans(),
            "size": JSON | st.integers(0, 200),
            "signature_size": JSON | st.integers(0, 20),
            "etag": JSON | st.text(max_size=600),
            "last_modified": JSON | st.text(),
        }
    )
)
def test_an_answer_is_within_what_was_asked_or_nonsense(value: Any) -> None:
    try:
        pair = pair_from_json(value, REQUEST)
    except InterruptedJobError:
        return
    assert 0 <= pair.size <= REQUEST.most
    assert 0 <= pair.signature_size <= REQUEST.most_signature
    assert pair_from_json(asdict(pair), REQUEST) == pair


def test_nothing_new_is_no_answer_to_an_unconditional_question() -> None:
    with pytest.raises(LuxusbError):
        pair_from_json(asdict(Pair(False)), replace(REQUEST, etag=""))
    assert not pair_from_json(asdict(Pair(False)), REQUEST).changed
