from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.transfer.segments import Span, SpanSet

END = 60
spans = st.tuples(st.integers(0, END - 1), st.integers(1, 20)).map(lambda pair: Span(pair[0], pair[0] + pair[1]))
sets = st.lists(spans, max_size=8).map(SpanSet.of)


def members(some: SpanSet) -> set[int]:
    return {byte for span in some for byte in range(span.start, span.end)}


@given(st.lists(spans, max_size=8))
def test_a_set_holds_what_was_put_in(parts: list[Span]) -> None:
    merged = SpanSet.of(parts)
    expected = {byte for span in parts for byte in range(span.start, span.end)}
    assert members(merged) == expected
    assert merged.total == len(expected)
    assert merged.end == max(expected, default=-1) + 1
    assert merged.prefix == next(byte for byte in range(END + 100) if byte not in expected)


@given(sets, sets, spans)
def test_sets_are_sets(left: SpanSet, right: SpanSet, span: Span) -> None:
    assert members(left.union(right)) == members(left) | members(right)
    assert members(left.subtract(right)) == members(left) - members(right)
    inside = set(range(span.start, span.end))
    assert members(left.within(span)) == members(left) & inside
    assert members(left.add(span)) == members(left) | inside
    assert left.covers(span) == (inside <= members(left))
    assert members(left.before(span.start)) == {byte for byte in members(left) if byte < span.start}


@given(sets, st.integers(0, END + 20))
def test_missing_and_done_make_the_file(some: SpanSet, size: int) -> None:
    assert members(some.missing(size)) == set(range(size)) - members(some)


@pytest.mark.parametrize("pair", [(-1, 4), (4, 4), (5, 4)])
def test_no_empty_or_negative_spans(pair: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not a range"):
        Span(*pair)


@pytest.mark.parametrize("parts", [(Span(0, 2), Span(2, 4)), (Span(0, 3), Span(2, 4)), (Span(5, 6), Span(0, 1))])
def test_a_set_is_normal(parts: tuple[Span, ...]) -> None:
    with pytest.raises(ValueError, match="overlap, touch or are out of order"):
        SpanSet(parts)
