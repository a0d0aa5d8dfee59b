"""Collects what one answer brings and writes it in large batches, while the next one is being read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from luxusbd.transfer.diskio import MAX_VECTORS
from luxusbd.transfer.keeper import PartKeeper, Write
from luxusbd.transfer.limits import TransferLimits
from luxusbd.transfer.segments import Span


class BatchWriter:
    """One write is on its way at most; what comes meanwhile waits for the next one. `written` is called after each."""

    def __init__(self, keeper: PartKeeper, limits: TransferLimits, url: str, written: Callable[[], None]) -> None:
        self._keeper = keeper
        self._limits = limits
        self._url = url
        self._written = written
        self._chunks: list[bytes] = []
        self._size = 0
        self._offset = 0
        self._inflight: asyncio.Future[tuple[int, ...]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._error: Exception | None = None
        self.held_up = False
        """Whether an answer stood still here because readers of the file had to go on first."""

    async def add(self, chunk: bytes, offset: int) -> None:
        """Take `chunk` for the place `offset`; waits when the disk is far behind, and where the window ends.

        Raises:
            NotEnoughSpaceError: the disk is full.
            FailedError: the disk failed.
        """
        window = self._keeper.window
        while offset + len(chunk) > window.limit:
            room = max(0, window.limit - offset)
            if room:
                await self._take(chunk[:room], offset)
                chunk, offset = chunk[room:], offset + room
            # the readers can only go on with what is in the file
            await self.flush()
            self.held_up = True
            await window.wait(offset)
        await self._take(chunk, offset)

    async def _take(self, chunk: bytes, offset: int) -> None:
        await self._keeper.wait_for_disk()
        if self._chunks and offset != self._offset + self._size:
            await self.flush()
        if not self._chunks:
            self._offset = offset
            # a server that falls silent must not keep what it sent from the disk
            self._timer = asyncio.get_running_loop().call_later(self._limits.batch_age, self._aged)
        self._chunks.append(chunk)
        self._size += len(chunk)
        self._keeper.waiting += len(chunk)
        self._start_if_large()
        while self._size >= self._limits.batch_max and self._inflight is not None:
            # unlike awaiting the future itself, this neither raises its error nor returns before `_done` has run
            await asyncio.wait((self._inflight,))
        self._raise()

    async def flush(self) -> None:
        """Write everything that was taken, also when the caller is being cancelled.

        Raises:
            NotEnoughSpaceError: the disk is full.
            FailedError: the disk failed.
        """
        cancelled: asyncio.CancelledError | None = None
        while self._error is None and (self._chunks or self._inflight is not None):
            self._start()
            assert self._inflight is not None
            try:
                await asyncio.wait((self._inflight,))
            except asyncio.CancelledError as error:
                cancelled = error
        if self._timer is not None:
            self._timer.cancel()
        self._raise()
        if cancelled is not None:
            raise cancelled

    def _start_if_large(self) -> None:
        if self._size >= self._limits.batch_min or len(self._chunks) >= MAX_VECTORS:
            self._start()

    def _aged(self) -> None:
        self._timer = None
        self._start()

    def _start(self) -> None:
        if self._inflight is not None or not self._chunks or self._error is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        span = Span(self._offset, self._offset + self._size)
        write = self._keeper.submit(self._url, self._chunks, span)
        self._inflight = write.future
        write.future.add_done_callback(lambda _future: self._done(write, len(span)))
        self._chunks, self._size, self._offset = [], 0, span.end

    def _done(self, write: Write, size: int) -> None:
        self._inflight = None
        self._keeper.waiting -= size
        error = write.future.exception()
        if error is not None:
            self._keeper.failed(write)
        if isinstance(error, OSError):
            self._error = self._keeper.disk_failure(error)
        elif error is not None:
            raise error
        else:
            self._keeper.wrote(write)
            self._written()
            if self._timer is None:
                # their time was up while the write before them was under way
                self._start()
            else:
                self._start_if_large()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
