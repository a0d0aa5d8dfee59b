"""Mutations of byte strings, all of them decided by a `random.Random`."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

INTERESTING = (0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 511, 512, 1023, 2047, 2048, 4095, 32767)
EDGES = (2**15, 2**16 - 1, 2**16, 2**30 - 1, 2**30, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**64 - 1)

Hot = Sequence[tuple[int, int]]
"""(start, end) of the parts of a file that hold structures; most mutations fall there."""


def mutate(rng: random.Random, data: bytes, corpus: Sequence[bytes], hot: Hot) -> bytes:
    """Between one and a dozen small changes."""
    out = bytearray(data)
    for _ in range(1 + min(int(rng.expovariate(0.4)), 11)):
        if not out:
            out += rng.randbytes(16)
        rng.choice(_CHANGES)(rng, out, corpus, hot)
    if rng.random() < 0.05:
        del out[rng.randrange(len(out) + 1) :]
    return bytes(out)


def _at(rng: random.Random, out: bytearray, hot: Hot) -> int:
    if hot and rng.random() < 0.9:
        start, end = rng.choice(hot)
        if start < len(out):
            return rng.randrange(start, max(start + 1, min(end, len(out))))
    return rng.randrange(len(out))


def _flip(rng: random.Random, out: bytearray, _corpus: Sequence[bytes], hot: Hot) -> None:
    out[_at(rng, out, hot)] ^= 1 << rng.randrange(8)


def _byte(rng: random.Random, out: bytearray, _corpus: Sequence[bytes], hot: Hot) -> None:
    out[_at(rng, out, hot)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _number(rng: random.Random, out: bytearray, _corpus: Sequence[bytes], hot: Hot) -> None:
    size = rng.choice((1, 2, 4, 8))
    at = _at(rng, out, hot) // size * size if rng.random() < 0.7 else _at(rng, out, hot)
    value = rng.choice(INTERESTING + EDGES) + rng.choice((-1, 0, 0, 1))
    raw = struct.pack("<Q" if rng.random() < 0.8 else ">Q", value % 2**64)
    _put(out, at, raw[:size] if raw[0] or size == 8 else raw[-size:])


def _nudge(rng: random.Random, out: bytearray, _corpus: Sequence[bytes], hot: Hot) -> None:
    size = rng.choice((1, 2, 4))
    at = _at(rng, out, hot)
    value = int.from_bytes(out[at : at + size], "little") + rng.randint(-16, 16)
    _put(out, at, (value % 256**size).to_bytes(size, "little"))


def _copy(rng: random.Random, out: bytearray, _corpus: Sequence[bytes], hot: Hot) -> None:
    size = rng.choice((1, 4, 16, 64, 512, 2048))
    start = _at(rng, out, hot)
    _put(out, _at(rng, out, hot), bytes(out[start : start + size]))


def _splice(rng: random.Random, out: bytearray, corpus: Sequence[bytes], hot: Hot) -> None:
    other = rng.choice(corpus)
    if other:
        at = _at(rng, out, hot)
        _put(out, at, other[at : at + rng.choice((4, 32, 512, 2048))])


def _fill(rng: random.Random, out: bytearray, _corpus: Sequence[bytes], hot: Hot) -> None:
    _put(out, _at(rng, out, hot), rng.choice((b"\0", b"\xff", b"A")) * rng.choice((1, 8, 64, 512)))


def _noise(rng: random.Random, out: bytearray, _corpus: Sequence[bytes], hot: Hot) -> None:
    _put(out, _at(rng, out, hot), rng.randbytes(rng.choice((1, 2, 4, 16, 64))))


def _put(out: bytearray, at: int, data: bytes) -> None:
    room = min(len(data), len(out) - at)
    out[at : at + room] = data[:room]


_Change = Callable[[random.Random, bytearray, Sequence[bytes], Hot], None]
_CHANGES: tuple[_Change, ...] = (_flip, _byte, _number, _number, _nudge, _copy, _splice, _fill, _noise)


def mutate_text(rng: random.Random, data: bytes, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    """Changes that keep a text much like one: tokens and lines come, go, and change their places."""
    out = bytearray(data)
    for _ in range(1 + min(int(rng.expovariate(0.4)), 11)):
        at = rng.randrange(len(out) + 1)
        end = min(len(out), at + rng.choice((1, 2, 8, 40, 200)))
        action = rng.randrange(6)
        if action == 0:
            out[at:at] = rng.choice(tokens)
        elif action == 1:
            del out[at:end]
        elif action == 2:
            out[at:at] = out[at:end]
        elif action == 3:
            other = rng.choice(corpus)
            start = rng.randrange(len(other) + 1)
            out[at:at] = other[start : start + rng.choice((4, 32, 200))]
        elif action == 4:
            out[at:end] = rng.choice(tokens)
        elif at < len(out):
            out[at] = rng.randrange(256)
    return bytes(out)
