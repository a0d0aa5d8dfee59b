"""Writes one image byte for byte to a whole disk, and reads it back.

What was there goes first: the tables at both ends. The first MiB of the image comes last, when all the rest is on the
medium and was read back, so that a disk which is cut before that starts nothing, and not half of a system.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from luxusbd.errors import InternalError, LuxusbError, NotEnoughSpaceError, VerificationError
from luxusbd.images.blockmap import segments
from luxusbd.images.model import MappedRange
from luxusbd.stick import partition, target, wholedisk
from luxusbd.stick.blockio import ALIGNMENT, CHUNK, in_thread
from luxusbd.stick.directdisk import DirectDisk
from luxusbd.stick.model import MIB, Layout, Probe, RawImage, SourceImage, StickOrder
from luxusbd.stick.progress import Progress
from luxusbd.stick.rawsource import Ahead, FileSource, PipeSource, RangeCheck, check_packed, read_exactly
from luxusbd.stick.session import AfterStep
from luxusbd.text import size_text

HEAD = MIB
"""Bytes at the start that are written last; every table and boot sector that a firmware looks for begins there."""
ERASED = "the disk was erased and starts nothing"
_EVERYTHING = (MappedRange(0, 1 << 62),)


@dataclass(frozen=True)
class _Written:
    """A stretch that was written, for the comparison with what is read back."""

    start: int
    length: int
    sha256: bytes


async def write(order: StickOrder, progress: Progress, after_step: AfterStep) -> dict[str, Any]:
    """Write the image of an order.

    Returns:
        JSON values: image_size and bytes_written (bytes), skipped (bytes that the block map left out), sha256 (of what
        was written, unpacked), packed.

    Raises:
        NotEnoughSpaceError: the disk is too small; where the text does not say otherwise, nothing was changed.
        VerificationError: the image is not what was stored, does not fit its map, or reads back otherwise.
        MalformedImageError: unpacking broke off.
        LuxusbError: the disk is in use, gone, or cannot be written.
    """
    (source,), raw = order.add, order.raw
    if raw is None:
        raise InternalError("an order to write an image byte for byte does not say how")
    _check_room(raw.size, order.size)
    if raw.packed:
        progress.stage("verify", source.image.name)
        await in_thread(check_packed, source)
    if order.probe is Probe.QUICK and order.node:
        await wholedisk.check_genuine(order, progress)
    planned = raw.map.mapped if raw.map is not None else raw.size
    progress.expect(progress.done + 2 * planned if planned else 0)
    progress.stage("write-image", source.image.name)
    with target.exclusive(order), DirectDisk(order.fd) as disk:
        await in_thread(partition.wipe, order.fd, Layout(order.size, ()))
        after_step("wiped")
        try:
            result = await _Writing(disk, order, source, raw, progress, after_step).run()
        except LuxusbError as error:
            raise type(error)(f"{error}; {ERASED}: write an image again, or make it a plain drive") from error
    if order.node:
        await partition.reread_as_is(order.fd)
    return result


def _check_room(size: int, room: int) -> None:
    if size > room:
        raise NotEnoughSpaceError(
            f"the image has {size_text(size)} ({size} bytes) and the disk {size_text(room)} ({room} bytes); take a"
            " larger one. Nothing was changed"
        )


class _Writing:
    """One image on its way to one disk."""

    def __init__(
        self,
        disk: DirectDisk,
        order: StickOrder,
        source: SourceImage,
        raw: RawImage,
        progress: Progress,
        after_step: AfterStep,
    ) -> None:
        self._disk = disk
        self._pace = order.pace
        self._source = source
        self._raw = raw
        self._progress = progress
        self._after_step = after_step
        self._ranges = raw.map.ranges if raw.map is not None else _EVERYTHING
        self._check = RangeCheck(raw.map) if raw.map is not None else None
        self._written: list[_Written] = []
        self._head = b""
        self._size = 0

    async def run(self) -> dict[str, Any]:
        sha256 = await self._body()
        await in_thread(self._disk.flush)
        self._after_step("body")
        body = tuple(self._written)
        if not self._raw.size:
            done = sum(each.length for each in body)
            self._progress.expect(self._progress.done + done + 2 * len(self._head))
        await self._read_back(body)
        self._written.clear()
        self._progress.stage("write-image", self._source.image.name)
        await in_thread(self._put, 0, self._head)
        await in_thread(self._disk.flush)
        head = tuple(self._written)
        self._progress.advance(sum(each.length for each in head))
        self._after_step("head")
        try:
            await self._read_back(head)
        except LuxusbError:
            # what starts there would not be what was to be written
            await in_thread(self._disk.write, 0, bytes(min(HEAD, self._disk.size)))
            await in_thread(self._disk.flush)
            raise
        written = sum(each.length for each in (*body, *head))
        return {
            "image_size": self._size,
            "bytes_written": written,
            "skipped": self._size - self._raw.map.mapped if self._raw.map is not None else 0,
            "sha256": sha256,
            "packed": self._raw.packed,
        }

    async def _body(self) -> str:
        """All but the first MiB, which is kept; the image's sha256."""
        source = PipeSource(self._raw.pipe) if self._raw.packed else FileSource(self._source.fd)
        ahead = Ahead(source, sha512=bool(self._source.sha512))
        try:
            while True:
                await self._pace.before(CHUNK)
                if not (data := await ahead.read()):
                    break
                position, self._size = self._size, self._size + len(data)
                self._check_fits()
                if self._check is not None:
                    self._check.take(position, data)
                skip = 0
                if not position:
                    self._head, skip = data[:HEAD], min(HEAD, len(data))
                before = len(self._written)
                await in_thread(self._put, position + skip, memoryview(data)[skip:])
                self._progress.advance(sum(each.length for each in self._written[before:]))
        finally:
            await ahead.close()
        self._check_whole(ahead)
        return ahead.hexdigest()

    def _check_fits(self) -> None:
        if self._size > self._disk.size:
            raise NotEnoughSpaceError(
                f"{self._source.image.name} unpacks to more than the {size_text(self._disk.size)}"
                f" ({self._disk.size} bytes) that the disk has; take a larger one"
            )

    def _check_whole(self, read: Ahead) -> None:
        image, wanted = self._source.image, self._raw.map.size if self._raw.map is not None else self._raw.size
        if wanted and self._size != wanted:
            raise VerificationError(f"{image.name} has {self._size} bytes and not the {wanted} that it should have")
        if self._raw.packed:
            return
        expected = {"sha256": image.sha256, **({"sha512": self._source.sha512} if self._source.sha512 else {})}
        for name, digest in expected.items():
            if read.hexdigest(name) != digest:
                raise VerificationError(
                    f"{image.name}: the file's {name} is {read.hexdigest(name)} and should be {digest}; download or"
                    " import it again"
                )

    def _put(self, start: int, data: bytes | memoryview) -> None:
        """Write what of these bytes counts."""
        end = start + len(data)
        for low, high in segments(self._ranges, start, end, ALIGNMENT):
            piece = bytes(data[low - start : high - start])
            # a device takes whole sectors: what follows the image up to the next one becomes zeros
            room = min(-(-high // ALIGNMENT) * ALIGNMENT, self._disk.size) - high
            self._disk.write(low, piece + bytes(room))
            self._written.append(_Written(low, len(piece), hashlib.sha256(piece).digest()))

    async def _read_back(self, written: Sequence[_Written]) -> None:
        self._progress.stage("read-back", self._source.image.name)
        for each in written:
            found = await in_thread(self._disk.read, each.start, each.length)
            if hashlib.sha256(found).digest() != each.sha256:
                raise await in_thread(self._difference, each, found)
            self._progress.advance(each.length)

    def _difference(self, each: _Written, found: bytes) -> VerificationError:
        place = f"between byte {each.start} and {each.start + each.length}"
        if not self._raw.packed:
            wanted = read_exactly(self._source.fd, each.start, each.length)
            first = next((at for at, (one, other) in enumerate(zip(wanted, found, strict=False)) if one != other), 0)
            place = f"at byte {each.start + first}: {wanted[first]:02x} was written and {found[first]:02x} is read"
        return VerificationError(
            f"what was read back from the medium differs from what was written, first {place}; the disk is defective or"
            " smaller than it says (luxusb probe finds out)"
        )
