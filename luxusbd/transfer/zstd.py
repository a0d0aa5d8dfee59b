"""Zstandard through the C library that every Debian has, because dpkg needs it: Python has its own only from 3.14 on.

Functions and constants: zstd.h of libzstd 1.4 and later, whose ABI is stable.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Iterator
from functools import cache
from typing import Any

from luxusbd.errors import LimitExceededError, MalformedImageError, ToolMissingError

LIBRARY = "libzstd.so.1"
WINDOW_LOG = 27
"""A frame that needs a window of more than 2^27 bytes (128 MiB, the limit of zstd(1)) is refused."""
_D_WINDOW_LOG_MAX = 100
_OUTPUT = 1024 * 1024


class _Buffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer, which have the same layout."""

    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("position", ctypes.c_size_t))


@cache
def _library() -> Any:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        raise ToolMissingError(
            f"{LIBRARY} is not installed, without which .zst cannot be unpacked; install the package libzstd1"
        ) from None
    library.ZSTD_createDStream.restype = ctypes.c_void_p
    library.ZSTD_createDStream.argtypes = ()
    library.ZSTD_freeDStream.restype = ctypes.c_size_t
    library.ZSTD_freeDStream.argtypes = (ctypes.c_void_p,)
    library.ZSTD_DCtx_setParameter.restype = ctypes.c_size_t
    library.ZSTD_DCtx_setParameter.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
    library.ZSTD_decompressStream.restype = ctypes.c_size_t
    library.ZSTD_decompressStream.argtypes = (ctypes.c_void_p, ctypes.POINTER(_Buffer), ctypes.POINTER(_Buffer))
    library.ZSTD_isError.restype = ctypes.c_uint
    library.ZSTD_isError.argtypes = (ctypes.c_size_t,)
    library.ZSTD_getErrorName.restype = ctypes.c_char_p
    library.ZSTD_getErrorName.argtypes = (ctypes.c_size_t,)
    return library


class ZstdDecoder:
    """Unpacks frames that follow each other, skippable ones included."""

    def __init__(self) -> None:
        """Get the library.

        Raises:
            ToolMissingError: it is not there.
        """
        self._library = _library()
        self._stream = self._library.ZSTD_createDStream()
        if not self._stream:
            raise MemoryError
        self.close = weakref.finalize(self, self._library.ZSTD_freeDStream, self._stream)
        """Gives the memory back; done with the object at the latest."""
        self._check(self._library.ZSTD_DCtx_setParameter(self._stream, _D_WINDOW_LOG_MAX, WINDOW_LOG))
        self._output = ctypes.create_string_buffer(_OUTPUT)
        self._wanted = 1

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Unpack more; pieces of at most 1 MiB.

        Raises:
            MalformedImageError: this is no Zstandard data.
            LimitExceededError: unpacking it needs too much memory.
        """
        source = ctypes.create_string_buffer(data, len(data))
        taken = _Buffer(ctypes.addressof(source), len(data), 0)
        while True:
            made = _Buffer(ctypes.addressof(self._output), _OUTPUT, 0)
            if taken.position < len(data) or self._wanted:
                self._wanted = self._check(
                    self._library.ZSTD_decompressStream(self._stream, ctypes.byref(made), ctypes.byref(taken))
                )
            if made.position:
                yield ctypes.string_at(self._output, made.position)
            # a full buffer may leave something inside
            if taken.position == len(data) and made.position < _OUTPUT:
                return

    def end(self) -> None:
        """Say that nothing more comes.

        Raises:
            MalformedImageError: something is missing.
        """
        if self._wanted:
            raise MalformedImageError("the zstd data ends too early: the file is not complete")

    def _check(self, code: int) -> int:
        if not self._library.ZSTD_isError(code):
            return code
        said = self._library.ZSTD_getErrorName(code).decode("ascii", "replace")
        if "memory" in said.lower():
            raise LimitExceededError(
                f"unpacking this zstd data needs more than {1 << WINDOW_LOG - 20} MiB of memory; unpack it yourself"
                " with zstd -d --long=31 and import the image"
            )
        raise MalformedImageError(f"the zstd data is damaged: {said}")
