"""One image byte for byte to whole disks, through the service: planned, unpacked on the way, read back."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from luxusb_cli.connection import Typed
from luxusb_cli.errors import DaemonError

from tests.daemon.caller import Caller
from tests.daemon.images import MIB, Images
from tests.stick.liars import Lie
from tests.stick.lyingfile import lying

SIZE = 48 * MIB
REAL = 24 * MIB + 12288
"""What a disk has that claims to have 64 MiB."""
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


async def stored(caller: Caller, file: Path, data: bytes) -> str:
    """Put these bytes into the store as they are."""
    file.write_bytes(data)
    with file.open("rb") as opened:
        job = await caller.client.import_image(opened.fileno(), file.name, keep_packed=True)
    return str((await caller.succeeded(job)).result["image"])


async def test_what_is_refused_before_anything_is_erased(
    caller: Caller, place: Path, images: Images, old: Path
) -> None:
    path = await caller.target(old)
    small = await caller.target(place / "small.img", 4 * MIB)
    optical = await stored(caller, place / "optical.iso", images.alpha.path.read_bytes())
    plain = await stored(caller, place / "plain.img", disk_image())
    for devices, references, options, why in (
        ([path], [optical], RAW, "is no hybrid: written byte for byte .* luxusb create"),
        ([path], [optical, plain], RAW, "2 images were named"),
        ([path], [], RAW, "0 images were named"),
        ([path], [plain], {**RAW, "label": Typed("s", "X")}, "label says nothing together with the option raw"),
        ([path], [plain], {"unbootable": Typed("b", True)}, "unbootable says nothing without the option raw"),
        ([small], [plain], RAW, "is too small: the image takes"),
    ):
        with pytest.raises(DaemonError, match=why):
            await caller.plan(devices, references, **options)
    meant = await caller.plan([path], [optical], **RAW, unbootable=Typed("b", True))
    assert "the image is no hybrid: no computer starts it from a stick" in meant.warnings
    with pytest.raises(DaemonError, match="with CreateStick"):
        await caller.client.write_raw(
            (await caller.plan([await caller.target(place / "t.img", 256 * MIB)], ["distro:alpha"])).token
        )
    assert old.read_bytes() == b"\xa5" * SIZE


async def test_two_disks_at_once_and_one_that_is_too_small_for_what_unpacks(caller: Caller, place: Path) -> None:
    data = disk_image(24 * MIB)
    packed = await stored(caller, place / "appliance.img.gz", gzip.compress(data, 1))
    files = [place / "one.img", place / "two.img", place / "small.img"]
    sizes = [32 * MIB, 24 * MIB, 20 * MIB]
    paths = [await caller.target(file, size) for file, size in zip(files, sizes, strict=True)]
    planned = await caller.plan(paths, [packed], **RAW)
    assert planned.raw is not None
    assert planned.raw.size == 0
    assert any("gzip data does not tell what it unpacks to" in warning for warning in planned.warnings)
    failed = await caller.failed(await caller.client.write_raw(planned.token))
    assert failed.error_message.startswith("2 of 3 disks are ready; ")
    assert "unpacks to more than the 20.0 MiB" in failed.error_message
    assert "the disk was erased and starts nothing" in failed.error_message
    assert [file.read_bytes()[: len(data)] == data for file in files] == [True, True, False]
    assert not any(files[2].read_bytes()[:MIB])


async def test_a_compressed_image_that_is_cut(caller: Caller, place: Path, old: Path) -> None:
    packed = lzma.compress(random.Random(2).randbytes(12 * MIB), preset=0)
    cut = await stored(caller, place / "cut.xz", packed[: len(packed) // 2])
    planned = await caller.plan([await caller.target(old)], [cut], **RAW, unbootable=Typed("b", True))
    failed = await caller.failed(await caller.client.write_raw(planned.token))
    assert failed.error_name == "org.luxusb.Error.MalformedImage"
    assert "cut.xz: the xz data ends too early: the file is not complete" in failed.error_message
    assert "the disk was erased and starts nothing" in failed.error_message
    assert not any(old.read_bytes()[:MIB])


@pytest.mark.root
async def test_a_disk_that_drops_what_is_written(caller: Caller, place: Path, attach: Callable[[Path], str]) -> None:
    image = await stored(caller, place / "large.img", disk_image(REAL + 8 * MIB))
    with lying(place / "liar", Lie.DROPS, 64 * MIB, REAL) as file:
        node = attach(file)
        device = await caller.disk(node)
        planned = await caller.plan([device.path], [image], **RAW, probe=Typed("b", True))
        failed = await caller.failed(await caller.client.write_raw(planned.token))
        assert failed.error_name == "org.luxusb.Error.DeviceCounterfeit", failed
        planned = await caller.plan([device.path], [image], **RAW, probe=Typed("b", False))
        failed = await caller.failed(await caller.client.write_raw(planned.token))
        assert failed.error_name == "org.luxusb.Error.VerificationFailed", failed
        assert f"first at byte {REAL}:" in failed.error_message
        subprocess.run(["losetup", "-d", node], check=True)
