"""Which bytes of a file are there: sorted sets of half-open ranges. Pure values, no disk, no network.

A range is `[start, end)` in bytes from the start of the file.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

MIB = 1024 * 1024


@dataclass(frozen=True, order=True)
class Span:
    """The bytes from `start` up to, not including, `end`; never empty."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"not a range of bytes: [{self.start}, {self.end})")

    def __len__(self) -> int:
        return self.end - self.start

    def intersection(self, other: Span) -> Span | None:
        """What both have, or None."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Span(start, end) if start < end else None


@dataclass(frozen=True)
class SpanSet:
    """Disjoint spans in rising order that do not touch each other; the one shape of every set of bytes."""

    spans: tuple[Span, ...] = ()

    def __post_init__(self) -> None:
        for left, right in pairwise(self.spans):
            if left.end >= right.start:
                raise ValueError(f"ranges overlap, touch or are out of order: {left}, {right}")

    @staticmethod
    def of(spans: Iterable[Span]) -> SpanSet:
        """The set of all bytes in `spans`, which may overlap and come in any order."""
        merged: list[Span] = []
        for span in sorted(spans):
            if merged and span.start <= merged[-1].end:
                if span.end > merged[-1].end:
                    merged[-1] = Span(merged[-1].start, span.end)
            else:
                merged.append(span)
        return SpanSet(tuple(merged))

    def __iter__(self) -> Iterator[Span]:
        return iter(self.spans)

    def __bool__(self) -> bool:
        return bool(self.spans)

    @property
    def total(self) -> int:
        """Bytes in the set."""
        return sum(len(span) for span in self.spans)

    @property
    def end(self) -> int:
        """One past the last byte, 0 for the empty set."""
        return self.spans[-1].end if self.spans else 0

    @property
    def prefix(self) -> int:
        """Length of the run without a hole from byte 0."""
        return self.spans[0].end if self.spans and self.spans[0].start == 0 else 0

    def add(self, span: Span) -> SpanSet:
        """This set and `span`."""
        if self.spans and self.spans[-1].start <= span.start <= self.spans[-1].end:
            # what a download does nearly always: grow at its end
            last = self.spans[-1]
            return SpanSet((*self.spans[:-1], Span(last.start, max(last.end, span.end))))
        return SpanSet.of((*self.spans, span))

    def union(self, other: SpanSet) -> SpanSet:
        """What is in either."""
        return SpanSet.of((*self.spans, *other.spans))

    def within(self, window: Span) -> SpanSet:
        """What lies inside `window`."""
        return SpanSet(tuple(part for span in self.spans if (part := span.intersection(window)) is not None))

    def subtract(self, other: SpanSet) -> SpanSet:
        """What is here and not in `other`."""
        left: list[Span] = []
        for span in self.spans:
            start = span.start
            for hole in other.within(span):
                if start < hole.start:
                    left.append(Span(start, hole.start))
                start = hole.end
            if start < span.end:
                left.append(Span(start, span.end))
        return SpanSet(tuple(left))

    def missing(self, size: int) -> SpanSet:
        """What a file of `size` bytes lacks."""
        return SpanSet((Span(0, size),)).subtract(self) if size > 0 else SpanSet()

    def before(self, offset: int) -> SpanSet:
        """What lies below `offset`."""
        return self.within(Span(0, offset)) if offset > 0 else SpanSet()

    def covers(self, span: Span) -> bool:
        """Whether every byte of `span` is in the set."""
        at = bisect_right(self.spans, span.start, key=lambda one: one.start) - 1
        return at >= 0 and self.spans[at].end >= span.end
