"""SIGHUP, which an upgrade of the package sends: the service starts anew without cutting what writes a stick."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from luxusb_cli.errors import DaemonError as CallError

from luxusbd.bus.private import private_bus
from tests.daemon import daemon as harness
from tests.daemon.caller import Caller
from tests.daemon.daemon import Daemon
from tests.daemon.images import MIB
from tests.daemon.leftovers import Machine
from tests.daemon.test_sleep import CONFIG
from tests.harness.mirrors import Mirror

pytestmark = pytest.mark.root

EX_TEMPFAIL = 75
SLOW = 2 * MIB


@pytest.fixture
async def service(place: Path, catalogue: Path) -> AsyncIterator[Daemon]:
    """On a bus that outlives it, as the one of the system does."""
    machine = Machine.now()
    async with private_bus(place / "b") as address:
        daemon = Daemon(place, catalogues=[catalogue], config=CONFIG.format(place=place), address=address)
        async with daemon:
            yield daemon
    machine.check_nothing_left(daemon)


async def test_a_stick_is_finished_first_and_downloads_go_on_afterwards(
    service: Daemon, stick: Path, mirror: Mirror, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "END_TIMEOUT", 60.0)
    mirror.rate = SLOW
    async with Caller.connect(service.address) as root:
        fetching = await root.client.download("distro:huge", bandwidth=128 * 1024)
        writing = await root.client.create((await root.plan([await root.target(stick)], ["distro:large"])).token)
        await root.stage(writing, "download")
        await root.progress(fetching, 1)
        core = service.core
        os.kill(core, signal.SIGHUP)
        async with asyncio.timeout(60):
            while "starting anew when these have ended" not in service.log:
                await asyncio.sleep(0.02)
        other = place / "other.img"
        other.write_bytes(b"")
        os.truncate(other, stick.stat().st_size)
        late = await root.plan([await root.target(other)], ["distro:alpha"])
        with pytest.raises(CallError, match="starts anew") as refused:
            await root.client.create(late.token)
        assert refused.value.name == "org.luxusb.Error.LimitExceeded"
        mirror.rate = 0
        await root.succeeded(writing)
    assert await service.ended() == EX_TEMPFAIL
    await service.start()
    assert service.core != core
    async with Caller.connect(service.address) as root:
        job = await root.client.job(fetching)
        assert not job.state.finished
        await root.client.modify(fetching, priority=None, bandwidth=0)
        assert (await root.succeeded(fetching)).resumed_bytes > 0
