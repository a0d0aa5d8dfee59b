"""Random messages from two users at the service: `python -m tests.bus.fuzz --messages 100000 --seed 1`.

The service runs in this process, with the fake engine and an authority that lets nobody but root. Takes root.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import pwd
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luxusbd.bus.authority import PrivateAuthority
from luxusbd.bus.connection import RemoteError
from luxusbd.bus.private import private_bus
from luxusbd.bus.service import BusService
from luxusbd.jobs.model import JobState
from tests.bus import matrix
from tests.bus.client import SERVICE, Client
from tests.bus.counting import CountingEngine, engine_method
from tests.bus.examples import job, view
from tests.bus.fuzz_messages import Messages
from tests.bus.polkit import NOBODY
from tests.bus.raw import RawClient

USERS = (NOBODY, pwd.getpwnam("daemon").pw_uid)
"""The bus lets nobody on whom the system does not know."""
STRANGER = 1234
BARRIER = 200
"""Messages after which a call has to be answered."""
FREE = frozenset(engine_method(row) for row in matrix.rows() if row.owner_is_free)
PERMITTED = FREE | {"adopt_stick", "list_jobs", "prune_images"}
"""What the engine may be asked for by a user who is refused everything; the last two with a limit, see `check`."""


@dataclass
class Findings:
    """What went wrong, and how much was done."""

    problems: list[str] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    hung_up: int = 0
    """How often the bus ended a connection, for a message that breaks its rules."""
    refused: int = 0
    """Calls that the bus turned away because too much waited for the service: by bytes, or by descriptors, of which
    dbus-daemon keeps few."""
    answers: int = 0
    """Bytes that came back."""
    acted: int = 0
    """Calls that reached the engine."""
    seconds: float = 0.0


class _Log(logging.Handler):
    """An error or a traceback in the log is a defect."""

    def __init__(self, findings: Findings) -> None:
        super().__init__(logging.WARNING)
        self._findings = findings

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR or record.exc_info:
            said = logging.Formatter("%(name)s: %(message)s").format(record)
            self._findings.problems.append(f"log: {said}")


@contextlib.contextmanager
def listening(findings: Findings) -> Iterator[None]:
    """Note what is logged, and what nobody caught."""
    handler = _Log(findings)
    logging.getLogger().addHandler(handler)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: findings.problems.append(f"nobody caught: {context}"))
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        loop.set_exception_handler(None)


class Sender:
    """A user whose connections the bus may end at any time."""

    def __init__(self, address: str, uid: int) -> None:
        self._address = address
        self._uid = uid
        self._client: RawClient | None = None
        self._reader: asyncio.Task[None] | None = None
        self.answered = 0
        """Bytes that came back."""

    async def send(self, data: bytes, fds: list[int]) -> bool:
        """Send one message; false when the bus had hung up before."""
        fresh = self._client is None or self._reader is None or self._reader.done()
        if fresh:
            await self.close()
            self._client = await RawClient.connect(self._address, self._uid)
            self._reader = asyncio.get_running_loop().create_task(self._client.discard())
        assert self._client is not None
        with contextlib.suppress(ConnectionError):
            await self._client.send(data, fds)
        return not fresh

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._client is not None:
            self.answered += self._client.discarded
            self._client.close()
        self._client = self._reader = None


@contextlib.asynccontextmanager
async def running(
    directory: Path, engine: CountingEngine, *, lax: bool = False
) -> AsyncIterator[tuple[str, BusService, Client]]:
    """A bus for the users, the service on it, and root as a client; a lax bus keeps nothing away from the service."""
    everything = '<policy context="mandatory"><allow send_destination="org.luxusb.Manager"/></policy>'
    async with private_bus(directory, users=USERS, extra_policy=everything if lax else "") as address:
        service = BusService(engine, address=address, authority=PrivateAuthority(0))
        await service.start()
        client = await Client.connect(address)
        try:
            yield address, service, client
        finally:
            await client.close()
            await service.stop()


def make_engine() -> CountingEngine:
    """Own, foreign and ended jobs, and a stick."""
    shown = view()
    engine = CountingEngine(views={shown.device.identity.id: shown})
    for number, uid in ((1, NOBODY), (3, STRANGER)):
        engine.put_job(job(number, uid))
    return engine


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def settle(service: BusService, client: Client) -> None:
    """Wait until the service has noticed that everybody else left."""
    async with asyncio.timeout(30):
        while service.watchers - {client.name}:
            await ask(client)
            assert service._parts is not None
            await service._parts.callers.sweep()  # the bus may have dropped the signal


async def ask(client: Client) -> int:
    """Have a call answered; how often the bus turned it away before."""
    refused = 0
    async with asyncio.timeout(30):
        while True:
            try:
                await client.call("ListImages", "a{sv}", {})
                return refused
            except RemoteError as error:
                if error.remote_name != "org.freedesktop.DBus.Error.LimitsExceeded":
                    raise
                refused += 1


def check(engine: CountingEngine, findings: Findings) -> None:
    """Nothing happened that nobody was allowed to do."""
    findings.problems += [f"not permitted: {name}" for name in sorted(set(engine.acted) - PERMITTED)]
    for name, *said in engine.calls:
        asked = (name == "list_jobs" and said[2]) or (name == "prune_images" and not said[1].dry_run)
        if asked or (name == "adopt_stick" and not said[1]):
            findings.problems.append(f"not permitted: {name} {said}")
        if name in ("cancel_job", "modify_job") and said[0] != 1:
            findings.problems.append(f"not permitted: {name} {said}")
    if engine.all_jobs[3].state is not JobState.RUNNING:
        findings.problems.append("the job of another user was steered")


async def fuzz(count: int, seed: int, directory: Path, *, lax: bool = False) -> Findings:
    """Send `count` messages; what was found."""
    findings, engine = Findings(), make_engine()
    began = time.monotonic()
    with listening(findings), Path(os.devnull).open("rb") as null:
        async with running(directory, engine, lax=lax) as (address, service, client):
            await client.call("ListImages", "a{sv}", {})
            before = descriptors()
            (owner,) = await client.connection.call_bus("GetNameOwner", "s", [SERVICE])
            messages = Messages(seed, owner)
            senders = [Sender(address, uid) for uid in USERS]
            for number in range(count):
                made = messages.next()
                fresh = not await senders[number % 2].send(made.data, [null.fileno()] * made.fds)
                findings.sent[made.kind] += 1
                findings.hung_up += fresh
                if made.kind == "broken":
                    # With a length that is too long, all that follows would be its body.
                    await senders[number % 2].close()
                if number % BARRIER == BARRIER - 1:
                    findings.refused += await ask(client)
                    for shown in list(engine.views.values())[1:]:
                        engine.remove_device(shown)
            for sender in senders:
                await sender.close()
            findings.answers = sum(sender.answered for sender in senders)
            findings.acted = len(engine.acted)
            await settle(service, client)
            if (after := descriptors()) != before:
                findings.problems.append(f"{after - before} descriptors were left open")
            check(engine, findings)
    findings.hung_up -= findings.sent["broken"] + len(senders)
    findings.seconds = time.monotonic() - began
    return findings


def main(argv: list[str]) -> int:
    """The exit code is 1 when something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lax", action="store_true", help="without the project's policy for the bus")
    given = parser.parse_args(argv)

    async def run() -> Findings:
        with tempfile.TemporaryDirectory(prefix="lux-") as directory:
            Path(directory).chmod(0o755)
            return await fuzz(given.messages, given.seed, Path(directory), lax=given.lax)

    found = asyncio.run(run())
    kinds: dict[str, Any] = dict(found.sent.most_common())
    print(f"{found.sent.total()} messages in {found.seconds:.0f} s, seed {given.seed}: {kinds}")
    print(f"{found.acted} calls reached the engine, {found.answers >> 10} KiB came back")
    print(
        f"the bus hung up {found.hung_up} times and turned {found.refused} calls away; {len(found.problems)} problems"
    )
    for problem, times in Counter(found.problems).most_common(50):
        print(f"{times} x {problem}")
    return 1 if found.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
