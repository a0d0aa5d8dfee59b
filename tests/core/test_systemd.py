"""What the service manager is told, and what it hands over."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from luxusbd import systemd
from luxusbd.errors import FailedError, NotAuthorizedError


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield sock


def test_the_manager_is_told(manager: socket.socket) -> None:
    systemd.notify("READY=1")
    assert manager.recv(100) == b"READY=1"


def test_an_abstract_address_begins_with_an_at(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0luxusb-test-{os.getpid()}")
        sock.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@luxusb-test-{os.getpid()}")
        systemd.notify("STOPPING=1")
        assert sock.recv(100) == b"STOPPING=1"


def test_nobody_to_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.notify("READY=1")
    assert caplog.text == ""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    systemd.notify("READY=1")
    assert "cannot be told READY=1" in caplog.text


@pytest.mark.parametrize(
    ("pid", "microseconds", "seconds"),
    [("", "90000000", 90.0), ("own", "500", 0.0005), ("1", "90000000", 0.0), ("", "", 0.0), ("", "-5", 0.0)],
)
def test_how_often_a_sign_is_wanted(
    pid: str, microseconds: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    if pid:
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    assert systemd.watchdog_seconds() == seconds


async def test_signs_of_life_stop_with_trouble_and_come_back(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    monkeypatch.setenv("WATCHDOG_USEC", "3000")
    asked = iter(["", "stuck", "stuck", ""])
    over = asyncio.Event()

    async def trouble() -> str:
        try:
            return next(asked)
        except StopIteration:
            over.set()
            await asyncio.Event().wait()
            raise

    task = asyncio.create_task(systemd.watchdog(trouble))
    await over.wait()
    task.cancel()
    assert [manager.recv(100), manager.recv(100)] == [b"WATCHDOG=1"] * 2
    with pytest.raises(BlockingIOError):
        manager.recv(100)
    assert caplog.text.count("no sign of life is given to the service manager: stuck") == 1


async def test_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)

    async def trouble() -> str:
        raise AssertionError

    await systemd.watchdog(trouble)


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_FDNAMES", "connection")


def test_sockets_of_another_process_are_not_taken(monkeypatch: pytest.MonkeyPatch, handed: None) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid() + 1))
    assert systemd.given_socket() is None
    with pytest.raises(FailedError, match="not by hand"):
        systemd.connection_of_core([])


def test_more_sockets_than_one_are_refused(monkeypatch: pytest.MonkeyPatch, handed: None) -> None:
    monkeypatch.setenv("LISTEN_FDS", "2")
    with pytest.raises(FailedError, match="one socket is expected from the service manager, not 2"):
        systemd.given_socket()


def give(monkeypatch: pytest.MonkeyPatch, sock: socket.socket) -> None:
    monkeypatch.setattr(systemd, "LISTEN_FDS_START", os.dup(sock.fileno()))


def test_a_connection_is_taken_once_and_not_passed_on(monkeypatch: pytest.MonkeyPatch, handed: None) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        give(monkeypatch, theirs)
        with systemd.connection_of_core([]) as taken:
            ours.send(b"x")
            assert taken.recv(1) == b"x"
            assert not os.get_inheritable(taken.fileno())
            assert "LISTEN_FDS" not in os.environ
            assert systemd.given_socket() is None


def test_a_listening_socket_gives_its_first_connection(
    monkeypatch: pytest.MonkeyPatch, handed: None, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        client.connect(str(tmp_path / "s"))
        client.send(b"core")
        give(monkeypatch, listening)
        with systemd.connection_of_core([]) as taken:
            assert taken.recv(4) == b"core"


class Stranger(socket.socket):
    """A connection whose other end is uid 4242."""

    def getsockopt(self, level: int, name: int, size: int = 0) -> bytes | int:  # type: ignore[override]
        if name == socket.SO_PEERCRED:
            return struct.pack("3i", 1, 4242, 4242)
        return super().getsockopt(level, name)


def test_a_stranger_is_hung_up_on(monkeypatch: pytest.MonkeyPatch, handed: None) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        monkeypatch.setattr(systemd, "given_socket", lambda: Stranger(fileno=os.dup(theirs.fileno())))
        with pytest.raises(NotAuthorizedError, match="uid 4242 is not who this process works for"):
            systemd.connection_of_core([])
        theirs.close()
        assert ours.recv(1) == b""


@pytest.mark.root
def test_the_kernel_tells_who_connected(monkeypatch: pytest.MonkeyPatch, handed: None) -> None:
    """Somebody else got at the listening socket; his process is a real one of uid 65534."""
    directory = Path(tempfile.mkdtemp(prefix="luxusb-test-", dir="/tmp"))  # tmp_path is closed to others
    try:
        directory.chmod(0o755)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(directory / "s"))
            (directory / "s").chmod(0o777)
            listening.listen()
            stranger = subprocess.Popen(
                ["/usr/bin/python3", "-c", CONNECT, str(directory / "s")], user=65534, group=65534, extra_groups=[],
                stdout=subprocess.PIPE,
            )  # fmt: skip
            give(monkeypatch, listening)
            with pytest.raises(NotAuthorizedError, match="uid 65534"):
                systemd.connection_of_core([])
            assert stranger.communicate(timeout=60)[0] == b"hung up\n"
    finally:
        shutil.rmtree(directory)


CONNECT = """
import socket, sys
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(sys.argv[1])
    print("hung up" if sock.recv(1) == b"" else "heard")
"""


def test_the_descriptor_of_an_argument_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fd = os.dup(theirs.fileno())
        os.set_inheritable(fd, True)
        with systemd.connection_of_core([str(fd)]) as taken:
            assert (taken.fileno(), os.get_inheritable(fd)) == (fd, False)
