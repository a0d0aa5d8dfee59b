"""Children and the pipe between them and the core."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from luxusbd.children.protocol import Channel, Params
from luxusbd.children.supervisor import ChildProcess, Identity, child
from luxusbd.errors import ConfigError, InternalError, InterruptedJobError, NetworkError

PEER = "tests.children.peer"


@pytest.fixture
async def running() -> AsyncIterator[ChildProcess]:
    async with child(PEER) as process:
        yield process


async def test_requests_run_side_by_side_and_carry_descriptors(running: ChildProcess, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("first")
    two.write_text("second")
    with one.open() as a, two.open() as b:
        answers = await asyncio.gather(
            *(running.channel.request("echo", {"n": n}, [a.fileno(), b.fileno()][: n % 3]) for n in range(60))
        )
    for n, answer in enumerate(answers):
        assert answer == {"params": {"n": n}, "read": ["first", "second"][: n % 3]}
    assert (await running.channel.request("status"))["fds"] < 12


async def test_large_messages_pass(running: ChildProcess) -> None:
    text = "é" * 1_000_000
    assert (await running.channel.request("echo", {"text": text}))["params"]["text"] == text


async def test_errors_keep_their_class(running: ChildProcess) -> None:
    with pytest.raises(NetworkError, match="no route"):
        await running.channel.request("fail")
    with pytest.raises(InternalError) as caught:
        await running.channel.request("defect")
    assert "secret" not in str(caught.value)
    with pytest.raises(InternalError, match="no method 'nothing'"):
        await running.channel.request("nothing")


async def test_cancelling_a_request_cancels_the_work() -> None:
    events: asyncio.Queue[str] = asyncio.Queue()

    def on_event(name: str, _params: Params) -> None:
        events.put_nowait(name)

    async with child(PEER, on_event=on_event) as process:
        task = asyncio.create_task(process.channel.request("slow"))
        assert await events.get() == "started"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await events.get() == "cancelled"
        assert await process.channel.request("echo", {}) == {"params": {}, "read": []}


@pytest.mark.parametrize("method", ["die", "garbage"])
async def test_a_child_that_dies_or_babbles_fails_its_requests(method: str) -> None:
    async with child(PEER) as process:
        waiting = asyncio.create_task(process.channel.request("slow"))
        with pytest.raises(InterruptedJobError):
            await process.channel.request(method)
        with pytest.raises(InterruptedJobError):
            await waiting
        with pytest.raises(InterruptedJobError):
            await process.channel.request("echo")


async def test_a_child_ends_with_its_block_even_when_stopped() -> None:
    async with child(PEER) as process:
        await process.channel.request("echo")
        process.signal(signal.SIGSTOP)
        process.signal(signal.SIGCONT)
    assert process.process.returncode is not None
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


async def test_the_environment_is_small(running: ChildProcess) -> None:
    status = await running.channel.request("status")
    assert set(status["env"]) <= {
        "PATH",
        "LC_ALL",
        "PYTHONPATH",
        "PYTHONDONTWRITEBYTECODE",
        "LC_CTYPE",
        "LUXUSBD_LOG_LEVEL",
    }


@pytest.mark.root
async def test_another_user_without_groups() -> None:
    async with child(PEER, identity=Identity.of_user("nobody")) as process:
        status = await process.channel.request("status")
    assert status["uid"] == 65534
    assert status["gids"] == []


def test_unknown_users_are_explained() -> None:
    with pytest.raises(ConfigError, match="there is no user 'nobody-at-all'"):
        Identity.of_user("nobody-at-all")


async def test_a_peer_that_dies_while_it_is_told_something_is_no_cancellation() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    serving = asyncio.create_task(channel.run())
    # nobody reads, so that the message is still on its way when the other end closes
    asking = asyncio.create_task(channel.request("echo", {"text": "x" * 8_000_000}))
    await asyncio.get_running_loop().run_in_executor(None, theirs.recv, 1)
    theirs.close()
    with pytest.raises(InterruptedJobError):
        await asking
    await serving
