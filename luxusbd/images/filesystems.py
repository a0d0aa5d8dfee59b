"""Recognises filesystems by their magic numbers.

Where the magic numbers are: the headers of each format as libblkid (util-linux) knows them. Labels are untrusted text,
so that they are cleaned before anyone sees them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from luxusbd.errors import DeviceError, MalformedImageError
from luxusbd.text import clean

ReadAt = Callable[[int, int], bytes]
"""(offset, length) to exactly that many bytes, or an error."""

PROBE = 72 * 1024
"""Bytes from the start of a partition in which all magic numbers lie."""
LABEL_LIMIT = 64


@dataclass(frozen=True)
class Signature:
    """What a partition holds."""

    kind: str
    """As people call it: ext4, FAT32, NTFS."""
    label: str


def probe(read: ReadAt, start: int, size: int) -> Signature | None:
    """What begins at byte `start`; None when nothing is recognised or the disk cannot be read there."""
    try:
        data = read(start, min(PROBE, size))
    except (DeviceError, MalformedImageError):
        return None
    data = data.ljust(PROBE, b"\0")
    for recognise in (_luks, _iso9660, _bitlocker, _exfat, _ntfs, _xfs, _btrfs, _apfs, _hfs, _lvm, _swap, _ext, _fat):
        if found := recognise(data):
            label = found.label
            try:
                if found.kind == "exFAT":
                    label = _exfat_label(read, start, size, data)
                elif found.kind == "NTFS":
                    label = _ntfs_label(read, start, size, data)
            except (DeviceError, MalformedImageError):
                label = ""
            return Signature(found.kind, clean(label, LABEL_LIMIT))
    return None


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("utf-8", "replace").strip()


def _luks(data: bytes) -> Signature | None:
    if data[:6] != b"LUKS\xba\xbe":
        return None
    label = _text(data[24:72]) if data[6:8] == b"\0\x02" else ""
    return Signature("LUKS (encrypted)", label)


def _iso9660(data: bytes) -> Signature | None:
    return Signature("ISO 9660", _text(data[32808:32840])) if data[32769:32774] == b"CD001" else None


def _bitlocker(data: bytes) -> Signature | None:
    return Signature("BitLocker (encrypted)", "") if data[3:11] == b"-FVE-FS-" else None


def _apfs(data: bytes) -> Signature | None:
    return Signature("APFS", "") if data[32:36] == b"NXSB" else None


def _hfs(data: bytes) -> Signature | None:
    return Signature("HFS+", "") if data[1024:1028] in (b"H+\0\x04", b"HX\0\x05") else None


def _lvm(data: bytes) -> Signature | None:
    return Signature("LVM", "") if data[512:520] == b"LABELONE" and data[536:540] == b"LVM2" else None


def _exfat(data: bytes) -> Signature | None:
    return Signature("exFAT", "") if data[3:11] == b"EXFAT   " else None


def _ntfs(data: bytes) -> Signature | None:
    return Signature("NTFS", "") if data[3:11] == b"NTFS    " else None


def _exfat_label(read: ReadAt, start: int, size: int, data: bytes) -> str:
    """The entry of type 83h in the root directory (exFAT specification, sections 3.1 and 7.3)."""
    heap, _count, root = struct.unpack_from("<III", data, 88)
    shift, cluster_shift = data[108], data[109]
    if not 9 <= shift <= 12 or cluster_shift > 25 - shift or root < 2:
        return ""
    at = (heap << shift) + ((root - 2) << (shift + cluster_shift))
    length = min(4096, 1 << (shift + cluster_shift))
    if at + length > size:
        return ""
    directory = read(start + at, length)
    for offset in range(0, length, 32):
        if directory[offset] == 0x83:
            characters = min(11, directory[offset + 1])
            return directory[offset + 2 : offset + 2 + 2 * characters].decode("utf-16-le", "replace")
        if directory[offset] == 0:
            break
    return ""


def _ntfs_label(read: ReadAt, start: int, size: int, data: bytes) -> str:
    """The attribute $VOLUME_NAME (60h) of $Volume, record 3 of the MFT (as ntfs-3g's layout.h has it)."""
    sector, cluster = struct.unpack_from("<HB", data, 11)
    (first,) = struct.unpack_from("<Q", data, 48)
    (record_size,) = struct.unpack_from("<b", data, 64)
    length = record_size * cluster * sector if record_size > 0 else 1 << min(16, -record_size)
    at = first * cluster * sector + 3 * length
    if not 512 <= length <= 65536 or at + length > size:
        return ""
    record = read(start + at, length)
    offset = int.from_bytes(record[20:22], "little")
    while record[:4] == b"FILE" and offset + 24 <= length:
        kind, step = struct.unpack_from("<II", record, offset)
        if kind == 0x60:
            count, value = struct.unpack_from("<IH", record, offset + 16)
            return record[offset + value : offset + value + min(count, 256)].decode("utf-16-le", "replace")
        if step < 16 or kind > 0x60:
            break
        offset += step
    return ""


def _xfs(data: bytes) -> Signature | None:
    return Signature("XFS", _text(data[108:120])) if data[:4] == b"XFSB" else None


def _btrfs(data: bytes) -> Signature | None:
    base = 65536
    return (
        Signature("btrfs", _text(data[base + 299 : base + 555])) if data[base + 64 : base + 72] == b"_BHRfS_M" else None
    )


def _swap(data: bytes) -> Signature | None:
    for page in (4096, 8192, 16384, 65536):
        if data[page - 10 : page] in (b"SWAPSPACE2", b"SWAP-SPACE"):
            return Signature("swap space", _text(data[1052:1068]))
        if data[page - 10 : page] == b"S1SUSPEND\0":
            return Signature("hibernated system", "")
    return None


def _ext(data: bytes) -> Signature | None:
    if data[1024 + 56 : 1024 + 58] != b"\x53\xef":
        return None
    compat, incompat = struct.unpack_from("<II", data, 1024 + 92)
    kind = "ext4" if incompat & 0x240 or incompat & 0x80 else "ext3" if compat & 4 else "ext2"
    return Signature(kind, _text(data[1024 + 120 : 1024 + 136]))


def _fat(data: bytes) -> Signature | None:
    sector_size, cluster = struct.unpack_from("<HB", data, 11)
    if data[510:512] != b"\x55\xaa" or sector_size not in (512, 1024, 2048, 4096):
        return None
    if not cluster or cluster & (cluster - 1) or data[16] not in (1, 2):
        return None
    if data[82:87] == b"FAT32":
        kind, label = "FAT32", _text(data[71:82])
    elif data[54:59] in (b"FAT12", b"FAT16"):
        kind, label = data[54:59].decode("ascii"), _text(data[43:54])
    else:
        return None
    return Signature(kind, "" if label == "NO NAME" else label)
