"""One image byte for byte to whole disks, through the service: planned, unpacked on the way, read back."""

from __future__ import annotations

import hashlib
import lzma
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from luxusb_cli.connection import Typed
from luxusb_cli.errors import DaemonError

from tests.daemon.caller import Caller
from tests.daemon.images import MIB

SIZE = 48 * MIB
RAW = {"raw": Typed("b", True)}


def disk_image(size: int = 20 * MIB + 512) -> bytes:
    """A disk with one partition and a boot sector, which compresses a bit."""
    row = struct.pack("<B3xB3xII", 0x80, 0x83, 2048, 2048)
    sector = b"\xeb\x3c".ljust(446, b"\x90") + row.ljust(64, b"\0") + b"\x55\xaa"
    noise = random.Random(5).randbytes(MIB)
    return (sector + noise + bytes(size))[: size // 2] + noise.rjust(size - size // 2, b"\1")


@pytest.fixture
def old(place: Path) -> Path:
    """A disk full of what was there before."""
    path = place / "old.img"
    path.write_bytes(b"\xa5" * SIZE)
    return path


@pytest.mark.root
@pytest.mark.parametrize("packing", ["", "xz"])
async def test_a_disk_gets_every_byte(
    caller: Caller, place: Path, old: Path, attach: Callable[[Path], str], packing: str
) -> None:
    data = disk_image()
    image = place / "appliance"
    image.write_bytes(lzma.compress(data, preset=0) if packing else data)
    node = attach(old)
    device = await caller.disk(node)
    with image.open("rb") as file:
        job = await caller.client.import_image(file.fileno(), "appliance.img", keep_packed=True)
    stored = str((await caller.succeeded(job)).result["image"])
    assert stored == f"image:{hashlib.sha256(image.read_bytes()).hexdigest()}"
    planned = await caller.plan([device.path], [stored], **RAW)
    assert planned.raw is not None
    assert (planned.raw.packing, planned.raw.size, planned.raw.starts) == (packing, len(data), "disk")
    with pytest.raises(DaemonError, match="with WriteRaw"):
        await caller.client.create(planned.token)
    done = await caller.succeeded(await caller.client.write_raw(planned.token))
    assert done.result == {
        "image_size": len(data),
        "bytes_written": len(data),
        "skipped": 0,
        "sha256": hashlib.sha256(data).hexdigest(),
        "packed": bool(packing),
    }
    assert old.read_bytes()[: len(data)] == data
    with pytest.raises(DaemonError) as used:
        await caller.client.write_raw(planned.token)
    assert used.value.name == "org.luxusb.Error.PlanExpired"
    # what the disk is now is seen without plugging it in again
    assert (await caller.disk(node)).state == "foreign"
    (there,) = (await caller.plan([device.path], [stored], **RAW)).devices
    assert [(each.number, each.size) for each in there.lost_details] == [(1, MIB)]
