"""A disk that was written byte for byte starts, under BIOS and UEFI."""

from __future__ import annotations

import lzma
import os
import subprocess
import threading
from pathlib import Path

import pytest

from luxusbd.images.startable import Starts
from luxusbd.stick import writer
from luxusbd.stick.model import MIB, RawImage, StickOperation
from luxusbd.transfer.frames import Fan, make_pipe
from luxusbd.transfer.rawlook import look, unpack
from tests.stick import helpers
from tests.stick.boot import boot

pytestmark = pytest.mark.boot

MENU = """
serial --unit=0 --speed=115200
terminal_output serial
echo "written raw and started by $grub_platform"
sleep 60
"""


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disc that is a disk, too, made by grub-mkrescue, which writes a line and waits."""
    place = tmp_path_factory.mktemp("hybrid")
    (place / "tree/boot/grub").mkdir(parents=True)
    (place / "tree/boot/grub/grub.cfg").write_text(MENU)
    modules = "--install-modules=normal serial terminal echo sleep part_gpt part_msdos iso9660 fat search"
    subprocess.run(
        ["grub-mkrescue", "--locales=", "--fonts=", "--themes=", modules, "-o", place / "hybrid.iso", place / "tree"],
        check=True,
        capture_output=True,
    )
    return place / "hybrid.iso"


async def test_a_compressed_hybrid_is_unpacked_onto_a_disk_that_starts(hybrid: Path, tmp_path: Path) -> None:
    data = hybrid.read_bytes()
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
    assert "written raw and started by pc" in boot(disk, tmp_path, "started by", uefi=False)
    assert "written raw and started by efi" in boot(disk, tmp_path, "started by", uefi=True)
