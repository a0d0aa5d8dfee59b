"""Children that are reached through the sockets of units, with a small stand-in for systemd; and deadlines."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from luxusbd import journal
from luxusbd.children.deadlines import Deadlines
from luxusbd.children.launch import CHECK_SOCKET, STICK_SOCKET, TRANSFER_SOCKET, Units
from luxusbd.errors import FailedError, InterruptedJobError, InvalidArgumentError
from tests.harness.service import ROOT

MEMORY = 1 << 30
TRANSFER, STICK = "luxusbd.children.transfer_main", "luxusbd.children.stick_main"
CHECK = "luxusbd.children.check_main"


class Systemd:
    """Listens on the sockets of the units, and starts a process when somebody connects."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.processes: list[asyncio.subprocess.Process] = []
        self._tasks: list[asyncio.Task[None]] = []

    def listen(self, name: str, *command: str, accept: bool) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.bind(str(self.directory / name))
        sock.listen()
        serve = self._accept if accept else self._hand_over
        self._tasks.append(asyncio.get_running_loop().create_task(serve(sock, command)))

    async def _accept(self, sock: socket.socket, command: tuple[str, ...]) -> None:
        with sock:
            while True:
                connection, _address = await asyncio.get_running_loop().sock_accept(sock)
                with connection:
                    await self._start(connection, command)

    async def _hand_over(self, sock: socket.socket, command: tuple[str, ...]) -> None:
        with sock:
            while True:
                waiting = asyncio.Event()
                asyncio.get_running_loop().add_reader(sock, waiting.set)
                try:
                    await waiting.wait()
                finally:
                    asyncio.get_running_loop().remove_reader(sock)
                process = await self._start(sock, command)
                await process.wait()

    async def _start(self, sock: socket.socket, command: tuple[str, ...]) -> asyncio.subprocess.Process:
        sock.setblocking(True)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.children.unit", str(sock.fileno()), *command,
            cwd=ROOT, pass_fds=[sock.fileno()], env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        sock.setblocking(False)
        self.processes.append(process)
        return process

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@pytest.fixture
async def systemd(tmp_path: Path) -> AsyncIterator[Systemd]:
    made = Systemd(tmp_path)
    yield made
    await made.stop()


@pytest.fixture
def units(tmp_path: Path) -> Units:
    return Units(tmp_path, memory=MEMORY)


def ignore(_name: str, _params: Any) -> None:
    """Takes events."""


def limits(pid: int) -> str:
    text = Path(f"/proc/{pid}/limits").read_text()
    return next(line for line in text.splitlines() if line.startswith("Max data size")).split()[3]


async def test_the_transfer_process_of_a_listening_socket(systemd: Systemd, units: Units, tmp_path: Path) -> None:
    systemd.listen(TRANSFER_SOCKET, TRANSFER, accept=False)
    (tmp_path / "file").write_bytes(b"abc")
    async with units.transfer(ignore) as running:
        assert running.pid == systemd.processes[0].pid
        assert limits(running.pid) == str(MEMORY)
        with (tmp_path / "file").open() as file:
            found = await running.channel.request("hash", {}, [file.fileno()])
        assert found["sha256"].startswith("ba7816bf")
    assert await systemd.processes[0].wait() == 0
    # the next one comes when somebody connects again
    async with units.transfer(ignore) as running:
        assert running.pid == systemd.processes[1].pid


async def test_each_stick_worker_has_a_connection_of_its_own(systemd: Systemd, units: Units, tmp_path: Path) -> None:
    systemd.listen(STICK_SOCKET, STICK, accept=True)
    async with units.stick(ignore) as one, units.stick(ignore) as two:
        assert {one.pid, two.pid} == {process.pid for process in systemd.processes}
        assert one.pid != two.pid
    assert [await process.wait() for process in systemd.processes] == [0, 0]


async def test_each_check_has_a_process_of_its_own(systemd: Systemd, units: Units) -> None:
    systemd.listen(CHECK_SOCKET, CHECK, accept=True)
    async with units.check() as one, units.check() as two:
        assert {one.pid, two.pid} == {process.pid for process in systemd.processes}
        assert limits(one.pid) == str(MEMORY)
        for params, said in (({}, "`pinned`"), ({"pinned": [], "name": "x"}, "3 descriptors"), ({"pinned": 5}, "list")):
            with pytest.raises(InvalidArgumentError, match=said):
                await one.channel.request("check", params)
    assert [await process.wait() for process in systemd.processes] == [0, 0]


async def test_a_worker_that_dies_fails_its_request(systemd: Systemd, units: Units, tmp_path: Path) -> None:
    systemd.listen(STICK_SOCKET, STICK, accept=True)
    async with units.stick(ignore) as running:
        systemd.processes[0].kill()
        assert await running.wait() == "its connection closed"
        with pytest.raises(InterruptedJobError):
            await running.channel.request("hello")


async def test_hanging_up_ends_a_child(systemd: Systemd, units: Units, tmp_path: Path) -> None:
    systemd.listen(STICK_SOCKET, STICK, accept=True)
    async with units.stick(ignore) as running:
        running.kill()
        assert await running.wait() == "its connection closed"
        assert await systemd.processes[0].wait() == 0


async def test_a_unit_logs_as_much_as_the_core(
    systemd: Systemd, units: Units, capfd: pytest.CaptureFixture[str]
) -> None:
    systemd.listen(TRANSFER_SOCKET, "tests.children.journalled", accept=False)
    os.environ["TEST_JOURNAL"] = "/nonexistent"
    root = logging.getLogger()
    before = root.level
    try:
        for level, expected in (("debug", True), ("error", False)):
            journal.follow(level)
            async with units.transfer(ignore) as running:
                await running.channel.request("say", {"level": logging.WARNING, "text": f"while {level}"})
            assert ("WARNING said: while" in capfd.readouterr().err) is expected
    finally:
        root.setLevel(before)
        del os.environ["TEST_JOURNAL"]


@pytest.mark.parametrize("name", ["nobody listens", "no socket"])
async def test_without_the_socket_unit_it_says_what_to_look_at(name: str, units: Units, tmp_path: Path) -> None:
    if name == "nobody listens":
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.bind(str(tmp_path / STICK_SOCKET))
    with pytest.raises(FailedError, match=r"is luxusb-stick\.socket active"):
        async with units.stick(ignore):
            pass


async def test_a_service_that_ends_at_once_says_where_its_reason_is(systemd: Systemd, units: Units) -> None:
    systemd.listen(TRANSFER_SOCKET, "tests.children.noservice", accept=True)
    with pytest.raises(FailedError, match=r"ended before it answered; `journalctl -t luxusb-transfer` says why"):
        async with units.transfer(ignore):
            pass


def test_what_takes_too_long_is_named_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    due = Deadlines()
    with due.within(10, "one"), due.within(20, "two"):
        assert due.overdue() == ""
        now = 110.5
        assert due.overdue() == "one"
        now = 121
        assert due.overdue() == "one; two"
    assert due.overdue() == ""
    with pytest.raises(KeyError), due.within(0, "failing"):
        raise KeyError
    now = 200
    assert due.overdue() == ""
