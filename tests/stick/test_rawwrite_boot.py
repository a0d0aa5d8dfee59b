"""A disk that was written byte for byte starts, under BIOS and UEFI."""

from __future__ import annotations

import lzma
import os
import threading
from pathlib import Path

import pytest

from luxusbd.images.startable import Starts
from luxusbd.stick import writer
from luxusbd.stick.model import MIB, RawImage, StickOperation
from luxusbd.transfer.frames import Fan, make_pipe
from luxusbd.transfer.rawlook import look, unpack
from tests.stick import helpers
from tests.stick.boot import STARTED, boot, make_hybrid

pytestmark = pytest.mark.boot


async def test_a_compressed_hybrid_is_unpacked_onto_a_disk_that_starts(tmp_path: Path) -> None:
    data = make_hybrid(tmp_path).read_bytes()
    packed = tmp_path / "hybrid.iso.xz"
    packed.write_bytes(lzma.compress(data, preset=0))
    disk = tmp_path / "disk"
    fd = helpers.empty_target(disk, 64 * MIB)
    source = helpers.source(packed, "hybrid.iso")
    found = look(source.fd)
    assert (found.size, found.starts) == (len(data), Starts.HYBRID)
    read, write = make_pipe()
    unpacking = threading.Thread(target=unpack, args=(source.fd, Fan([write])))
    unpacking.start()
    raw = RawImage(found.size, packed=True, pipe=read)
    order = helpers.order(StickOperation.WRITE_RAW, fd, size=64 * MIB, add=(source,), raw=raw)
    await writer.execute(order, lambda _progress: None)
    unpacking.join()
    for each in (fd, source.fd, read, write):
        os.close(each)
    assert f"{STARTED} pc" in boot(disk, tmp_path, f"{STARTED} ", uefi=False)
    assert f"{STARTED} efi" in boot(disk, tmp_path, f"{STARTED} ", uefi=True)
