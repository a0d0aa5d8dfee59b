"""The two ways in which children come to life: started by the core, or by systemd for who connects to their sockets.

As services of their own the children need nothing of the core's privileges and the core nothing of theirs, so that each
unit allows its process what that one needs alone. The order of trust is the same in both ways.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from luxusbd import journal
from luxusbd.children.deadlines import Deadlines
from luxusbd.children.protocol import EventHandler
from luxusbd.children.supervisor import Child, ConnectedChild, Identity, child
from luxusbd.errors import FailedError, InterruptedJobError

log = logging.getLogger(__name__)

TRANSFER_SOCKET = "transfer.sock"
STICK_SOCKET = "stick.sock"
CHECK_SOCKET = "check.sock"

# Without these glibc gives the buffers of every read back to the kernel and faults them in again.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "268435456", "MALLOC_ARENA_MAX": "2"}


_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""By which OpenSSL is told of other authorities than the system's."""


class Launcher(Protocol):
    """Brings children to life; each is there for the length of the block."""

    deadlines: Deadlines
    """Of what the children have to do."""

    def transfer(self, on_event: EventHandler) -> AbstractAsyncContextManager[Child]:
        """The process that reads foreign bytes."""

    def stick(self, on_event: EventHandler) -> AbstractAsyncContextManager[Child]:
        """A worker for one stick."""

    def check(self) -> AbstractAsyncContextManager[Child]:
        """A process that checks a signed catalogue or feed, without network and apart from the transfer process."""


class Spawner:
    """Starts children as processes of the core's own."""

    def __init__(self, *, user: str, memory: int, staging: Path) -> None:
        """Prepare, without starting anything.

        Args:
            user: of the transfer process when the core is root; empty for the core's own.
            memory: bytes of data that the transfer process may have.
            staging: a directory of the core's, where the temporary files of workers go; those of a worker that is
                killed stay, unless it is root's.

        Raises:
            ConfigError: there is no such user.
        """
        self._identity = Identity.of_user(user) if user and os.geteuid() == 0 else None
        self._memory = memory
        self._staging = staging
        self.deadlines = Deadlines()

    def transfer(self, on_event: EventHandler) -> AbstractAsyncContextManager[Child]:
        """See `Launcher`."""
        return child(
            "luxusbd.children.transfer_main",
            identity=self._identity,
            memory=self._memory,
            environment=_MALLOC | {name: os.environ[name] for name in _AUTHORITIES if name in os.environ},
            on_event=on_event,
            deadlines=self.deadlines,
        )

    @contextlib.asynccontextmanager
    async def stick(self, on_event: EventHandler) -> AsyncIterator[Child]:
        """See `Launcher`."""
        async with (
            self._temporary() as directory,
            child(
                "luxusbd.children.stick_main",
                environment={"TMPDIR": str(directory)},
                on_event=on_event,
                deadlines=self.deadlines,
            ) as running,
        ):
            yield running

    def check(self) -> AbstractAsyncContextManager[Child]:
        """See `Launcher`."""
        return child(
            "luxusbd.children.check_main", identity=self._identity, memory=self._memory, deadlines=self.deadlines
        )

    @contextlib.asynccontextmanager
    async def _temporary(self) -> AsyncIterator[Path]:
        """Where one worker's temporary files go."""
        if os.geteuid() == 0:
            # each worker puts memory of its own there that no other sees (`mounted.hide_temporary_files`), so that a
            # full disk keeps none from starting
            yield self._staging
            return
        # not in a thread: who is cancelled meanwhile would leave the directory behind
        made = Path(tempfile.mkdtemp(prefix="worker-", dir=self._staging))
        try:
            yield made
        finally:
            try:
                await asyncio.to_thread(shutil.rmtree, made)
            except OSError as error:
                log.warning("temporary files of a worker stay until the next start: %s", error)


class Units:
    """Connects to children that systemd starts: by the sockets of luxusb-transfer, luxusb-stick and luxusb-check."""

    def __init__(self, sockets: Path, *, memory: int) -> None:
        """Prepare, without connecting.

        Args:
            sockets: the directory in which systemd listens.
            memory: bytes of data that the transfer process may have.
        """
        self._sockets = sockets
        self._memory = memory
        self.deadlines = Deadlines()

    @contextlib.asynccontextmanager
    async def transfer(self, on_event: EventHandler) -> AsyncIterator[Child]:
        """See `Launcher`."""
        async with self._connected(TRANSFER_SOCKET, on_event) as running:
            await running.channel.request("limit", {"memory": self._memory})
            yield running

    def stick(self, on_event: EventHandler) -> AbstractAsyncContextManager[Child]:
        """See `Launcher`."""
        return self._connected(STICK_SOCKET, on_event)

    @contextlib.asynccontextmanager
    async def check(self) -> AsyncIterator[Child]:
        """See `Launcher`."""
        async with self._connected(CHECK_SOCKET, None) as running:
            await running.channel.request("limit", {"memory": self._memory})
            yield running

    @contextlib.asynccontextmanager
    async def _connected(self, name: str, on_event: EventHandler | None) -> AsyncIterator[Child]:
        path = self._sockets / name
        unit = f"luxusb-{name.removesuffix('.sock')}"
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # systemd accepts at once, whether the service is up or not
            sock.connect(str(path))
        except OSError as error:
            sock.close()
            raise FailedError(f"{path}: {error.strerror}; is {unit}.socket active? (systemctl status)") from error
        async with ConnectedChild.over(sock, on_event, self.deadlines) as running:
            try:
                running.pid = int((await running.channel.request("hello", {"log_level": journal.level()}))["pid"])
            except InterruptedJobError as error:
                raise FailedError(
                    f"the service behind {path} ended before it answered; `journalctl -t {unit}` says why"
                ) from error
            yield running
