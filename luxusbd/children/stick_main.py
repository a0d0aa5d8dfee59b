"""Entry point of the stick worker: `python -P -m luxusbd.children.stick_main <socket-fd-number>`.

It lives for one job. When the core goes, the worker goes too.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from luxusbd import journal
from luxusbd.children.protocol import Channel, Params
from luxusbd.devices.holders import find_holders
from luxusbd.errors import InterruptedJobError, LuxusbError
from luxusbd.stick import codec, mounted, writer
from luxusbd.stick.feeds import Feeds
from luxusbd.stick.model import StickProgress
from luxusbd.stick.pace import Paced
from luxusbd.systemd import connection_of_core

_PR_SET_PDEATHSIG = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Serve one core over the socket that the argument or the service manager gives."""
    journal.set_up("luxusb-stick")
    try:
        sock = connection_of_core(list(sys.argv[1:] if argv is None else argv))
    except LuxusbError as error:
        sys.stderr.write(f"luxusb stick worker: {error}\n")
        return 1
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return 1
    if os.geteuid() == 0:
        mounted.enter_private_namespace()
        mounted.hide_temporary_files()
    asyncio.run(serve(sock))
    return 0


async def serve(sock: socket.socket) -> None:
    """Answer until the other side closes; a job that runs then is stopped and cleaned up."""
    latest: StickProgress | None = None
    read: tuple[int, int] | None = None
    pace: Paced | None = None
    limit = 0
    changed = asyncio.Event()
    one_at_a_time = asyncio.Lock()
    feeds = Feeds()

    async def execute(params: Params, fds: Sequence[int]) -> Any:
        # a cancelled job clears up before the next one may touch the disk
        nonlocal pace
        async with one_at_a_time:
            order = codec.order_from_json(params, fds)
            if order.in_step:
                pace = Paced(reading, limit)
                order = replace(order, pace=pace)
            return await writer.execute(order, report, feeds=feeds)

    async def feed(params: Params, fds: Sequence[int]) -> Any:
        return feeds.take(params, fds)

    def reading(at: int, wants: int) -> None:
        nonlocal read
        read = at, wants
        changed.set()

    def told(name: str, params: Params) -> None:
        nonlocal limit
        if name == "read":
            # it may come before the order
            limit = int(params["limit"])
            if pace is not None:
                pace.limit(limit)

    def report(progress: StickProgress) -> None:
        nonlocal latest
        latest = progress
        changed.set()

    async def send() -> None:
        nonlocal latest, read
        # one event at a time: a slow core sees fewer of them, and the newest one
        while True:
            await changed.wait()
            changed.clear()
            # each once: the core takes a progress for a new one, and counts its rate by it
            progress, latest, asked, read = latest, None, read, None
            try:
                if asked is not None:
                    await channel.event("reading", {"at": asked[0], "wants": asked[1]})
                if progress is not None:
                    await channel.event("progress", codec.progress_to_json(progress))
            except InterruptedJobError:
                return  # nobody is left to tell; `run` ends too, and stops the job

    async def hello(params: Params, _fds: Sequence[int]) -> Any:
        if "log_level" in params:
            journal.follow(params["log_level"])
        return {"pid": os.getpid()}

    async def holders(params: Params, _fds: Sequence[int]) -> Any:
        nodes, points = [str(node) for node in params["nodes"]], [str(point) for point in params["points"]]
        found = await asyncio.to_thread(find_holders, nodes, points)
        return {"holders": [{"pid": holder.pid, "name": holder.name} for holder in found]}

    handlers = {"execute": execute, "feed": feed, "hello": hello, "holders": holders}
    channel = Channel(sock, handlers=handlers, on_event=told)
    async with asyncio.TaskGroup() as group:
        sender = group.create_task(send())
        try:
            await channel.run()
        finally:
            sender.cancel()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
