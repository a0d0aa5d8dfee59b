"""The updated catalogue on this machine's disk: the edition in force, the one before, and what is known of both.

Three files lie in one directory: `distros.json`, `distros.json.previous`, and `distros.state.json`, which holds a
record for each of the two, found by the hash of the document. The state is replaced first and then knows both; a rename
puts the new document in place. So whoever is cut off at any point leaves a document whose record is there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from luxusbd.catalog.files import read_bounded
from luxusbd.catalog.model import Document, Layer, Stamp
from luxusbd.catalog.schema import read_document
from luxusbd.catalog.update import Edition
from luxusbd.durable import beside, replace_file
from luxusbd.errors import CatalogError

MAX_STATE = 4 * 1024 * 1024
STATE_VERSION = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FINGERPRINT = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")


@dataclass(frozen=True)
class Record:
    """What is known of one edition beside its document. Times are unix seconds."""

    sha256: str
    """Of the document."""
    url: str
    """Where it came from, as configured."""
    fingerprint: str
    """Of the primary key that signed it, in full."""
    signing_key: str
    serial: int
    made: int
    expires: int
    fetched: int
    checked: int
    """When the remote last said that there is none newer."""
    etag: str = ""
    last_modified: str = ""
    signature: bytes = b""

    @property
    def stamp(self) -> Stamp:
        """As the document said."""
        return Stamp(self.made, self.serial, self.expires)

    @property
    def edition(self) -> Edition:
        """For `luxusbd.catalog.update.judge`."""
        return Edition(self.stamp, self.sha256)


@dataclass(frozen=True)
class Cached:
    """The edition in force."""

    record: Record
    document: Document
    previous: bool
    """Whether it is the one before, because the newest cannot be read."""


class CatalogCache:
    """The files. All methods block."""

    def __init__(self, path: Path, pinned: frozenset[str]) -> None:
        """Prepare, without reading.

        Args:
            path: of the document in force; the others lie beside it.
            pinned: full fingerprints of the keys whose signature counts now; of others nothing is used.
        """
        self.path = path
        self.previous = path.with_name(path.name + ".previous")
        self.state = path.with_name(path.stem + ".state.json")
        self._pinned = pinned

    def records(self) -> tuple[Record, ...]:
        """What is known of editions by a key that is pinned; nothing when the state cannot be read."""
        try:
            found = state_from(read_bounded(self.state, MAX_STATE))
        except (OSError, CatalogError):
            return ()
        return tuple(record for record in found if record.fingerprint in self._pinned)

    def newest(self) -> Record | None:
        """The record with the largest serial: what a further edition has to be newer than."""
        return max(self.records(), key=lambda record: record.serial, default=None)

    def read(self) -> tuple[Cached | None, tuple[str, ...]]:
        """The edition in force, or None; and a line about each file that cannot be used."""
        problems: list[str] = []
        records = {record.sha256: record for record in self.records()}
        for path in (self.path, self.previous):
            try:
                data = read_bounded(path)
                record = records.get(hashlib.sha256(data).hexdigest())
                if record is None:
                    problems.append(f"{path}: not used, because no key of catalog.update_fingerprints vouches for it")
                    continue
                document = read_document(data, str(path), Layer.CACHE)
            except FileNotFoundError:
                if path == self.path and records:
                    problems.append(f"{path}: there is no such file")
            except OSError as error:
                problems.append(f"{path}: {error.strerror}")
            except CatalogError as error:
                problems += error.message.splitlines()
            else:
                problems += document.warnings
                return Cached(record, document, previous=path != self.path), tuple(problems)
        return None, tuple(problems)

    def install(self, data: bytes, record: Record) -> None:
        """Put an edition in force, and keep the one that was as the previous one.

        Raises:
            OSError: the disk refused; what was in force still is.
        """
        if not self.path.parent.is_dir():
            self.path.parent.mkdir(parents=True)
            # whatever our umask: the transfer process, which is another user, reads one of the files in it
            self.path.parent.chmod(0o711)
        before, _problems = self.read()
        again = before is not None and before.record.sha256 == record.sha256
        others = [each for each in self.records() if each.sha256 != record.sha256]
        kept = others[:1] if again or before is None else [before.record]
        self._write_state([record, *kept])
        if before is not None and not before.previous and not again:
            # a second name for the same file, so that there is no moment without one in force
            link = beside(self.previous)
            link.unlink(missing_ok=True)
            os.link(self.path, link)
            link.replace(self.previous)
        replace_file(self.path, data)

    def confirm(self, record: Record, *, checked: int, etag: str, last_modified: str) -> None:
        """Note that the remote has no newer edition than this one.

        Raises:
            OSError: the disk refused; the old state is kept.
        """
        fresh = replace(record, checked=checked, etag=etag, last_modified=last_modified)
        self._write_state([fresh if each.sha256 == record.sha256 else each for each in self.records()])

    def _write_state(self, records: Sequence[Record]) -> None:
        values = [{**asdict(each), "signature": base64.b64encode(each.signature).decode()} for each in records]
        text = json.dumps({"version": STATE_VERSION, "editions": values}, indent=1)
        replace_file(self.state, text.encode() + b"\n")


def state_from(data: bytes) -> tuple[Record, ...]:
    """The records of a state file.

    Raises:
        CatalogError: it is none.
    """
    try:
        document = json.loads(data)
        if document["version"] != STATE_VERSION:
            raise CatalogError("of another version")
        return tuple(_record(value) for value in document["editions"])
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise CatalogError(f"no state of a catalogue: {error}") from error


def _record(value: Mapping[str, Any]) -> Record:
    fields = {**value, "signature": base64.b64decode(value["signature"], validate=True)}
    record = Record(**fields)
    numbers = (record.serial, record.made, record.expires, record.fetched, record.checked)
    texts = (record.url, record.etag, record.last_modified, record.signing_key)
    if (
        any(type(number) is not int for number in numbers)
        or not all(isinstance(text, str) for text in texts)
        or not _SHA256.fullmatch(record.sha256)
        or not _FINGERPRINT.fullmatch(record.fingerprint)
    ):
        raise ValueError("a field has another type")
    return record
