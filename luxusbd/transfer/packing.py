"""Compressed images: which formats there are, how content shows them, and names without their suffixes."""

from __future__ import annotations

import re
from enum import StrEnum

HEAD = 32
"""Bytes from the start of a file that `packing_of` wants to see; fewer when the file is shorter."""


class Packing(StrEnum):
    """A format in which images are compressed."""

    XZ = "xz"
    LZMA = "lzma"
    GZIP = "gzip"
    ZSTD = "zstd"
    BZIP2 = "bzip2"
    ZIP = "zip"


# xz: the .xz file format 1.2.0, 2.1.1.1. gzip: RFC 1952, 2.3. zip: APPNOTE.TXT 4.3.7.
XZ_MAGIC = b"\xfd7zXZ\0"
LZMA_MAGIC = b"\x5d\0\0"
GZIP_MAGIC = b"\x1f\x8b\x08"
BZIP2_MAGIC = b"BZh"
ZIP_MAGIC = b"PK\x03\x04"
# bzip2 has no specification: the level as a digit, then a block of data or, in an empty file, the end.
_BZIP2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
# RFC 8878, 3.1.1 and 3.1.2: a frame, or a skippable frame, with which some tools begin.
_ZSTD = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", re.DOTALL)
# .lzma has no magic number: properties that every encoder writes, and a size that is unknown or below 256 TiB.
_LZMA = re.compile(rb"\x5d\0\0..(?:\xff{8}|.{6}\0\0)", re.DOTALL)

_SUFFIXES = {
    Packing.XZ: (".xz",),
    Packing.LZMA: (".lzma",),
    Packing.GZIP: (".gz", ".gzip"),
    Packing.ZSTD: (".zst", ".zstd"),
    Packing.BZIP2: (".bz2", ".bzip2"),
    Packing.ZIP: (".zip",),
}


def packing_of(head: bytes) -> Packing | None:
    """How a file that begins with `head` is compressed; None when it is not, or in an unknown way."""
    if head.startswith(XZ_MAGIC):
        return Packing.XZ
    if head.startswith(GZIP_MAGIC):
        return Packing.GZIP
    if head.startswith(ZIP_MAGIC):
        return Packing.ZIP
    if _BZIP2.match(head):
        return Packing.BZIP2
    if _ZSTD.match(head):
        return Packing.ZSTD
    return Packing.LZMA if _LZMA.match(head) else None


def unpacked_name(name: str, packing: Packing | None) -> str:
    """`name` without the suffix of its compression, whichever case that is in; unchanged when it has none."""
    for suffix in _SUFFIXES[packing] if packing is not None else ():
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def names_in_sums(name: str) -> tuple[str, ...]:
    """Under which names a file of this name may stand in a list of hashes: its own, and that of what is in it."""
    shorter = {unpacked_name(name, packing) for packing in Packing} - {name}
    return (name, *sorted(shorter))
