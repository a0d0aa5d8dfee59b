"""Reads back the images of a job that are written, while it writes the others.

It reads them where the medium said that they lie before they were written; afterwards it has to say the same. A stick
that wraps would write later images over earlier ones that were read back already: so of each MiB that was read early,
one block is read once more when all is written.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from luxusbd.errors import DeviceFailingError, VerificationError
from luxusbd.stick import copying
from luxusbd.stick.blockio import ALIGNMENT, MediumReader, in_thread
from luxusbd.stick.duplex import Duplex
from luxusbd.stick.isofiles import Piece
from luxusbd.stick.model import SourceImage

SAMPLE_EVERY = 1024 * 1024

log = logging.getLogger(__name__)


def differs(name: str) -> VerificationError:
    """What to say of an image that is not on the medium as it was written."""
    return VerificationError(
        f"{name} read back from the medium differs from what was written: the stick is defective or smaller than it"
        " claims"
    )


@dataclass(frozen=True)
class Sample:
    """A block that was read back."""

    place: int
    """Its first byte on the medium."""
    digest: bytes


@dataclass
class _Proof:
    """An image that was read back."""

    parts: tuple[Piece, ...]
    samples: list[Sample] = field(default_factory=list)


class EarlyReading:
    """Reads back what it is given, one image after the other.

    Args:
        fd: the disk.
        base: first byte of the data partition.
        duplex: says when; counts what was read.
    """

    def __init__(self, fd: int, base: int, duplex: Duplex) -> None:
        self._fd = fd
        self._base = base
        self._duplex = duplex
        self._waiting: asyncio.Queue[tuple[SourceImage, tuple[Piece, ...]] | None] = asyncio.Queue()
        self._stopped = False
        self._proofs: dict[str, _Proof] = {}

    def add(self, source: SourceImage, parts: tuple[Piece, ...]) -> None:
        """An image that the device has, and where it lies on the data partition."""
        self._waiting.put_nowait((source, parts))

    def stop(self) -> None:
        """Begin with no other image; all are written."""
        self._stopped = True
        self._duplex.nothing_to_write()
        self._waiting.put_nowait(None)

    async def run(self) -> None:
        """Read until `stop`, and then the image to its end that is being read.

        Raises:
            VerificationError: the medium gives something else back.
            DeviceError: it cannot be read.
        """
        with MediumReader(self._fd) as medium:
            while (item := await self._waiting.get()) is not None and not self._stopped:
                source, parts = item
                self._duplex.ask()
                proof = _Proof(parts)
                if await self._hash(medium, proof) != source.image.sha256:
                    raise differs(source.image.name)
                self._proofs[source.image.name] = proof
                if self._waiting.empty():
                    self._duplex.nothing_to_read()
        log.debug("reading back beside writing: %s, %.2f", self._duplex.phase.value, self._duplex.worth)

    async def check(self, where: Mapping[str, Sequence[Piece]]) -> frozenset[str]:
        """Make sure that what was read back is still there when all is written.

        Args:
            where: where the images lie by now, by their names.

        Returns:
            Names of the images that need not be read any more.

        Raises:
            VerificationError: something else is there.
            DeviceError: the medium cannot be read, or does not say the same of where an image lies.
        """

        def look() -> None:
            with MediumReader(self._fd) as medium:
                for name, proof in self._proofs.items():
                    if rows(where[name]) != rows(proof.parts):
                        raise DeviceFailingError(f"{name} lies elsewhere on the medium than it was written")
                    check_samples(medium, name, proof.samples)

        await in_thread(look)
        return frozenset(self._proofs)

    async def _hash(self, medium: MediumReader, proof: _Proof) -> str:
        hasher = hashlib.sha256()
        places = copying.chunks(proof.parts)

        def look(data: memoryview) -> None:
            hasher.update(data)
            place, _count = next(places)
            if place is not None:
                proof.samples += samples(data, self._base + place)

        await copying.look_through(medium, self._base, proof.parts, look, self._duplex.reading)
        return hasher.hexdigest()


def rows(parts: Sequence[Piece]) -> list[tuple[int | None, int]]:
    """Where bytes lie and how many in a row, however the filesystem divides them."""
    found: list[tuple[int | None, int]] = []
    for part in parts:
        place, length = found[-1] if found else (None, 0)
        if place is not None and part.place == place + length:
            found[-1] = (place, length + part.length)
        else:
            found.append((part.place, part.length))
    return found


def samples(data: memoryview, place: int) -> Iterator[Sample]:
    """One block of each `SAMPLE_EVERY` bytes of what was read from this place on the medium."""
    for at in range(0, len(data) - ALIGNMENT + 1, SAMPLE_EVERY):
        yield Sample(place + at, _digest(data[at : at + ALIGNMENT]))


def check_samples(medium: MediumReader, name: str, taken: Iterable[Sample]) -> None:
    """Read blocks of an image once more; blocks.

    Raises:
        VerificationError: one is another now: what was written later went over it.
        DeviceError: the medium cannot be read.
    """
    for sample in taken:
        if _digest(medium.read_at(sample.place, ALIGNMENT)) != sample.digest:
            raise differs(name)


def _digest(data: bytes | memoryview) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
