"""What the transfer child tells of a job's progress, and how often."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from luxusbd.errors import InterruptedJobError
from luxusbd.transfer.diskio import settled

PROGRESS_INTERVAL = 0.1
"""Seconds between two progress events of one job."""
MAX_NOTE = 4096
"""Characters of the notes in one progress event; the newest are kept."""

Tell = Callable[[dict[str, Any]], Awaitable[None]]
"""Sends one progress event to the core."""

log = logging.getLogger(__name__)


class ProgressPump:
    """Sends the newest progress of one job at most every `PROGRESS_INTERVAL`, and always the last one."""

    def __init__(self, tell: Tell, job: int) -> None:
        self._tell = tell
        self._job = job
        self._latest: dict[str, Any] | None = None
        self._news = asyncio.Event()
        self._ending = asyncio.Event()

    def put(self, report: dict[str, Any]) -> None:
        """Take a report; called in the loop. What an older one noted and nobody got yet goes along with it.

        So does how far back the bytes from the start on went meanwhile: who copies them has to hear of it.
        """
        notes = [one["note"] for one in (self._latest, report) if one is not None and one.get("note")]
        places = [one for one in (self._latest, report) if one is not None and one.get("prefix") is not None]
        if places:
            last = places[-1]
            report = {**report, "prefix": last["prefix"], "epoch": last.get("epoch", 0)}
            report["floor"] = min(one["floor"] for one in places)
        self._latest = {**report, "note": "; ".join(dict.fromkeys(notes))[-MAX_NOTE:]} if notes else report
        self._news.set()

    def end(self) -> None:
        """Let `run` send what is left and return."""
        self._ending.set()
        self._news.set()

    async def run(self) -> None:
        """Send until `end`. Not to be cancelled: a message that is cut in the middle would spoil the channel."""
        while not self._ending.is_set():
            await self._news.wait()
            await self._send()
            try:
                async with asyncio.timeout(PROGRESS_INTERVAL):
                    await self._ending.wait()
            except TimeoutError:
                continue
        await self._send()

    async def _send(self) -> None:
        report, self._latest = self._latest, None
        self._news.clear()
        if report is not None:
            await self._tell({"job": self._job, **report})


@asynccontextmanager
async def pumping(tell: Tell, job: int) -> AsyncIterator[ProgressPump]:
    """A pump that runs meanwhile; at the end the last report has been sent."""
    pump = ProgressPump(tell, job)
    sending = asyncio.get_running_loop().create_task(pump.run())
    try:
        yield pump
    finally:
        pump.end()
        await settled(sending)
        if isinstance(sending.exception(), InterruptedJobError):
            log.info("the core is gone, job %d reports to nobody", job)
