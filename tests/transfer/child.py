"""The core's end of a transfer child."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from luxusbd.children.protocol import Channel, Params


@dataclass
class Core:
    """Our end of the channel."""

    channel: Channel
    pid: int = 0
    events: list[Params] = field(default_factory=list)
    waiting: list[tuple[Callable[[Params], bool], asyncio.Event]] = field(default_factory=list)

    def on_event(self, name: str, params: Params) -> None:
        assert name == "progress"
        self.events.append(params)
        for wanted, event in self.waiting:
            if wanted(params):
                event.set()

    async def seen(self, wanted: Callable[[Params], bool]) -> None:
        event = asyncio.Event()
        self.waiting.append((wanted, event))
        if not any(wanted(params) for params in self.events):
            await event.wait()


@asynccontextmanager
async def connected(sock: socket.socket) -> AsyncIterator[Core]:
    core = Core(None)  # type: ignore[arg-type]
    core.channel = Channel(sock, on_event=core.on_event)
    running = asyncio.create_task(core.channel.run())
    try:
        yield core
    finally:
        core.channel.close()
        await running
