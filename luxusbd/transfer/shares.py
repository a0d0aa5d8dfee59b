"""What each mirror of one download does at the moment, for people who watch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from luxusbd.transfer.model import SourceShare, SourceState

WINDOW = 5.0
"""Seconds over which a rate is taken."""
SAMPLE = 0.25
"""Seconds of bytes that are counted together."""
INTERVAL = 1.0
"""Seconds between two pictures while only figures change."""
MAX_SOURCES = 32
"""Mirrors in a picture; those that were asked first."""


@dataclass
class _Source:
    host: str
    state: SourceState = SourceState.CONNECT
    bytes_done: int = 0
    samples: deque[tuple[float, int]] = field(default_factory=deque)
    """(time, bytes) with the bytes of the time up to the next sample."""

    def rate(self, now: float) -> int:
        while self.samples and now - self.samples[0][0] > WINDOW:
            self.samples.popleft()
        if self.state is not SourceState.SERVING or not self.samples:
            return 0
        # less than a sample's time says nothing yet
        return int(sum(count for _time, count in self.samples) / max(SAMPLE, now - self.samples[0][0]))


class Shares:
    """The mirrors that were asked, in the order in which they were; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sources: dict[str, _Source] = {}
        self._picture: tuple[SourceShare, ...] = ()
        self._drawn = float("-inf")

    def asked(self, url: str, host: str) -> None:
        """A request goes out."""
        self._sources.setdefault(url, _Source(host)).host = host
        self._enter(url, SourceState.CONNECT)

    def received(self, url: str, host: str, count: int) -> None:
        """Bytes came from `url`, or from where it redirects to, which is `host`."""
        source = self._sources[url]
        source.host = host
        source.bytes_done += count
        now = self._clock()
        if source.samples and now - source.samples[-1][0] < SAMPLE:
            source.samples[-1] = (source.samples[-1][0], source.samples[-1][1] + count)
        else:
            source.samples.append((now, count))
        if source.state is not SourceState.SERVING:
            self._enter(url, SourceState.SERVING)

    def left(self, url: str, *, for_good: bool) -> None:
        """It serves no more, for now or for this download."""
        self._enter(url, SourceState.GIVEN_UP if for_good else SourceState.WAITING)

    def picture(self) -> tuple[SourceShare, ...]:
        """The mirrors as they are; the same picture for up to a second, unless one of them changed its state."""
        now = self._clock()
        if now - self._drawn >= INTERVAL:
            self._drawn = now
            self._picture = tuple(
                SourceShare(url, source.host, source.state, source.rate(now), source.bytes_done)
                for url, source in list(self._sources.items())[:MAX_SOURCES]
            )
        return self._picture

    def _enter(self, url: str, state: SourceState) -> None:
        self._sources[url].state = state
        self._drawn = float("-inf")
