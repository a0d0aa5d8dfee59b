"""Writes boot files anew on a stick that starts, so that it starts wherever that is cut, with the old or the new ones.

One sector decides for each way to start: the boot code in sector 0 names the place of the core image, and the boot
sector of the ESP that of its files (see `espswap`). A sector is written as a whole or not at all. So a copy goes
beside, the sector leads to it, the usual place is written, and the sector leads back.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Sequence

from luxusbd.errors import VerificationError
from luxusbd.stick import bios, espswap
from luxusbd.stick.blockio import BLKFLSBUF, CHUNK, MediumReader, ReadAt, in_thread, sync, write_all
from luxusbd.stick.bootfiles import BIOS_BOOT_CODE, BIOS_CORE, ESP, BootFiles, keeping_environment
from luxusbd.stick.espswap import Stage
from luxusbd.stick.layout import SECTOR
from luxusbd.stick.model import Layout, PartitionRole
from luxusbd.stick.progress import Progress


async def replace(fd: int, layout: Layout, files: BootFiles, progress: Progress) -> None:
    """Write what differs from what is on the medium, and read it back before anything leads to it.

    Raises:
        VerificationError: the medium gives other bytes back; unless that was the last step, the old files still start.
        DeviceError: the disk cannot be read or written.
    """

    def plan() -> tuple[Stage, ...]:
        if stat.S_ISBLK(os.fstat(fd).st_mode):
            # a write of less than a page takes the rest from the cache, which may be older than a mount of the ESP
            fcntl.ioctl(fd, BLKFLSBUF)
        with MediumReader(fd) as medium:
            return stages(medium.read_at, layout, keeping_environment(files, medium.read_at))

    planned = await in_thread(plan)
    progress.expect(progress.done + 2 * sum(len(data) for stage in planned for _place, data in stage))
    for stage in planned:
        await in_thread(_write, fd, stage)
        progress.advance(sum(len(data) for _place, data in stage))
        await in_thread(_compare, fd, stage)
        progress.advance(sum(len(data) for _place, data in stage))


def stages(read: ReadAt, layout: Layout, files: BootFiles) -> tuple[Stage, ...]:
    """What to write, in which order; empty when all of it is there."""
    pieces = {piece.what: piece for piece in files.pieces}

    def same(*names: str) -> bool:
        return all(read(pieces[name].start, len(pieces[name].data)) == pieces[name].data for name in names)

    result: list[Stage] = []
    # the core image has what a newer grub.cfg on the ESP may ask for, and an older one asks for less
    if BIOS_CORE in pieces and not same(BIOS_CORE, BIOS_BOOT_CODE):
        result += _core_stages(read, layout, pieces[BIOS_CORE].data, pieces[BIOS_BOOT_CODE].data)
    if not same(ESP):
        result += espswap.stages(read, pieces[ESP].start, pieces[ESP].data)
    return tuple(result)


def _core_stages(read: ReadAt, layout: Layout, core: bytes, code: bytes) -> Sequence[Stage]:
    part = layout.partition(PartitionRole.BIOS_BOOT)
    usual: Sequence[Stage] = (((part.start, core),), ((0, code),))
    beside = part.start + part.size // 2
    # the last sector of the partition has a use of its own, see `making`
    if len(core) > part.size // 2 - SECTOR:
        return usual
    if bios.core_sector(read(0, bios.BOOT_CODE_SIZE)) == beside // SECTOR:
        # a swap was cut there before: nothing leads to the usual place
        return usual
    copy = bios.patch_core(core, beside // SECTOR)
    return (((beside, copy),), ((0, bios.led_to(code, beside // SECTOR)),), *usual)


def _write(fd: int, stage: Stage) -> None:
    with MediumReader(fd) as medium:
        for place, data in stage:
            for at in range(0, len(data), CHUNK):
                piece = data[at : at + CHUNK]
                if medium.read_at(place + at, len(piece)) != piece:
                    write_all(fd, piece, place + at)
    sync(fd)


def _compare(fd: int, stage: Stage) -> None:
    with MediumReader(fd) as medium:
        if any(medium.read_at(place, len(data)) != data for place, data in stage):
            raise VerificationError(
                "boot files read back from the medium differ from what was written: the stick is defective"
            )
