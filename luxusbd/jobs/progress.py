"""Rate and expected end of a job, from what it reported over the last seconds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOW = 10.0
"""Seconds over which the rate is taken."""
MIN_SAMPLES = 5
"""Fewer samples than these give no expected end, as in udisks."""
MIN_SPAN = 1.0
"""Seconds that the samples have to span before there is an expected end."""


@dataclass(frozen=True)
class Estimate:
    """What the samples say."""

    rate: int
    """Bytes per second."""
    remaining: float | None
    """Seconds, or None while it is too early to tell."""


class RateMeter:
    """Collects (time, bytes) samples; times are monotonic seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def reset(self) -> None:
        """Forget everything, as at a change of stage, a pause, or bytes that went back."""
        self._samples.clear()

    def add(self, now: float, done: int) -> None:
        """Record that `done` bytes were reached at `now`."""
        if self._samples and done < self._samples[-1][1]:
            self.reset()
        self._samples.append((now, done))
        while len(self._samples) > 2 and now - self._samples[0][0] > WINDOW:
            self._samples.popleft()

    def estimate(self, now: float, total: int) -> Estimate:
        """Rate over the window up to `now`, and the time until `total` bytes are reached."""
        if len(self._samples) < 2:
            return Estimate(0, None)
        first_time, first = self._samples[0]
        last = self._samples[-1][1]
        span = now - first_time
        if span < 0.001:
            return Estimate(0, None)
        rate = (last - first) / span
        if total <= 0 or rate <= 0 or len(self._samples) < MIN_SAMPLES or span < MIN_SPAN:
            return Estimate(int(rate), None)
        return Estimate(int(rate), max(0.0, (total - last) / rate))
