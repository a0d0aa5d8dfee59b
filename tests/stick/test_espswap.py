"""How a set of boot files takes the place of another one, on bytes alone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from luxusbd.stick import bios, bootswap, espswap
from luxusbd.stick.bootfiles import BIOS_BOOT_CODE, BIOS_CORE, ESP, BootFiles, BootPiece
from luxusbd.stick.espswap import Stage
from luxusbd.stick.layout import BIOS_SIZE, BIOS_START, ESP_SIZE, ESP_START, plan
from luxusbd.stick.model import MIB, StickOptions
from tests.stick import helpers

_NOTHING = bytes(MIB)
_MTOOLS = {"MTOOLSRC": "/dev/null", "PATH": "/usr/bin:/bin"}


class Disk:
    """A disk in memory, on which a stage is written as far as a test likes."""

    def __init__(self) -> None:
        self.data = bytearray(ESP_START + ESP_SIZE)

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self.data[offset : offset + length])

    def write(self, stage: Stage) -> None:
        for place, data in stage:
            self.data[place : place + len(data)] = data

    def save(self, work: Path) -> Path:
        """The ESP as a file with holes."""
        image = work / "esp.img"
        with image.open("wb") as file:
            for at in range(ESP_START, len(self.data), MIB):
                if (piece := self.data[at : at + MIB]) != _NOTHING:
                    file.seek(at - ESP_START)
                    file.write(piece)
            file.truncate(ESP_SIZE)
        return image

    def files(self, work: Path) -> dict[str, bytes]:
        """What mtools finds on the ESP."""
        copy = work / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        image = self.save(work)
        subprocess.run(["mcopy", "-s", "-n", "-i", image, "::/", copy], check=True, capture_output=True, env=_MTOOLS)
        return {str(path.relative_to(copy)): path.read_bytes() for path in copy.rglob("*") if path.is_file()}


def esp(work: Path, files: dict[str, bytes], per_cluster: int = 2) -> bytes:
    """A partition as `luxusbd.stick.esp` makes it, with other files."""
    key = (per_cluster, *((name, hash(data)) for name, data in files.items()))
    if key in _made:
        return _made[key]
    image = work / "made.img"
    with image.open("wb") as file:
        file.truncate(ESP_SIZE)
    command = ["mkfs.fat", "-F", "32", "-s", str(per_cluster), "-h", "4096", "-i", "1A2B3C4D", "-n", "LUXESP"]
    subprocess.run([*command, image], check=True, capture_output=True)
    tree = work / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    for name, data in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    subprocess.run(["mcopy", "-s", "-i", image, *tree.iterdir(), "::/"], check=True, env=_MTOOLS)
    used = image.read_bytes().rstrip(b"\0")
    _made[key] = used + bytes(-len(used) % MIB)
    return _made[key]


_made: dict[tuple[object, ...], bytes] = {}


# a directory of several clusters, long names, an empty file, a directory in a directory
NEW = {
    "EFI/BOOT/BOOTX64.EFI": b"new program" * 70_000,
    "boot/grub/grub.cfg": b"# new\n",
    "boot/grub/empty": b"",
    **{f"boot/grub/a long name {number:03}.txt": bytes([number]) * number * 50 for number in range(1, 40)},
}
OLD = {"EFI/BOOT/BOOTX64.EFI": b"old program" * 200_000, "boot/grub/grub.cfg": b"# old\n" * 1000}


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    made = Disk()
    made.write(((ESP_START, esp(tmp_path, OLD)),))
    return made


def test_after_every_write_there_is_either_set(disk: Disk, tmp_path: Path) -> None:
    image = esp(tmp_path, NEW)
    stages = espswap.stages(disk.read, ESP_START, image)
    seen = []
    for stage in stages:
        for write in stage:
            disk.write((write,))
            files = disk.files(tmp_path)
            assert files in (OLD, NEW)
            seen.append(files == NEW)
    assert seen == sorted(seen)
    assert not seen[0]
    assert disk.read(ESP_START, len(image)) == image
    # nothing decides but a single sector
    assert [len(stage) == 1 and stage[0][1][44:48] != b"\2\0\0\0" for stage in stages].count(True) == 1
    assert len(stages[1][0][1]) == len(stages[3][0][1]) == 512


@pytest.mark.parametrize("done", range(6))
def test_a_swap_that_was_cut_is_ended_by_the_next_one(disk: Disk, tmp_path: Path, done: int) -> None:
    for stage in espswap.stages(disk.read, ESP_START, esp(tmp_path, NEW))[:done]:
        disk.write(stage)
    third = {**NEW, "boot/grub/grub.cfg": b"# third\n"}
    image = esp(tmp_path, third)
    for stage in espswap.stages(disk.read, ESP_START, image):
        for write in stage:
            disk.write((write,))
            assert disk.files(tmp_path) in (OLD, NEW, third)
    assert disk.read(ESP_START, len(image)) == image
    checked = subprocess.run(["fsck.fat", "-n", disk.save(tmp_path)], check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_what_is_no_such_volume_is_overwritten(disk: Disk, tmp_path: Path) -> None:
    image = esp(tmp_path, NEW)
    disk.data[ESP_START + 510] = 0
    assert espswap.stages(disk.read, ESP_START, image) == (((ESP_START, image),),)
    disk.write(((ESP_START, esp(tmp_path, OLD, per_cluster=1)),))
    assert espswap.stages(disk.read, ESP_START, image) == (((ESP_START, image),),)


def test_a_copy_takes_no_cluster_that_is_in_use(disk: Disk, tmp_path: Path) -> None:
    image = esp(tmp_path, NEW)
    (decides,) = espswap.stages(disk.read, ESP_START, image)[1]
    first = int.from_bytes(decides[1][44:48], "little")
    volume = espswap.volume(image[:512])
    assert volume is not None
    assert volume.clusters // 2 <= first < volume.clusters
    place = ESP_START + volume.tables[0] + first * 4
    disk.write(((place + 400, b"\xff\xff\xff\x0f"),))
    (decides,) = espswap.stages(disk.read, ESP_START, image)[1]
    assert int.from_bytes(decides[1][44:48], "little") > first


def boot_files(work: Path, fill: bytes, files: dict[str, bytes]) -> BootFiles:
    core = bios.patch_core(fill * 100_000, BIOS_START // 512)
    code = bios.led_to(fill * 440, BIOS_START // 512)
    return BootFiles(
        (
            BootPiece(ESP, ESP_START, esp(work, files)),
            BootPiece(BIOS_CORE, BIOS_START, core),
            BootPiece(BIOS_BOOT_CODE, 0, code),
        ),
        frozenset(),
    )


def test_the_boot_code_leads_to_a_whole_core_image_after_every_write(tmp_path: Path) -> None:
    layout = plan(helpers.SIZE, StickOptions())
    disk = Disk()
    old, new = boot_files(tmp_path, b"o", OLD), boot_files(tmp_path, b"n", NEW)
    for piece in old.pieces:
        disk.write(((piece.start, piece.data),))
    led = []
    for stage in bootswap.stages(disk.read, layout, new):
        disk.write(stage)
        code = disk.read(0, 440)
        sector = bios.core_sector(code)
        core = new if code[:80] == b"n" * 80 else old
        data = next(piece.data for piece in core.pieces if piece.what == BIOS_CORE)
        assert disk.read(sector * 512, len(data)) == bios.patch_core(data, sector)
        led.append(sector * 512)
    assert led[0] == led[-1] == BIOS_START
    assert BIOS_START + BIOS_SIZE // 2 in led
    for piece in new.pieces:
        assert disk.read(piece.start, len(piece.data)) == piece.data
    assert bootswap.stages(disk.read, layout, new) == ()


@pytest.mark.parametrize("done", range(5))
def test_a_core_image_that_was_cut_is_ended_by_the_next_refresh(tmp_path: Path, done: int) -> None:
    layout = plan(helpers.SIZE, StickOptions())
    disk = Disk()
    for piece in boot_files(tmp_path, b"o", OLD).pieces:
        disk.write(((piece.start, piece.data),))
    for stage in bootswap.stages(disk.read, layout, boot_files(tmp_path, b"n", OLD))[:done]:
        disk.write(stage)
    third = boot_files(tmp_path, b"t", OLD)
    for stage in bootswap.stages(disk.read, layout, third):
        before = bios.core_sector(disk.read(0, 440)) * 512
        # never where the boot code leads at that time
        assert all(place != before for place, _data in stage)
        disk.write(stage)
    for piece in third.pieces:
        assert disk.read(piece.start, len(piece.data)) == piece.data
