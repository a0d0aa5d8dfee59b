"""Counts what a writer has done."""

from __future__ import annotations

from collections.abc import Callable

from luxusbd.stick.model import StickProgress

Report = Callable[[StickProgress], None]


class Progress:
    """The bytes of a whole job: those that the device accepted, and those that were read back from it."""

    def __init__(self, report: Report, total: int = 0) -> None:
        self._report = report
        self._stage = ""
        self._note = ""
        self._done = 0
        self._total = total

    @property
    def done(self) -> int:
        """Bytes so far."""
        return self._done

    def expect(self, total: int) -> None:
        """Set how many bytes the job will come to."""
        self._total = total

    def stage(self, stage: str, note: str = "") -> None:
        """Begin a stage: partition, boot-files, filesystem, write-image, read-back or menu."""
        self._stage = stage
        self._note = note
        self.advance(0)

    def advance(self, count: int) -> None:
        """Some more bytes are done."""
        self._done += count
        self._report(StickProgress(self._stage, self._done, self._total, self._note))
