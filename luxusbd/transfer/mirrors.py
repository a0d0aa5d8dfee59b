"""The mirrors of one download: who is asked next, who rests, who is given up, and what each one did."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from luxusbd.transfer.answers import FailureKind, SourceError
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.model import SourceHint

_WAITING = (FailureKind.NO_NETWORK, FailureKind.CAPTIVE)
_AT_ONCE = (FailureKind.DENIED, FailureKind.CHANGED)
HISTORY = 6
HOPELESS = 4
"""Failures in a row after which a mirror that never brought a byte is asked only when there is no other."""


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
    row: int = 0
    """Its own failures since it last brought bytes, whatever the others do."""
    brought: bool = False
    """Whether it ever brought bytes."""
    banned: str = ""
    """How it was proven that it sends wrong bytes."""
    suspected: bool = False
    """Its bytes are doubted: it is left out until that is settled."""
    expected: float = 0.0
    """Bytes per second that earlier downloads saw, weighted by how often it did well; 0 unknown."""
    measured: float = 0.0
    """Bytes per second that this download saw last; 0 not yet."""
    tried: float = float("-inf")
    """When it was last tried in a crew."""
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
        hints: Sequence[SourceHint] = (),
    ) -> None:
        known = {hint.url: hint.rate * hint.success for hint in hints}
        self.mirrors = tuple(Mirror(url, expected=known.get(url, 0.0)) for url in dict.fromkeys(urls))
        self._limits = limits
        self._clock = clock
        self._jitter = jitter or (lambda: random.uniform(0.5, 1.5))  # noqa: S311 - spreads retries, guards nothing
        self._current: Mirror | None = None

    def alive(self, mirror: Mirror) -> bool:
        """Whether it may be asked again, now or later."""
        return (
            not mirror.dead
            and not mirror.banned
            and not mirror.suspected
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

    def ready(self) -> list[Mirror]:
        """Those that may be asked for a range right now, the fastest first, those of whom nothing is known last.

        One that failed several times in a row without ever bringing bytes is among them only when there is no other.
        """
        now = self._clock()
        able = [one for one in self.mirrors if self.alive(one) and one.rests_until <= now and not one.without_range]
        proven = [one for one in able if one.brought or one.row < HOPELESS]
        return sorted(proven or able, key=lambda one: -(one.measured or one.expected))

    def next(self, bound_to: str = "") -> tuple[Mirror, float] | None:
        """Whom to ask and how many seconds to wait before; None when all are given up.

        `bound_to` is the address to stay with as long as it is alive: without a known checksum bytes of two mirrors
        do not mix. A mirror that just brought bytes is waited for as well. Of those that may be asked at once the one
        that failed least comes first: a rest that is over does not make up for a stall.
        """
        candidates = [mirror for mirror in self.mirrors if self.alive(mirror)]
        if not candidates:
            return None
        now = self._clock()
        bound = [mirror for mirror in candidates if mirror.url == bound_to or mirror is self._current]
        chosen = bound[0] if bound else min(candidates, key=lambda one: (max(now, one.rests_until), one.slow + one.row))
        return chosen, max(0.0, chosen.rests_until - now)

    def progressed(self, mirror: Mirror) -> None:
        """`mirror` brought bytes: the network is there, and everybody alive gets new chances."""
        for other in self.mirrors:
            if self.alive(other):
                other.strikes = other.offline = 0
        mirror.denied = mirror.row = 0
        mirror.brought = True
        self._current = mirror

    def failed(self, mirror: Mirror, error: SourceError, *, brought_bytes: bool) -> None:
        """`mirror` failed with `error`, after or without new bytes."""
        mirror.did(str(error))
        mirror.last = error.kind
        mirror.row += 1 if error.weight else 0
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
            self._rest(mirror, max(mirror.offline, mirror.row))
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
            self._rest(mirror, max(mirror.strikes, mirror.row))
        elif error.kind not in _AT_ONCE:
            self._rest(mirror, max(mirror.strikes, mirror.row))

    def drop(self, mirror: Mirror, why: str) -> None:
        """Ask `mirror` no more."""
        mirror.did(why)
        mirror.dead = True

    def ban(self, mirror: Mirror, why: str) -> None:
        """`mirror` is proven to send wrong bytes."""
        mirror.did(why)
        mirror.banned = why
        mirror.suspected = False
        if self._current is mirror:
            self._current = None

    def release(self) -> tuple[Mirror, ...]:
        """Those that were suspected: nothing was proven against them, and they may be asked again."""
        released = tuple(mirror for mirror in self.mirrors if mirror.suspected)
        for mirror in released:
            mirror.suspected = False
        return released

    def find(self, url: str) -> Mirror | None:
        """The mirror with this address."""
        return next((mirror for mirror in self.mirrors if mirror.url == url), None)

    def begin_again(self, avoid: Collection[str]) -> None:
        """Forgive everybody for a fresh start, but leave out `avoid`, unless nobody else is left.

        Mirrors that answer the same way every time stay out.
        """
        hopeless = {
            mirror.url
            for mirror in self.mirrors
            if mirror.banned or (mirror.dead and mirror.last is not FailureKind.WRONG_SIZE)
        }
        if all(mirror.url in avoid or mirror.url in hopeless for mirror in self.mirrors):
            avoid = ()
        self.mirrors = tuple(
            Mirror(
                mirror.url,
                dead=mirror.url in avoid or mirror.url in hopeless,
                absent_until=mirror.absent_until,
                brought=mirror.brought,
                banned=mirror.banned,
                expected=mirror.expected,
                measured=mirror.measured,
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

    @property
    def absent(self) -> bool:
        """Whether every mirror says that it does not have the file."""
        return {mirror.last for mirror in self.mirrors} == {FailureKind.ABSENT}

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
        if self.absent:
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
