"""Who fetches which bytes of a file that several mirrors share. Pure: values in, values out, no clock, no network.

The rules come from a simulation of uneven mirrors of which one stalls: large contiguous ranges lose little to requests,
and an idle mirror that takes over a part of the range with the most time left matters more than their size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.segments import Span, SpanSet

SOONER = 0.67
"""The share of its time in which somebody else must be able to bring a tail for being asked for it, too."""


@dataclass(frozen=True)
class Claim:
    """What one worker is at."""

    worker: int
    start: int
    position: int
    """The byte that comes next; those from `start` on may still be on their way to the disk."""
    end: int
    rate: float
    """Bytes per second that it brings, or is expected to bring; 0 when it stands still."""
    doubled: bool = False
    """Whether two workers are at these bytes."""

    @property
    def rest(self) -> int:
        """Bytes that are still to come."""
        return max(0, self.end - self.position)

    @property
    def eta(self) -> float:
        """Seconds until they have come."""
        if self.rest == 0:
            return 0.0
        return self.rest / self.rate if self.rate > 0 else math.inf


@dataclass(frozen=True)
class Order:
    """The bytes that a worker is to fetch next."""

    span: Span
    victim: int | None = None
    """The worker whose bytes these were."""
    cut: int = 0
    """Where the claim of the victim ends from now on."""
    double: bool = False
    """Whether the victim goes on with the same bytes; the first to have them wins."""


def next_order(
    missing: SpanSet,
    claims: Sequence[Claim],
    *,
    size: int,
    after: int,
    rate: float,
    limits: TransferLimits,
) -> Order | None:
    """What an idle worker does next; None when there is nothing for it.

    `missing` is what is not written yet of a file of `size` bytes, `claims` what the other workers are at, `after` the
    end of what the idle one fetched before, `rate` its bytes per second (0: unknown).
    """
    free = missing.subtract(SpanSet.of(Span(one.start, one.end) for one in claims if one.start < one.end))
    if free:
        return Order(_from_free(free, after, rate, limits, alone=not claims))
    return _split(claims, rate, limits) or _steal(claims, rate, limits) or _double(missing, claims, size, rate, limits)


def race_spans(missing: SpanSet, count: int, limits: TransferLimits) -> tuple[Span, ...]:
    """Up to `count` spans by which mirrors are measured, spread over what is missing, the first at its start.

    They lie at the starts of the first ranges, so that each mirror can go on behind its own, and the bytes without a
    hole from the start, which are hashed meanwhile, do not stay far behind.
    """
    step = min(limits.range_size, max(limits.race_span, missing.total // max(1, count)))
    starts: list[int] = []
    passed = 0
    for span in missing:
        # `passed` counts missing bytes, so that a fragmented file is spread over, too
        while len(starts) < count and len(starts) * step < passed + len(span):
            starts.append(span.start + len(starts) * step - passed)
        passed += len(span)
    spans = []
    for start in starts:
        gap = next(span for span in missing if span.start <= start < span.end)
        limit = min([gap.end, start + limits.race_span, *(other for other in starts if other > start)])
        spans.append(Span(start, limit))
    return tuple(spans)


def worth_keeping(rates: Mapping[int, float], most: int, gain: float, ceiling: float = math.inf) -> tuple[int, ...]:
    """The workers whose mirrors are worth a connection, best first: each adds more than `gain` to those before it.

    Nobody is added to those who reach `ceiling` bytes per second already.
    """
    kept: list[int] = []
    total = 0.0
    for worker, rate in sorted(rates.items(), key=lambda item: -item[1]):
        if kept and (len(kept) >= most or rate <= gain * total or total >= ceiling):
            break
        kept.append(worker)
        total += rate
    return tuple(kept)


def _from_free(free: SpanSet, after: int, rate: float, limits: TransferLimits, *, alone: bool) -> Span:
    home = next((span for span in free if span.start <= after < span.end), None)
    start, end = (after, home.end) if home is not None else (free.spans[0].start, free.spans[0].end)
    if alone:
        # one request for everything: nobody else needs a part of it, and whoever comes later cuts it
        return Span(start, end)
    return Span(start, min(end, _range_end(start, rate, limits)))


def _range_end(start: int, rate: float, limits: TransferLimits) -> int:
    size = min(max(limits.range_size, int(rate * limits.range_time)), 4 * limits.range_size)
    end = (start + size) // limits.piece_size * limits.piece_size
    return end if end > start else start + size


def _split(claims: Sequence[Claim], rate: float, limits: TransferLimits) -> Order | None:
    """Of a claim that was made when nobody else was there: the range behind the one that its worker is in."""
    for claim in claims:
        cut = _range_end(claim.position + limits.piece_size - 1, claim.rate, limits)
        if not claim.doubled and claim.end - cut > limits.range_size:
            return Order(Span(cut, min(claim.end, _range_end(cut, rate, limits))), claim.worker, cut)
    return None


def _steal(claims: Sequence[Claim], rate: float, limits: TransferLimits) -> Order | None:
    victims = [one for one in claims if not one.doubled and one.rest > limits.steal_min and one.eta > limits.steal_eta]
    if not victims:
        return None
    victim = max(victims, key=lambda one: (one.eta, one.rest))
    mine = rate or victim.rate or 1.0
    align = limits.steal_align
    cut = victim.position + math.ceil(victim.rest * victim.rate / (mine + victim.rate))
    cut = max(victim.position, -(-cut // align) * align if victim.rate > 0 else victim.position)
    if victim.end - cut < align:
        return None
    return Order(Span(cut, victim.end), victim.worker, cut)


def _double(missing: SpanSet, claims: Sequence[Claim], size: int, rate: float, limits: TransferLimits) -> Order | None:
    if missing.total >= max(limits.endgame_bytes, limits.endgame_share * size) or any(one.doubled for one in claims):
        return None
    victim = max(claims, key=lambda one: one.eta, default=None)
    if victim is None or victim.rest == 0 or rate <= 0 or victim.rest / rate > SOONER * victim.eta:
        return None
    return Order(Span(victim.position, victim.end), victim.worker, victim.end, double=True)
