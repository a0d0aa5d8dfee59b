"""The image store: verified images in one directory, named by their hash, each seen by those who may see it.

    <sha256>.iso    the bytes, read-only
    <sha256>.json   the sidecar: who sees it under which name, and what recognition said

The sidecar is written before the image is moved in by renames, so that a kill at any point leaves either no image (and
the caller still has its file) or one that the next start completes, with its owners. All methods block for a few
milliseconds; call them through `asyncio.to_thread`. One process owns a store directory at a time.
"""

from __future__ import annotations

import json
import os
import re
import stat
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from luxusbd.catalog.model import Trust
from luxusbd.errors import (
    FailedError,
    ImageInUseError,
    ImageNotFoundError,
    InvalidArgumentError,
    NotEnoughSpaceError,
    host_error,
)
from luxusbd.images.model import Recognition, StoredImage
from luxusbd.images.sidecar import MAX_NAME, MAX_SOURCE, PUBLIC, ROOT, Record, View, read_record, record_to_json
from luxusbd.text import clean, size_text

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NO_UID = -1
_INCOMING = ".incoming-"
_TEMPORARY = ".tmp-"


@dataclass(frozen=True)
class Orphan:
    """An image whose sidecar is missing or was unreadable; nobody sees it until `adopt`."""

    sha256: str
    path: Path
    size: int


class ImageStore:
    """The images in `directory`, which is created when missing and must belong to this process alone.

    Opening it removes what a killed process left half done, and sets unreadable sidecars aside as
    `<sha256>.json.corrupt`; see `orphans`.

    Raises:
        FailedError: the directory cannot be made or read.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._records: dict[str, Record] = {}
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._recover()
        except OSError as error:
            raise host_error(error, f"opening the image store {directory}") from error

    def add(
        self,
        path: Path,
        sha256: str,
        name: str,
        source: str,
        trust: Trust,
        recognition: Recognition,
        owner_uid: int | None,
    ) -> StoredImage:
        """Move the verified file at `path`, which lies in the same filesystem, into the store.

        The caller has verified that the content has this hash; it is not read again here. Where the store has the
        bytes already, the file is removed and the owner is added to the image.

        Args:
            path: the file; it is gone from there afterwards.
            sha256: 64 lower-case hex digits.
            name: display name.
            source: the `distro:` reference, or `import`.
            trust: how sure the bytes are.
            recognition: what `recognise` said about this file.
            owner_uid: who imported it; None for a catalogue image, which all uids see.

        Returns:
            the image as the owner sees it.

        Raises:
            InvalidArgumentError: the hash is malformed.
            NotEnoughSpaceError: its disk has no room for the sidecar.
            FailedError: the file is not a single regular file of the recognised size, lies elsewhere, or cannot be
                moved.
        """
        _check_hash(sha256)
        view = View(clean(name, MAX_NAME) or sha256[:12], clean(source, MAX_SOURCE), trust, int(time.time()))
        with self._lock:
            try:
                record = self._admit(path, sha256, view, recognition, owner_uid)
            except OSError as error:
                raise host_error(error, f"moving {view.name} into the image store {self._directory}") from error
        seen = record.seen_by(ROOT if owner_uid is None else owner_uid)
        assert seen is not None
        return seen

    def adopt(
        self, sha256: str, name: str, source: str, trust: Trust, recognition: Recognition, owner_uid: int | None
    ) -> StoredImage:
        """Give an orphan a sidecar again, after the caller has hashed and recognised it anew.

        Raises:
            ImageNotFoundError: there is no such orphan.
        """
        _check_hash(sha256)
        view = View(clean(name, MAX_NAME) or sha256[:12], clean(source, MAX_SOURCE), trust, int(time.time()))
        with self._lock:
            if sha256 in self._records or not self._image(sha256).is_file():
                raise ImageNotFoundError(f"the image store has no orphan {sha256}")
            size = self._image(sha256).stat().st_size
            record = Record(sha256, size, recognition, {_key(owner_uid): view})
            self._write(record)
        seen = record.seen_by(ROOT if owner_uid is None else owner_uid)
        assert seen is not None
        return seen

    def list(self, uid: int) -> tuple[StoredImage, ...]:
        """The images that `uid` sees, the newest first; root sees all."""
        with self._lock:
            seen = [image for record in self._records.values() if (image := record.seen_by(uid)) is not None]
        return tuple(sorted(seen, key=lambda image: (-image.added, image.name, image.sha256)))

    def get(self, uid: int, sha256: str) -> StoredImage:
        """One image.

        Raises:
            ImageNotFoundError: there is none of this hash, or `uid` may not see it.
        """
        with self._lock:
            return self._visible(uid, sha256)[1]

    def public(self, sha256: str) -> StoredImage | None:
        """The image of this hash as every uid sees it, or None when it is not there or was only imported."""
        with self._lock:
            record = self._records.get(sha256)
            return record.seen_by(_NO_UID) if record is not None else None

    def open(self, uid: int, sha256: str) -> int:
        """A read-only descriptor, which the caller closes.

        Raises:
            ImageNotFoundError: as `get`, or its file was taken away behind the store's back.
        """
        with self._lock:
            self._visible(uid, sha256)
            try:
                return os.open(self._image(sha256), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError as error:
                raise ImageNotFoundError(f"the image {sha256} cannot be opened: {error.strerror}") from error

    def delete(self, uid: int, sha256: str, in_use: bool) -> bool:
        """Take an image out of the view of `uid`; a catalogue image goes for all, but stays for those who imported it.

        Root takes it away from everybody.

        Returns:
            whether the bytes are gone too.

        Raises:
            ImageNotFoundError: as `get`.
            ImageInUseError: `in_use` is set.
        """
        with self._lock:
            record, image = self._visible(uid, sha256)
            if in_use:
                raise ImageInUseError(
                    f"{image.name} is needed by a job that runs or waits, or by a plan of the last ten minutes;"
                    " cancel the job, or wait"
                )
            gone = {PUBLIC, str(uid)} if uid != ROOT else set(record.views)
            left = {key: view for key, view in record.views.items() if key not in gone}
            if left:
                self._write(replace(record, views=left))
                return False
            # The image goes first: a kill in between leaves a sidecar alone, which the next start removes.
            self._image(sha256).unlink(missing_ok=True)
            self._sync()
            self._sidecar(sha256).unlink(missing_ok=True)
            del self._records[sha256]
            return True

    def orphans(self) -> tuple[Orphan, ...]:
        """Images without a readable sidecar; the caller hashes and recognises them and calls `adopt`."""
        with self._lock:
            return tuple(
                Orphan(path.stem, path, path.stat().st_size)
                for path in sorted(self._directory.glob("*.iso"))
                if _SHA256.fullmatch(path.stem) and path.stem not in self._records and path.is_file()
            )

    def free_bytes(self) -> int:
        """Bytes that an unprivileged process could still write to the store's filesystem."""
        status = os.statvfs(self._directory)
        return status.f_bavail * status.f_frsize

    def require_space(self, needed: int, reserve: int = 256 * 1024 * 1024) -> None:
        """Check that `needed` bytes fit and `reserve` bytes stay free for the rest of the system.

        Raises:
            NotEnoughSpaceError: they do not.
        """
        free = self.free_bytes()
        if needed + reserve > free:
            raise NotEnoughSpaceError(
                f"the image store {self._directory} has {size_text(free)} free and needs {size_text(needed)} and"
                f" {size_text(reserve)} of reserve; delete images that you no longer need"
            )

    def _admit(self, path: Path, sha256: str, view: View, recognition: Recognition, owner_uid: int | None) -> Record:
        size = _checked_size(path, recognition.size)
        known = self._records.get(sha256)
        views = {**(known.views if known is not None else {}), _key(owner_uid): view}
        record = Record(sha256, size, recognition, views)
        self._write(record)
        if self._image(sha256).is_file():
            path.unlink()
            return record
        try:
            self._move_in(path, sha256, size)
        except BaseException:
            self._sidecar(sha256).unlink(missing_ok=True)
            self._records.pop(sha256, None)
            raise
        return record

    def _move_in(self, path: Path, sha256: str, size: int) -> None:
        # Judged again after the first rename: in this directory nobody else can exchange the file.
        incoming = self._directory / f"{_INCOMING}{sha256}"
        path.rename(incoming)
        try:
            self._complete(incoming, sha256, size)
        except BaseException:
            incoming.rename(path)
            raise

    def _complete(self, incoming: Path, sha256: str, size: int) -> None:
        _checked_size(incoming, size)
        fd = os.open(incoming, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if os.geteuid() == ROOT:
                os.fchown(fd, ROOT, ROOT)
            os.fchmod(fd, 0o400)
            os.fsync(fd)
        finally:
            os.close(fd)
        incoming.rename(self._image(sha256))
        self._sync()

    def _visible(self, uid: int, sha256: str) -> tuple[Record, StoredImage]:
        record = self._records.get(sha256)
        image = record.seen_by(uid) if record is not None else None
        if record is None or image is None:
            raise ImageNotFoundError(f"the image store has no image {clean(sha256, 64)}; `luxusb images` lists them")
        return record, image

    def _recover(self) -> None:
        for path in sorted(self._directory.glob(f"{_TEMPORARY}*")):
            path.unlink()
        for path in sorted(self._directory.glob("*.json")):
            if _SHA256.fullmatch(path.stem):
                self._recover_one(path)
        for path in sorted(self._directory.glob(f"{_INCOMING}*")):
            path.unlink()

    def _recover_one(self, sidecar: Path) -> None:
        image = self._image(sidecar.stem)
        incoming = self._directory / f"{_INCOMING}{sidecar.stem}"
        present = image if image.is_file() else incoming
        if not present.is_file():
            sidecar.unlink()
            return
        try:
            record = read_record(sidecar, present.stat().st_size)
            if present is incoming:
                self._complete(incoming, record.sha256, record.size)
        except (FailedError, ValueError, RecursionError):
            sidecar.replace(sidecar.with_suffix(".json.corrupt"))
            return
        self._records[record.sha256] = record

    def _write(self, record: Record) -> None:
        temporary = self._directory / f"{_TEMPORARY}{record.sha256}"
        data = json.dumps(record_to_json(record), indent=1).encode()
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self._sidecar(record.sha256))
        except BaseException:
            # on a full disk its blocks are what the next attempt lacks
            temporary.unlink(missing_ok=True)
            raise
        self._sync()
        self._records[record.sha256] = record

    def _sync(self) -> None:
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _image(self, sha256: str) -> Path:
        return self._directory / f"{sha256}.iso"

    def _sidecar(self, sha256: str) -> Path:
        return self._directory / f"{sha256}.json"


def _key(owner_uid: int | None) -> str:
    return PUBLIC if owner_uid is None else str(owner_uid)


def _check_hash(sha256: str) -> None:
    if not _SHA256.fullmatch(sha256):
        raise InvalidArgumentError(f"{clean(sha256, 80)!r} is no SHA-256 hash: 64 lower-case hex digits are expected")


def _checked_size(path: Path, expected: int) -> int:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise FailedError(f"{path} is not a regular file with one name")
    if status.st_size != expected:
        raise FailedError(f"{path} has {status.st_size} bytes, and {expected} were recognised")
    return expected
