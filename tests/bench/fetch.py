"""The transfer engine in a process of its own, as the benchmark starts it: `python -m tests.bench.fetch ORDER`.

ORDER is JSON: `requests` (fields of `DownloadRequest`), and `kill_at`, bytes after which the process kills itself, 0
for never. It prints JSON: `seconds` and `cpu` from the first request to the last result, `rss` (peak, MiB), `lag` (99th
percentile of what a heartbeat of 5 ms came too late, ms), `gap` (longest time without a byte while bytes were missing,
seconds) and `resumed` (bytes).
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from luxusbd.transfer.codec import request_from_json
from luxusbd.transfer.engine import Downloader
from luxusbd.transfer.model import DownloadProgress, DownloadStage

HEARTBEAT = 0.005


@dataclass
class Watch:
    """What is seen while the downloads run."""

    kill_at: int
    lags: list[float] = field(default_factory=list)
    gap: float = 0.0
    _bytes: dict[int, int] = field(default_factory=dict)
    _last: float = 0.0

    def progress(self, number: int, now: DownloadProgress) -> None:
        """One report of one download."""
        before = self._bytes.get(number, 0)
        if now.bytes_done > before:
            moment = time.perf_counter()
            if before and now.stage is DownloadStage.TRANSFER:
                self.gap = max(self.gap, moment - self._last)
            self._last = moment
            self._bytes[number] = now.bytes_done
        if self.kill_at and now.bytes_done >= self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    async def heart(self) -> None:
        """Beat until cancelled."""
        while True:
            began = time.perf_counter()
            await asyncio.sleep(HEARTBEAT)
            self.lags.append(time.perf_counter() - began - HEARTBEAT)


async def fetch(order: dict[str, Any]) -> dict[str, float]:
    """Carry the order out; the figures."""
    watch = Watch(int(order["kill_at"]))
    downloader = Downloader()
    requests = [request_from_json(request) for request in order["requests"]]
    heart = asyncio.create_task(watch.heart())
    began, cpu = time.perf_counter(), time.process_time()
    results = await asyncio.gather(
        *(
            downloader.download(request, lambda now, number=number: watch.progress(number, now))  # type: ignore[misc]
            for number, request in enumerate(requests)
        )
    )
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    heart.cancel()
    await downloader.close()
    lags = sorted(watch.lags) or [0.0]
    return {
        "seconds": seconds,
        "cpu": cpu,
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "lag": 1000 * lags[int(0.99 * (len(lags) - 1))],
        "gap": watch.gap,
        "resumed": float(sum(result.resumed_bytes for result in results)),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(fetch(json.loads(sys.argv[1])))))
