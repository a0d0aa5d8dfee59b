"""Boot code, core image and ESP of a stick: made, written, read back, compared."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from luxusbd.errors import DeviceError, VerificationError
from luxusbd.images.model import Firmware
from luxusbd.stick import bios, esp, grub, kinds
from luxusbd.stick.blockio import CHUNK, MediumReader, ReadAt, in_thread, sync, write_all
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import Layout, MenuStyle, PartitionRole

ESP, BIOS_CORE, BIOS_BOOT_CODE = "esp", "bios-core", "bios-boot-code"
ESP_REST = "esp-rest"
"""What the pieces are called, in manifests too."""


@dataclass(frozen=True)
class BootPiece:
    """Bytes that belong at one place of the disk."""

    what: str
    start: int
    data: bytes

    @property
    def records(self) -> tuple[tuple[str, int, int, str], ...]:
        """As the manifest keeps it: an ESP in two, without the block between them that GRUB itself writes."""
        block = esp.environment(self.data) if self.what == ESP else None
        if block is None:
            return (_record(self.what, self.start, self.data),)
        rest = block + esp.ENVIRONMENT_SIZE
        return (
            _record(ESP, self.start, self.data[:block]),
            _record(ESP_REST, self.start + rest, self.data[rest:]),
        )


@dataclass(frozen=True)
class BootFiles:
    """All boot files of one stick, and which firmware they serve."""

    pieces: tuple[BootPiece, ...]
    firmware: frozenset[Firmware]
    shim: str = ""
    """The vendor whose shim they hold; empty for none."""

    @property
    def size(self) -> int:
        """Bytes of all pieces."""
        return sum(len(piece.data) for piece in self.pieces)

    @property
    def records(self) -> tuple[tuple[str, int, int, str], ...]:
        """As the manifest keeps them."""
        return tuple(record for piece in self.pieces for record in piece.records)


async def build(
    layout: Layout,
    esp_serial: str,
    data_uuid: str,
    *,
    serial_console: bool,
    style: MenuStyle | None = None,
    kind: Kind = Kind.EXT4,
) -> BootFiles:
    """Make the boot files for the firmware that this machine has GRUB for.

    Under UEFI the stick starts through shim and the GRUB that it trusts, where this machine has both and that GRUB
    reads the data partition; else through an unsigned GRUB.

    Raises:
        ToolMissingError: no GRUB at all, or a tool is missing.
        ToolFailedError: a tool failed.
    """
    firmware = kinds.served(kind, grub.require_any(kind))
    pieces: list[BootPiece] = []
    with tempfile.TemporaryDirectory(prefix="luxusb-boot-") as name:
        work = Path(name)
        loaders = grub.signed().loaders if Firmware.UEFI_SECURE_BOOT in firmware else None
        system = await esp.build(
            layout, esp_serial, data_uuid, work, serial_console=serial_console, style=style, loaders=loaders
        )
        pieces.append(BootPiece(ESP, layout.partition(PartitionRole.ESP).start, system))
        if Firmware.BIOS in firmware:
            code = await bios.build(layout, esp_serial, work)
            pieces.append(BootPiece(BIOS_CORE, layout.partition(PartitionRole.BIOS_BOOT).start, code.core))
            # last, so that sector 0 never leads to a core image that is not there yet
            pieces.append(BootPiece(BIOS_BOOT_CODE, 0, code.boot_code))
    return BootFiles(tuple(pieces), firmware, loaders.vendor if loaders else "")


def keeping_environment(files: BootFiles, read: ReadAt) -> BootFiles:
    """The same boot files with what GRUB noted on the medium, at the same place."""

    def kept(piece: BootPiece) -> BootPiece:
        block = esp.environment(piece.data) if piece.what == ESP else None
        if block is None:
            return piece
        present = read(piece.start + block, esp.ENVIRONMENT_SIZE)
        return replace(piece, data=esp.with_environment(piece.data, block, present))

    return replace(files, pieces=tuple(kept(piece) for piece in files.pieces))


def _record(what: str, start: int, data: bytes) -> tuple[str, int, int, str]:
    return (what, start, len(data), hashlib.sha256(data).hexdigest())


async def write(fd: int, files: BootFiles) -> None:
    """Write to a stick that does not start yet what differs from what is on the medium, and flush after each piece.

    What starts is written anew by `bootswap.replace`.
    """
    for piece in files.pieces:
        if not await in_thread(_matches, fd, piece):
            await in_thread(write_all, fd, piece.data, piece.start)
            await in_thread(sync, fd)


async def read_back(fd: int, files: BootFiles) -> None:
    """Compare the medium with what was written.

    Raises:
        VerificationError: it gives other bytes back.
    """
    for piece in files.pieces:
        if not await in_thread(_matches, fd, piece):
            raise VerificationError(
                f"the {piece.what} read back from the medium differs from what was written: the stick is defective"
            )


def digest(reader: MediumReader, start: int, length: int) -> str:
    """SHA-256 of a range of the medium."""
    hasher = hashlib.sha256()
    done = 0
    while done < length:
        piece = reader.read_at(start + done, min(CHUNK, length - done))
        hasher.update(piece)
        done += len(piece)
    return hasher.hexdigest()


def is_whole(fd: int, start: int, length: int, sha256: str) -> bool:
    """Whether the medium still has what was written there; what cannot be read is not whole."""
    with MediumReader(fd) as reader:
        try:
            return digest(reader, start, length) == sha256
        except DeviceError:
            return False


def _matches(fd: int, piece: BootPiece) -> bool:
    with MediumReader(fd) as reader:
        return reader.read_at(piece.start, len(piece.data)) == piece.data
