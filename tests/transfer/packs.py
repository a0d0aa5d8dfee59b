"""Compressed files as tests need them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import zipfile
from collections.abc import Mapping

from luxusbd.transfer.packing import Packing

STREAMS = (Packing.XZ, Packing.LZMA, Packing.GZIP, Packing.ZSTD, Packing.BZIP2)


def zstd(data: bytes, *options: str) -> bytes:
    """What zstd(1) makes; Python cannot before 3.14."""
    return subprocess.run(
        ["zstd", "-q", "-c", *options], input=data, capture_output=True, check=True, timeout=60
    ).stdout


def pack(packing: Packing, data: bytes, name: str = "image.iso") -> bytes:
    match packing:
        case Packing.XZ:
            return lzma.compress(data, lzma.FORMAT_XZ, preset=0)
        case Packing.LZMA:
            return lzma.compress(data, lzma.FORMAT_ALONE, preset=0)
        case Packing.GZIP:
            return gzip.compress(data, 1, mtime=0)
        case Packing.BZIP2:
            return bz2.compress(data, 1)
        case Packing.ZSTD:
            return zstd(data, "-1")
        case Packing.ZIP:
            return zipped({name: data})


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()
