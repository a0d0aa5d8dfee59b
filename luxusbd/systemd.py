"""What the service manager and its services say to each other.

Readiness and signs of life (sd_notify(3)), sockets (sd_listen_fds(3)).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable

from luxusbd.errors import FailedError, NotAuthorizedError

LISTEN_FDS_START = 3
"""First descriptor that systemd hands over."""

log = logging.getLogger(__name__)


def notify(message: str) -> None:
    """Tell the service manager, if there is one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(message.encode(), address)
        except OSError as error:
            log.warning("the service manager cannot be told %s: %s", message, error.strerror)


def watchdog_seconds() -> float:
    """Within how many seconds the service manager wants a sign of life; 0 when it does not watch this process."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdigit() else 0.0


async def watchdog(trouble: Callable[[], Awaitable[str]]) -> None:
    """Give signs of life until cancelled, as long as all is well; returns at once when nobody watches.

    Args:
        trouble: empty when all is well, else what is not. Then the sign is left out, and the service manager ends this
            process in the end.
    """
    interval = watchdog_seconds() / 3
    told = ""
    while interval:
        found = await trouble()
        if not found:
            notify("WATCHDOG=1")
        elif found != told:
            log.error("no sign of life is given to the service manager: %s", found)
        told = found
        await asyncio.sleep(interval)


def given_socket() -> socket.socket | None:
    """The one socket that the service manager handed to this process; None where it was not started for a socket.

    Raises:
        FailedError: there is more than one.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    if os.environ.get("LISTEN_FDS") != "1":
        raise FailedError(f"one socket is expected from the service manager, not {os.environ.get('LISTEN_FDS')}")
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    os.set_inheritable(LISTEN_FDS_START, False)
    return socket.socket(fileno=LISTEN_FDS_START)


def connection_of_core(arguments: list[str]) -> socket.socket:
    """A child's end of the channel: the descriptor that its only argument names, or what came from the service manager.

    A listening socket gives its first connection. Only root may be at the other end of one that anybody could open.

    Raises:
        FailedError: there is no socket.
        NotAuthorizedError: somebody else than root connected.
    """
    if len(arguments) == 1 and arguments[0].isdigit():
        made = socket.socket(fileno=int(arguments[0]))
        os.set_inheritable(made.fileno(), False)
        return made
    given = given_socket()
    if given is None:
        raise FailedError("this is started by luxusbd or by its socket unit, not by hand")
    if given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        with given:
            given.setblocking(True)
            connection, _address = given.accept()
    else:
        connection = given
    _pid, uid, _gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if uid not in (0, os.geteuid()):
        connection.close()
        raise NotAuthorizedError(f"uid {uid} is not who this process works for")
    return connection
