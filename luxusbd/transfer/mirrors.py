"""The mirrors of one download: who is asked next, who rests, who is given up, and what each one did."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from luxusbd.transfer.answers import FailureKind, SourceError
from luxusbd.transfer.limits import TransferLimits

_WAITING = (FailureKind.NO_NETWORK, FailureKind.CAPTIVE)
_AT_ONCE = (FailureKind.DENIED, FailureKind.CHANGED)
HISTORY = 6


@dataclass
class Mirror:
    """One address and how it behaved during this download."""

    url: str
    strikes: int = 0
    """Weighted failures since a mirror, any, brought bytes."""
    offline: int = 0
    """Failures since then that mean there is no network."""
    rests_until: float = 0.0
    dead: bool = False
    """It will not be asked again by this download."""
    absent_until: float = 0.0
    without_range: bool = False
    """It gets no Range header any more: it stumbled over one."""
    etag_unreliable: bool = False
    """Its ETag changes though the file does not."""
    restarts: int = 0
    denied: int = 0
    slow: int = 0
    last: FailureKind | None = None
    history: dict[str, int] = field(default_factory=dict)

    def did(self, text: str) -> None:
        """Remember what it did, for the list that the user gets."""
        self.history[text] = self.history.pop(text, 0) + 1
        while len(self.history) > HISTORY:
            del self.history[next(iter(self.history))]


class MirrorBook:
    """All mirrors of one download, best first. `clock` gives seconds, `jitter` a factor around 1."""

    def __init__(
        self,
        urls: Sequence[str],
        limits: TransferLimits,
        clock: Callable[[], float],
        jitter: Callable[[], float] | None = None,
    ) -> None:
        self.mirrors = tuple(Mirror(url) for url in dict.fromkeys(urls))
        self._limits = limits
        self._clock = clock
        self._jitter = jitter or (lambda: random.uniform(0.5, 1.5))  # noqa: S311 - spreads retries, guards nothing
        self._current: Mirror | None = None

    def alive(self, mirror: Mirror) -> bool:
        """Whether it may be asked again, now or later."""
        return (
            not mirror.dead
            and mirror.absent_until <= self._clock()
            and mirror.strikes < self._limits.attempts
            and mirror.offline < self._limits.network_attempts
        )

    def others(self, mirror: Mirror) -> bool:
        """Whether another mirror may be asked, now or later."""
        return any(other is not mirror and self.alive(other) for other in self.mirrors)

    def replaceable(self, mirror: Mirror) -> bool:
        """Whether another mirror may be asked right now."""
        now = self._clock()
        return any(other is not mirror and self.alive(other) and other.rests_until <= now for other in self.mirrors)

    def next(self, bound_to: str = "") -> tuple[Mirror, float] | None:
        """Whom to ask and how many seconds to wait before; None when all are given up.

        `bound_to` is the address to stay with as long as it is alive: without a known checksum bytes of two mirrors
        do not mix. A mirror that just brought bytes is waited for as well.
        """
        candidates = [mirror for mirror in self.mirrors if self.alive(mirror)]
        if not candidates:
            return None
        now = self._clock()
        bound = [mirror for mirror in candidates if mirror.url == bound_to or mirror is self._current]
        chosen = bound[0] if bound else min(candidates, key=lambda mirror: max(now, mirror.rests_until))
        return chosen, max(0.0, chosen.rests_until - now)

    def progressed(self, mirror: Mirror) -> None:
        """`mirror` brought bytes: the network is there, and everybody alive gets new chances."""
        for other in self.mirrors:
            if self.alive(other):
                other.strikes = other.offline = 0
        mirror.denied = 0
        self._current = mirror

    def failed(self, mirror: Mirror, error: SourceError, *, brought_bytes: bool) -> None:
        """`mirror` failed with `error`, after or without new bytes."""
        mirror.did(str(error))
        mirror.last = error.kind
        if brought_bytes:
            self.progressed(mirror)
        else:
            self._current = None
        if error.kind is FailureKind.NO_NETWORK and error.weight == 0:
            # this machine has no network: that is waited out, however long it takes
            mirror.rests_until = self._clock() + self._limits.offline_wait
            return
        if error.kind in _WAITING:
            mirror.offline += 1
            mirror.strikes += 1 if error.kind is FailureKind.CAPTIVE else 0
            self._rest(mirror, mirror.offline)
            return
        mirror.strikes += error.weight
        if error.kind is FailureKind.UNUSABLE or (error.kind is FailureKind.WRONG_SIZE and not error.redirected):
            mirror.dead = True
        elif error.kind is FailureKind.ABSENT:
            mirror.absent_until = self._clock() + self._limits.absent_for
        elif error.kind is FailureKind.DENIED:
            self._denied(mirror)
        elif error.kind in (FailureKind.SLOW, FailureKind.STALLED):
            # it may have brought bytes, but another one is to be asked first
            mirror.slow += 1
            self._current = None
            self._rest(mirror, mirror.slow + 4 if error.kind is FailureKind.SLOW else mirror.slow)
        elif error.retry_after > 0:
            self._current = None
            mirror.rests_until = self._clock() + error.retry_after
        elif error.kind is FailureKind.BAD_ANSWER:
            mirror.without_range = True
            self._rest(mirror, mirror.strikes)
        elif error.kind not in _AT_ONCE:
            self._rest(mirror, mirror.strikes)

    def drop(self, mirror: Mirror, why: str) -> None:
        """Ask `mirror` no more."""
        mirror.did(why)
        mirror.dead = True

    def begin_again(self, avoid: Collection[str]) -> None:
        """Forgive everybody for a fresh start, but leave out `avoid`, unless nobody else is left.

        Mirrors that answer the same way every time stay out.
        """
        hopeless = {mirror.url for mirror in self.mirrors if mirror.dead and mirror.last is not FailureKind.WRONG_SIZE}
        if all(mirror.url in avoid or mirror.url in hopeless for mirror in self.mirrors):
            avoid = ()
        self.mirrors = tuple(
            Mirror(
                mirror.url,
                dead=mirror.url in avoid or mirror.url in hopeless,
                absent_until=mirror.absent_until,
                last=mirror.last,
                history=mirror.history,
            )
            for mirror in self.mirrors
        )
        self._current = None

    def wake(self) -> None:
        """The network came back: who was not reached may be asked at once."""
        for mirror in self.mirrors:
            if mirror.last is FailureKind.NO_NETWORK:
                mirror.rests_until = 0.0

    @property
    def offline(self) -> bool:
        """Whether every mirror that is alive failed last because nothing was reached."""
        alive = [mirror for mirror in self.mirrors if self.alive(mirror)]
        return bool(alive) and all(mirror.last is FailureKind.NO_NETWORK for mirror in alive)

    def report(self) -> str:
        """What every mirror did, a line each, for the user."""
        lines = []
        for mirror in self.mirrors:
            deeds = [f"{text} ({count} times)" if count > 1 else text for text, count in mirror.history.items()]
            lines.append(f"  {mirror.url}: {'; '.join(deeds) or 'was not asked'}")
        return "\n".join(lines)

    def summary(self) -> str:
        """One sentence on why there is no file, before the report."""
        kinds = {mirror.last for mirror in self.mirrors}
        if kinds == {FailureKind.CAPTIVE}:
            return (
                "every mirror answered with a web page: this network seems to want a login first (captive portal); "
                "open a web browser, log in, then resume the job"
            )
        if kinds == {FailureKind.ABSENT}:
            return "no mirror has this file: the catalogue may be out of date"
        if kinds == {FailureKind.NO_NETWORK}:
            return "no mirror could be reached: check the network, then resume the job"
        return "no mirror gave the file"

    def _denied(self, mirror: Mirror) -> None:
        mirror.denied += 1
        if mirror.denied == 2:
            # the second 403 in a row was for a freshly resolved address: perhaps it is the range that it dislikes
            mirror.without_range = True
        elif mirror.denied > 2:
            mirror.dead = True

    def _rest(self, mirror: Mirror, failures: int) -> None:
        seconds = self._limits.backoff_first * 2 ** min(max(failures - 1, 0), 20)
        mirror.rests_until = self._clock() + min(self._limits.backoff_cap, seconds * self._jitter())
