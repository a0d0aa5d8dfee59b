"""The command's text agent with the real pkttyagent and the real polkitd.

A password that is right needs PAM and the system bus, and so a machine of its own; here polkit turns to the agent,
which asks for one and is given a wrong one.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from luxusbd import resources
from luxusbd.bus.service import BusService
from tests.bus.client import Client
from tests.bus.fake import FakeEngine
from tests.bus.polkit import NOBODY, program, real_polkitd, with_room_for_polkit
from tests.cli.process import Spawned


@pytest.fixture
async def address(bus_directory: Path) -> AsyncIterator[str]:
    async with with_room_for_polkit(bus_directory) as running:
        yield running


@pytest.fixture
async def service(address: str, engine: FakeEngine) -> AsyncIterator[BusService]:
    running = BusService(engine, address=address)
    await running.start()
    yield running
    await running.stop()


@pytest.mark.root
async def test_the_real_polkit_turns_to_the_real_agent(
    client: Client, address: str, tmp_path: Path, bus_directory: Path, engine: FakeEngine
) -> None:
    actions, rules = tmp_path / "actions", tmp_path / "rules"
    for directory in (tmp_path, actions, rules):
        directory.mkdir(exist_ok=True)
        directory.chmod(0o755)
    shutil.copy(resources.root() / "polkit" / "org.luxusb.policy", actions)
    # Without logind nobody has a session here, and polkit looks at fallback agents only in one; tests that are run in
    # a session of their own would be given such an agent.
    binaries = bus_directory / "bin"
    binaries.mkdir()
    wrapper = binaries / "pkttyagent"
    wrapper.write_text(
        '#!/bin/sh\nset -eu\n[ "$1" = --notify-fd ]\nfd=$2\nshift 2\n[ "$1" != --fallback ] || shift\n'
        f'[ "$1" = --process ]\nexec {shutil.which("pkttyagent")} --notify-fd "$fd" "$@"\n'
    )
    wrapper.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "DBUS_SYSTEM_BUS_ADDRESS": address,
        "XDG_CACHE_HOME": str(bus_directory / "cache"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LANG": "C.UTF-8",
    }
    async with program(address, client.connection, *real_polkitd(actions, rules)):
        argv = [sys.executable, "-m", "luxusb_cli", "download", "debian"]
        command = Spawned(argv, environment, terminal=True, uid=NOBODY)
        try:
            await asyncio.to_thread(command.wait_for, "Password:")
            # The agent asks first, and then turns the echo off in a way that throws away what was typed (TCSAFLUSH).
            await asyncio.to_thread(command.wait_for_hidden_input)
            await asyncio.to_thread(command.type, "wrong\n")
            code = await asyncio.to_thread(command.finish)
        finally:
            command.close()
    assert code == 3
    assert "Authentication is required to download distro:debian" in command.output
    assert "AUTHENTICATION FAILED" in command.output
    assert "the password was not accepted (org.luxusb.download)" in command.output
    assert engine.all_jobs == {}
