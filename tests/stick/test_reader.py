from __future__ import annotations

import dataclasses
import os
import random
import re
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from luxusbd.errors import DeviceDamagedError
from luxusbd.stick import losses, manifest, reader, signatures, writer
from luxusbd.stick.losses import Loss
from luxusbd.stick.model import MIB, StickOperation
from tests.stick import helpers

SIZE = helpers.SIZE


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import asyncio

    directory = tmp_path_factory.mktemp("stick")
    path = directory / "stick.img"
    fd = helpers.empty_target(path)
    sources = tuple(
        helpers.source(helpers.random_file(directory / name, MIB + number, number), name)
        for number, name in enumerate(("one.iso", "two.iso"))
    )
    try:
        asyncio.run(writer.execute(helpers.order(StickOperation.CREATE, fd, add=sources), lambda _progress: None))
    finally:
        for source in sources:
            os.close(source.fd)
        os.close(fd)
    return path


@pytest.fixture
def stick(template: Path, tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "stick.img"
    subprocess.run(["cp", "--sparse=always", template, path], check=True)
    fd = os.open(path, os.O_RDWR)
    yield fd
    os.close(fd)


def debugfs(fd: int, *commands: str) -> None:
    start = 130 * MIB
    subprocess.run(
        ["debugfs", "-w", "-f", "-", f"/proc/self/fd/{fd}?offset={start}"],
        input="\n".join(commands) + "\n",
        text=True,
        pass_fds=(fd,),
        check=True,
        capture_output=True,
    )


def damage(fd: int) -> str:
    contents = reader.read_stick(fd, SIZE)
    assert contents is not None
    return contents.damage


def test_a_sound_stick(stick: int) -> None:
    contents = reader.read_stick(stick, SIZE)
    assert contents is not None
    assert contents.damage == ""
    assert [image.name for image in contents.manifest.images] == ["one.iso", "two.iso"]
    assert 40 * MIB < contents.free_bytes < 70 * MIB


def test_a_disk_that_is_no_stick(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    for content in (b"", bytes(4 * MIB), random.Random(1).randbytes(MIB)):
        path.write_bytes(content)
        with path.open("rb") as file:
            assert reader.read_stick(file.fileno(), len(content)) is None
            assert reader.describe_contents(file.fileno(), len(content)) == ()
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    subprocess.run(["sfdisk", "-q", path], input="label: gpt\nsize=30M, name=LUXDATA\n", text=True, check=True)
    with path.open("rb") as file:
        assert reader.read_stick(file.fileno(), 64 * MIB) is None


def test_the_second_partition_table_is_enough(stick: int) -> None:
    os.pwrite(stick, bytes(512), 512)
    assert damage(stick).startswith("the first copy of the partition table is broken")


def test_a_broken_second_partition_table_is_told(stick: int) -> None:
    os.pwrite(stick, b"X", SIZE - 33 * 512)
    assert damage(stick).startswith("the second copy of the partition table is broken")


def test_without_any_partition_table_it_is_no_stick(stick: int) -> None:
    os.pwrite(stick, bytes(512), 512)
    os.pwrite(stick, bytes(512), SIZE - 512)
    assert reader.read_stick(stick, SIZE) is None


def test_a_table_that_points_outside_is_none(stick: int) -> None:
    for lba in (1, SIZE // 512 - 1):
        header = bytearray(os.pread(stick, 512, lba * 512))
        table = int.from_bytes(header[72:80], "little") * 512
        entries = bytearray(os.pread(stick, 128 * 128, table))
        entries[2 * 128 + 40 : 2 * 128 + 48] = (1 << 50).to_bytes(8, "little")
        header[48:56] = (1 << 62).to_bytes(8, "little")
        header[88:92] = zlib.crc32(entries).to_bytes(4, "little")
        header[16:20] = bytes(4)
        header[16:20] = zlib.crc32(header[:92]).to_bytes(4, "little")
        os.pwrite(stick, entries, table)
        os.pwrite(stick, header, lba * 512)
    assert reader.read_stick(stick, SIZE) is None


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        (("rm /iso/one.iso",), "the image one.iso is missing"),
        (("sif /iso/two.iso size 5",), "the image two.iso has 5 bytes instead of"),
        (("rm /luxusb/menu-a.cfg", "rm /luxusb/menu-b.cfg"), "both boot menus are incomplete"),
        (("rm /luxusb/menu-b.cfg",), "the boot menu is older than the list of images"),
        (("rm /luxusb/menu-a.cfg",), ""),
    ],
)
def test_damage_is_named(stick: int, commands: tuple[str, ...], expected: str) -> None:
    debugfs(stick, *commands)
    found = damage(stick)
    assert found.startswith(expected)
    assert bool(found) == bool(expected)


def test_a_manifest_under_way_stands_in_for_a_missing_one(stick: int) -> None:
    debugfs(stick, "ln /luxusb/stick.json /luxusb/stick.json.new", "unlink /luxusb/stick.json")
    assert damage(stick) == ""
    debugfs(stick, "rm /luxusb/stick.json.new")
    with pytest.raises(DeviceDamagedError, match="no manifest"):
        reader.read_stick(stick, SIZE)


def test_a_newer_manifest_says_so(stick: int, tmp_path: Path) -> None:
    contents = reader.read_stick(stick, SIZE)
    assert contents is not None
    text = manifest.encode(contents.manifest).replace(b'"format": 1', b'"format": 9')
    (tmp_path / "newer").write_bytes(text)
    debugfs(stick, "rm /luxusb/stick.json", "cd /luxusb", f"write {tmp_path}/newer stick.json")
    with pytest.raises(DeviceDamagedError, match="update luxusbd"):
        reader.read_stick(stick, SIZE)


def test_a_data_partition_without_filesystem_is_damage(stick: int) -> None:
    os.pwrite(stick, bytes(MIB), 130 * MIB)
    with pytest.raises(DeviceDamagedError):
        reader.read_stick(stick, SIZE)


def test_noise_is_read_or_damage(stick: int) -> None:
    """Bytes flipped in the metadata of the partition table and the filesystem give a value or the one error."""
    chance = random.Random(7)
    damaged = 0
    for _ in range(150):
        # header and rows of the partition table, superblock and first descriptor of the filesystem
        base, span = chance.choice(((512, 92), (1024, 384), (130 * MIB + 1024, 128), (130 * MIB + 4096, 64)))
        at = base + chance.randrange(span)
        kept = os.pread(stick, 8, at)
        os.pwrite(stick, chance.randbytes(len(kept)), at)
        try:
            contents = reader.read_stick(stick, SIZE)
            assert contents is None or dataclasses.is_dataclass(contents)
        except DeviceDamagedError:
            damaged += 1
        assert isinstance(reader.describe_contents(stick, SIZE), tuple)
        os.pwrite(stick, kept, at)
    assert damaged


def test_what_an_erase_would_lose(stick: int) -> None:
    lines = reader.describe_contents(stick, SIZE)
    assert lines[0] == "GPT partition table with 3 partitions"
    assert re.fullmatch(r"partition 2: FAT32, “LUXESP”, 134.2 MB, .* MB used", lines[2])
    assert lines[3].startswith("partition 3: ext4, “LUXDATA”")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["mkfs.fat", "-F", "32", "-n", "HOLIDAY", "{}"], "FAT32 on the whole disk, “HOLIDAY”"),
        (["mkfs.fat", "-F", "16", "{}"], "FAT16 on the whole disk"),
        (["mkfs.exfat", "-L", "Größe", "{}"], "exFAT on the whole disk, “Größe”"),
        (["mke2fs", "-qF", "-t", "ext2", "-L", "two", "{}"], "ext2 on the whole disk, “two”"),
        (["mke2fs", "-qF", "-t", "ext3", "{}"], "ext3 on the whole disk"),
        (["mke2fs", "-qF", "-t", "ext4", "-L", "four", "{}"], "ext4 on the whole disk, “four”"),
        (["mkswap", "-L", "sw", "{}"], "swap space on the whole disk, “sw”"),
    ],
)
def test_filesystems_are_recognised(tmp_path: Path, command: list[str], expected: str) -> None:
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(300 * MIB)
    subprocess.run([word.format(path) for word in command], check=True, capture_output=True)
    with path.open("rb") as file:
        (line,) = reader.describe_contents(file.fileno(), 300 * MIB)
    assert line.startswith(f"{expected}, 314.6 MB")
    assert (", 314.6 MB, " in line and line.endswith(" used")) == ("swap" not in line)


def _made(kind: str) -> bytes:
    data = bytearray(signatures.PROBE + 65536)
    if kind == "btrfs":
        data[65536 + 64 : 65536 + 72] = b"_BHRfS_M"
        data[65536 + 299 : 65536 + 302] = b"lab"
    elif kind == "XFS":
        data[:4] = b"XFSB"
        data[108:111] = b"lab"
    elif kind == "LUKS (encrypted)":
        data[:8] = b"LUKS\xba\xbe\0\2"
        data[24:27] = b"lab"
    elif kind == "NTFS":
        data[3:11] = b"NTFS    "
        data[11:14] = b"\0\2\x08"
        data[48:56] = (1).to_bytes(8, "little")
        data[64] = 0xF6
        record = 4096 + 3 * 1024
        data[record : record + 4] = b"FILE"
        data[record + 20] = 56
        data[record + 56 : record + 64] = b"\x60\0\0\0\x28\0\0\0"
        data[record + 72 : record + 78] = b"\6\0\0\0\x18\0"
        data[record + 80 : record + 86] = "lab".encode("utf-16-le")
    return bytes(data)


@pytest.mark.parametrize("kind", ["btrfs", "XFS", "LUKS (encrypted)", "NTFS"])
def test_filesystems_that_cannot_be_made_here(kind: str) -> None:
    data = _made(kind)
    found = signatures.probe(lambda offset, length: data[offset : offset + length], 0, len(data))
    assert found == signatures.Signature(kind, "lab")


def test_an_image_of_a_distribution_and_an_old_partition_table(tmp_path: Path) -> None:
    with Path("/usr/lib/grub-rescue/grub-rescue-cdrom.iso").open("rb") as file:
        lines = reader.describe_contents(file.fileno(), os.fstat(file.fileno()).st_size)
    assert any("ISO 9660" in line for line in lines)
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(300 * MIB)
    script = "label: dos\nsize=100M, type=c\nsize=50M, type=5\nsize=20M, type=83\n"
    subprocess.run(["sfdisk", "-q", path], input=script, text=True, check=True)
    subprocess.run(["mkfs.fat", "-F32", "--offset=2048", "-n", "OLD", path, "102400"], check=True, capture_output=True)
    with path.open("rb") as file:
        lines = reader.describe_contents(file.fileno(), 300 * MIB)
    assert lines[0].startswith("MBR partition table with ")
    assert any(line.startswith("partition 1: FAT32, “OLD”, 104.9 MB, ") for line in lines)


def test_labels_are_made_harmless() -> None:
    assert signatures.clean("a\u202eb\n\x1b[31mc" + "x" * 100) == "ab [31mc" + "x" * 56


def test_systems_are_named(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    size = 300 * MIB
    with path.open("wb") as file:
        file.truncate(size)
    script = "label: gpt\nsize=200M,type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7,name=Ventoy\nsize=32M,name=VTOYEFI\n"
    subprocess.run(["sfdisk", "-q", path], input=script, text=True, check=True)
    with path.open("rb") as file:
        lines, found = reader.look_at_contents(file.fileno(), size)
        assert {loss.system for loss in found} == {""}
    efi = (1 + 200) * MIB // 512
    command = ["mkfs.fat", "-F16", f"--offset={efi}", "-n", "VTOYEFI", str(path), str(32 * 1024)]
    subprocess.run(command, check=True, capture_output=True)
    with path.open("rb") as file:
        lines, found = reader.look_at_contents(file.fileno(), size)
    assert lines[0] == "GPT partition table with 2 partitions, set up by Ventoy"
    assert [(loss.number, loss.filesystem, loss.label, loss.system) for loss in found] == [
        (1, "", "Ventoy", "Ventoy"),
        (2, "FAT16", "VTOYEFI", "Ventoy"),
    ]
    assert found[0].used is None
    assert found[1].used is not None
    windows = "label: gpt\nsize=16M,type=E3C9E316-0B5C-4DB8-817D-F92DF00215AE\nsize=100M\n"
    subprocess.run(["sfdisk", "-q", "--wipe=always", path], input=windows, text=True, check=True)
    with path.open("rb") as file:
        lines = reader.describe_contents(file.fileno(), size)
    assert lines[0] == "GPT partition table with 2 partitions, set up by Windows"


@pytest.mark.parametrize(
    ("kind", "at", "magic"),
    [
        ("BitLocker (encrypted)", 3, b"-FVE-FS-"),
        ("APFS", 32, b"NXSB"),
        ("HFS+", 1024, b"H+\0\4"),
        ("hibernated system", 4086, b"S1SUSPEND\0"),
    ],
)
def test_filesystems_by_their_magic(kind: str, at: int, magic: bytes) -> None:
    data = bytearray(signatures.PROBE)
    data[at : at + len(magic)] = magic
    found = signatures.probe(lambda offset, length: bytes(data[offset : offset + length]), 0, len(data))
    assert found == signatures.Signature(kind, "")


def test_losses_cross_the_pipe_bounded() -> None:
    loss = Loss(1, "ext4", "four", 300 * MIB, None, "Ventoy")
    assert losses.from_json(losses.to_json([loss])) == (loss,)
    hostile = {"number": -1, "filesystem": "\x1b[2J" * 99, "label": "", "size": 1 << 99, "used": -7, "system": "a\nb"}
    found = losses.from_json([hostile] * 1000)
    assert len(found) == losses.LIMIT
    assert found[0].filesystem.isprintable()
    assert (found[0].number, found[0].used, found[0].size < 1 << 64, found[0].system) == (0, 0, True, "a b")
