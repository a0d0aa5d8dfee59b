"""Takes an image in from a descriptor: cloned, copied or unpacked on the way, bounded, and hashed as it is stored."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from luxusbd.errors import InvalidArgumentError, LimitExceededError, LuxusbError, NotEnoughSpaceError
from luxusbd.text import size_text
from luxusbd.transfer.decoders import decoder_of
from luxusbd.transfer.diskio import MIB, Flusher, disk_error, free_space, write_all
from luxusbd.transfer.importmodel import Content, Order, Received
from luxusbd.transfer.incoming import Incoming
from luxusbd.transfer.localcopy import copy_file, hash_file
from luxusbd.transfer.packing import HEAD, Packing, packing_of
from luxusbd.transfer.zipped import open_image

SPACE_STEP = 8 * MIB
"""Bytes between two looks at the free space."""

Progress = Callable[[int, int], None]
Stop = Callable[[], bool]


class Digests:
    """Several hashes of the same bytes."""

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._hashes = {name: hashlib.new(name) for name in dict.fromkeys(("sha256", *algorithms))}
        self.size = 0

    def update(self, data: Any, /) -> None:
        """Take more bytes."""
        self.size += len(data)
        for running in self._hashes.values():
            running.update(data)

    def hexdigest(self) -> str:
        """The sha256 of all bytes so far."""
        return self._hashes["sha256"].hexdigest()

    def content(self) -> Content:
        """All hashes of all bytes so far."""
        return Content(self.size, {name: running.hexdigest() for name, running in self._hashes.items()})


@dataclass
class _Sink:
    """The file that is written, from its start; never beyond what is allowed."""

    fd: int
    order: Order
    unpacking: Packing | None
    digests: Digests
    _next_look: int = field(default=0)

    def __post_init__(self) -> None:
        self._flusher = Flusher(self.fd)

    def write(self, data: bytes) -> None:
        position = self.digests.size
        if self.unpacking is not None and position + len(data) > self.order.most:
            raise LimitExceededError(
                f"the {self.unpacking} data unpacks to more than {size_text(self.order.most)}; an administrator can"
                " raise images.max_unpacked in luxusbd.toml"
            )
        if position + len(data) > self._next_look:
            self._check_room(position)
            self._next_look = position + SPACE_STEP
        try:
            write_all(self.fd, [data], position)
            self._flusher.wrote(len(data))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._full(position) from error
            raise disk_error(error, "the image") from error
        self.digests.update(data)

    def finish(self) -> Content:
        try:
            os.ftruncate(self.fd, self.digests.size)
            os.fsync(self.fd)
        except OSError as error:
            raise disk_error(error, "the image") from error
        return self.digests.content()

    def _check_room(self, position: int) -> None:
        if free_space(self.fd) < self.order.reserve + SPACE_STEP:
            raise self._full(position)

    def _full(self, position: int) -> LuxusbError:
        return NotEnoughSpaceError(
            f"the disk of the image store was full after {size_text(position)} of the image"
            f" ({size_text(self.order.reserve)} are kept free); delete images that you no longer need, and check that"
            " what comes has an end"
        )


def receive(source: int, destination: int, order: Order, progress: Progress, stop: Stop) -> Received:
    """Take what is behind `source` into the regular file `destination`, which is replaced and synced at the end.

    What is compressed is recognised by content and unpacked, unless it is to stay so. `progress` gets the bytes that
    came and how many there are in all (0: not known), in this thread.

    Raises:
        InvalidArgumentError: the source is no regular file, pipe or stream socket, or has another size.
        MalformedImageError: it is empty, cut off, or damaged as compressed data.
        VerificationError: more came than `order.size`.
        LimitExceededError: it unpacks to more than is allowed, or unpacking takes too much memory.
        NotEnoughSpaceError: it does not fit.
        FailedError: a regular file changed meanwhile, or reading or writing failed.
        CancelledError: `stop` said yes.
        ToolMissingError: a library for unpacking is missing.
    """
    os.ftruncate(destination, 0)
    with Incoming(source, 0, stop) as looked_at:
        regular = looked_at.regular
        size = looked_at.total
    if not regular:
        with Incoming(source, order.size, stop) as incoming:
            return _stream(incoming, destination, order, progress)
    if order.size not in (0, size):
        raise InvalidArgumentError(f"the file has {size} bytes, expected {order.size}")
    packing = None if order.keep_packed else packing_of(os.pread(source, HEAD, 0))
    if packing is Packing.ZIP:
        return _from_zip(source, destination, order, progress, stop)
    if packing is not None:
        with Incoming(source, 0, stop) as incoming:
            return _stream(incoming, destination, order, progress)
    digests = Digests(order.algorithms)
    copied = copy_file(source, destination, size, progress, stop, running=digests)
    return Received(digests.content(), cloned=copied.cloned)


def _stream(incoming: Incoming, destination: int, order: Order, progress: Progress) -> Received:
    head = b""
    while len(head) < HEAD and (data := incoming.read()):
        head += data
    packing = None if order.keep_packed else packing_of(head)
    came = Digests(order.algorithms)
    sink = _Sink(destination, order, packing, Digests(order.algorithms))
    decoder = decoder_of(packing) if packing is not None else None
    data = head
    while data:
        if decoder is None:
            sink.write(data)
        else:
            came.update(data)
            for piece in decoder.feed(data):
                sink.write(piece)
        progress(incoming.count, incoming.total)
        data = incoming.read()
    if decoder is not None:
        decoder.end()
    incoming.check_unchanged()
    return Received(sink.finish(), packing, came.content() if decoder is not None else None)


def _from_zip(source: int, destination: int, order: Order, progress: Progress, stop: Stop) -> Received:
    with Incoming(source, 0, stop) as incoming, open_image(source, incoming.total) as image:
        sink = _Sink(destination, order, Packing.ZIP, Digests(order.algorithms))
        for piece, position in image.pieces():
            incoming.check_stop()
            sink.write(piece)
            progress(min(position, incoming.total), incoming.total)
        came = Digests(order.algorithms)
        hash_file(source, lambda _done, _total: None, stop, running=came)
        incoming.check_unchanged()
        return Received(sink.finish(), Packing.ZIP, came.content(), image.name)
