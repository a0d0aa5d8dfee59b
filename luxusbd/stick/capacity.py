"""What a disk is found to hold: marks that know where they were written, and the judgement of what came back. Pure.

Counterfeit flash says that it is larger than it is. What is written past its end comes back from another place (it
wraps), not at all (it drops writes, or gives zeros), or as an error; flash that dies loses single blocks.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import statistics
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

BLOCK = 4096
"""Bytes that a mark takes, and the unit in which wrapping is found; flash maps its blocks in no smaller one."""
_PERIOD = 255
"""Blocks after which the body of the marks repeats; odd, so that no power of two brings the same body back."""
_SECTOR = 512
"""Bytes that a disk writes whole or not at all."""
_STAMP = struct.Struct("<8s16sQ")
_MAGIC = b"LUXprobe"
SLOW_FACTOR = 8
"""A stretch is slow when it takes this many times as long as the median one, and long enough to be felt."""
SLOW_SECONDS = 0.5


class State(StrEnum):
    """What became of a block that a mark was written to."""

    GOOD = "good"
    SLOW = "slow"
    """Good, and far slower than the others."""
    WRAPPED = "wrapped"
    """It has the mark of another block."""
    BLANK = "blank"
    """All its bytes are the same, as of flash that was never written."""
    STALE = "stale"
    """It has what was there before: the write was dropped."""
    CHANGED = "changed"
    FAILED = "failed"
    """Writing or reading it gives an error."""

    @property
    def holds(self) -> bool:
        """Whether what is written there stays."""
        return self in (State.GOOD, State.SLOW)


class Verdict(StrEnum):
    """What a disk is."""

    GENUINE = "genuine"
    """No fault was found."""
    WRAPS = "wraps"
    """What is written past its capacity overwrites what is before."""
    LOSES = "loses"
    """What is written past its capacity is lost, and no error tells of it."""
    ENDS = "ends"
    """Past its capacity everything is an error."""
    FAILS = "fails"
    """Blocks in between do not hold what is written to them: it is worn out or broken."""
    SLOW = "slow"
    """It holds everything, and some of it is far slower than the rest."""


@dataclass(frozen=True)
class Region:
    """A stretch of a disk in which all that was looked at is the same; bytes."""

    start: int
    size: int
    state: State


@dataclass(frozen=True)
class Findings:
    """What came of a probe."""

    verdict: Verdict
    size: int
    """Bytes that the disk says it has."""
    capacity: int
    """Bytes from its start that hold what is written; for FAILS the sum of what was found to hold."""
    regions: tuple[Region, ...]
    """The whole disk; in a quick probe each block that was looked at stands for its surroundings."""
    checked: int
    """Bytes that were written and read back."""
    write_rate: int
    """Bytes per second, one block after the other, with the flush at their end; 0 when nothing could be written."""
    read_rate: int


class Marks:
    """The marks of one probe.

    Args:
        salt: 16 random bytes, so that the marks of an older probe are none of this one.
    """

    def __init__(self, salt: bytes) -> None:
        self.salt = salt
        self._body = hashlib.shake_256(salt).digest(_PERIOD * BLOCK)

    def blocks(self, first: int, count: int) -> bytearray:
        """The marks for `count` blocks from number `first`."""
        start = first % _PERIOD
        repeats = -(-(start + count) // _PERIOD)
        made = bytearray((self._body * repeats)[start * BLOCK : (start + count) * BLOCK])
        for index in range(count):
            _STAMP.pack_into(made, index * BLOCK, _MAGIC, self.salt, first + index)
        return made

    def origin(self, block: bytes) -> int | None:
        """The number of the block for which this mark was made; None for anything but an intact mark."""
        magic, salt, number = _STAMP.unpack_from(block)
        if magic != _MAGIC or salt != self.salt:
            return None
        start = number % _PERIOD * BLOCK
        whole = block[_STAMP.size :] == self._body[start + _STAMP.size : start + BLOCK]
        return int(number) if whole else None

    def touched(self, number: int, block: bytes) -> bool:
        """Whether a mark was written to block `number`, or a part of one before the power failed, or one elsewhere."""
        if self.origin(block) is not None:
            return True
        mark = self.blocks(number, 1)
        return any(block[at : at + _SECTOR] == mark[at : at + _SECTOR] for at in range(0, BLOCK, _SECTOR))

    def judge(self, number: int, block: bytes, before: bytes | None = None) -> State:
        """What became of block `number`, which had `before` in it."""
        origin = self.origin(block)
        if origin is not None:
            return State.GOOD if origin == number else State.WRAPPED
        if block == before:
            return State.STALE
        return State.BLANK if block.count(block[:1]) == len(block) else State.CHANGED


def step(blocks: int, most: int) -> int:
    """How many blocks at the start are marked so that `steps` finds where a disk wraps; at most `most`."""
    return max(1, min(most, math.isqrt(max(0, blocks - 1)) + 1))


def steps(blocks: int, most: int) -> tuple[int, ...]:
    """Numbers of blocks by which wrapping at any place is found once the blocks of the first `step` are marked.

    A disk of R real blocks gives block x % R where x is read. The first multiple of the step that is R or more lies
    less than a step past R, so that it gives one of the marked blocks, and their difference is R. This is the
    baby-step giant-step search (D. Shanks, 1971), and takes about two times the root of `blocks` accesses.

    Args:
        blocks: of the disk.
        most: marked blocks at most; more of the others are read for it.
    """
    width = step(blocks, most)
    return tuple(range(width, blocks, width))


def spread(first: int, end: int, count: int) -> tuple[int, ...]:
    """At most `count` numbers spread evenly over [first, end), with both ends."""
    length = end - first
    if length <= count:
        return tuple(range(first, end))
    return tuple(first + index * (length - 1) // (count - 1) for index in range(count))


def twins(first: int, end: int) -> tuple[int, ...]:
    """Blocks in [first, end) that lie a power of two before the last one, in ascending order.

    Where a disk answers for what it does not have out of a part of its end, over and over, a mark of the last block is
    read from one of the others: such parts have the sizes of what flash is organised in.
    """
    last = end - 1
    return tuple(sorted(last - (1 << bit) for bit in range(max(last, 1).bit_length()) if last - (1 << bit) >= first))


def tail(states: Sequence[State]) -> int:
    """How many at the end of an ascending sequence do not hold."""
    return sum(1 for _each in itertools.takewhile(lambda state: not state.holds, reversed(states)))


def regions(looked_at: Sequence[tuple[int, State]], size: int) -> tuple[Region, ...]:
    """The map of a disk by blocks that were looked at, in ascending order; where the state changes, it changes right
    at the block after the change."""
    found: list[Region] = []
    for index, (number, state) in enumerate(looked_at):
        start = number * BLOCK if index else 0
        end = looked_at[index + 1][0] * BLOCK if index + 1 < len(looked_at) else size
        found.append(Region(start, end - start, state))
    return merged(found, len(found))


def merged(parts: Iterable[Region], most: int) -> tuple[Region, ...]:
    """Adjacent regions of one state as one, and at most `most`: where there are more, small ones join the worse of
    their neighbours."""
    found: list[Region] = []
    for part in parts:
        if found and found[-1].state is part.state:
            found[-1] = replace(found[-1], size=found[-1].size + part.size)
        else:
            found.append(part)
    while len(found) > most:
        index = min(range(len(found) - 1), key=lambda at: found[at].size + found[at + 1].size)
        pair = found[index : index + 2]
        worse = next((each.state for each in pair if not each.state.holds), State.SLOW)
        found[index : index + 2] = [Region(pair[0].start, pair[0].size + pair[1].size, worse)]
        found = list(merged(found, len(found)))
    return tuple(found)


def verdict(found: Sequence[Region], size: int, wraps: int = 0) -> tuple[Verdict, int]:
    """What a disk is, and its capacity in bytes.

    Args:
        found: the map.
        size: bytes that it says it has.
        wraps: bytes after which it begins anew, 0 where that was not seen.
    """
    real = [region for region in found if not wraps or region.start < wraps]
    # where a disk wraps, the mark of another block shows that the place itself holds what is written last
    holds = [region.state.holds or (wraps > 0 and region.state is State.WRAPPED) for region in real]
    lasting = max((index + 1 for index, each in enumerate(holds) if each), default=0)
    if not lasting or not all(holds[:lasting]):
        # a disk that holds nothing at all is no smaller one: worn-out flash makes itself read-only
        return Verdict.FAILS, sum(region.size for region in found if region.state.holds)
    end = real[lasting].start if lasting < len(real) else wraps or size
    if wraps:
        return Verdict.WRAPS, min(wraps, end)
    if end < size:
        lost = Counter[State]()
        for region in real[lasting:]:
            lost[region.state] += region.size
        most = lost.most_common(1)[0][0]
        return {State.WRAPPED: Verdict.WRAPS, State.FAILED: Verdict.ENDS}.get(most, Verdict.LOSES), end
    if any(region.state is State.SLOW for region in found):
        return Verdict.SLOW, size
    return Verdict.GENUINE, size


def slow(seconds: Sequence[float]) -> tuple[bool, ...]:
    """Which of several equal stretches took far longer than the others."""
    if not seconds:
        return ()
    limit = max(SLOW_FACTOR * statistics.median(seconds), SLOW_SECONDS)
    return tuple(each > limit for each in seconds)
