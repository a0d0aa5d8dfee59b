"""Hashes of bytes that may have to be taken back: pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

STEP = 4 * 1024 * 1024
"""Bytes between two marks; a way back costs at most so much beyond what has changed. The marks lie at its multiples, so
that all who read the same file have the same ones."""


class Trail:
    """Running hashes of a file from its start on, with marks to go back to."""

    def __init__(self, algorithms: Iterable[str] = ("sha256",), step: int = STEP) -> None:
        self._step = step
        self._running: dict[str, Any] = {name: hashlib.new(name) for name in dict.fromkeys(algorithms)}
        self._marks: list[tuple[int, dict[str, Any]]] = [(0, self._copied())]
        self.position = 0
        """Bytes that were hashed."""

    def update(self, data: bytes | memoryview) -> None:
        """Take the bytes at `position`."""
        rest = memoryview(data)
        while rest:
            part = rest[: self._step - self.position % self._step]
            for running in self._running.values():
                running.update(part)
            self.position += len(part)
            if self.position % self._step == 0:
                self._marks.append((self.position, self._copied()))
            rest = rest[len(part) :]

    @property
    def mark(self) -> int:
        """The last place to go back to: whoever goes back to a place behind it needs no byte before it again."""
        return self._marks[-1][0]

    def back(self, offset: int) -> int:
        """Forget the bytes from `offset` on, and as many before it as have to go with them; the new position."""
        if offset >= self.position:
            return self.position
        while self._marks[-1][0] > offset:
            self._marks.pop()
        self.position, kept = self._marks[-1]
        self._running = {name: running.copy() for name, running in kept.items()}
        return self.position

    def digests(self) -> Mapping[str, str]:
        """The hashes of all bytes so far, in hex, by algorithm."""
        return {name: running.hexdigest() for name, running in self._running.items()}

    def _copied(self) -> dict[str, Any]:
        return {name: running.copy() for name, running in self._running.items()}
