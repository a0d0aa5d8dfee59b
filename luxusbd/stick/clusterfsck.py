"""fsck.fat and fsck.exfat on a partition that is neither mounted nor a file of its own, without root.

They look at the tables and directories and never at the bytes of files. So they get a sparse file in which everything
else is a hole, and what they change in it is brought back sector by sector.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from luxusbd import process
from luxusbd.errors import DeviceDamagedError, MalformedImageError
from luxusbd.stick import exfat, fat32
from luxusbd.stick.blockio import finish, in_thread
from luxusbd.stick.clusterblocks import Blocks
from luxusbd.stick.clusters import SECTOR, ClusterFilesystem
from luxusbd.stick.clusterwriter import ClusterWriter
from luxusbd.stick.exfat import ExFat
from luxusbd.stick.exfatwriter import ExFatWriter
from luxusbd.stick.fat32 import Fat32
from luxusbd.stick.fat32writer import Fat32Writer
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.fsck import LINE_LIMIT, MAX_LINES, Mended
from luxusbd.stick.survey import Survey, survey
from luxusbd.text import clean

PROGRAMS = {Kind.FAT32: "fsck.fat", Kind.EXFAT: "fsck.exfat"}
_PIECE = 1024 * 1024
_PAGE = 4096
_TIMEOUT = 3600


@dataclass(frozen=True)
class Looked:
    """A filesystem with what a look through it found."""

    writer: ClusterWriter[Fat32] | ClusterWriter[ExFat]
    survey: Survey

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong but what a cut leaves."""
        return not self.survey.problems and not self.writer.fs.has_errors

    @property
    def tidy(self) -> bool:
        """Whether not even that is there."""
        found = self.survey
        remains = found.lost or found.overlong or found.tables_differ
        return self.whole and self.writer.fs.clean and not remains


def open_filesystem(blocks: Blocks, kind: Kind, size: int) -> ClusterWriter[Fat32] | ClusterWriter[ExFat]:
    """The filesystem of a partition of `size` bytes, to be changed.

    Raises:
        MalformedImageError: it is none of this kind.
    """
    if kind is Kind.FAT32:
        return Fat32Writer(blocks, Fat32(blocks.read, size))
    return ExFatWriter(blocks, ExFat(blocks.read, size))


def look(blocks: Blocks, kind: Kind, size: int) -> Looked:
    """Open a filesystem and look through it.

    Raises:
        MalformedImageError: it cannot be read at all.
    """
    writer = open_filesystem(blocks, kind, size)
    return Looked(writer, survey(writer.fs, writer.used))


def tidy(looked: Looked) -> None:
    """Clear away what a cut has left of a filesystem that is whole."""
    writer = looked.writer
    writer.begin()
    if isinstance(writer, Fat32Writer):
        writer.copy_table()
    writer.reclaim(looked.survey.lost, looked.survey.overlong)
    writer.finish()


async def is_sound(blocks: Blocks, kind: Kind, size: int, work: Path) -> bool:
    """Look through the whole filesystem, by our own eyes and by those of its fsck, without writing."""
    try:
        looked = await in_thread(look, blocks, kind, size)
    except MalformedImageError:
        return False
    if not looked.tidy:
        return False
    copy = await in_thread(_copy, blocks, looked, size, work)
    try:
        return not (await _run(kind, "-n", copy)).status
    finally:
        await in_thread(copy.unlink)


async def mend(blocks: Blocks, kind: Kind, size: int, work: Path) -> Mended:
    """Mend all that can be mended.

    Raises:
        DeviceDamagedError: the filesystem is lost.
    """
    lines: list[str] = []
    if await in_thread(_restore_boot, blocks, kind):
        lines.append("its first sector was broken; the copy of it was used")
    try:
        looked = await in_thread(look, blocks, kind, size)
        forced = not looked.whole
        if not looked.survey.problems:
            await in_thread(tidy, looked)
            looked = await in_thread(look, blocks, kind, size)
        lines += looked.survey.problems
        copy = await in_thread(_copy, blocks, looked, size, work)
        pristine = copy.with_suffix(".before")
        try:
            if (await _run(kind, "-n", copy)).status:
                await in_thread(_copy_sparse, copy, pristine)
                lines += (await _run(kind, "-y", copy)).lines
                await in_thread(_bring_back, blocks, pristine, copy)
        finally:
            copy.unlink()
            pristine.unlink(missing_ok=True)
        looked = await in_thread(look, blocks, kind, size)
        if not looked.survey.problems:
            # that somebody noted errors is answered by having looked
            await in_thread(tidy, looked)
            return Mended(forced, tuple(clean(line, LINE_LIMIT) for line in lines)[:MAX_LINES])
        lines += looked.survey.problems
    except MalformedImageError as error:
        lines.append(str(error))
    said = "; ".join(clean(line, LINE_LIMIT) for line in lines[-5:])
    raise DeviceDamagedError(
        f"the filesystem of the data partition cannot be mended: {said}; create the stick again, which erases it"
    )


@dataclass(frozen=True)
class _Run:
    status: int
    lines: tuple[str, ...]


async def _run(kind: Kind, how: str, copy: Path) -> _Run:
    # both say 1 where something is, or was, wrong (fsck.fat(8), fsck.exfat(8))
    done = await finish(process.run([PROGRAMS[kind], how, str(copy)], check=False, timeout=_TIMEOUT))
    said = done.stdout.decode("utf-8", "replace") + "\n" + done.stderr
    lines = (line.replace(str(copy), "").strip() for line in said.splitlines())
    return _Run(done.returncode, tuple(line for line in lines if line and "version" not in line))


def _restore_boot(blocks: Blocks, kind: Kind) -> bool:
    """Bring a broken boot sector back from its copy; whether that was done."""
    if kind is Kind.FAT32:
        if fat32.looks_like_boot(blocks.read(0, SECTOR)):
            return False
        backup = blocks.read(fat32.BACKUP_BOOT * SECTOR, SECTOR)
        whole = fat32.looks_like_boot(backup)
    else:
        length = exfat.BOOT_SECTORS * SECTOR
        region = blocks.read(0, length)
        if exfat.looks_like_boot(region[:SECTOR]) and exfat.is_whole_region(region):
            return False
        backup = blocks.read(length, length)
        whole = exfat.looks_like_boot(backup[:SECTOR]) and exfat.is_whole_region(backup)
    if whole:
        blocks.write(backup, 0)
        blocks.flush()
    return whole


def _copy(blocks: Blocks, looked: Looked, size: int, work: Path) -> Path:
    path = work / "metadata"
    with path.open("wb") as file:
        file.truncate(size)
        for start, length in _ranges(looked.writer.fs, looked.survey.metadata):
            for at in range(start, start + length, _PIECE):
                data = blocks.read(at, min(_PIECE, start + length - at))
                for inside in range(0, len(data), _PAGE):
                    page = data[inside : inside + _PAGE]
                    if any(page):
                        os.pwrite(file.fileno(), page, at + inside)
    return path


def _ranges(filesystem: ClusterFilesystem, metadata: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    yield 0, filesystem.data_start
    yield from metadata


def _copy_sparse(source: Path, target: Path) -> None:
    with source.open("rb") as reading, target.open("wb") as writing:
        writing.truncate(source.stat().st_size)
        for start, end in _written(reading.fileno()):
            for at in range(start, end, _PIECE):
                os.pwrite(writing.fileno(), os.pread(reading.fileno(), min(_PIECE, end - at), at), at)
    shutil.copymode(source, target)


def _bring_back(blocks: Blocks, before: Path, after: Path) -> None:
    with before.open("rb") as old, after.open("rb") as new:
        for start, end in _written(new.fileno()):
            for at in range(start, end, _PIECE):
                length = min(_PIECE, end - at)
                was, now = os.pread(old.fileno(), length, at), os.pread(new.fileno(), length, at)
                if was == now:
                    continue
                for inside in range(0, length, SECTOR):
                    if was[inside : inside + SECTOR] != now[inside : inside + SECTOR]:
                        blocks.write(now[inside : inside + SECTOR], at + inside)
    blocks.flush()


def _written(fd: int) -> Iterator[tuple[int, int]]:
    """The parts of a sparse file that are no holes."""
    size = os.fstat(fd).st_size
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            return
        at = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, at
