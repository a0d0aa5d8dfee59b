"""Rate and expected end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from luxusbd.jobs.progress import MIN_SAMPLES, RateMeter


def test_a_steady_rate() -> None:
    meter = RateMeter()
    for second in range(10):
        meter.add(float(second), second * 1000)
    estimate = meter.estimate(9.0, 19000)
    assert estimate.rate == 1000
    assert estimate.remaining == 10.0


def test_no_end_before_there_are_enough_samples() -> None:
    meter = RateMeter()
    for count in range(1, MIN_SAMPLES):
        meter.add(float(count), count * 10)
        assert meter.estimate(float(count), 1000).remaining is None


def test_old_samples_are_forgotten() -> None:
    meter = RateMeter()
    for tenth in range(300):
        meter.add(tenth / 10, 0 if tenth < 200 else (tenth - 200) * 100)
    assert meter.estimate(29.9, 0).rate > 900


def test_a_stall_shows() -> None:
    meter = RateMeter()
    for second in range(6):
        meter.add(float(second), second * 1000)
    assert meter.estimate(60.0, 10000).rate < 100


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 1 << 62))), st.integers(-1, 1 << 62))
def test_never_negative(samples: list[tuple[float, int]], total: int) -> None:
    meter = RateMeter()
    now = 0.0
    for step, done in samples:
        now += step
        meter.add(now, done)
    estimate = meter.estimate(now, total)
    assert estimate.rate >= 0
    assert estimate.remaining is None or estimate.remaining >= 0
