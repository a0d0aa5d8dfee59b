"""One stick worker for one order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from luxusbd.children.launch import Launcher
from luxusbd.children.protocol import Channel, Params
from luxusbd.errors import InterruptedJobError
from luxusbd.jobs.lockstep import Pack
from luxusbd.stick.codec import order_to_json
from luxusbd.stick.model import StickOrder, StickProgress

_T = TypeVar("_T")


async def execute(
    launcher: Launcher,
    order: StickOrder,
    fds: Sequence[int],
    *,
    progress: Callable[[StickProgress], None],
    on_pause: Callable[[Callable[[bool], None] | None], None],
    feed: Callable[[Channel], Coroutine[Any, Any, None]] | None = None,
    pack: Pack | None = None,
    name: str = "",
) -> Mapping[str, Any]:
    """Carry an order out in a process of its own.

    Args:
        launcher: starts the process.
        order: what to do; the numbers of its descriptors are given by the worker.
        fds: the target, then the images in the order of `order.add`.
        progress: is told how far it is.
        on_pause: takes the hook that stops and continues the process.
        feed: tells the worker of the order's streams, meanwhile.
        pack: whom it keeps in step with while it reads the images; None for nobody.
        name: what it is called there.

    Raises:
        LuxusbError: what the worker answered; `InterruptedJobError` when it died.
    """
    stage = "start"

    def event(kind: str, params: Params) -> None:
        nonlocal stage
        if kind == "reading":
            if pack is not None:
                pack.told(name, int(params["at"]), int(params["wants"]))
            return
        now = StickProgress(
            stage=str(params["stage"]),
            bytes_done=int(params["bytes_done"]),
            bytes_total=int(params["bytes_total"]),
            note=str(params.get("note", "")),
        )
        stage = now.stage
        progress(now)

    async with launcher.stick(event) as running:

        def pause(paused: bool) -> None:
            # stops the tools that it runs, too; what the kernel has accepted is written all the same
            running.signal(signal.SIGSTOP if paused else signal.SIGCONT)

        async def send(limit: int) -> None:
            await running.channel.event("read", {"limit": limit})

        on_pause(pause)
        try:
            async with contextlib.nullcontext() if pack is None else pack.member(name, send):
                asked = running.channel.request("execute", order_to_json(order), fds)
                result: Mapping[str, Any] = await (_beside(asked, feed(running.channel)) if feed is not None else asked)
        except InterruptedJobError:
            raise InterruptedJobError(f"the process that writes the stick ended during the step {stage!r}") from None
        finally:
            on_pause(None)
            running.signal(signal.SIGCONT)
        return result


async def _beside(asked: Coroutine[Any, Any, _T], feeding: Coroutine[Any, Any, None]) -> _T:
    """What `asked` brings, with `feeding` going on meanwhile; when that fails, nothing more will come."""
    answer = asyncio.ensure_future(asked)
    feeder = asyncio.ensure_future(feeding)
    try:
        await asyncio.wait({answer, feeder}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            feeder.result()
        return await answer
    finally:
        for task in (answer, feeder):
            task.cancel()
        await asyncio.gather(answer, feeder, return_exceptions=True)
