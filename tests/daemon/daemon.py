"""The real daemon with its real children, as a test starts, ends and kills it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.service import PREFIX, ROOT

REAPER = Path(__file__).with_name("reaper.py")
START_TIMEOUT = 30.0
END_TIMEOUT = 10.0
"""Seconds in which the daemon has to end after SIGTERM, and its children after its death."""

TRANSFER = "luxusbd.children.transfer_main"
WORKER = "luxusbd.children.stick_main"


class DaemonError(AssertionError):
    """The daemon did not do what a daemon does; the text holds its log."""


@dataclass(frozen=True)
class Process:
    """A descendant of the daemon."""

    pid: int
    command: str


class Daemon:
    """`luxusbd` over one directory; may be started again after it ended. An async context manager.

    Args:
        directory: holds `s`, its state directory, beside its log and what else the tests need.
        catalogues: files for `--catalog`.
        config: text of its configuration file.
        address: bus to run on as the system service does; None for a bus of its own (`--private`).
        before: shell commands that run before it in a mount namespace of its own, such as a mount that hides a
            program; needs root.
        network: False puts it into a network namespace without interfaces; needs root.
    """

    def __init__(
        self,
        directory: Path,
        *,
        catalogues: Sequence[Path] = (),
        config: str = "",
        address: str | None = None,
        before: str = "",
        network: bool = True,
    ) -> None:
        self.before = before
        self.network = network
        self.directory = directory
        self.state = directory / "s"
        self.temporary = directory / "t"
        self.config = config
        self.catalogues = list(catalogues)
        self.core = 0
        """Process id of the core."""
        self.address = address or ""
        self._own_bus = address is None
        self._reaper: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> str:
        """All that it has logged since the directory was made."""
        path = self.directory / "log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    @property
    def running(self) -> bool:
        """Whether anything of it is left."""
        return self._reaper is not None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.running:
            return
        if kind is not None:
            await self._abandon()
            return
        status = await self.stop()
        if status != 0:
            raise self.error(f"luxusbd ended with status {status} after SIGTERM")

    def error(self, text: str) -> DaemonError:
        """An error with the end of the log."""
        return DaemonError("\n".join([text, "--- luxusbd.log ---", *self.log.splitlines()[-40:]]))

    async def start(self) -> None:
        """Start it and wait until callers can start.

        Raises:
            DaemonError: it ended, or is not ready in time.
        """
        assert self._reaper is None
        self.temporary.mkdir(exist_ok=True)
        (self.directory / "config.toml").write_text(self.config)
        arguments = [sys.executable, "-m", "luxusbd", "--log-level", "debug"]
        if self.before or not self.network:
            own = ["--mount", "--propagation", "slave", *([] if self.network else ["--net"])]
            script = f'set -e\n{self.before}\nexec "$@"'
            arguments = ["/usr/bin/unshare", *own, "sh", "-c", script, "sh", *arguments]
        arguments += ["--config", str(self.directory / "config.toml")]
        arguments += ["--private", str(self.state)] if self._own_bus else []
        for catalogue in self.catalogues:
            arguments += ["--catalog", str(catalogue)]
        environment = {**os.environ, "TMPDIR": str(self.temporary)}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "clients")])
        if not self._own_bus:
            environment["DBUS_SYSTEM_BUS_ADDRESS"] = self.address
        with self._ready_socket(environment) as ready, (self.directory / "log").open("ab") as log:
            self._reaper = await asyncio.create_subprocess_exec(
                *(sys.executable, "-S", "-E", str(REAPER), *arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
            try:
                async with asyncio.timeout(START_TIMEOUT):
                    self.core = int((await self._line()).removeprefix("CORE "))
                    if self._own_bus:
                        line = await self._line()
                        if not line.startswith(PREFIX):
                            raise self.error(f"luxusbd did not start, but said {line!r}")
                        self.address = line.removeprefix(PREFIX)
                    else:
                        await self._wait_ready(ready)
            except TimeoutError:
                await self._abandon()
                raise self.error(f"luxusbd was not ready after {START_TIMEOUT:g} seconds") from None
            except BaseException:
                await self._abandon()
                raise

    async def _wait_ready(self, ready: socket.socket) -> None:
        told = asyncio.ensure_future(asyncio.get_running_loop().sock_recv(ready, 100))
        line = asyncio.ensure_future(self._line())
        try:
            await asyncio.wait({told, line}, return_when=asyncio.FIRST_COMPLETED)
            if line.done():
                raise self.error(f"luxusbd did not start, but said {line.result()!r}")
            assert told.result() == b"READY=1"
        finally:
            line.cancel()
            told.cancel()
            await asyncio.gather(line, told, return_exceptions=True)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, and return its exit status once it and all that came of it have ended.

        Raises:
            DaemonError: that took more than `END_TIMEOUT` seconds.
        """
        os.kill(self.core, number)
        return await self.ended()

    async def kill(self) -> None:
        """SIGKILL to the core alone; returns when all the others have followed it by themselves."""
        assert await self.stop(signal.SIGKILL) == -signal.SIGKILL

    def kill_children(self, module: str) -> bool:
        """SIGKILL to what runs this module, and to nothing that it started: that has to follow by itself.

        What one of them has forked leads a group of its own before it has become its program, is among these for that
        moment, and may have followed already.

        Returns:
            Whether there were any.
        """
        pids = self.pids(module)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(pids)

    async def ended(self) -> int:
        """Wait for the end of the core and of every process that came of it; the core's exit status.

        Raises:
            DaemonError: it takes more than `END_TIMEOUT` seconds; the text says which processes are left.
        """
        assert self._reaper is not None
        try:
            async with asyncio.timeout(END_TIMEOUT):
                status = int((await self._line()).removeprefix("ENDED "))
                await self._reaper.communicate()
        except TimeoutError:
            left = ", ".join(f"{process.pid} ({process.command})" for process in self.processes())
            await self._abandon()
            raise self.error(f"{END_TIMEOUT:g} seconds after its end was asked for there is still: {left}") from None
        self._reaper = None
        self.core = 0
        return status

    def processes(self) -> tuple[Process, ...]:
        """Everything that runs and came of the daemon, itself included."""
        return tuple(_descendants(self._reaper.pid)) if self._reaper is not None else ()

    def pids(self, module: str) -> tuple[int, ...]:
        """Processes that run this Python module; not what they have forked and what has not become its program yet."""
        return tuple(
            process.pid for process in self.processes() if f" {module} " in process.command and _leads(process.pid)
        )

    async def _line(self) -> str:
        assert self._reaper is not None
        assert self._reaper.stdout is not None
        return (await self._reaper.stdout.readline()).decode().strip()

    async def _abandon(self) -> None:
        assert self._reaper is not None
        if self._reaper.returncode is None:
            self._reaper.send_signal(signal.SIGTERM)
        await self._reaper.communicate()
        self._reaper = None

    def _ready_socket(self, environment: dict[str, str]) -> socket.socket:
        ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        path = self.directory / "n"
        path.unlink(missing_ok=True)
        ready.bind(str(path))
        environment["NOTIFY_SOCKET"] = str(path)
        return ready


def _descendants(pid: int) -> Iterator[Process]:
    for child in children(pid):
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue
        if command:  # a zombie has none
            yield Process(child, command.replace(b"\0", b" ").decode("utf-8", "replace"))
        yield from _descendants(child)


def _leads(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


def children(pid: int) -> list[int]:
    """Process ids of its children, of all its threads."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(word) for word in (task / "children").read_text().split()]
    except OSError:
        return found  # it ended meanwhile
    return found
