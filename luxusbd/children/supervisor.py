"""Starting and watching the child processes.

The transfer process lives as long as the core and is started anew when it dies or hangs; a stick worker lives for one
job. Both sit at the other end of a socketpair and end when it closes, so that nothing outlives the core.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pwd
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from luxusbd import journal, resources
from luxusbd.children.deadlines import Deadlines
from luxusbd.children.protocol import Channel, EventHandler, Params
from luxusbd.errors import ConfigError, InterruptedJobError, LuxusbError
from luxusbd.process import SEARCH_PATH, find_program, kill_group, start

log = logging.getLogger(__name__)

PING_INTERVAL = 20.0
PING_TIMEOUT = 30.0
"""Seconds after which a transfer process that answers nothing is killed and started anew."""
STOP_TIMEOUT = 10.0
"""Seconds that a child gets to end by itself."""
KILL_TIMEOUT = 60.0
"""Seconds within which a killed child has to be gone; a device that answers nothing keeps it longer."""


@dataclass(frozen=True)
class Identity:
    """As whom a child runs."""

    uid: int
    gid: int

    @classmethod
    def of_user(cls, name: str) -> Identity:
        """The identity of a user name.

        Raises:
            ConfigError: there is no such user.
        """
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            raise ConfigError(
                f"transfer.user: there is no user {name!r}; create it (systemd-sysusers does on installation)"
                " or name another one in luxusbd.toml"
            ) from None
        return cls(entry.pw_uid, entry.pw_gid)


class Child(Protocol):
    """One running child with its channel."""

    channel: Channel
    serving: asyncio.Task[None]
    """Ends with the channel."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child and the tools that it runs, if it is still there."""

    def kill(self) -> None:
        """End it at once."""

    async def wait(self) -> str:
        """Wait for its end; how it ended, for a log."""


class ChildProcess:
    """A `Child` that is a process of ours."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        channel: Channel,
        serving: asyncio.Task[None],
        deadlines: Deadlines,
    ) -> None:
        self._deadlines = deadlines
        self.process = process
        self.channel = channel
        self.serving = serving

    @property
    def pid(self) -> int:
        """Its process id, which is also its process group."""
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        """See `Child`."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """See `Child`."""
        kill_group(self.process.pid)

    async def wait(self) -> str:
        """See `Child`."""
        return f"status {await self.process.wait()}"

    async def stop(self) -> None:
        """Close its channel, and kill its group when it does not end by itself."""
        with self._deadlines.within(STOP_TIMEOUT + KILL_TIMEOUT, f"process {self.pid} does not end, although killed"):
            await self._stop()

    async def _stop(self) -> None:
        self.channel.close()
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await self.process.wait()
        except TimeoutError:
            log.warning("child %d did not end by itself and is killed", self.pid)
        finally:
            # the leader may be gone while a tool that it started is not
            kill_group(self.process.pid)
            await asyncio.shield(self.process.wait())


class ConnectedChild:
    """A `Child` that systemd started for our connection; what it leaves behind is systemd's to end."""

    def __init__(self, channel: Channel, serving: asyncio.Task[None]) -> None:
        self.channel = channel
        self.serving = serving
        self.pid = 0
        """As it says itself."""

    @classmethod
    @contextlib.asynccontextmanager
    async def over(
        cls, sock: socket.socket, on_event: EventHandler | None, deadlines: Deadlines
    ) -> AsyncIterator[ConnectedChild]:
        """The child at the other end, for the length of the block; returns when it has closed its end."""
        channel = Channel(sock, on_event=on_event)
        serving = asyncio.get_running_loop().create_task(channel.run(), name="channel of a unit")
        try:
            yield cls(channel, serving)
        finally:
            channel.close()
            try:
                with deadlines.within(KILL_TIMEOUT, "a connection does not end, although closed"):
                    await serving
            except LuxusbError as error:
                log.error("a channel broke: %s", error)  # noqa: TRY400 - the text says it all

    def signal(self, number: signal.Signals) -> None:
        """See `Child`."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """Hang up: it ends by itself, or its unit's watchdog ends it."""
        self.channel.close()

    async def wait(self) -> str:
        """See `Child`."""
        await asyncio.wait({self.serving})
        return "its connection closed"


@contextlib.asynccontextmanager
async def child(
    module: str,
    *,
    identity: Identity | None = None,
    memory: int | None = None,
    environment: Mapping[str, str] | None = None,
    on_event: EventHandler | None = None,
    deadlines: Deadlines | None = None,
) -> AsyncIterator[ChildProcess]:
    """Run `python -m module FD` for the length of the block; its channel is served meanwhile.

    Args:
        module: the entry point; its argument is the number of its end of the socketpair.
        identity: uid and gid to run as, for a core that is root.
        memory: limit of its data segment in bytes (RLIMIT_DATA, setrlimit(2)).
        environment: variables besides the few that every child gets.
        on_event: receives the child's events.
        deadlines: is told when its end takes too long.
    """
    # by the child itself: limiting a process of another user takes CAP_SYS_RESOURCE, which the core need not have
    limit = (find_program("prlimit"), f"--data={memory}:{memory}", "--") if memory is not None else ()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        process = await start(
            *limit,
            sys.executable,
            "-P",
            "-m",
            module,
            str(theirs.fileno()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=None,
            env={
                "PATH": SEARCH_PATH,
                "LC_ALL": "C.UTF-8",
                "PYTHONPATH": str(resources.import_root()),
                "PYTHONDONTWRITEBYTECODE": "1",
                **journal.environment(),
                **(environment or {}),
            },
            cwd="/",
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
            user=identity.uid if identity else None,
            group=identity.gid if identity else None,
            extra_groups=[] if identity else None,
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    channel = Channel(ours, on_event=on_event)
    serving = asyncio.get_running_loop().create_task(channel.run(), name=f"channel of {module}")
    running = ChildProcess(process, channel, serving, deadlines or Deadlines())
    try:
        yield running
    finally:
        await running.stop()
        try:
            await serving
        except LuxusbError as error:
            log.error("the channel of %s broke: %s", module, error)  # noqa: TRY400 - the text says it all


class TransferSupervisor:
    """Keeps one transfer process running and passes requests to it."""

    def __init__(self, bring_up: Callable[[], AbstractAsyncContextManager[Child]]) -> None:
        """Prepare, without starting anything; `bring_up` makes a process for the length of a block."""
        self._bring_up = bring_up
        self._child: Child | None = None
        self._up = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failure = ""
        self.restarts = 0

    @property
    def pid(self) -> int:
        """Process id of the running process, 0 while there is none."""
        return self._child.pid if self._child else 0

    async def start(self) -> None:
        """Begin to keep the process running; returns at once, requests wait until it is up."""
        self._task = asyncio.get_running_loop().create_task(self._keep_running(), name="transfer supervisor")

    async def stop(self) -> None:
        """End the process."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        # who waits for the next process would wait for ever
        self._up.set()

    async def request(self, method: str, params: Params, fds: Sequence[int] = ()) -> Any:
        """Ask the process; waits for a new one while the old one is being replaced.

        Raises:
            InterruptedJobError: it died in the middle, was stopped for good, or cannot be started.
            LuxusbError: what it answered.
        """
        while True:
            await self._up.wait()
            running = self._child
            if running is None:
                raise InterruptedJobError(self._failure or "the transfer process has ended")
            if not running.channel.closed:
                return await running.channel.request(method, params, fds)
            # its death is just being noticed: who asks again after it is meant for the next one
            self._up.clear()
            self._child = None

    async def _keep_running(self) -> None:
        delay = 0.1
        while True:
            started = asyncio.get_running_loop().time()
            try:
                ended = await self._run_once()
            except (OSError, LuxusbError) as error:
                self._failure = f"the transfer process cannot be started: {error}"
                log.error("%s", self._failure)  # noqa: TRY400 - the text says it all
                # who waits for it is told, and may ask again
                self._up.set()
                self._up.clear()
            else:
                log.error("the transfer process ended (%s) and is started again", ended)
            if asyncio.get_running_loop().time() - started > 60:
                delay = 0.1
            self.restarts += 1
            await asyncio.sleep(delay)
            delay = min(delay * 2, 30.0)

    async def _run_once(self) -> str:
        async with self._bring_up() as running:
            self._child = running
            self._failure = ""
            self._up.set()
            try:
                await self._watch(running)
            finally:
                self._up.clear()
                self._child = None
        return await running.wait()

    async def _watch(self, running: Child) -> None:
        ended = asyncio.get_running_loop().create_task(running.wait(), name="transfer process")
        try:
            while not ended.done():
                watched: set[asyncio.Task[Any]] = {ended, running.serving}
                await asyncio.wait(watched, timeout=PING_INTERVAL, return_when=asyncio.FIRST_COMPLETED)
                if ended.done():
                    return
                if running.serving.done():
                    # it died, or said something that is no message: there is nothing left to ask of it
                    running.kill()
                    return
                try:
                    async with asyncio.timeout(PING_TIMEOUT):
                        await running.channel.request("ping")
                except TimeoutError:
                    log.warning("the transfer process answers nothing for %g seconds and is killed", PING_TIMEOUT)
                    running.kill()
                    return
                except InterruptedJobError as error:
                    log.warning("the transfer process cannot be reached and is killed: %s", error)
                    running.kill()
                    return
                except LuxusbError as error:
                    # any answer shows that it is alive; a dead one is seen by `ended`
                    log.debug("ping: %s", error)
        finally:
            ended.cancel()
