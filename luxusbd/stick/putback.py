"""Puts back what a quick probe overwrote. Blocking."""

from __future__ import annotations

from dataclasses import dataclass

from luxusbd.errors import DeviceFailingError, DeviceNotFoundError, LuxusbError
from luxusbd.stick.capacity import BLOCK, Marks
from luxusbd.stick.probing import PATIENCE, Medium
from luxusbd.stick.progress import Progress
from luxusbd.stick.saved import Saved
from luxusbd.text import size_text

PASSES = 3
"""How often it is tried at most: the one after the last that found something to do is a look whether it stayed."""


def put_back(medium: Medium, progress: Progress, saved: Saved, *, ours: bool = True) -> bool:
    """Put back what a probe overwrote, this one or one that was cut; what was overwritten last goes first.

    What somebody else has written since, which shows by the marks that are not there any more, is left alone. It is
    done when no mark is read from the disk any more.

    Args:
        medium: the disk.
        progress: is told of the bytes that were looked at.
        saved: what was there; emptied when it is back.
        ours: it is from this disk. If it may be from another one that looks the same, and there is not one mark on
            the disk, `saved` keeps everything.

    Returns:
        Whether there was anything to put back.

    Raises:
        DeviceNotFoundError: the disk is gone; `saved` keeps everything.
        DeviceFailingError: some of it could not be put back, and `saved` keeps it; the text says how much.
    """
    work = _Work(medium, Marks(saved.salt))
    found = False
    for _pass in range(PASSES):
        work.begin()
        for number, data in saved.newest_first():
            work.put(number, data)
            progress.advance(len(data))
        work.flush()
        found = found or work.put_back > 0
        if not work.put_back:
            break
    if lost := work.lost + work.put_back:
        raise DeviceFailingError(
            f"{size_text(lost)} of what was on the disk could not be put back; it is kept on this machine: probe the"
            " disk again, and it is tried once more"
        )
    if ours or found:
        saved.clear()
    return found


@dataclass
class _Work:
    medium: Medium
    marks: Marks
    put_back: int = 0
    """Bytes in the pieces that had marks in them."""
    lost: int = 0
    """Bytes that the disk did not take."""
    errors: int = 0
    """Blocks in a row that it did not take."""

    def begin(self) -> None:
        self.put_back = self.lost = self.errors = 0

    def flush(self) -> None:
        try:
            self.medium.flush()
        except DeviceNotFoundError:
            raise
        except LuxusbError as error:
            raise DeviceFailingError(f"what was on the disk could not be put back whole: {error}") from error

    def put(self, number: int, data: bytes) -> None:
        """Put blocks back; where the disk does not take them together, one by one."""
        if self.errors >= PATIENCE:
            self.lost += len(data)
        elif self._put(number, data):
            self.errors = 0
        elif len(data) > BLOCK:
            for at in range(0, len(data), BLOCK):
                self.put(number + at // BLOCK, data[at : at + BLOCK])
        else:
            self.errors += 1
            self.lost += len(data)

    def _put(self, number: int, data: bytes) -> bool:
        try:
            there = self.medium.read(number * BLOCK, len(data))
        except DeviceNotFoundError:
            raise
        except LuxusbError:
            if len(data) > BLOCK:
                return False
            # nothing can be read there, so that nothing is lost by writing; and that is what mends a bad sector
            whole = data
        else:
            whole = self._restored(number, there, data)
            if whole == there:
                return True
        try:
            self.medium.write(number * BLOCK, whole)
        except DeviceNotFoundError:
            raise
        except LuxusbError:
            return False
        self.put_back += len(data)
        return True

    def _restored(self, number: int, there: bytes, data: bytes) -> bytes:
        whole = bytearray(there)
        for index in range(len(data) // BLOCK):
            place = slice(index * BLOCK, (index + 1) * BLOCK)
            if self.marks.touched(number + index, there[place]):
                whole[place] = data[place]
        return bytes(whole)
