from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from luxusbd.errors import MalformedImageError
from luxusbd.images.details import Container, Inspection
from luxusbd.images.recognise import inspect, recognise
from tests.images.builders import MEMTEST, build_iso

MIB = 1 << 20


@contextlib.contextmanager
def memory(data: bytes) -> Iterator[int]:
    fd = os.memfd_create("image")
    try:
        os.write(fd, data)
        yield fd
    finally:
        os.close(fd)


def look(data: bytes) -> Inspection:
    with memory(data) as fd:
        found = inspect(fd)
        assert recognise(fd) == found.recognition
        return found


def partitioned(path: Path, script: str, size: int) -> bytearray:
    path.write_bytes(bytes(size))
    subprocess.run(["/usr/sbin/sfdisk", "-q", "--no-reread", path], input=script.encode(), check=True)
    return bytearray(path.read_bytes())


def filesystem(path: Path, kilobytes: int, *command: str) -> bytes:
    path.write_bytes(bytes(kilobytes * 1024))
    subprocess.run([*command, str(path)], check=True, capture_output=True)
    return path.read_bytes()


def raspberry(tmp_path: Path) -> bytes:
    data = partitioned(tmp_path / "disk", "label: dos\nstart=2048,size=2MiB,type=c,bootable\ntype=83\n", 8 * MIB)
    data[MIB : 3 * MIB] = filesystem(tmp_path / "boot", 2048, "/usr/sbin/mkfs.fat", "-n", "bootfs")
    data[3 * MIB : 8 * MIB] = filesystem(
        tmp_path / "root", 5120, "/usr/sbin/mke2fs", "-q", "-t", "ext4", "-L", "rootfs"
    )
    return bytes(data)


def test_disk_image_with_an_mbr(tmp_path: Path) -> None:
    found = look(raspberry(tmp_path))
    recognition, details = found.recognition, found.details
    assert (recognition.system, recognition.volume_id, recognition.family) == (
        "Raspberry Pi OS",
        "bootfs",
        "disk-image",
    )
    assert not recognition.bootable
    assert recognition.reason == (
        "It is the image of a disk with an MBR partition table and 2 partitions (FAT12 “bootfs” 2.0 MiB,"
        " ext4 “rootfs” 5.0 MiB), which cannot be started from a file."
    )
    assert "write-raw" in recognition.advice
    assert (details.container, details.table) == (Container.DISK, "mbr")
    assert [(part.number, part.kind, part.filesystem, part.active) for part in details.partitions] == [
        (1, "0c", "FAT12", True),
        (2, "83", "ext4", False),
    ]
    assert [(part.start, part.size) for part in details.partitions] == [(MIB, 2 * MIB), (3 * MIB, 5 * MIB)]


def test_disk_image_with_a_gpt(tmp_path: Path) -> None:
    script = "label: gpt\nsize=1MiB,type=U,name=EFI\ntype=L,name=data\n"
    data = bytes(partitioned(tmp_path / "disk", script, 4 * MIB))
    found = look(data)
    assert (found.details.container, found.details.table) == (Container.DISK, "gpt")
    assert [part.label for part in found.details.partitions] == ["EFI", "data"]
    assert "a GPT partition table" in found.recognition.reason


@pytest.mark.parametrize("script", ["label: gpt\nsize=1MiB\ntype=L\n", "label: dos\nsize=1MiB,type=c\ntype=83\n"])
def test_disk_image_that_is_cut_off(script: str, tmp_path: Path) -> None:
    data = bytes(partitioned(tmp_path / "disk", script, 8 * MIB))
    with pytest.raises(MalformedImageError, match=r"disk image is truncated.* bytes \([23]\.\d MiB\) are missing"):
        look(data[: 5 * MIB])


def test_floppy_and_single_filesystems(tmp_path: Path) -> None:
    floppy = look(filesystem(tmp_path / "floppy", 1440, "/usr/sbin/mkfs.fat", "-n", "FREEDOS"))
    assert (floppy.recognition.system, floppy.details.container) == ("FreeDOS", Container.FILESYSTEM)
    assert "a single FAT12 file system" in floppy.recognition.reason
    root = look(filesystem(tmp_path / "root", 2048, "/usr/sbin/mke2fs", "-q", "-t", "ext4", "-L", "my root"))
    assert (root.recognition.system, root.recognition.volume_id) == ("my root", "my root")
    assert (root.details.table, root.details.partitions) == ("", ())


def test_hybrid_disc_image_is_a_disc_with_a_partition_table(tmp_path: Path) -> None:
    assert look(MEMTEST.read_bytes()).details.boot_records
    options = ("-R", "-partition_offset", "16", "-part_like_isohybrid")
    path = build_iso(tmp_path / "h.iso", {"a": bytes(MIB)}, *options, "-append_partition", "2", "0xef", "/bin/true")
    details = look(path.read_bytes()).details
    assert (details.container, details.table, details.names) == (Container.ISO9660, "mbr", "rock-ridge")
    assert "ef" in {part.kind for part in details.partitions}


FOREIGN = {
    b"": "empty",
    b"\x1f\x8b\x08": "compressed with gzip",
    b"\xfd7zXZ\0": "compressed with xz",
    b"BZh9": "compressed with bzip2",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"PK\x03\x04": "zip archive",
    b"7z\xbc\xaf\x27\x1c": "7-zip archive",
    b"Rar!\x1a\x07\x01": "RAR archive",
    bytes(257) + b"ustar": "tar archive",
    b"QFI\xfb": r"virtual machine \(qcow2\)",
    b"KDMV": "VMDK",
    b"%PDF-1.7": "PDF document",
    b"MZ\x90": "Windows or EFI program",
    b"hsqs": "squashfs",
    b"MSWIM\0\0\0": "WIM",
    b"!<arch>\ndebian-binary": "Debian package",
    b"\n <!DOCTYPE html>\n<p>": "web page.*instead of the image",
    b"<html lang=de>": "web page",
    b"<?xml version='1.0'?><Error>": "XML",
    b'<?xml version="1.0"?><metalink xmlns="urn:ietf:params:xml:ns:metalink">': "metalink",
    b"d8:announce35:": "torrent",
    b"version https://git-lfs.github.com/spec/v1": "git-lfs",
    b"-----BEGIN PGP SIGNATURE-----": "signature",
    b"ab" * 32 + b"  debian.iso\n": "list of checksums",
    b"404 page not found": "a text, not an image",
    "Größe: unbekannt\n".encode(): "a text, not an image",
    b"\0" + b"\xff" * 10 + b"\0\0\2\0\1": "raw sectors",
    bytes(100_000): "zeros",
    b"\x80\x81\x82": "too short",
    b"\x80\x81\x82" * 40_000: "nothing in it is known",
}


@pytest.mark.parametrize("content", FOREIGN, ids=lambda content: repr(content[:12]))
def test_foreign_files_are_named(content: bytes) -> None:
    for padding in (b"", bytes(50_000)) if b"\0" in content or content[:1] > b"\x7f" else (b"",):
        if content and not (padding and FOREIGN[content] == "too short"):
            with pytest.raises(MalformedImageError, match=FOREIGN[content]):
                look(content + padding)
    if not content:
        with pytest.raises(MalformedImageError, match="empty"):
            look(content)
