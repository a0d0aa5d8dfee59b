"""The SQLite file in which jobs outlive the daemon.

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
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from luxusbd.errors import FailedError, LuxusbError, NotEnoughSpaceError, host_error

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1

LOCK_PATIENCE = 5.0
"""Seconds to wait for another program that has locked the file, such as a backup."""

_SCHEMA = """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner_uid INTEGER NOT NULL,
    finished INTEGER NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX jobs_unfinished ON jobs (finished) WHERE finished = 0;
"""

_MAGIC = b"SQLite format 3\0"
"""How every database begins (sqlite.org/fileformat.html, section 1.3)."""
_COLUMNS = ("id", "owner_uid", "finished", "document")

Result = TypeVar("Result")


@dataclass(frozen=True)
class Row:
    """One stored job."""

    id: int
    owner_uid: int
    finished: bool
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
            return [Row(id_, uid, bool(finished), _parsed(id_, document)) for id_, uid, finished, document in found]

        return await self._call(work)

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
            if version == 0 and not tables:
                with db:
                    db.executescript(_SCHEMA)
                    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            elif version != SCHEMA_VERSION or _columns(db) != _COLUMNS:
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


def _columns(db: sqlite3.Connection) -> tuple[str, ...]:
    return tuple(str(row[1]) for row in db.execute("PRAGMA table_info(jobs)"))


def _parsed(job_id: int, text: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        log.error("the record of job %d is damaged: %s", job_id, error)  # noqa: TRY400 - the text says it all
        return {}
    return document if isinstance(document, dict) else {}
