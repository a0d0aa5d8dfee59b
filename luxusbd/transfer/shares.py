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
    measured: int = 0
    latency: float = 0.0
    successes: int = 0
    failures: int = 0
    rests_until: float = 0.0
    reason: str = ""
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
        """A request goes out. Between two ranges that a mirror brings one after the other it goes on serving."""
        known = url in self._sources
        source = self._sources.setdefault(url, _Source(host))
        source.rests_until = 0.0
        if not known:
            source.host = host
            self._drawn = float("-inf")
        elif source.state is not SourceState.SERVING:
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

    def listed(self, url: str, host: str) -> None:
        """It will be asked."""
        self._sources[url] = _Source(host, SourceState.WAITING)

    def answered(self, url: str, host: str, latency: float) -> None:
        """The headers of an answer came `latency` seconds after the request."""
        source = self._sources[url]
        source.host = host
        source.latency = latency

    def latency(self, url: str) -> float:
        """Seconds to the headers of its last answer, 0 without one."""
        return self._sources[url].latency if url in self._sources else 0.0

    def measured(self, url: str, rate: float) -> None:
        """It was seen to bring `rate` bytes per second while nothing of ours slowed it down."""
        if rate > 0:
            self._sources[url].measured = int(rate)

    def succeeded(self, url: str) -> None:
        """It brought a range to its end."""
        source = self._sources[url]
        source.successes += 1
        source.reason = ""

    def idle(self, url: str) -> None:
        """It is not asked at the moment, and that is not its fault."""
        source = self._sources.get(url)
        if source is not None and source.state in (SourceState.CONNECT, SourceState.SERVING):
            self._enter(url, SourceState.WAITING)

    def failed(self, url: str, reason: str, *, fault: bool, rests_until: float, for_good: bool) -> None:
        """A request ended badly: whether by a `fault` of its own, and until when it is left alone."""
        source = self._sources[url]
        source.failures += 1 if fault else 0
        source.reason = reason
        source.rests_until = rests_until
        self._enter(url, SourceState.GIVEN_UP if for_good else SourceState.WAITING)

    def banned(self, url: str, host: str, reason: str) -> None:
        """It is proven to have sent wrong bytes."""
        source = self._sources.setdefault(url, _Source(host))
        source.failures += 1
        source.reason = reason
        self._enter(url, SourceState.BANNED)

    def cleared(self, url: str) -> None:
        """It was banned and did nothing wrong."""
        if url in self._sources:
            self._sources[url].reason = ""
            self._enter(url, SourceState.WAITING)

    def picture(self, *, now: bool = False, most: int = MAX_SOURCES) -> tuple[SourceShare, ...]:
        """The mirrors as they are; the same picture for up to a second, unless one of them changed its state.

        `now` draws a new one in any case.
        """
        time = self._clock()
        if now or time - self._drawn >= INTERVAL:
            self._drawn = time
            self._picture = tuple(_share(url, source, time) for url, source in list(self._sources.items())[:most])
        return self._picture

    def _enter(self, url: str, state: SourceState) -> None:
        if self._sources[url].state is not state:
            self._sources[url].state = state
            self._drawn = float("-inf")


def _share(url: str, source: _Source, now: float) -> SourceShare:
    return SourceShare(
        url,
        source.host,
        source.state,
        source.rate(now),
        source.bytes_done,
        source.measured,
        source.latency,
        source.successes,
        source.failures,
        max(0.0, source.rests_until - now) if source.state is SourceState.WAITING else 0.0,
        source.reason,
    )
