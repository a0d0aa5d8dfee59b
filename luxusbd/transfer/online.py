"""Whether this machine has a way out, and waiting for it.

Nothing is sent: connecting a datagram socket only asks the kernel for a route. The addresses are those for
documentation (RFC 5737, RFC 3849), which have no route of their own, so that it is the default route that answers.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

POLL = 1.0
"""Seconds between two looks at the routes."""
SETTLE = 1.0
"""Seconds after a way out came back in which name service usually comes, too."""

_OUTSIDE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
LOCAL_ERRORS = frozenset(
    {errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ENONET, errno.EACCES}
)
"""What the kernel says by itself when a packet cannot even leave."""


def has_route() -> bool:
    """Whether the kernel would know where to send something that is not for this network."""
    for family, address in _OUTSIDE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
                probe.connect((address, 9))
        except OSError:
            continue
        return True
    return False


async def wait_for_route(seconds: float, route: Callable[[], bool] = has_route) -> bool:
    """Wait so long, or until a way out comes back that was gone in between; whether one did."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    before = route()
    while (left := end - loop.time()) > 0:
        await asyncio.sleep(min(POLL, left))
        now = route()
        if now and not before:
            await asyncio.sleep(SETTLE)
            return True
        before = now
    return False
