"""How fast a download may be and whether it is fast enough: token bucket, pause switch, rate watchdog."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from luxusbd.transfer.gate import Claimant
from luxusbd.transfer.window import Window

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
        # one after the other in the order of their coming: who waited for a common debt could wait for ever
        self._queue = asyncio.Lock()

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
        if self._rate == 0:
            return
        async with self._queue:
            await self._settle(size)

    async def _settle(self, size: int) -> None:
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


class Turn:
    """The way of one download into a bucket that several share: one of its connections pays at a time.

    All who wait for a bucket get equal shares of it; this way that holds for files, however many connections each has.
    """

    def __init__(self, bucket: TokenBucket) -> None:
        self._bucket = bucket
        self._lock = asyncio.Lock()

    async def pay(self, size: int) -> None:
        """As `TokenBucket.pay`."""
        if self._bucket.rate > 0:
            async with self._lock:
                await self._bucket.pay(size)


class Control:
    """The handle by which a running download is paused, resumed, slowed down and told of its readers.

    Belongs to one event loop and one download.
    """

    def __init__(self, bandwidth: int = 0, priority: int = 0) -> None:
        self.bucket = TokenBucket(bandwidth)
        self.claimant = Claimant(priority)
        """By which its connections are counted."""
        self.window = Window()
        """Opened by the download that this handle is given to."""
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

    def set_priority(self, priority: int) -> None:
        """Who gets the next free connection first, -10 to 10; those that it has stay."""
        self.claimant.priority = priority

    def release(self, upto: int, epoch: int) -> None:
        """Whoever reads the growing file is safe up to `upto`; see `Window.release`."""
        self.window.release(upto, epoch)

    async def wait_paused(self) -> None:
        """Return once it is paused."""
        await self._pausing.wait()

    async def wait_running(self) -> None:
        """Return once it is not paused."""
        await self._running.wait()


class RateMeter:
    """How fast one mirror is. Its clock stands still while it is us who hold the reading up (`hold`)."""

    SAMPLE = 0.1
    """Seconds of bytes that are counted together."""
    EARLY = 2.0
    """Seconds in which slow start matters: until then the second half of the bytes counts."""
    EARLY_SAMPLE = 0.01
    MIN_AGE = 0.2
    """Seconds below which a rate says nothing."""
    RECENT = 5.0

    def __init__(self, clock: Callable[[], float], window: float) -> None:
        self.total = 0
        """Bytes since it began."""
        self._clock = clock
        self._window = window
        self._held = 0.0
        self._holds = 0
        self._holding_since = 0.0
        self._began = -1.0
        self._last = 0.0
        self._samples: deque[tuple[float, int]] = deque()
        """(own time, bytes before it), in rising order."""

    @contextmanager
    def hold(self) -> Iterator[None]:
        """What happens meanwhile is not the mirror's doing."""
        if self._holds == 0:
            self._holding_since = self._clock()
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            if self._holds == 0:
                self._held += self._clock() - self._holding_since

    def begin(self) -> None:
        """The mirror has answered; the first time its clock starts."""
        if self._began < 0:
            self._began = self._own()
            self._samples.append((self._began, 0))

    def add(self, size: int) -> None:
        """`size` bytes came."""
        now = self._last = self._own()
        self.total += size
        since = now - self._samples[-1][0]
        if since >= (self.SAMPLE if now - self._began > self.EARLY else self.EARLY_SAMPLE):
            self._samples.append((now, self.total))
            while len(self._samples) > 2 and now - self._samples[1][0] >= self._window:
                self._samples.popleft()

    @property
    def age(self) -> float:
        """Seconds of its own since it began, 0 before."""
        return self._own() - self._began if self._began >= 0 else 0.0

    @property
    def held(self) -> float:
        """Share of the time in which we held it up, 0 to 1."""
        return self._held / max(self.age + self._held, 0.001)

    def rate(self, window: float) -> float:
        """Bytes per second over the last `window` seconds; 0 while that says nothing."""
        if self.age < self.MIN_AGE:
            return 0.0
        now = self._own()
        if now - self._last >= window:
            return 0.0
        before = 0
        for time, total in reversed(self._samples):
            if now - time >= window:
                before = total
                break
        return (self.total - before) / min(window, self.age)

    def current(self) -> float:
        """Bytes per second that it brings now, without its slow start; 0 while that cannot be told."""
        age = self.age
        if age >= self.EARLY:
            return self.rate(min(self.RECENT, age / 2))
        now = self._own()
        half = next((one for one in self._samples if one[1] * 2 >= self.total > 0), None)
        if half is None or now - half[0] < self.EARLY_SAMPLE:
            return self.rate(age) if age >= self.MIN_AGE else 0.0
        return (self.total - half[1]) / (now - half[0])

    def estimate(self) -> float:
        """As `current`, but from whatever there is when that cannot tell: for a decision that has to be taken."""
        return self.current() or self.total / max(self.age, self.EARLY_SAMPLE)

    def _own(self) -> float:
        now = self._holding_since if self._holds else self._clock()
        return now - self._held


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
