"""What a rescan of a stick makes of the files in /iso: which get an entry, which lose theirs, which are left and why.

Only the transfer process reads the stick; here its answers are compared with the manifest.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from luxusbd.catalog.catalog import Catalog, reference_to
from luxusbd.errors import (
    DeviceFailingError,
    DeviceNotLuxusbError,
    InterruptedJobError,
    JobStateError,
    MalformedImageError,
)
from luxusbd.images.model import Recognition
from luxusbd.jobs import fitting
from luxusbd.jobs.comparison import Comparison, Fate, How, LostImage, Skipped
from luxusbd.jobs.downloadwords import release_title
from luxusbd.jobs.planning import MAX_IMAGES
from luxusbd.jobs.transfers import Transfers
from luxusbd.jobs.wanted import recognised_title, why_not_bootable
from luxusbd.stick.isofiles import PARTIAL, FileKind, FoundFile
from luxusbd.stick.model import ManifestImage
from luxusbd.stick.text import IMAGE_NAME, sanitise_name
from luxusbd.text import clean, natural_key

log = logging.getLogger(__name__)

NAME_LIMIT = 255
"""Characters of a file's name that a result shows."""

Report = Callable[[str, int, int], None]
"""(name of the file that is read, bytes done, bytes in all)"""


class StickReader:
    """One stick through the eyes of the transfer process; `fd` is open for reading and stays the caller's."""

    def __init__(self, transfers: Transfers, job_id: int, fd: int, size: int) -> None:
        self._transfers = transfers
        self._job_id = job_id
        self._fd = fd
        self._size = size
        self._running = asyncio.Event()
        self._running.set()

    async def files(self) -> tuple[FoundFile, ...]:
        """What lies in /iso."""
        return await self._transfers.stick_files(self._fd, self._size)

    async def recognise(self, name: str) -> Recognition:
        """What one of the files is; `MalformedImageError` when it is no image."""
        return await self._transfers.inspect_on_stick(self._fd, self._size, name)

    async def sha256(self, name: str, progress: Callable[[int], None]) -> str:
        """Hash of one of the files, which takes as long as the stick is slow; stands still while paused."""
        await self._running.wait()
        return await self._transfers.hash_on_stick(
            self._job_id, self._fd, self._size, name, lambda now: progress(now.bytes_done)
        )

    async def pause(self, paused: bool) -> None:
        """Let the hashing stand still or go on."""
        if paused:
            self._running.clear()
        else:
            self._running.set()
        try:
            await self._transfers.hold(self._job_id, paused=paused)
        except (JobStateError, InterruptedJobError):
            # no file is being hashed at this moment; the next one waits
            log.debug("job %d is between two files", self._job_id)


class _State(Enum):
    """What becomes of one image."""

    SAME = auto()
    CHANGED = auto()
    ADDED = auto()
    LOST = auto()
    """It has an entry, and gets none."""


@dataclass
class _Menu:
    """The images in the order of the coming menu; of files with the same bytes only the first gets an entry."""

    images: list[ManifestImage] = field(default_factory=list)
    states: dict[str, _State] = field(default_factory=dict)
    twins: dict[str, str] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    _first: dict[str, str] = field(default_factory=dict)

    def put(self, image: ManifestImage, state: _State) -> None:
        if state is not _State.LOST:
            first = self._first.setdefault(image.sha256, image.name)
            if first != image.name:
                self.twins[image.name] = first
                state = _State.LOST
        self.images.append(image)
        self.states[image.name] = state

    def of(self, state: _State) -> tuple[ManifestImage, ...]:
        return tuple(image for image in self.images if self.states[image.name] is state)


class Rescan:
    """Compares one stick with its manifest."""

    def __init__(
        self, reader: StickReader, catalog: Catalog, listed: Sequence[ManifestImage], report: Report, how: How
    ) -> None:
        """`listed` is what the manifest has, in menu order."""
        self._reader = reader
        self._catalog = catalog
        self._listed = tuple(listed)
        self._report = report
        self._how = how
        self._fates: dict[str, Fate] = {}
        self._now = int(time.time())
        self._done = 0
        self._total = 0
        self._skipped: list[Skipped] = []

    async def compare(self) -> Comparison:
        """Read what has to be read.

        Raises:
            LuxusbError: the stick cannot be read.
        """
        files = {file.name: file for file in await self._reader.files() if not file.name.endswith(PARTIAL)}
        gone = {image.name for image in self._listed if not _is_file(files.get(image.name))}
        present = [image for image in self._listed if image.name not in gone]
        suspects = {image.name for image in present if self._how.thorough or _touched(image, files[image.name])}
        listed = {image.name for image in present}
        strangers = [file for name, file in files.items() if name not in listed]
        if not self._how.newcomers:
            sizes = {image.size for image in self._listed if image.name in gone}
            strangers = [file for file in strangers if file.size in sizes]
        candidates = await self._candidates(strangers, present)
        self._total = sum(files[name].size for name in suspects) + sum(file.size for file, _seen in candidates)
        made = _Menu()
        for image in present:
            fresh = await self._again(image, files[image.name]) if image.name in suspects else image
            made.put(image if fresh is None else fresh, _State.LOST if fresh is None else _state(image, fresh))
        for file, seen in candidates:
            sha256 = await self._hash(file)
            if sha256 is None:
                continue
            fresh = self._image(file, seen, sha256)
            old = next((each for each in self._listed if each.name in gone and each.sha256 == fresh.sha256), None)
            if old is None and not self._how.newcomers:
                continue
            if old is not None:
                made.renamed[fresh.name] = old.name
                fresh = replace(fresh, title=old.title, source=old.source)
            made.put(fresh, _State.ADDED)
        for name, other in made.twins.items():
            self._skip(name, f"it holds the same bytes as {other}, which has an entry")
        moved = set(made.renamed.values())
        return Comparison(
            lost=tuple(
                self._lost(image, gone)
                for image in self._listed
                if (image.name in gone and image.name not in moved) or made.states.get(image.name) is _State.LOST
            ),
            found=(*made.of(_State.CHANGED), *made.of(_State.ADDED)),
            added=tuple(image.name for image in made.of(_State.ADDED)),
            changed=tuple(image.name for image in made.of(_State.CHANGED)),
            removed=tuple(
                image.name for image in self._listed if image.name in gone or made.states[image.name] is _State.LOST
            ),
            renamed=made.renamed,
            skipped=tuple(self._skipped),
            unchanged=len(made.of(_State.SAME)),
        )

    async def _candidates(
        self, files: Sequence[FoundFile], present: Sequence[ManifestImage]
    ) -> list[tuple[FoundFile, Recognition]]:
        """The files that may get an entry, with what they are; all others are told as left out."""
        taken = {image.name.lower(): image.name for image in present}
        found: list[tuple[FoundFile, Recognition]] = []
        for file in sorted(files, key=lambda file: natural_key(file.name)):
            seen = await self._look(file)
            if isinstance(seen, str):
                self._skip(file.name, seen)
            elif not IMAGE_NAME.match(file.name):
                good = sanitise_name(file.name, taken.values())
                self._skip(
                    file.name,
                    "it is an image, and its name has characters that boot loaders do not pass on; rename it, for"
                    f" example to {good}",
                )
            elif (other := taken.get(file.name.lower())) is not None:
                self._skip(file.name, f"its name differs from {other} in upper and lower case only; rename one of them")
            elif len(taken) >= MAX_IMAGES:
                self._skip(file.name, f"a stick holds at most {MAX_IMAGES} images")
            else:
                taken[file.name.lower()] = file.name
                found.append((file, seen))
        return found

    async def _look(self, file: FoundFile) -> Recognition | str:
        """What a file is, or why it gets no entry."""
        if file.kind is FileKind.DIRECTORY:
            return "it is a directory; images have to lie in /iso itself"
        if file.kind is not FileKind.FILE:
            return "it is no regular file"
        if not file.size:
            return "it is empty"
        try:
            seen = await self._reader.recognise(file.name)
        except MalformedImageError as error:
            return error.message
        if not seen.bootable:
            return why_not_bootable(seen)
        if seen.startfile is not None:
            return "it is started by a file that is fetched with it; add it with luxusb, which does so"
        guest = fitting.Guest(file.name, file.size, seen.filesystems)
        return (fitting.obstacle(self._how.kind, guest) if self._how.kind is not None else "") or seen

    async def _again(self, image: ManifestImage, file: FoundFile) -> ManifestImage | None:
        """A listed image as its file is now: the same object when nothing changed, None when it cannot be started."""
        sha256 = await self._hash(file)
        if sha256 is None:
            return None
        if sha256 == image.sha256 and file.size == image.size:
            return image
        # nobody touched it: what differs are not the bytes of another image, unless the catalogue knows those
        alone = self._how.mending and file.changed <= image.added and self._catalog.find_by_hash(sha256) is None
        seen = "its bytes are damaged" if alone and file.size == image.size else await self._look(file)
        if isinstance(seen, str):
            self._fates[file.name] = Fate.DAMAGED if alone else Fate.UNFIT
            self._skip(file.name, seen if alone else f"its bytes are others now: {seen}")
            return None
        return self._image(file, seen, sha256)

    async def _hash(self, file: FoundFile) -> str | None:
        """Hash of a file; None, and told as left out, where the stick cannot be read or GRUB could not read it."""
        self._report(file.name, self._done, self._total)
        sha256: str | None = None
        try:
            sha256 = await self._reader.sha256(
                file.name, lambda done: self._report(file.name, self._done + done, self._total)
            )
        except DeviceFailingError as error:
            self._fates[file.name] = Fate.UNREADABLE
            self._skip(file.name, f"the stick cannot be read there ({error})")
        except MalformedImageError as error:
            self._skip(file.name, error.message)
        self._done += file.size
        self._report(file.name, self._done, self._total)
        return sha256

    def _image(self, file: FoundFile, seen: Recognition, sha256: str) -> ManifestImage:
        genuine = self._catalog.find_by_hash(sha256)
        return ManifestImage(
            name=file.name,
            title=release_title(*genuine) if genuine else recognised_title(seen, file.name),
            sha256=sha256,
            size=file.size,
            source=reference_to(*genuine) if genuine else "import",
            recipe=seen.recipe,
            family=seen.family,
            version=seen.version,
            architecture=seen.architecture,
            volume_id=seen.volume_id,
            iso_uuid=seen.iso_uuid,
            # not before the last change, also where the clock of the machine that made it was ahead
            added=max(self._now, file.changed),
            entries=seen.entries,
            persistence=seen.persistence,
        )

    def _lost(self, image: ManifestImage, gone: Collection[str]) -> LostImage:
        if image.name in gone:
            return LostImage(image, Fate.GONE, "its file is gone")
        reason = next((item.reason for item in self._skipped if item.name == image.name), "it cannot be started")
        return LostImage(image, self._fates.get(image.name, Fate.UNFIT), reason)

    def _skip(self, name: str, reason: str) -> None:
        self._skipped.append(Skipped(clean(name, NAME_LIMIT) or "?", reason))


def _is_file(file: FoundFile | None) -> bool:
    return file is not None and file.kind is FileKind.FILE


def _touched(image: ManifestImage, file: FoundFile) -> bool:
    return file.size != image.size or file.changed > image.added


def _state(before: ManifestImage, now: ManifestImage) -> _State:
    return _State.SAME if now is before else _State.CHANGED


class Rescans:
    """Looks through sticks for the jobs that rescan them."""

    def __init__(self, transfers: Transfers, catalog: Catalog) -> None:
        self._transfers = transfers
        self._catalog = catalog

    async def compare(
        self,
        job_id: int,
        fd: int,
        size: int,
        *,
        how: How,
        report: Report,
        on_pause: Callable[[Callable[[bool], None] | None], None],
    ) -> Comparison:
        """Read a stick and say what has to change.

        Args:
            job_id: whose progress and pauses these are.
            fd: the disk or image file, open for reading alone, without caches that are older than the medium.
            size: its bytes.
            how: what to read; a stick whose manifest is lost is one with newcomers only.
            report: is told how far it is.
            on_pause: takes the hook that stops and continues the reading.

        Raises:
            LuxusbError: the stick cannot be read.
        """
        listed: tuple[ManifestImage, ...] = ()
        if not how.mending or not how.newcomers:
            contents, *_others = await self._transfers.look(fd, size)
            if contents is None:
                raise DeviceNotLuxusbError("this is not a LUXusb stick any more")
            listed = contents.manifest.images
        reader = StickReader(self._transfers, job_id, fd, size)
        async with asyncio.TaskGroup() as pauses:

            def pause(paused: bool) -> None:
                pauses.create_task(reader.pause(paused))

            on_pause(pause)
            try:
                return await Rescan(reader, self._catalog, listed, report, how).compare()
            finally:
                on_pause(None)
