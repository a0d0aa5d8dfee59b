"""FAT32 and exFAT of whoever made the stick."""

from __future__ import annotations

import random
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from luxusbd.errors import DeviceError, LuxusbError, MalformedImageError
from luxusbd.stick import clusterfsck, exfat, exfatsets
from luxusbd.stick.clusterblocks import FileBlocks
from luxusbd.stick.clusters import SECTOR, SLOT
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.isofiles import list_files, looks_like_an_image
from luxusbd.stick.survey import survey
from tests.fuzz.engine import Target, TooMuchWorkError
from tests.fuzz.mutate import mutate

MAX_READS = 300_000
_SIZES = {Kind.FAT32: 1024 * 1024, Kind.EXFAT: 4 * 1024 * 1024}


def _corpus(kind: Kind) -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory(prefix="luxusb-fuzz-") as directory:
        path = Path(directory) / "fs"
        with path.open("wb") as file:
            file.truncate(_SIZES[kind])
        fat = ["/usr/sbin/mkfs.fat", "-F", "32", "-s", "1", "-n", "LUXDATA"]
        command = fat if kind is Kind.FAT32 else ["/usr/sbin/mkfs.exfat", "-c", "512", "-L", "LUXDATA"]
        subprocess.run([*command, str(path)], check=True, capture_output=True)
        with path.open("r+b") as file:
            writer = clusterfsck.open_filesystem(FileBlocks(file.fileno(), 0), kind, _SIZES[kind])
            for name in ("/iso", "/luxusb"):
                writer.make_directory(name)
            for number in range(30):
                writer.write_small(f"/iso/image number {number}.iso", b"x" * number * 100)
            for number in range(0, 30, 2):
                writer.remove(f"/iso/image number {number}.iso")
            writer.write_small("/luxusb/stick.json", b"{}" * 3000)
            writer.write_small("/iso/in pieces.iso", b"piece" * 5000)
            writer.finish()
        return (path.read_bytes(),)


def _mutate(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    hot = [(at, at + SLOT) for at in range(0, len(data), SLOT) if any(data[at : at + SLOT])]
    out = bytearray(mutate(rng, data, corpus, hot))
    if exfat.looks_like_boot(bytes(out[:SECTOR])) and rng.random() < 0.9:
        # whoever means it makes the checksums right
        length = exfat.BOOT_SECTORS * SECTOR
        out[:length] = exfat.with_serial(bytes(out[:length]).ljust(length, b"\0"), "1A2B-3C4D")
        for at in range(0, len(out) - 20 * SLOT, SLOT):
            if out[at] == exfatsets.FILE and out[at + 1] <= exfatsets.MOST_SECONDARY:
                end = at + (1 + out[at + 1]) * SLOT
                slots = [bytes(out[start : start + SLOT]) for start in range(at, end, SLOT)]
                out[at:end] = b"".join(exfatsets.sealed(slots))
    return bytes(out)


def _check(data: bytes) -> None:
    changed = bytearray(data)
    reads = 0

    class Memory:
        def read(self, offset: int, length: int) -> bytes:
            nonlocal reads
            reads += 1
            if reads > MAX_READS:
                raise TooMuchWorkError(f"more than {reads} reads")
            assert offset >= 0
            assert length >= 0
            if offset + length > len(changed):
                raise DeviceError("the end")
            return bytes(changed[offset : offset + length])

        def write(self, written: bytes | memoryview, offset: int) -> None:
            assert 0 <= offset <= offset + len(written) <= len(changed), "a write outside of the partition"
            changed[offset : offset + len(written)] = written

        def flush(self) -> None:
            return

    for kind in (Kind.FAT32, Kind.EXFAT):
        with suppress(MalformedImageError, DeviceError):
            writer = clusterfsck.open_filesystem(Memory(), kind, len(data))
            for look in (
                lambda writer=writer: writer.fs.free_bytes(),
                lambda writer=writer: writer.fs.read_file("/luxusb/stick.json", 1 << 20),
                lambda writer=writer: list_files(writer.fs),
                lambda writer=writer: looks_like_an_image(writer.fs, "/iso/in pieces.iso"),
                lambda writer=writer: survey(writer.fs, writer.used),
                lambda writer=writer: writer.write_small("/luxusb/stick.json.new", b"new"),
                lambda writer=writer: writer.publish("/luxusb/stick.json.new", "/luxusb/stick.json"),
                lambda writer=writer: writer.remove("/iso/in pieces.iso"),
                lambda writer=writer: writer.finish(),
            ):
                with suppress(LuxusbError):
                    look()


TARGETS = (
    Target("fat32", lambda: _corpus(Kind.FAT32), _mutate, _check, ("luxusbd/stick/fat32", "luxusbd/stick/cluster")),
    Target("exfat", lambda: _corpus(Kind.EXFAT), _mutate, _check, ("luxusbd/stick/exfat", "luxusbd/stick/cluster")),
)
