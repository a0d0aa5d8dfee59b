"""The image store: verified images in one directory, named by their hash, each seen by those who may see it.

    <sha256>.iso    the bytes, read-only
    <sha256>.json   the sidecar: who sees it under which name, who wants it kept, and what recognition said

The sidecar is written before the image is moved in by renames, so that a kill at any point leaves either no image (and
the caller still has its file) or one that the next start completes, with its owners. All methods block for a few
milliseconds; call them through `asyncio.to_thread`. One process owns a store directory at a time.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from luxusbd.catalog.model import SHA512_KEY, Trust
from luxusbd.errors import (
    FailedError,
    ImageInUseError,
    ImageNotFoundError,
    ImagePinnedError,
    InvalidArgumentError,
    host_error,
)
from luxusbd.images.model import Recognition, StoredImage
from luxusbd.images.sidecar import MAX_NAME, MAX_SOURCE, PUBLIC, ROOT, SHA512, Record, View
from luxusbd.images.storefiles import HASH, StoreFiles, Withdrawn, checked_size
from luxusbd.text import clean

USE_GRAIN = 600
"""Seconds by which the noted time of the last use may be wrong: so often at most is it written."""

log = logging.getLogger(__name__)


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
        self._files = StoreFiles(directory)
        self._lock = threading.Lock()
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._records = self._files.recover()
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
        requested_by: int | None = None,
        sha512: str = "",
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
            requested_by: who asked for a catalogue image.
            sha512: that of the content, where the catalogue knows it by nothing else.

        Returns:
            the image as the owner sees it.

        Raises:
            InvalidArgumentError: the hash is malformed.
            NotEnoughSpaceError: its disk has no room for the sidecar.
            FailedError: the file is not a single regular file of the recognised size, lies elsewhere, or cannot be
                moved.
        """
        _check_hash(sha256)
        _check_sha512(sha512)
        view = _view(sha256, name, source, trust)
        asked = frozenset(() if requested_by is None else (requested_by,))
        with self._lock:
            try:
                record = self._admit(path, sha256, view, recognition, owner_uid, asked, sha512)
            except OSError as error:
                raise host_error(error, f"moving {view.name} into the image store {self._directory}") from error
        seen = record.seen_by(ROOT if owner_uid is None else owner_uid)
        assert seen is not None
        return seen

    def adopt(
        self,
        sha256: str,
        name: str,
        source: str,
        trust: Trust,
        recognition: Recognition,
        owner_uid: int | None,
        sha512: str = "",
    ) -> StoredImage:
        """Give an orphan a sidecar again, after the caller has hashed and recognised it anew.

        Raises:
            ImageNotFoundError: there is no such orphan.
        """
        _check_hash(sha256)
        _check_sha512(sha512)
        view = _view(sha256, name, source, trust)
        with self._lock:
            size = self._orphan(sha256).stat().st_size
            record = Record(sha256, size, recognition, {_key(owner_uid): view}, sha512=sha512)
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

    def named(self, content: str) -> str:
        """The sha256 of the image that `Release.content` means; the text itself where no such image is there."""
        if not content.startswith(SHA512_KEY):
            # the loop asks often, and need not wait for a thread that writes
            return content
        with self._lock:
            return self._named(content)

    def held(self, uid: int, content: str) -> StoredImage | None:
        """The image of this `Release.content` if `uid` needs no download: it is the catalogue's, or his own import.

        What others imported does not count, for root neither: what root downloads is for everybody.
        """
        with self._lock:
            return self._held(uid, self._named(content))

    def request(self, uid: int, content: str) -> StoredImage | None:
        """As `held`; where it is there, note that `uid` asked for it and uses it."""
        with self._lock:
            sha256 = self._named(content)
            image = self._held(uid, sha256)
            if image is not None:
                record = self._records[sha256]
                asked = record.requested_by | {uid} if record.public else record.requested_by
                self._note_use(record, replace(record.used_by(uid, int(time.time())), requested_by=asked))
            return image

    def vouch(self, uid: int, sha256: str, trust: Trust) -> StoredImage:
        """Note that the bytes are at least so sure, in the views that `uid` sees; the image as it is then.

        Raises:
            ImageNotFoundError: as `get`.
            FailedError: it cannot be written down.
        """
        with self._lock:
            record, image = self._visible(uid, sha256)
            seen = {PUBLIC, str(uid)} if uid != ROOT else set(record.views)
            views = {
                key: replace(view, trust=trust) if key in seen and not view.trust.reaches(trust) else view
                for key, view in record.views.items()
            }
            if views == record.views:
                return image
            try:
                self._write(replace(record, views=views))
            except OSError as error:
                raise FailedError(f"the trust of {image.name} cannot be noted: {error.strerror}") from error
            return self._visible(uid, sha256)[1]

    def pin(self, uid: int, sha256: str, pinned: bool) -> None:
        """Keep an image from being removed for space, or let go of it; root does so for all.

        Raises:
            ImageNotFoundError: as `get`.
            FailedError: it cannot be written down.
        """
        with self._lock:
            record, image = self._visible(uid, sha256)
            pins = record.pins | {uid} if pinned else record.pins - {uid}
            if pins == record.pins:
                return
            try:
                self._write(replace(record, pins=pins))
            except OSError as error:
                raise FailedError(f"{image.name} cannot be marked: {error.strerror}") from error

    def records(self) -> tuple[Record, ...]:
        """Everything that is stored, for the one who keeps house; not for callers."""
        with self._lock:
            return tuple(self._records.values())

    def open(self, uid: int, sha256: str) -> int:
        """A read-only descriptor, which the caller closes. Counts as use.

        Raises:
            ImageNotFoundError: as `get`, or its file was taken away behind the store's back.
        """
        with self._lock:
            record, _image = self._visible(uid, sha256)
            try:
                fd = os.open(self._files.image(sha256), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except OSError as error:
                raise ImageNotFoundError(f"the image {sha256} cannot be opened: {error.strerror}") from error
            self._note_use(record, record.used_by(uid, int(time.time())))
            return fd

    def delete(self, uid: int, sha256: str, held_by: str = "") -> bool:
        """Take an image out of the view of `uid`; a catalogue image goes for all, but stays for those who imported it.

        A catalogue image that somebody else has pinned stays, and only the own view of `uid` goes. Root takes an image
        away from everybody, whoever pinned it.

        Args:
            uid: who wants it gone.
            sha256: which one.
            held_by: what needs it, for the message; empty when nothing does.

        Returns:
            whether the bytes are gone too.

        Raises:
            ImageNotFoundError: as `get`.
            ImageInUseError: `held_by` is set.
            ImagePinnedError: `uid` has pinned it, or only others keep it.
            FailedError: the disk failed.
        """
        with self._lock:
            record, image = self._visible(uid, sha256)
            if held_by:
                raise ImageInUseError(f"{image.name} is needed by {held_by}")
            if uid in record.pins:
                raise ImagePinnedError(f"you have pinned {image.name}; unpin it first: luxusb unpin {sha256[:12]}")
            gone = frozenset({PUBLIC, str(uid)} if uid != ROOT else record.views)
            if uid != ROOT and record.public and record.pins:
                gone = frozenset({str(uid)})
                if str(uid) not in record.views:
                    raise ImagePinnedError(f"{image.name} is kept: another user or the administrator has pinned it")
            left = record.without(gone)
            try:
                if left is not None:
                    self._write(left)
                    return False
                withdrawn = self._set_aside(sha256)
            except OSError as error:
                raise FailedError(f"{image.name} cannot be deleted: {error.strerror}") from error
        self.discard(withdrawn)
        return True

    def withdraw(self, sha256: str) -> Withdrawn:
        """Take an image from everybody at once; its bytes go with `discard`, which may take long for a large file.

        Raises:
            ImageNotFoundError: it is not there any more.
            FailedError: the disk failed; the image is still there.
        """
        with self._lock:
            if sha256 not in self._records:
                raise ImageNotFoundError(f"the image store has no image {sha256}")
            try:
                return self._set_aside(sha256)
            except OSError as error:
                raise FailedError(f"the image {sha256} cannot be removed: {error.strerror}") from error

    def discard(self, withdrawn: Withdrawn) -> None:
        """Remove the bytes of a withdrawn image. What a kill leaves of them goes at the next start.

        Raises:
            FailedError: the disk failed.
        """
        try:
            with self._lock:
                # the renaming has to be on the disk first: a sidecar without an image is nothing, the other way round
                # is an orphan
                self._files.sync()
                if withdrawn.sha256 not in self._records:
                    self._files.sidecar(withdrawn.sha256).unlink(missing_ok=True)
            withdrawn.path.unlink(missing_ok=True)
            self._files.sync()
        except OSError as error:
            raise FailedError(f"the image {withdrawn.sha256} cannot be removed: {error.strerror}") from error

    def remove_orphan(self, sha256: str) -> None:
        """Remove an image without a sidecar, and the damaged sidecar that was set aside.

        Raises:
            ImageNotFoundError: there is no such orphan.
            FailedError: the disk failed.
        """
        _check_hash(sha256)
        with self._lock:
            path = self._orphan(sha256)
            try:
                path.unlink()
                self._files.damaged_sidecar(sha256).unlink(missing_ok=True)
                self._files.sync()
            except OSError as error:
                raise FailedError(f"{path} cannot be removed: {error.strerror}") from error

    def orphans(self) -> tuple[Orphan, ...]:
        """Images without a readable sidecar; the caller hashes and recognises them and calls `adopt`."""
        with self._lock:
            return tuple(
                Orphan(sha256, path, path.stat().st_size)
                for sha256, path in self._files.images()
                if sha256 not in self._records
            )

    def free_bytes(self) -> int:
        """Bytes that an unprivileged process could still write to the store's filesystem."""
        status = os.statvfs(self._directory)
        return status.f_bavail * status.f_frsize

    def _admit(
        self,
        path: Path,
        sha256: str,
        view: View,
        recognition: Recognition,
        owner_uid: int | None,
        asked: frozenset[int],
        sha512: str,
    ) -> Record:
        size = checked_size(path, recognition.size)
        known = self._records.get(sha256)
        if known is not None and (before := known.views.get(_key(owner_uid))) is not None:
            # the bytes are the same, so that who vouched for them once still does
            view = replace(view, trust=min(before.trust, view.trust, key=list(Trust).index))
        record = Record(sha256, size, recognition, {_key(owner_uid): view}, requested_by=asked, sha512=sha512)
        if known is not None:
            record = replace(
                record,
                views={**known.views, **record.views},
                pins=known.pins,
                requested_by=known.requested_by | asked,
                sha512=sha512 or known.sha512,
            )
        self._write(record)
        if self._files.image(sha256).is_file():
            path.unlink()
            return record
        try:
            self._files.move_in(path, sha256, size)
        except BaseException:
            self._files.sidecar(sha256).unlink(missing_ok=True)
            self._records.pop(sha256, None)
            raise
        return record

    def _visible(self, uid: int, sha256: str) -> tuple[Record, StoredImage]:
        record = self._records.get(sha256)
        image = record.seen_by(uid) if record is not None else None
        if record is None or image is None:
            raise ImageNotFoundError(f"the image store has no image {clean(sha256, 64)}; `luxusb images` lists them")
        return record, image

    def _named(self, content: str) -> str:
        sha512 = content.removeprefix(SHA512_KEY)
        if sha512 == content:
            return content
        return next((record.sha256 for record in self._records.values() if record.sha512 == sha512), content)

    def _held(self, uid: int, sha256: str) -> StoredImage | None:
        record = self._records.get(sha256)
        if record is None or not (record.public or uid in record.imported_by):
            return None
        return record.seen_by(uid)

    def _orphan(self, sha256: str) -> Path:
        path = self._files.image(sha256)
        if sha256 in self._records or not path.is_file():
            raise ImageNotFoundError(f"the image store has no orphan {sha256}")
        return path

    def _note_use(self, record: Record, used: Record) -> None:
        changed = [view.last_used - record.views[key].last_used for key, view in used.views.items()]
        if used.requested_by == record.requested_by and all(abs(seconds) < USE_GRAIN for seconds in changed):
            return
        try:
            self._write(used)
        except OSError as error:
            # on a full disk, say: the image can be used all the same
            log.warning("the use of %s cannot be written down: %s", record.sha256, error.strerror)
            self._records[record.sha256] = used

    def _set_aside(self, sha256: str) -> Withdrawn:
        withdrawn = self._files.set_aside(sha256)
        del self._records[sha256]
        return withdrawn

    def _write(self, record: Record) -> None:
        self._files.write(record)
        self._records[record.sha256] = record


def _view(sha256: str, name: str, source: str, trust: Trust) -> View:
    now = int(time.time())
    return View(clean(name, MAX_NAME) or sha256[:12], clean(source, MAX_SOURCE), trust, now, now)


def _key(owner_uid: int | None) -> str:
    return PUBLIC if owner_uid is None else str(owner_uid)


def _check_hash(sha256: str) -> None:
    if not HASH.fullmatch(sha256):
        raise InvalidArgumentError(f"{clean(sha256, 80)!r} is no SHA-256 hash: 64 lower-case hex digits are expected")


def _check_sha512(sha512: str) -> None:
    if sha512 and not SHA512.fullmatch(sha512):
        raise InvalidArgumentError(f"{clean(sha512, 80)!r} is no SHA-512 hash: 128 lower-case hex digits are expected")
