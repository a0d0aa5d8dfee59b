"""An image that arrives on a stick: how much of it has come, how much was copied, and how much was read back."""

from __future__ import annotations

from dataclasses import dataclass, field

from luxusbd.stick.early import Sample
from luxusbd.stick.feeds import Feed
from luxusbd.stick.isofiles import PARTIAL, Piece
from luxusbd.stick.model import ManifestImage
from luxusbd.stick.room import Sink
from luxusbd.stick.trail import Trail


@dataclass
class Stream:
    """One image on its way."""

    image: ManifestImage
    feed: Feed
    parts: tuple[Piece, ...] = ()
    """Where its bytes lie on the data partition."""
    sink: Sink | None = None
    written: Trail = field(default_factory=Trail)
    proven: Trail = field(default_factory=Trail)
    """What was read back from the medium."""
    samples: list[tuple[int, Sample]] = field(default_factory=list)
    """Blocks of what was read back, with the bytes of the image up to the end of each."""
    again: bool = False
    """Whether it was copied a second time because its hash was wrong."""

    @property
    def path(self) -> str:
        """The file's on the data partition, while it has no entry."""
        return f"/iso/{self.image.name}{PARTIAL}"

    @property
    def complete(self) -> bool:
        """Whether it is known what it is, and all of it was copied."""
        return bool(self.feed.whole) and self.written.position == self.image.size

    @property
    def landing(self) -> bool:
        """Whether it is all here, and is to be looked at on the medium before it is known what it is."""
        feed = self.feed
        return feed.ended and not feed.whole and not feed.landed and self.written.position == self.image.size

    @property
    def waiting(self) -> int:
        """Bytes that have come and are not on the stick."""
        return min(self.feed.available, self.image.size) - self.written.position

    @property
    def unproven(self) -> int:
        """Bytes that were copied and not read back."""
        return self.written.position - self.proven.position

    def back(self, offset: int) -> int:
        """Take back what was copied from `offset` on, and what was read back of it; how many bytes both were."""
        before = self.written.position + self.proven.position
        self.proven.back(self.written.back(offset))
        self.samples = [each for each in self.samples if each[0] <= self.proven.position]
        self.tell_reached()
        return before - self.written.position - self.proven.position

    def tell_reached(self) -> None:
        """Let the feed know which bytes are not read again."""
        whole = self.written.position == self.image.size
        self.feed.reached(self.image.size if whole else self.written.mark)

    def lying(self, begin: int, end: int) -> tuple[Piece, ...]:
        """Where the bytes from `begin` to `end` lie."""
        found = []
        for part in self.parts:
            first, last = max(begin, part.offset), min(end, part.offset + part.length)
            if first < last:
                place = None if part.place is None else part.place + first - part.offset
                found.append(Piece(first, last - first, place, part.initialised))
        return tuple(found)
