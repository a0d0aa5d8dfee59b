"""How fast a download may be and whether it is fast enough: token bucket, pause switch, rate watchdog."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

BUCKET_DEPTH = 0.1
"""Seconds of the allowed rate that may pass at once."""


class TokenBucket:
    """Bytes per second over all who share it. Bytes are paid for after they were read, so that waiting means not
    reading, and TCP slows the server down."""

    def __init__(self, rate: int = 0) -> None:
        self._rate = rate
        self._tokens = 0.0
        self._stamp = 0.0
        self._changed = asyncio.Event()

    @property
    def rate(self) -> int:
        """Bytes per second, 0 without limit."""
        return self._rate

    def set_rate(self, rate: int) -> None:
        """Change the limit; those who wait now reckon anew."""
        self._rate = rate
        self._tokens = 0.0
        self._changed.set()
        self._changed = asyncio.Event()

    async def pay(self, size: int) -> None:
        """Wait until `size` bytes that were read are within the limit."""
        loop = asyncio.get_running_loop()
        self._fill(loop.time())
        self._tokens -= size
        while self._rate > 0 and self._tokens < 0:
            changed = self._changed
            try:
                async with asyncio.timeout(-self._tokens / self._rate):
                    await changed.wait()
            except TimeoutError:
                self._fill(loop.time())
                # what is left of a rounding error must not become another turn of the loop
                if self._tokens > -1.0:
                    return

    def _fill(self, now: float) -> None:
        gained = (now - self._stamp) * self._rate
        self._stamp = now
        self._tokens = min(self._tokens + gained, self._rate * BUCKET_DEPTH)


class Control:
    """The handle by which a running download is paused, resumed and slowed down. Belongs to one event loop."""

    def __init__(self, bandwidth: int = 0) -> None:
        self.bucket = TokenBucket(bandwidth)
        self._running = asyncio.Event()
        self._running.set()
        self._pausing = asyncio.Event()

    @property
    def paused(self) -> bool:
        """Whether the download stands still because it was told to."""
        return self._pausing.is_set()

    def pause(self) -> None:
        """Stop reading, put everything on the disk, close the connections."""
        self._running.clear()
        self._pausing.set()

    def resume(self) -> None:
        """Go on."""
        self._pausing.clear()
        self._running.set()

    def set_bandwidth(self, rate: int) -> None:
        """Bytes per second from now on, 0 without limit."""
        self.bucket.set_rate(rate)

    async def wait_paused(self) -> None:
        """Return once it is paused."""
        await self._pausing.wait()

    async def wait_running(self) -> None:
        """Return once it is not paused."""
        await self._running.wait()


class RateWatch:
    """Tells when a server drips: less than `rate` bytes per second over `window` seconds of waiting for it.

    Only the time in which we waited for the server counts; our own limit, pause or slow disk is not its fault.
    """

    def __init__(self, window: float, rate: int, clock: Callable[[], float]) -> None:
        self._window = window
        self._rate = rate
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque()
        self._waited = 0.0
        self._bytes = 0
        self._began = 0.0

    def begin(self) -> None:
        """We start to wait for bytes."""
        self._began = self._clock()

    def end(self, size: int) -> None:
        """`size` bytes came."""
        waited = self._clock() - self._began
        self._samples.append((waited, size))
        self._waited += waited
        self._bytes += size
        while self._samples and self._waited - self._samples[0][0] >= self._window:
            old_waited, old_size = self._samples.popleft()
            self._waited -= old_waited
            self._bytes -= old_size

    @property
    def too_slow(self) -> bool:
        """Whether a whole window has passed and it brought too little."""
        return self._waited >= self._window and self._bytes < self._rate * self._window
