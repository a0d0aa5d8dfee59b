"""Who fetches what: properties of single decisions, and whole downloads in a simulation without any clock."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.plan import Claim, Order, next_order, race_spans, worth_keeping
from luxusbd.transfer.segments import MIB, Span, SpanSet

LIMITS = TransferLimits()
TINY = replace(
    LIMITS, range_size=64, piece_size=16, race_span=4, steal_min=4, steal_align=1, endgame_bytes=16, endgame_share=0.02
)
SIZE = 1000


@st.composite
def situations(draw: st.DrawFn) -> tuple[SpanSet, list[Claim]]:
    """What is missing, and workers that are somewhere within it, none where another one is."""
    spans = st.tuples(st.integers(0, SIZE - 1), st.integers(1, 200)).map(
        lambda pair: Span(pair[0], min(SIZE, pair[0] + pair[1]))
    )
    missing = SpanSet.of(draw(st.lists(spans, min_size=1, max_size=6)))
    claims = []
    for number, span in enumerate(missing):
        if draw(st.booleans()):
            start = draw(st.integers(span.start, span.end - 1))
            position = draw(st.integers(start, span.end))
            end = draw(st.integers(max(position, start + 1), span.end))
            claims.append(Claim(number, start, position, end, draw(st.sampled_from([0.0, 1.0, 10.0, 300.0]))))
    return missing, claims


def ask(missing: SpanSet, claims: Sequence[Claim], rate: float = 10.0, after: int = -1) -> Order | None:
    return next_order(missing, claims, size=SIZE, after=after, rate=rate, limits=TINY)


@given(situations(), st.sampled_from([0.0, 1.0, 20.0]), st.integers(-1, SIZE))
def test_an_order_is_for_missing_bytes_that_nobody_else_keeps(
    situation: tuple[SpanSet, list[Claim]], rate: float, after: int
) -> None:
    missing, claims = situation
    order = ask(missing, claims, rate, after)
    if order is None:
        return
    assert missing.covers(order.span)
    kept = [
        Span(one.start, order.cut if one.worker == order.victim else one.end)
        for one in claims
        if one.start < (order.cut if one.worker == order.victim else one.end)
    ]
    if order.double:
        victim = next(one for one in claims if one.worker == order.victim)
        assert order.span == Span(victim.position, victim.end)
        assert missing.total < TINY.endgame_bytes
        kept = [span for span in kept if span.end != victim.end]
    assert not SpanSet.of(kept).within(order.span)
    if order.victim is not None and not order.double:
        victim = next(one for one in claims if one.worker == order.victim)
        assert victim.position <= order.cut <= victim.end
        assert order.span.start == order.cut


@given(situations(), st.sampled_from([0.0, 20.0]))
def test_nobody_is_idle_while_bytes_are_free(situation: tuple[SpanSet, list[Claim]], rate: float) -> None:
    missing, claims = situation
    taken = SpanSet.of(Span(one.start, one.end) for one in claims)
    if missing.subtract(taken):
        order = ask(missing, claims, rate)
        assert order is not None
        assert order.victim is None


def test_a_worker_goes_on_behind_its_last_range() -> None:
    missing = SpanSet((Span(100, 400), Span(500, 900)))
    busy = [Claim(1, 100, 120, 164, 5.0)]
    assert ask(missing, busy, after=600) == Order(Span(600, 656))
    assert ask(missing, busy, after=450) == Order(Span(164, 224))


def test_ranges_end_at_pieces_and_the_only_worker_gets_everything() -> None:
    missing = SpanSet().missing(SIZE)
    assert ask(missing, []) == Order(Span(0, SIZE))
    # whoever comes second takes the range behind the one that the first is in
    assert ask(missing, [Claim(1, 0, 10, SIZE, 5.0)]) == Order(Span(80, 144), 1, 80)


def test_the_longest_wait_is_shared_by_rate() -> None:
    missing = SpanSet((Span(0, 40), Span(100, 160)))
    claims = [Claim(1, 0, 0, 40, 20.0), Claim(2, 100, 100, 160, 10.0)]
    # 60 bytes at 10 and 20 a second
    assert ask(missing, claims, rate=20.0) == Order(Span(120, 160), 2, 120)
    # who stands still loses everything
    assert ask(missing, [claims[0], replace(claims[1], rate=0.0)], rate=20.0) == Order(Span(100, 160), 2, 100)
    # what comes soon, or is little, is left
    assert ask(missing, [claims[0], replace(claims[1], rate=45.0)], rate=20.0) == Order(Span(20, 40), 1, 20)
    few = SpanSet((Span(0, 3),))
    assert ask(few, [Claim(1, 0, 0, 3, 0.01)], rate=0.0) is None


def test_only_one_tail_is_doubled_and_only_by_somebody_faster() -> None:
    tail = SpanSet((Span(990, 994),))
    slow = Claim(1, 980, 990, 994, 1.0)
    assert ask(tail, [slow], rate=50.0) == Order(Span(990, 994), 1, 994, double=True)
    assert ask(tail, [slow], rate=1.4) is None
    assert ask(tail, [replace(slow, doubled=True)], rate=50.0) is None


@given(situations(), st.integers(1, 5))
def test_race_spans_are_missing_and_apart(situation: tuple[SpanSet, list[Claim]], count: int) -> None:
    missing, _claims = situation
    spans = race_spans(missing, count, TINY)
    assert 1 <= len(spans) <= count
    assert spans[0].start == missing.spans[0].start
    assert all(missing.covers(span) and len(span) <= TINY.race_span for span in spans)
    assert SpanSet.of(spans).total == sum(map(len, spans))


def test_a_race_begins_at_the_first_ranges() -> None:
    size = 4096 * MIB
    assert [span.start // MIB for span in race_spans(SpanSet().missing(size), 3, LIMITS)] == [0, 64, 128]
    assert [span.start // MIB for span in race_spans(SpanSet().missing(60 * MIB), 3, LIMITS)] == [0, 20, 40]


def test_who_is_worth_a_connection() -> None:
    assert worth_keeping({1: 10.0, 2: 60.0, 3: 5.0, 4: 30.0}, 4, 0.15) == (2, 4)
    assert worth_keeping({1: 10.0, 2: 10.0, 3: 10.0}, 2, 0.15) == (1, 2)
    assert worth_keeping({1: 10.0, 2: 10.0, 3: 10.0}, 4, 0.15, ceiling=15.0) == (1, 2)
    assert worth_keeping({}, 4, 0.15) == ()


# Whole downloads, simulated


@dataclass
class Simulated:
    mean: float
    noise: float = 1.0
    claim: Claim | None = None
    connecting: float = 0.0
    after: int = -1
    seen: float = 0.0
    fetched: int = 0
    stalls_at: float = float("inf")


@dataclass
class Simulation:
    """Mirrors with rates that wander (AR(1)), a common downlink, and a pause before each request."""

    size: int
    mirrors: list[Simulated]
    chance: random.Random
    downlink: float = 125e6
    request: float = 0.1
    step: float = 0.05
    limits: TransferLimits = LIMITS
    now: float = 0.0
    written: SpanSet = field(default_factory=SpanSet)

    def run(self) -> float:
        """Seconds until every byte is there."""
        while self.written.missing(self.size):
            assert self.now < 10_000, "no end"
            for number, mirror in enumerate(self.mirrors):
                if mirror.claim is None and self.now < mirror.stalls_at:
                    self.order(number, mirror)
            self.move()
            self.now += self.step
        return self.now

    def order(self, number: int, mirror: Simulated) -> None:
        claims = [replace(one.claim, rate=self.rate(one)) for one in self.mirrors if one.claim is not None]
        missing = self.written.missing(self.size)
        order = next_order(
            missing, claims, size=self.size, after=mirror.after, rate=self.rate(mirror), limits=self.limits
        )
        if order is None:
            return
        for one in self.mirrors:
            if one.claim is not None and one.claim.worker == order.victim:
                one.claim = replace(one.claim, end=order.cut, doubled=order.double)
        mirror.claim = Claim(number, order.span.start, order.span.start, order.span.end, 0.0, order.double)
        mirror.connecting = self.request

    def rate(self, mirror: Simulated) -> float:
        return mirror.seen or mirror.mean

    def move(self) -> None:
        for mirror in self.mirrors:
            mirror.noise = max(0.2, 1 + 0.95 * (mirror.noise - 1) + self.chance.gauss(0, 0.08))
        speeds = [
            0.0 if self.now >= one.stalls_at or one.claim is None or one.connecting > 0 else one.mean * one.noise
            for one in self.mirrors
        ]
        share = min(1.0, self.downlink / max(1.0, sum(speeds)))
        for mirror, speed in zip(self.mirrors, speeds, strict=True):
            claim = mirror.claim
            if claim is None:
                continue
            mirror.connecting -= self.step
            got = min(claim.rest, int(speed * share * self.step))
            mirror.seen = mirror.seen * 0.99 + got / self.step * 0.01 if mirror.seen else got / self.step
            if got:
                self.written = self.written.add(Span(claim.position, claim.position + got))
                mirror.fetched += got
            mirror.claim = replace(claim, position=claim.position + got)
            if mirror.claim.rest == 0 or self.written.covers(Span(mirror.claim.position, mirror.claim.end)):
                mirror.after, mirror.claim = mirror.claim.end, None


def ideal(size: int, mirrors: Sequence[Simulated], downlink: float = 125e6) -> float:
    return size / min(downlink, sum(one.mean for one in mirrors))


def uneven(chance: random.Random) -> list[Simulated]:
    return [Simulated(chance.uniform(3e6, 60e6)) for _ in range(4)]


def ratios(change: Callable[[Simulation], None], seeds: int = 8) -> float:
    """Mean of time over ideal time. The ideal leaves out mirrors that stall."""
    found = []
    for seed in range(seeds):
        chance = random.Random(seed)
        simulation = Simulation(2_000 * MIB, uneven(chance), chance)
        change(simulation)
        good = [one for one in simulation.mirrors if one.stalls_at == float("inf")]
        found.append(simulation.run() / ideal(simulation.size, good))
        assert sum(one.fetched for one in simulation.mirrors) <= simulation.size * 1.02
    return sum(found) / len(found)


def test_uneven_mirrors_come_close_to_the_ideal() -> None:
    assert ratios(lambda _simulation: None) <= 1.10


def test_a_mirror_that_stalls_costs_little() -> None:
    def stall(simulation: Simulation) -> None:
        simulation.mirrors[0].stalls_at = 5.0

    assert ratios(stall) <= 1.10


def test_without_stealing_and_with_small_ranges_it_would_be_worse() -> None:
    """What the rules are for: the comparison that they were chosen by."""

    def small(simulation: Simulation) -> None:
        simulation.limits = replace(LIMITS, range_size=4 * MIB, piece_size=MIB, range_time=0.0)

    def alone(simulation: Simulation) -> None:
        simulation.limits = replace(LIMITS, steal_min=2**40, endgame_bytes=0, endgame_share=0.0)

    good = ratios(lambda _simulation: None, 4)
    assert ratios(small, 4) > good * 1.2
    assert ratios(alone, 4) > good * 1.01


@pytest.mark.parametrize("count", [1, 2, 8])
def test_any_number_of_mirrors_brings_every_byte(count: int) -> None:
    chance = random.Random(count)
    simulation = Simulation(700 * MIB, [Simulated(chance.uniform(1e6, 90e6)) for _ in range(count)], chance)
    simulation.run()
    assert simulation.written.spans == (Span(0, simulation.size),)
