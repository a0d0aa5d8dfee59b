"""The SQLite file in which jobs, and what is known and wanted of mirrors, outlive the daemon.

The file holds JSON documents with the few columns that are searched; what a document means is the jobs package's
business. All access runs in one thread, so that calls take effect in the order in which they are made and the event
loop never waits for the disk.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from luxusbd.errors import FailedError, LuxusbError, NotEnoughSpaceError, host_error

log = logging.getLogger(__name__)

LOCK_PATIENCE = 5.0
"""Seconds to wait for another program that has locked the file, such as a backup."""

_STEPS = (
    """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner_uid INTEGER NOT NULL,
    finished INTEGER NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX jobs_unfinished ON jobs (finished) WHERE finished = 0;
""",
    """
CREATE TABLE mirrors (
    address TEXT PRIMARY KEY,
    seen INTEGER NOT NULL,
    document TEXT NOT NULL
);
CREATE TABLE mirror_wishes (
    owner_uid INTEGER NOT NULL,
    distribution TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (owner_uid, distribution)
);
""",
)
"""What makes each version of the format out of the one before it; a step that was published is never changed."""
SCHEMA_VERSION = len(_STEPS)

_MAGIC = b"SQLite format 3\0"
"""How every database begins (sqlite.org/fileformat.html, section 1.3)."""
_COLUMNS = {
    "jobs": ("id", "owner_uid", "finished", "document"),
    "mirrors": ("address", "seen", "document"),
    "mirror_wishes": ("owner_uid", "distribution", "document"),
}

Result = TypeVar("Result")


@dataclass(frozen=True)
class Row:
    """One stored job."""

    id: int
    owner_uid: int
    finished: bool
    document: Mapping[str, Any]


@dataclass(frozen=True)
class MirrorRow:
    """What is known of one host, or of one address."""

    address: str
    seen: int
    """Unix seconds of the last news."""
    document: Mapping[str, Any]


@dataclass(frozen=True)
class WishRow:
    """Which mirrors one user wants, for a distribution or, where that is empty, for all."""

    owner_uid: int
    distribution: str
    document: Mapping[str, Any]


class Store:
    """The database; `await open()` before anything else and `await close()` at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._db: sqlite3.Connection | None = None
        self.rebuilt_from: Path | None = None
        """Where a corrupt file was set aside at `open`, if it was."""

    async def open(self) -> None:
        """Open or create the file. A corrupt one is set aside and a new one is begun.

        Raises:
            NotEnoughSpaceError: its disk is full.
            FailedError: it cannot be read or written, is locked, or is of a newer version of this program, whose
                jobs would be lost if it were set aside.
        """
        await self._call(self._open)

    async def close(self) -> None:
        """Finish all writes."""
        await self._call(self._close)
        self._thread.shutdown()

    async def insert(self, owner_uid: int, document: Mapping[str, Any]) -> int:
        """Store a new job and return its id, which was never used before."""

        def work() -> int:
            with self._open_db as db:
                cursor = db.execute(
                    "INSERT INTO jobs (owner_uid, finished, document) VALUES (?, 0, ?)",
                    (owner_uid, json.dumps(dict(document))),
                )
            assert cursor.lastrowid is not None
            return cursor.lastrowid

        return await self._call(work)

    def save(self, row: Row) -> asyncio.Future[None]:
        """Replace a stored job. Writes happen in the order of the calls, awaited or not."""

        def work() -> None:
            with self._open_db as db:
                db.execute(
                    "UPDATE jobs SET finished = ?, document = ? WHERE id = ?",
                    (int(row.finished), json.dumps(dict(row.document)), row.id),
                )

        return self._call(work)

    async def rows(self, *, unfinished: bool = False, limit: int = 1000) -> list[Row]:
        """Stored jobs, newest first; the document of one that is damaged is empty."""

        def work() -> list[Row]:
            query = "SELECT id, owner_uid, finished, document FROM jobs"
            if unfinished:
                query += " WHERE finished = 0"
            found = self._open_db.execute(query + " ORDER BY id DESC LIMIT ?", (limit,)).fetchall()
            return [
                Row(id_, uid, bool(finished), _parsed(f"job {id_}", document)) for id_, uid, finished, document in found
            ]

        return await self._call(work)

    async def mirrors(self) -> list[MirrorRow]:
        """What is known of mirrors, the newest first."""

        def work() -> list[MirrorRow]:
            found = self._open_db.execute("SELECT address, seen, document FROM mirrors ORDER BY seen DESC").fetchall()
            return [MirrorRow(name, seen, _parsed(f"mirror {name}", text)) for name, seen, text in found]

        return await self._call(work)

    def save_mirrors(self, rows: Sequence[MirrorRow], *, most: int, not_before: int) -> asyncio.Future[None]:
        """Replace what is known of these, and drop what is older than `not_before` or beyond the `most` newest."""

        def work() -> None:
            with self._open_db as db:
                db.executemany(
                    "INSERT OR REPLACE INTO mirrors (address, seen, document) VALUES (?, ?, ?)",
                    [(row.address, row.seen, json.dumps(dict(row.document))) for row in rows],
                )
                db.execute(
                    "DELETE FROM mirrors WHERE seen < ? OR address NOT IN"
                    " (SELECT address FROM mirrors ORDER BY seen DESC LIMIT ?)",
                    (not_before, most),
                )

        return self._call(work)

    async def wishes(self) -> list[WishRow]:
        """What all users want."""

        def work() -> list[WishRow]:
            found = self._open_db.execute("SELECT owner_uid, distribution, document FROM mirror_wishes").fetchall()
            return [WishRow(uid, name, _parsed(f"wish of {uid} for {name!r}", text)) for uid, name, text in found]

        return await self._call(work)

    async def save_wish(self, row: WishRow) -> None:
        """Replace what a user wants for a distribution; an empty document takes it away."""

        def work() -> None:
            with self._open_db as db:
                db.execute(
                    "DELETE FROM mirror_wishes WHERE owner_uid = ? AND distribution = ?",
                    (row.owner_uid, row.distribution),
                )
                if row.document:
                    db.execute(
                        "INSERT INTO mirror_wishes (owner_uid, distribution, document) VALUES (?, ?, ?)",
                        (row.owner_uid, row.distribution, json.dumps(dict(row.document))),
                    )

        await self._call(work)

    def _call(self, work: Callable[[], Result]) -> asyncio.Future[Result]:
        def guarded() -> Result:
            try:
                return work()
            except sqlite3.Error as error:
                raise self._explained(error) from error

        return asyncio.get_running_loop().run_in_executor(self._thread, guarded)

    def _explained(self, error: sqlite3.Error) -> LuxusbError:
        # the primary result code is the low byte of the extended one (sqlite.org/rescode.html)
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        failed = f"the job database {self._path} cannot be used: {error}"
        # for its shared memory it calls a full disk an I/O error
        if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and self._disk_is_full()):
            return NotEnoughSpaceError(f"{failed}; free some space, then try again")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return FailedError(f"{failed}; end the program that has it open, then try again")
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR):
            return FailedError(
                f"{failed}; look whether it is a file, whether its directory can be written, and whether its disk works"
            )
        return FailedError(failed)

    def _disk_is_full(self) -> bool:
        status = os.statvfs(self._path.parent)
        return status.f_bavail * status.f_frsize < 65536

    @property
    def _open_db(self) -> sqlite3.Connection:
        assert self._db is not None, "open() comes first"
        return self._db

    def _open(self) -> None:
        try:
            self._db = self._connect()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            self._set_aside(error)
            self._db = self._connect()
            # ids are never reused (a client may still hold an old job path), also when the old ones are lost
            with self._db as db:
                db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('jobs', ?)", (int(time.time()),))

    def _connect(self) -> sqlite3.Connection:
        if self._is_no_database():
            # seen before SQLite opens it, which would remove the log beside it when it closes it again
            raise sqlite3.DatabaseError("file is not a database")
        db = sqlite3.connect(self._path, check_same_thread=False, timeout=LOCK_PATIENCE)
        try:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise FailedError(
                    f"the job database {self._path} was written by a newer luxusbd (format {version}, this one knows"
                    f" {SCHEMA_VERSION}): install that version again, or move the file away to begin without its jobs"
                )
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            (answer,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if answer != "ok":
                raise sqlite3.DatabaseError(str(answer))
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if version == 0 and tables:
                raise sqlite3.DatabaseError("it holds something else than jobs (format 0)")
            if version < SCHEMA_VERSION:
                if version and _columns(db, "jobs") != _COLUMNS["jobs"]:
                    raise sqlite3.DatabaseError(f"it holds something else than jobs (format {version})")
                _bring_up(db, version)
            if {name: _columns(db, name) for name in _COLUMNS} != _COLUMNS:
                raise sqlite3.DatabaseError(f"it holds something else than jobs (format {version})")
        except BaseException:
            db.close()
            raise
        return db

    def _is_no_database(self) -> bool:
        if not self._path.is_file():
            return False
        try:
            with self._path.open("rb") as file:
                head = file.read(len(_MAGIC))
        except OSError as error:
            raise host_error(error, f"reading the job database {self._path}") from error
        return bool(head) and head != _MAGIC

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        aside = self._path.with_name(f"{self._path.name}.corrupt-{time.strftime('%Y%m%dT%H%M%S')}")
        # what was not yet brought into the file lies in the other two; who repairs it wants them beside it
        for suffix in ("-wal", "-shm", ""):
            part = self._path.with_name(self._path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        self.rebuilt_from = aside
        log.error("the job database was corrupt (%s): kept as %s, a new one is begun", error, aside)

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def _bring_up(db: sqlite3.Connection, version: int) -> None:
    """Bring a file of an older format to this one, in one transaction; an empty one is of format 0."""
    script = "".join(_STEPS[version:])
    try:
        # executescript ends the transaction that it finds, so that it has to bring its own
        db.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT")
    except BaseException:
        db.rollback()
        raise


def _columns(db: sqlite3.Connection, table: str) -> tuple[str, ...]:
    return tuple(str(row[1]) for row in db.execute(f"PRAGMA table_info({table})"))


def _parsed(what: str, text: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        log.error("the record of %s is damaged: %s", what, error)  # noqa: TRY400 - the text says it all
        return {}
    return document if isinstance(document, dict) else {}
