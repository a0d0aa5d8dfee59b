"""Disks that say they are larger than they are, or lose what is written to them: media in memory."""

from __future__ import annotations

import enum
import random
from collections import OrderedDict
from dataclasses import dataclass, field

from luxusbd.errors import DeviceFailingError, DeviceNotFoundError, DeviceReadOnlyError
from luxusbd.stick.capacity import BLOCK


class Lie(enum.Enum):
    NONE = "none"
    WRAPS = "wraps"
    ZEROS = "zeros"
    """Reads past the end give zeros, and writes there are dropped."""
    DROPS = "drops"
    """Writes past the end are dropped, and reads give what never changes."""
    ERRORS = "errors"
    GARBAGE = "garbage"
    WINDOW = "window"
    """Its last WINDOW bytes answer for all that is past its end, over and over."""


WINDOW = 64 * BLOCK


@dataclass(frozen=True)
class Pace:
    """How fast a disk is; seconds for a block on its own, and bytes per second for those after it."""

    write: float = 0.1
    write_rate: int = 10_000_000
    read: float = 0.001
    read_rate: int = 25_000_000


@dataclass
class Liar:
    """A disk of `size` bytes that has `real` of them.

    Its last `cache` written blocks can be read wherever they were written, as with a controller's own memory.
    """

    size: int
    real: int
    lie: Lie = Lie.NONE
    cache: int = 0
    broken: frozenset[int] = frozenset()
    """Blocks that change what is written to them."""
    slow: range = range(0)
    """Blocks that take a second to read."""
    unreadable: frozenset[int] = frozenset()
    """Blocks that cannot be read after something was written there, until it is written again."""
    drops: float = 0.0
    """The share of writes that are lost, of all places."""
    misreads: float = 0.0
    """The share of reads that fail."""
    locks_after: int = -1
    """Writes after which it takes no more."""
    silent: bool = False
    """It says nothing of that."""
    pace: Pace | None = None
    """A thousandth of a second for each block if None."""
    gone_after: int = -1
    """Accesses after which it is pulled out."""
    now: float = 0.0
    written: int = 0
    _blocks: dict[int, bytes] = field(default_factory=dict)
    _spoilt: set[int] = field(default_factory=set)
    _at: int = -1
    _chance: random.Random = field(default_factory=lambda: random.Random(1))
    _cached: OrderedDict[int, bytes] = field(default_factory=OrderedDict)

    def clock(self) -> float:
        return self.now

    def content(self, number: int) -> bytes:
        """What was written to a real block, or what it had from the beginning."""
        return self._blocks.get(number, number.to_bytes(4, "big") * (BLOCK // 4))

    def read(self, offset: int, length: int) -> bytes:
        assert offset % BLOCK == length % BLOCK == 0
        assert 0 <= offset <= offset + length <= self.size
        return b"".join(self._read(number) for number in range(offset // BLOCK, (offset + length) // BLOCK))

    def write(self, offset: int, data: bytes | bytearray) -> None:
        assert offset % BLOCK == len(data) % BLOCK == 0
        assert 0 <= offset <= offset + len(data) <= self.size
        for index in range(len(data) // BLOCK):
            self._write(offset // BLOCK + index, bytes(data[index * BLOCK : (index + 1) * BLOCK]))

    def flush(self) -> None:
        self._access()

    def _access(self) -> None:
        if self.gone_after == 0:
            raise DeviceNotFoundError("the disk went away while reading it")
        self.gone_after -= 1
        if self.pace is None:
            self.now += 0.001

    def _takes(self, number: int, alone: float, rate: int) -> None:
        self._access()
        if self.pace is not None:
            self.now += BLOCK / rate + (0 if number == self._at + 1 else alone)
        self._at = number

    def _read(self, number: int) -> bytes:
        pace = self.pace or Pace()
        self._takes(number, pace.read, pace.read_rate)
        if number in self._spoilt or self._chance.random() < self.misreads:
            raise DeviceFailingError("input/output error")
        if number in self.slow:
            self.now += 1
        if number in self._cached:
            return self._cached[number]
        if number * BLOCK >= self.real:
            match self.lie:
                case Lie.WRAPS | Lie.WINDOW:
                    return self.content(self._place(number))
                case Lie.ZEROS:
                    return bytes(BLOCK)
                case Lie.ERRORS:
                    raise DeviceFailingError("input/output error")
                case Lie.GARBAGE:
                    return bytes(range(256)) * (BLOCK // 256)
                case _:
                    return self.content(number)
        return self.content(number)

    def _place(self, number: int) -> int:
        """The real block that answers for one past the end."""
        real = self.real // BLOCK
        if self.lie is Lie.WRAPS:
            return number % real
        return real - WINDOW // BLOCK + (number - real) % (WINDOW // BLOCK)

    def _write(self, number: int, data: bytes) -> None:
        pace = self.pace or Pace()
        self._takes(number, pace.write, pace.write_rate)
        if 0 <= self.locks_after <= self.written:
            if self.silent:
                return
            raise DeviceReadOnlyError("writing is refused: Read-only file system")
        self.written += 1
        if self._chance.random() < self.drops:
            return
        self._spoilt ^= {number} & self.unreadable
        if self.cache:
            self._cached[number] = data
            self._cached.move_to_end(number)
            while len(self._cached) > self.cache:
                self._cached.popitem(last=False)
        if number in self.broken:
            data = data[:-1] + bytes([data[-1] ^ 1])
        if number * BLOCK >= self.real:
            match self.lie:
                case Lie.WRAPS | Lie.WINDOW:
                    self._blocks[self._place(number)] = data
                case Lie.ERRORS:
                    raise DeviceFailingError("input/output error")
                case Lie.NONE:
                    self._blocks[number] = data
                case _:
                    pass
            return
        self._blocks[number] = data
