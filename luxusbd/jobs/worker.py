"""One stick worker for one order."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from luxusbd.children.launch import Launcher
from luxusbd.children.protocol import Params
from luxusbd.errors import InterruptedJobError
from luxusbd.jobs.lockstep import Pack
from luxusbd.stick.codec import order_to_json
from luxusbd.stick.model import StickOrder, StickProgress


async def execute(
    launcher: Launcher,
    order: StickOrder,
    fds: Sequence[int],
    *,
    directory: Path,
    progress: Callable[[StickProgress], None],
    on_pause: Callable[[Callable[[bool], None] | None], None],
    pack: Pack | None = None,
    name: str = "",
) -> Mapping[str, Any]:
    """Carry an order out in a process of its own.

    Args:
        launcher: starts the process.
        order: what to do; the numbers of its descriptors are given by the worker.
        fds: the target, then the images in the order of `order.add`.
        directory: where its temporary files and mount points go; they are the caller's to remove, since a worker that
            is killed removes nothing.
        progress: is told how far it is.
        on_pause: takes the hook that stops and continues the process.
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

    async with launcher.stick(directory, event) as running:

        def pause(paused: bool) -> None:
            # stops the tools that it runs, too; what the kernel has accepted is written all the same
            running.signal(signal.SIGSTOP if paused else signal.SIGCONT)

        async def send(limit: int) -> None:
            await running.channel.event("read", {"limit": limit})

        on_pause(pause)
        try:
            async with contextlib.nullcontext() if pack is None else pack.member(name, send):
                result: Mapping[str, Any] = await running.channel.request("execute", order_to_json(order), fds)
        except InterruptedJobError:
            raise InterruptedJobError(f"the process that writes the stick ended during the step {stage!r}") from None
        finally:
            on_pause(None)
            running.signal(signal.SIGCONT)
        return result
