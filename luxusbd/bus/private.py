"""A bus of one's own for `--private DIR`: dbus-daemon with the rules of the real system bus.

Nothing else in this project runs a program for as long as the daemon lives: `process.run` waits for the end of what it
starts, so this module starts dbus-daemon by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
import stat
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from luxusbd import process, resources
from luxusbd.errors import FailedError, InternalError, host_error

SUN_PATH_MAX = 107
"""Bytes of a socket's path without its NUL (unix(7))."""
START_TIMEOUT = 15.0

# Runs in a fresh interpreter: between fork and exec of a threaded process nothing as complex as prctl through ctypes is
# safe. PR_SET_PDEATHSIG is 1 (prctl(2)) and survives exec; the check closes the gap before it took effect.
_TIED_TO_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""

log = logging.getLogger(__name__)

_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
{users}
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Introspectable"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Properties"/>
    <deny send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"
          send_member="UpdateActivationEnvironment"/>
  </policy>
  <policy user="{owner}">
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Monitoring"/>
  </policy>
{own_policy}
{extra}
</busconfig>
"""


@contextlib.asynccontextmanager
async def private_bus(directory: Path, *, users: Sequence[int] = (), extra_policy: str = "") -> AsyncIterator[str]:
    """Run a bus at DIRECTORY/bus; yields its address once it accepts connections.

    Only the own uid and root get on, and `users` beside them. The bus ends with this context, and with this process
    however it ends. Where the path is too long for a socket, a short directory elsewhere holds it.

    Args:
        directory: made when it is not there, with mode 0700.
        users: further uids that are let on.
        extra_policy: further `<policy>` elements, for tests.

    Raises:
        ToolMissingError: dbus-daemon is not installed.
        FailedError: it does not start, or another bus runs at that place.
    """
    directory = await asyncio.to_thread(_prepare, directory)
    with _socket_directory(directory) as holder:
        socket_path = holder / "bus"
        await asyncio.to_thread(_check_free, socket_path)
        config = directory / "bus.conf"
        try:
            config.write_text(bus_config(socket_path, os.getuid(), users, extra_policy), encoding="utf-8")
        except OSError as error:
            raise host_error(error, f"writing {config}") from error
        daemon = await _Daemon.start(config)
        try:
            yield _address(socket_path)
        finally:
            await daemon.stop()
            with contextlib.suppress(FileNotFoundError):
                socket_path.unlink()


def bus_config(socket_path: Path, owner: int, users: Sequence[int] = (), extra_policy: str = "") -> str:
    """The configuration of a bus whose `owner` uid stands where root stands on the system bus."""
    allowed = [f'    <allow user="{uid}"/>' for uid in sorted({0, owner, *users})]
    return _CONFIG.format(
        address=_address(socket_path),
        users="\n".join(['    <deny user="*"/>', *allowed]),
        owner=owner,
        own_policy=_own_policy(owner),
        extra=extra_policy,
    )


def _address(socket_path: Path) -> str:
    """A D-Bus address, in which nothing is left that XML would have to escape."""
    return "unix:path=" + quote(os.fsencode(socket_path), safe="/").replace("~", "%7E")


def _own_policy(owner: int) -> str:
    path = resources.dbus("org.luxusb.Manager.conf")
    source = path.read_text(encoding="utf-8")
    match = re.search(r"<busconfig>(.*)</busconfig>", source, re.DOTALL)
    if match is None:
        raise InternalError(f"{path} has no <busconfig>")
    rules = match.group(1)
    if rules.count('<policy user="root">') != 1:
        raise InternalError(f"{path} does not name root as the owner exactly once")
    return rules.replace('<policy user="root">', f'<policy user="{owner}">')


def _prepare(directory: Path) -> Path:
    absolute = directory.absolute()
    absolute.mkdir(mode=0o700, parents=True, exist_ok=True)
    return absolute


@contextlib.contextmanager
def _socket_directory(directory: Path) -> Iterator[Path]:
    if len(os.fsencode(directory / "bus")) <= SUN_PATH_MAX:
        yield directory
        return
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    base = runtime if runtime and len(os.fsencode(runtime)) <= SUN_PATH_MAX - 32 else "/tmp"  # noqa: S108 - mkdtemp
    with tempfile.TemporaryDirectory(prefix="luxusbd-", dir=base) as short:
        yield Path(short)


def _check_free(path: Path) -> None:
    """dbus-daemon would take the address away from a bus that runs there."""
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise FailedError(f"{path} is in the way: it is no socket; choose another directory")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return  # left behind by one that was killed
    raise FailedError(f"another bus already runs at {path}; stop the luxusbd that uses this directory")


class _Daemon:
    """A running dbus-daemon; what it prints goes to the log, so that a full pipe never stops it."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child
        self._said: deque[str] = deque(maxlen=20)
        self._reader = asyncio.get_running_loop().create_task(self._read(), name="dbus-daemon-log")

    @classmethod
    async def start(cls, config: Path) -> _Daemon:
        program = process.find_program("dbus-daemon")
        reading, writing = os.pipe()
        try:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-c",
                _TIED_TO_PARENT,
                str(os.getpid()),
                program,
                f"--config-file={config}",
                "--nofork",
                "--nopidfile",
                f"--print-address={writing}",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(writing,),
                start_new_session=True,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        daemon = cls(child)
        try:
            await _wait_for_address(reading)
        except TimeoutError:
            await daemon.stop()
            raise FailedError(f"dbus-daemon did not start within {START_TIMEOUT:g} seconds") from None
        except EOFError:
            await daemon.stop()
            raise FailedError(f"dbus-daemon did not start: {' '.join(daemon._said) or 'no message'}") from None
        except BaseException:
            await daemon.stop()
            raise
        return daemon

    async def stop(self) -> None:
        """End it; it holds no state that could be lost."""
        if self._child.returncode is None:
            process.kill_group(self._child.pid)
        await self._child.wait()
        await self._reader

    async def _read(self) -> None:
        assert self._child.stderr is not None
        while chunk := await self._child.stderr.read(4096):
            line = chunk.decode("utf-8", "replace").strip()
            self._said.append(line)
            log.debug("dbus-daemon: %s", line)


async def _wait_for_address(reading: int) -> None:
    """The address is printed when the socket listens; the end of the pipe before that is the end of the program."""
    stream = asyncio.StreamReader()
    transport, _protocol = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(reading, "rb")
    )
    try:
        async with asyncio.timeout(START_TIMEOUT):
            if not await stream.readline():
                raise EOFError
    finally:
        transport.close()
