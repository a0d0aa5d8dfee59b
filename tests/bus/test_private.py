from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from luxusbd.bus.authority import PrivateAuthority
from luxusbd.bus.connection import Connection
from luxusbd.bus.private import bus_config, private_bus
from luxusbd.bus.service import BusService
from luxusbd.errors import FailedError
from tests.bus.client import OtherUser
from tests.bus.fake import FakeEngine


def daemons_of(config: Path) -> list[int]:
    """Process ids of the dbus-daemons that run with this configuration."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"--config-file={config}".encode() in entry.read_bytes().split(b"\0"):
                found.append(int(entry.parent.name))
        except OSError:
            continue  # it ended while we looked
    return found


async def test_it_accepts_and_ends(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "dir with ~ and &"
    async with private_bus(directory) as address:
        assert "~" not in address
        connection = await Connection.open(address)
        assert connection.unique_name.startswith(":")
        await connection.close()
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert len(daemons_of(directory / "bus.conf")) == 1
    assert daemons_of(directory / "bus.conf") == []
    assert not (directory / "bus").exists()


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A directory for sockets; one of pytest's may be too long a path for them itself."""
    with tempfile.TemporaryDirectory(prefix="lux-run-", dir="/tmp") as name:
        yield Path(name)


async def test_a_long_path_gets_a_short_socket(tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (str(runtime), "", "/" + "x" * 200):
        monkeypatch.setenv("XDG_RUNTIME_DIR", value)
        async with private_bus(tmp_path / ("long" * 30)) as address:
            holder = Path(address.removeprefix("unix:path=")).parent
            assert holder.parent == (runtime if value == str(runtime) else Path("/tmp"))
            assert stat.S_IMODE(holder.stat().st_mode) == 0o700
            await (await Connection.open(address)).close()
        assert not holder.exists()


async def test_a_second_bus_does_not_take_the_place_of_the_first(tmp_path: Path) -> None:
    async with private_bus(tmp_path) as address:
        with pytest.raises(FailedError, match="another bus already runs at"):
            async with private_bus(tmp_path):
                pass
        await (await Connection.open(address)).close()


async def test_what_a_killed_one_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "bus"))
    async with private_bus(tmp_path) as address:
        await (await Connection.open(address)).close()


async def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "bus").write_text("mine")
    with pytest.raises(FailedError, match="it is no socket"):
        async with private_bus(tmp_path):
            pass
    assert (tmp_path / "bus").read_text() == "mine"


async def test_a_daemon_that_does_not_start_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(FailedError, match=r"dbus-daemon did not start: .*nonsense"):
        async with private_bus(tmp_path, extra_policy="<nonsense/>"):
            pass
    assert daemons_of(tmp_path / "bus.conf") == []


async def test_it_never_outlives_this_process(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys, pathlib\n"
        "from luxusbd.bus.private import private_bus\n"
        "async def main():\n"
        "    async with private_bus(pathlib.Path(sys.argv[1])) as address:\n"
        "        print(address, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert child.stdout is not None
    address = (await child.stdout.readline()).decode().strip()
    connection = await Connection.open(address)
    (daemon,) = daemons_of(tmp_path / "bus.conf")
    assert os.getpgid(daemon) == daemon
    child.send_signal(signal.SIGKILL)
    await child.communicate()
    await asyncio.wait_for(connection.wait_closed(), 20)  # the bus hung up: it is gone
    await connection.close()


def test_the_configuration_is_that_of_the_system_bus_with_another_owner() -> None:
    root = ET.fromstring(bus_config(Path("/run/x/bus"), 1000))
    owners = [
        rule.get("user") for rule in root.iter("policy") if rule.find("allow[@own='org.luxusb.Manager']") is not None
    ]
    assert owners == ["1000"]
    assert root.findtext("auth") == "EXTERNAL"
    users = [rule.get("user") for rule in root.iter("allow") if rule.get("user")]
    assert users == ["0", "1000"]
    assert root.find(".//deny[@send_destination='org.luxusb.Manager'][@send_type='signal']") is not None


@pytest.mark.root
async def test_other_users_are_not_let_on(bus_directory: Path) -> None:
    async with private_bus(bus_directory) as address:
        with pytest.raises(ValueError):  # it ends without a word on its output
            await OtherUser.start(address)


@pytest.mark.root
async def test_only_the_owner_can_take_the_name(bus_directory: Path) -> None:
    async with private_bus(bus_directory, users=[65534]) as address:
        user = await OtherUser.start(address)
        answer = await user.bus("RequestName", "su", ["org.luxusb.Manager", 4])
        assert answer["error"] == "org.freedesktop.DBus.Error.AccessDenied"
        service = BusService(FakeEngine(), address=address, authority=PrivateAuthority())
        await service.start()
        await service.stop()
        await user.stop()
