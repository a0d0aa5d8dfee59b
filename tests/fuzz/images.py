"""Targets that read images: discs, disks, and the data partition of a stick."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from luxusbd.errors import DeviceError, MalformedImageError
from luxusbd.images import bounded
from luxusbd.images.bounded import BoundedReader
from luxusbd.images.details_codec import inspection_from_json, inspection_to_json
from luxusbd.images.iso9660 import IsoImage
from luxusbd.images.recognise import inspect, recognise
from luxusbd.images.space import SLACK
from luxusbd.images.tree import FileTree
from luxusbd.images.udf import UdfImage
from luxusbd.images.volumes import read_volumes
from luxusbd.stick.ext4 import Ext4
from luxusbd.stick.signatures import look
from tests.fuzz.engine import Target, TooMuchWorkError
from tests.fuzz.mutate import Hot, mutate
from tests.images.builders import build_iso, x86_kernel
from tests.images.udf_builder import Link, Style, Tree, Udf, tag

MAX_EXT4_READS = 300_000
WALKED = 3000

_FILES = {
    "live/vmlinuz-6.1.0-18-amd64": x86_kernel(signer=b"Debian Secure Boot Signer"),
    "live/initrd.img-6.1.0-18-amd64": b"i",
    "live/filesystem.squashfs": b"hsqs",
    ".disk/info": b"Debian GNU/Linux 12.5.0 amd64",
    "EFI/BOOT/bootx64.efi": x86_kernel(),
    "boot/grub/loopback.cfg": b"source /boot/grub/grub.cfg",
    "boot.img": bytes(2048),
    "l" * 200: b"long",
    "/".join("deeper"[:n] for n in (1, 2, 3, 4, 5, 6, 5, 4, 3)): b"deep",
}


def _check_image(data: bytes) -> None:
    fd = os.memfd_create("fuzz")
    try:
        os.write(fd, data)
        with suppress(MalformedImageError):
            found = inspect(fd)
            # the core refuses what does not pass its strict reader, so that everything found has to
            assert inspection_from_json(inspection_to_json(found)).recognition == found.recognition
            assert recognise(fd) == found.recognition
        for kind in (_iso, UdfImage):
            reader = BoundedReader(fd)
            with suppress(MalformedImageError):
                _read_everything(kind(reader))
            if reader.reads > bounded.MAX_READS + 1:
                raise TooMuchWorkError(f"{reader.reads} reads")
    finally:
        os.close(fd)


def _iso(reader: BoundedReader) -> IsoImage:
    return IsoImage(reader, read_volumes(reader))


def _read_everything(tree: FileTree) -> None:
    for path in list(tree.walk(WALKED)):
        tree.exists(path)
        with suppress(MalformedImageError):
            tree.read(path, 100, 3)
    tree.glob("/*/*")
    assert tree.exists("/")


def _hot(data: bytes) -> Hot:
    """The pieces of 512 bytes that hold anything."""
    return [(at, at + 512) for at in range(0, len(data), 512) if any(data[at : at + 512])]


_hot_of = cache(_hot)


def _mutate_plain(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    return mutate(rng, data, corpus, _hot_of(data))


def _mutate_udf(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """A mutation whose checksums are mostly right again, or else nothing behind them would ever be reached."""
    kinds = _kinds_of(data)
    # every kind of descriptor as often as the others, however many there are of it
    hot = rng.choice(kinds) if kinds and rng.random() < 0.8 else _hot_of(data)
    changed = mutate(rng, data, corpus, hot)
    if rng.random() < 0.1:
        return changed
    out = bytearray(changed)
    for at in _tags_of(data):
        if changed[at : at + 512] != data[at : at + 512] and at + 16 <= len(out):
            identifier, location = struct.unpack_from("<H", out, at)[0], struct.unpack_from("<I", out, at + 12)[0]
            length = struct.unpack_from("<H", data, at + 10)[0]
            body = bytes(out[at + 16 : at + 16 + length])
            fresh = tag(identifier, location, body)
            out[at : at + len(fresh)] = fresh
    return bytes(out)


def _tags(data: bytes) -> tuple[int, ...]:
    """Where descriptors begin: blocks, and entries of directories."""
    found = [at for at in range(0, len(data) - 16, 512) if _is_tag(data, at)]
    at = data.find(b"\x01\x01\x03\0")
    while at >= 0:
        if at % 512 and _is_tag(data, at):
            found.append(at)
        at = data.find(b"\x01\x01\x03\0", at + 1)
    return tuple(found)


def _is_tag(data: bytes, at: int) -> bool:
    head = data[at : at + 16]
    return any(head) and (sum(head[:4]) + sum(head[5:])) & 0xFF == head[4] and head[2:4] in (b"\3\0", b"\2\0")


def _kinds(data: bytes) -> tuple[Hot, ...]:
    """The descriptors by their identifier."""
    found: dict[int, list[tuple[int, int]]] = {}
    for at in _tags_of(data):
        identifier, length = struct.unpack_from("<H", data, at)[0], struct.unpack_from("<H", data, at + 10)[0]
        found.setdefault(identifier, []).append((at, at + 16 + min(length, 240)))
    return tuple(found.values())


_tags_of = cache(_tags)
_kinds_of = cache(_kinds)


@cache
def _iso_corpus() -> tuple[bytes, ...]:
    found = []
    with tempfile.TemporaryDirectory(prefix="luxusb-fuzz-") as directory:
        boot = ("-b", "boot.img", "-no-emul-boot", "-eltorito-alt-boot", "-e", "boot.img", "-no-emul-boot")
        for name, options in (("rr", ("-R", *boot)), ("joliet", ("-R", "-J")), ("plain", ("-iso-level", "3"))):
            path = build_iso(Path(directory) / f"{name}.iso", _FILES, "-no-pad", *options)
            found.append(path.read_bytes())
        source = Path(directory) / "plain.iso.d"
        path = Path(directory) / "bridge.iso"
        command = ["genisoimage", "-quiet", "-udf", "-no-pad", "-J", "-V", "BRIDGE", "-o", str(path), str(source)]
        subprocess.run(command, check=True, capture_output=True)
        found.append(path.read_bytes())
    return tuple(found)


@cache
def _udf_corpus() -> tuple[bytes, ...]:
    files: dict[str, bytes] = {"bootmgr": b"", "Übung Ω": b"x" * 1500, "holes": b"x" * 600 + bytes(2000) + b"y" * 700}
    tree: Tree = {
        **files,
        "efi": {"boot": {"bootx64.efi": x86_kernel()}},
        "link": Link("../efi/boot"),
        "deep": {"er": {"and": {"deeper": {"file": b"z"}}}},
        **{f"file {n}": b"n" for n in range(12)},
    }
    return (
        Udf(tree, block=512).build(),
        Udf(tree, block=512, style=Style.EMBEDDED, extended=True).build(),
        Udf(tree, block=512, pieces=4, continued=True).build(),
        Udf(tree, block=512, metadata=True, extended=True, style=Style.LONG).build(),
        Udf(tree, block=512, metadata=True, pieces=3, continued=True, anchors=(256, -1)).build(),
        Udf(tree, block=2048, broken_main=True).build(),
    )


@cache
def _disk_corpus() -> tuple[bytes, ...]:
    found = []
    with tempfile.TemporaryDirectory(prefix="luxusb-fuzz-") as directory:
        for name, script in (
            ("gpt", "label: gpt\nsize=64,type=U,name=esp\nsize=128,type=L,name=rootfs\n"),
            ("mbr", "label: dos\nsize=64,type=c,bootable\nsize=300,type=5\nsize=64,type=83\nsize=32,type=82\n"),
        ):
            path = Path(directory) / name
            path.write_bytes(bytes(512 * 1024))
            subprocess.run(["/usr/sbin/sfdisk", "-q", "--no-reread", path], input=script.encode(), check=True)
            found.append(path.read_bytes())
        for name, command in (
            ("fat12", ["/usr/sbin/mkfs.fat", "-C", "-F", "12", "-n", "FREEDOS", "NAME", "360"]),
            ("fat16", ["/usr/sbin/mkfs.fat", "-C", "-F", "16", "-s", "1", "-n", "LABEL", "NAME", "5000"]),
        ):
            path = Path(directory) / name
            subprocess.run([part.replace("NAME", str(path)) for part in command], check=True, capture_output=True)
            found.append(path.read_bytes()[: 512 * 1024])
    found.append(bytes(found[0]) + _iso_corpus()[0])
    return (*found, *_foreign())


def _foreign() -> tuple[bytes, ...]:
    exfat = bytearray(70_000)
    exfat[3:11] = b"EXFAT   "
    struct.pack_into("<III", exfat, 88, 1, 16, 2)
    exfat[108:110] = b"\x09\x00"
    ntfs = bytearray(70_000)
    ntfs[3:11] = b"NTFS    "
    struct.pack_into("<HB", ntfs, 11, 512, 8)
    struct.pack_into("<Qxxxxxxxx", ntfs, 48, 4)
    ntfs[64] = 0xF6
    ntfs[4 * 4096 + 3 * 1024 : 4 * 4096 + 3 * 1024 + 4] = b"FILE"
    return (
        bytes(exfat), bytes(ntfs), b"<html><head>", b"\x1f\x8b", b"d8:announce", b"%PDF-1.4", b"text\n" * 20,
        b"LUKS\xba\xbe\0\x02" + bytes(5000),
    )  # fmt: skip


def _mutate_disk(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    out = bytearray(mutate(rng, data, corpus, _hot_of(data)))
    if out[512:520] == b"EFI PART" and len(out) >= 1024 and rng.random() < 0.9:
        table, count, size = struct.unpack_from("<QII", out, 512 + 72)
        if table * 512 + count * size <= len(out) and count * size < 1 << 20:
            struct.pack_into("<I", out, 512 + 88, zlib.crc32(out[table * 512 : table * 512 + count * size]))
        length = min(512, struct.unpack_from("<I", out, 512 + 12)[0])
        struct.pack_into("<I", out, 512 + 16, 0)
        struct.pack_into("<I", out, 512 + 16, zlib.crc32(out[512 : 512 + length]))
    return bytes(out)


def _check_disk(data: bytes) -> None:
    _check_image(data)

    def read(offset: int, length: int) -> bytes:
        if offset + length > len(data):
            raise DeviceError("the end")
        return data[offset : offset + length]

    with suppress(DeviceError):
        lines, losses = look(read, len(data))
        for line in lines:
            assert line.isprintable()
        for loss in losses:
            assert loss.used is None or 0 <= loss.used <= loss.size + SLACK


@cache
def _ext4_corpus() -> tuple[bytes, ...]:
    found = []
    with tempfile.TemporaryDirectory(prefix="luxusb-fuzz-") as directory:
        source = Path(directory) / "s"
        for number in range(60):
            path = source / "iso" / f"image number {number}.iso"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * number * 10)
        (source / "luxusb").mkdir()
        (source / "luxusb" / "stick.json").write_text("{}" * 3000)
        for block, features in (("1024", "^metadata_csum"), ("4096", "^64bit,^has_journal"), ("1024", "^has_journal")):
            path = Path(directory) / "fs"
            path.unlink(missing_ok=True)
            command = ["/usr/sbin/mke2fs", "-q", "-t", "ext4", "-m", "0", "-b", block, "-N", "96", "-d", str(source)]
            command += ["-O", f"{features},^metadata_csum_seed,^orphan_file", str(path), "1400k"]
            subprocess.run(command, check=True, capture_output=True)
            found.append(path.read_bytes())
    return tuple(found)


def _check_ext4(data: bytes) -> None:
    reads = 0

    def read(offset: int, length: int) -> bytes:
        nonlocal reads
        reads += 1
        if reads > MAX_EXT4_READS:
            raise TooMuchWorkError(f"more than {reads} reads")
        assert offset >= 0
        assert length >= 0
        if offset + length > len(data):
            raise DeviceError("the end")
        return data[offset : offset + length]

    with suppress(MalformedImageError, DeviceError):
        filesystem = Ext4(read, len(data))
        assert filesystem.free_bytes() >= 0
        for path in ("/luxusb/stick.json", "/iso/image number 7.iso", "/iso", "/"):
            with suppress(MalformedImageError, DeviceError):
                filesystem.list(path)
            with suppress(MalformedImageError, DeviceError):
                filesystem.read_file(path, 1 << 20)
            with suppress(MalformedImageError, DeviceError):
                filesystem.extents(path)


TARGETS = (
    Target("iso", _iso_corpus, _mutate_plain, _check_image, ("luxusbd/images",)),
    Target("udf", _udf_corpus, _mutate_udf, _check_image, ("luxusbd/images",)),
    Target("disk", _disk_corpus, _mutate_disk, _check_disk, ("luxusbd/images", "luxusbd/stick")),
    Target("ext4", _ext4_corpus, _mutate_plain, _check_ext4, ("luxusbd/stick/ext4",)),
)
