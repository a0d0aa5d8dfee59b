"""Bodies that are taken from the transport itself."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.transfer import intake
from luxusbd.transfer.intake import Intake, Memory
from luxusbd.transfer.pace import Control
from tests.transfer.conftest import FAST, Client
from tests.transfer.fault_server import Connection, FaultServer, Request, file

MIB = 1024 * 1024
DATA = random.Random(5).randbytes(9 * MIB + 11)
SHA256 = hashlib.sha256(DATA).hexdigest()
DIRECT = replace(FAST, direct_after=1, direct_rate=1, direct_rest=1, batch_max=2 * MIB, checkpoint_bytes=16 * MIB)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Intake]:
    """Every connection that changed hands."""
    made: list[Intake] = []
    original = Intake.take_over

    def take_over(transport: asyncio.BaseTransport | None) -> Intake | None:
        if (one := original(transport)) is not None:
            made.append(one)
        return one

    monkeypatch.setattr(Intake, "take_over", take_over)
    return made


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
async def test_a_file(
    client: Client, tls_client: Client, tls_server: FaultServer, server: FaultServer, taken: list[Intake], secure: bool
) -> None:
    ours, there = (tls_client, tls_server) if secure else (client, server)
    there.data = DATA
    outcome = await ours.fetch([there.route("/f", file())], sha256=SHA256, limits=DIRECT)
    assert outcome.error is None
    assert outcome.content == DATA
    assert len(taken) == 1
    assert [request.start for request in there.log] == [0]


async def test_several_mirrors_each_of_which_is_fast(client: Client, server: FaultServer, taken: list[Intake]) -> None:
    server.data = DATA
    limits = replace(DIRECT, share_min=MIB, race_span=MIB, range_size=2 * MIB, piece_size=MIB, steal_align=MIB // 4)
    async with FaultServer(DATA, address="127.0.0.3") as second:
        urls = [server.route("/f", file()), second.route("/f", file())]
        outcome = await client.fetch(urls, sha256=SHA256, size=len(DATA), limits=limits)
    assert outcome.content == DATA
    assert len(taken) >= 2


async def test_a_limit_that_comes_later(client: Client, server: FaultServer, taken: list[Intake]) -> None:
    server.data = DATA
    control = Control()

    def limit(progress: object) -> None:
        if taken and not control.bucket.rate:
            control.set_bandwidth(40 * MIB)

    outcome = await client.fetch(
        [server.route("/f", file())], sha256=SHA256, limits=replace(DIRECT, read_buffer=64 * 1024), control=control,
        watch=limit,
    )  # fmt: skip
    assert outcome.content == DATA
    assert control.bucket.rate
    assert len(taken) == 1


async def test_pause_and_resume(client: Client, server: FaultServer, taken: list[Intake]) -> None:
    """What was received before the pause is not asked for again."""
    server.data = DATA
    control = Control()
    loop = asyncio.get_running_loop()
    paused: list[bool] = []

    async def first_part(_server: FaultServer, _request: Request, connection: Connection) -> None:
        await connection.head("206 Partial Content", f"Content-Range: bytes 0-{len(DATA) - 1}/{len(DATA)}",
                              f"Content-Length: {len(DATA)}", 'ETag: "v1"')  # fmt: skip
        await connection.send(DATA[: 4 * MIB])
        await connection.hang()

    def pause(progress: object) -> None:
        if getattr(progress, "bytes_done", 0) >= 4 * MIB and not paused:
            paused.append(True)
            control.pause()
            loop.call_later(0.1, control.resume)

    outcome = await client.fetch(
        [server.route("/f", first_part, file())], sha256=SHA256, limits=DIRECT, control=control, watch=pause
    )
    assert outcome.content == DATA
    assert [request.start for request in server.log] == [0, 4 * MIB]
    assert len(taken) == 2


class Transport(asyncio.Transport):
    """Hands bytes to its protocol as long as that takes any."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: asyncio.BaseProtocol = asyncio.Protocol()
        self.paused = False

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def bring(self, data: bytes) -> bytes:
        """The rest that finds no room."""
        protocol = self.protocol
        assert isinstance(protocol, Intake)
        while data and not self.paused:
            room = protocol.get_buffer(-1)
            count = min(len(room), len(data))
            room[:count] = data[:count]
            protocol.buffer_updated(count)
            data = data[count:]
        return data


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=30),
    st.lists(st.booleans(), min_size=1, max_size=20),
    st.integers(0, 2**32),
)
def test_no_byte_changes_before_it_is_given_back(sizes: list[int], kept: Sequence[bool], seed: int) -> None:
    """Whatever is kept for how long, in whole or in part: it reads as it came, and memory is used again otherwise."""
    data = random.Random(seed).randbytes(sum(sizes))

    async def run() -> None:
        transport = Transport()
        reader = Intake.take_over(transport)
        assert reader is not None
        held: list[tuple[Memory, int]] = []
        position, rest, portions, turn = 0, b"", list(sizes), 0
        while position < len(data):
            if portions and not rest:
                size = portions.pop(0)
                start = len(data) - sum(portions) - size
                rest = data[start : start + size]
            rest = transport.bring(rest)
            chunk = await reader.read()
            part = chunk[len(chunk) // 2 :]
            held += [(part, position + len(chunk) - len(part))]
            if kept[turn % len(kept)]:
                held.append((chunk, position))
            position += len(chunk)
            if not kept[turn % len(kept)]:
                reader.give_back([chunk])
            turn += 1
            for one, at in held:
                assert bytes(one) == data[at : at + len(one)]
            while len(held) > 6:
                reader.give_back([held.pop(0)[0]])
        transport.protocol = asyncio.Protocol()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intake, "BUFFER", 16)
        patch.setattr(intake, "ENOUGH", 8)
        patch.setattr(intake, "BRIEF", 0.0)
        asyncio.run(run())


async def test_memory_is_used_again() -> None:
    transport = Transport()
    reader = Intake.take_over(transport)
    assert reader is not None
    seen = set()
    for _ in range(50):
        transport.bring(bytes(intake.BUFFER))
        chunk = await reader.read()
        assert isinstance(chunk, memoryview)
        seen.add(id(chunk.obj))
        reader.give_back([chunk])
    assert len(seen) <= 3


async def test_what_came_before_the_break_comes_first() -> None:
    transport = Transport()
    reader = Intake.take_over(transport)
    assert reader is not None
    transport.bring(b"last words")
    reader.connection_lost(ConnectionResetError())
    assert bytes(await reader.read()) == b"last words"
    with pytest.raises(ConnectionResetError):
        await reader.read()


async def test_a_connection_that_ends() -> None:
    transport = Transport()
    reader = Intake.take_over(transport)
    assert reader is not None
    transport.bring(b"end")
    reader.eof_received()
    assert bytes(await reader.read()) == b"end"
    assert await reader.read() == b""
