"""A machine without a network: no mirror is to blame, and a way out that comes back is noticed."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from luxusbd.transfer import online, source
from luxusbd.transfer.answers import FailureKind, SourceError
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.mirrors import MirrorBook
from luxusbd.transfer.online import has_route, wait_for_route

LIMITS = TransferLimits()
KEY = ConnectionKey("mirror.test", 80, False, True, None, None, None)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def no_network() -> SourceError:
    return SourceError(FailureKind.NO_NETWORK, "could not be reached: Network is unreachable", weight=0)


def test_without_a_way_out_nobody_is_given_up() -> None:
    clock = Clock()
    book = MirrorBook(["https://a.test/x", "https://b.test/x"], LIMITS, clock)
    for _ in range(1000):
        choice = book.next()
        assert choice is not None
        mirror, wait = choice
        assert wait <= LIMITS.offline_wait
        clock.now += wait
        book.failed(mirror, no_network(), brought_bytes=False)
    assert book.offline
    assert book.next() is not None
    assert "Network is unreachable (500 times)" in book.report()
    book.wake()
    awake = book.next()
    assert awake is not None
    assert awake[1] == 0.0


def test_a_mirror_that_cannot_be_reached_over_a_network_is() -> None:
    clock = Clock()
    book = MirrorBook(["https://a.test/x"], LIMITS, clock)
    for _ in range(LIMITS.network_attempts):
        choice = book.next()
        assert choice is not None
        clock.now += choice[1]
        book.failed(choice[0], SourceError(FailureKind.NO_NETWORK, "refused"), brought_bytes=False)
    assert book.next() is None


@pytest.mark.parametrize("out", [False, True])
@pytest.mark.parametrize(
    ("error", "local"),
    [
        (aiohttp.ClientConnectorError(KEY, OSError(errno.ENETUNREACH, "x")), True),
        (aiohttp.ClientConnectorError(KEY, OSError(errno.EHOSTUNREACH, "x")), True),
        (aiohttp.ClientConnectorDNSError(KEY, OSError(-3, "x")), True),
        (aiohttp.ClientConnectorError(KEY, OSError(errno.ECONNREFUSED, "x")), False),
        (aiohttp.ClientConnectorError(KEY, OSError(errno.ETIMEDOUT, "x")), False),
    ],
)
def test_what_is_no_network(
    monkeypatch: pytest.MonkeyPatch, error: aiohttp.ClientConnectorError, local: bool, out: bool
) -> None:
    """A refused connection was refused by somebody, and with a way out it is the mirror that is not there."""
    monkeypatch.setattr(source, "has_route", lambda: out)
    assert source._no_network(error, "x").weight == (0 if local and not out else 1)


@pytest.mark.root
def test_the_kernel_is_asked() -> None:
    """In a network of its own, at first without anything, then with a way out."""
    script = "from luxusbd.transfer.online import has_route; print(has_route())"
    told = subprocess.run(
        [
            *("unshare", "--net", "sh", "-c"),
            '"$0" -c "$1"; ip link set lo up; "$0" -c "$1"; ip route add default dev lo; "$0" -c "$1"',
            sys.executable,
            script,
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == ["False", "False", "True"]
    assert has_route() in (True, False)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(online, "POLL", 0.01)
    monkeypatch.setattr(online, "SETTLE", 0.0)


async def test_a_way_out_that_comes_back_ends_the_wait(quick: None) -> None:
    looks = iter([False, False, False, True])
    async with asyncio.timeout(30):
        assert await wait_for_route(1000.0, lambda: next(looks)) is True


async def test_one_that_goes_and_comes_back_does_too(quick: None) -> None:
    looks = iter([True, True, False, True])
    async with asyncio.timeout(30):
        assert await wait_for_route(1000.0, lambda: next(looks)) is True


@pytest.mark.parametrize("out", [False, True])
async def test_else_it_ends_in_time(quick: None, out: bool) -> None:
    assert await wait_for_route(0.1, lambda: out) is False
