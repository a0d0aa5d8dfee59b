"""A child process for the tests of supervisor and protocol; its argument is the descriptor of its channel."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from luxusbd.children.protocol import Channel, Params
from luxusbd.errors import NetworkError


async def main() -> None:
    sock = socket.socket(fileno=int(sys.argv[1]))

    async def echo(params: Params, fds: Sequence[int]) -> Any:
        return {"params": dict(params), "read": [os.pread(fd, 100, 0).decode() for fd in fds]}

    async def fail(params: Params, fds: Sequence[int]) -> Any:
        raise NetworkError("no route")

    async def defect(params: Params, fds: Sequence[int]) -> Any:
        raise ZeroDivisionError("secret")

    async def slow(params: Params, fds: Sequence[int]) -> Any:
        await channel.event("started", {})
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await channel.event("cancelled", {})
            raise

    async def die(params: Params, fds: Sequence[int]) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    async def garbage(params: Params, fds: Sequence[int]) -> Any:
        sock.setblocking(True)
        sock.sendall(b"this is no JSON\n")

    async def status(params: Params, fds: Sequence[int]) -> Any:
        return {
            "uid": os.getuid(),
            "gids": os.getgroups(),
            "env": sorted(os.environ),
            "fds": len(list(Path("/proc/self/fd").iterdir())),
        }

    channel = Channel(
        sock,
        handlers={
            "echo": echo, "fail": fail, "defect": defect, "slow": slow, "die": die, "garbage": garbage, "status": status
        },
    )  # fmt: skip
    await channel.run()


asyncio.run(main())
