"""The question for a password on a terminal: pkttyagent, which comes with polkit, for the length of a command.

It is what systemctl does too. A desktop's own agent goes first (`--fallback`); polkit looks at such an agent only for
processes of a session, so that one without a session (cron, a service, su on a server without logind) gets an agent
that is none. The agent starts with the first call that may lead to a question, so that commands that only look cost
nothing more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
import termios
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

from luxusb_cli.i18n import _
from luxusb_cli.text import clean

if TYPE_CHECKING:
    from luxusb_cli.connection import Connection

POLKIT_NAME = "org.freedesktop.PolicyKit1"
PROGRAM = "pkttyagent"
REGISTER_TIMEOUT = 3.0
"""Seconds that the agent has to register with polkit; the call then goes on without it."""
END_TIMEOUT = 2.0
"""Seconds that it has to end after SIGTERM."""


class TextAgent:
    """Starts the agent when it is needed, and ends it with the context."""

    def __init__(self, connection: Connection, address: str | None, *, allowed: bool) -> None:
        """`address` is the bus where polkit is, as for `Connection.open`; `allowed` is false with --no-ask-password."""
        self._connection = connection
        self._address = address
        self._allowed = allowed
        self._tried = False
        self._advice = ""
        self._process: asyncio.subprocess.Process | None = None
        self._said: IO[bytes] | None = None
        self._terminal: list[int | list[bytes | int]] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def advice(self) -> str:
        """What to do about a password that could not be asked for; empty when this side did all it can."""
        if self._process is None or self._said is None or self._advice:
            return self._advice
        # An agent that ends without having registered looks like a registered one until its end is known.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_TIMEOUT):
                await self._process.wait()
            self._said.seek(0)
            said = clean(self._said.read(2000).decode(errors="replace").strip())
            return _("{program} ended early ({said}). Run the command with sudo.").format(program=PROGRAM, said=said)
        return self._advice

    async def ready(self) -> None:
        """Have an agent registered, where one can be; called before a call that polkit may have a question about."""
        if self._tried:
            return
        self._tried = True
        self._advice = await self._start()

    async def _start(self) -> str:
        """Start the agent; why there is none, or an empty string."""
        if os.geteuid() == 0:
            return ""
        if not self._allowed:
            return _("Leave out --no-ask-password, so that a password can be asked for, or run the command with sudo.")
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return _(
                "Run the command from a terminal or desktop session where a password can be asked for, or with sudo."
            )
        if not await self._connection.serves(POLKIT_NAME):
            return ""  # a daemon of the user's own, or the daemon says that polkit is missing
        program = shutil.which(PROGRAM)
        if program is None:
            return _(
                "Install {program}, which asks for the password on a terminal (package polkitd, in older releases "
                "policykit-1), or run the command with sudo."
            ).format(program=PROGRAM)
        self._terminal = termios.tcgetattr(sys.stdin.fileno())
        return await self._run(program)

    async def _run(self, program: str) -> str:
        reading, writing = os.pipe()
        # Without a reader that has to keep up, and it is shown only when the agent ends early.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *_tied(),
                program,
                *("--notify-fd", str(writing)),
                *(("--fallback",) if _in_a_session() else ()),
                *("--process", str(os.getpid())),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=self._said,
                pass_fds=(writing,),
                env={**os.environ, **({"DBUS_SYSTEM_BUS_ADDRESS": self._address} if self._address else {})},
            )
        except OSError as error:
            os.close(reading)
            return _("{program} cannot be started: {reason}. Run the command with sudo.").format(
                program=PROGRAM, reason=error.strerror
            )
        finally:
            os.close(writing)
        try:
            async with asyncio.timeout(REGISTER_TIMEOUT):
                await _end_of(reading)
        except TimeoutError:
            return _("{program} did not register with polkit in time. Run the command with sudo.").format(
                program=PROGRAM
            )
        finally:
            os.close(reading)
        return ""

    async def close(self) -> None:
        """End the agent, and leave the terminal as it was: one that is ended at its prompt has the echo off."""
        process = self._process
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(END_TIMEOUT):
                    await process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self._terminal is not None:
            fd = sys.stdin.fileno()
            with contextlib.suppress(termios.error):  # the terminal is gone
                if termios.tcgetattr(fd)[3] != self._terminal[3]:
                    termios.tcsetattr(fd, termios.TCSADRAIN, self._terminal)
        if self._said is not None:
            self._said.close()


def _tied() -> tuple[str, ...]:
    """What makes the agent end with this process when that is killed; nothing where util-linux lacks it."""
    setpriv = shutil.which("setpriv")
    return () if setpriv is None else (setpriv, "--pdeathsig", "TERM", "--")


def _in_a_session() -> bool:
    """Whether this process belongs to a session: for logind by its control group, for elogind by a variable."""
    if os.environ.get("XDG_SESSION_ID"):
        return True
    try:
        return "/user.slice/" in Path("/proc/self/cgroup").read_text()
    except OSError:
        return True


async def _end_of(fd: int) -> None:
    """Wait until the other end of a pipe is closed."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def readable() -> None:
        if not os.read(fd, 100) and not ended.done():
            ended.set_result(None)

    loop.add_reader(fd, readable)
    try:
        await ended
    finally:
        loop.remove_reader(fd)
