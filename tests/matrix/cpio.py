"""Small archives in the kernel's own format, to be put behind an initrd: the kernel unpacks one after the other."""

from __future__ import annotations

import stat
from collections.abc import Mapping


def archive(files: Mapping[str, bytes | None]) -> bytes:
    """An uncompressed newc archive of executable files, and of directories (None), by path without the slash in front.

    A directory stands before what is in it, or the initrd before has it. Padded to 4 bytes and ended by its trailer
    (Documentation/driver-api/early-userspace/buffer-format.rst).
    """
    entries = [
        (name, data or b"", (stat.S_IFDIR if data is None else stat.S_IFREG) | 0o755) for name, data in files.items()
    ]
    entries.append(("TRAILER!!!", b"", 0))
    return b"".join(_entry(number, *entry) for number, entry in enumerate(entries, 1))


def _entry(number: int, name: str, data: bytes, mode: int) -> bytes:
    path = name.encode() + b"\0"
    # inode, mode, uid, gid, links, mtime, size, four device numbers, length of the name, checksum
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def member(data: bytes, name: str) -> bytes:
    """The content of one file in the first archive of `data`, which is unpacked.

    Raises:
        KeyError: it is not in there.
    """
    at = 0
    while data[at : at + 6] == b"070701":
        size, length = (int(data[at + 6 + 8 * index : at + 14 + 8 * index], 16) for index in (6, 11))
        begin = at + 110
        found = data[begin : begin + length - 1].decode()
        begin += length + -(begin + length) % 4
        if found.removeprefix("./") == name:
            return data[begin : begin + size]
        at = begin + size + -(begin + size) % 4
    raise KeyError(name)
