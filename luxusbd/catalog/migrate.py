"""Files of LUXusb before 1.0, one distribution each, as one catalogue of schema 2.0. Pure.

Their fields are id, name, description, homepage, logo_url, category, family, base_distro, secure_boot_compatible,
popularity_rank, releases and metadata; of a release version, release_date, iso_url, sha256, size_mb, architecture,
mirrors, gpg_verified, cosign_available and notes (luxusb/data/distro-schema.json of 0.6.3). What cannot be right is
left out and told; nothing is made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from luxusbd.catalog.model import Layer
from luxusbd.catalog.schema import ARCHITECTURES, decode, is_date, shown, url_problems, validate
from luxusbd.errors import CatalogError

MAX_FILE = 1024 * 1024
"""Bytes of one file; those of LUXusb have about one thousand."""
MAX_URL = 2000

_SHA256 = re.compile(r"[0-9a-f]{64}")
_URL = re.compile(r"https?://[!-~]+")
_TEXTS = (("name", 100), ("description", 2000), ("homepage", MAX_URL), ("logo_url", MAX_URL), ("category", 50))
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WITHOUT_PLACE = ("family", "base_distro", "secure_boot_compatible")


@dataclass(frozen=True)
class Note:
    """What is to be said of one place in one file."""

    file: str
    where: str
    """JSON path."""
    text: str
    dropped: bool
    """Whether a distribution or release is not taken over because of it."""

    def __str__(self) -> str:
        return f"{self.file}: {self.where}: {self.text}"


@dataclass(frozen=True)
class Migrated:
    """A catalogue, and what became of the files."""

    document: Mapping[str, Any]
    """Of schema 2.0, and right."""
    notes: tuple[Note, ...]

    @property
    def distributions(self) -> int:
        """How many were taken over."""
        return len(self.document["distributions"])

    @property
    def releases(self) -> int:
        """How many were taken over."""
        return sum(len(entry["releases"]) for entry in self.document["distributions"])


def is_old(document: object) -> bool:
    """Whether a decoded document has the shape of one of these files."""
    return isinstance(document, dict) and "version" not in document and "id" in document and "releases" in document


def migrate(files: Sequence[tuple[str, bytes]], today: str) -> Migrated:
    """Put files together.

    Args:
        files: name and content of each.
        today: YYYY-MM-DD, in place of a date that no file has.
    """
    notes: list[Note] = []
    entries: dict[str, dict[str, Any]] = {}
    places: dict[str, str] = {}
    dates: list[str] = []
    for name, data in files:
        reader = _File(name, notes)
        entry = reader.distribution(data)
        if entry is None:
            continue
        if entry["id"] in entries:
            reader.note("$.id", f"found {shown(entry['id'])} again, which {places[entry['id']]} has", dropped=True)
            continue
        entries[entry["id"]] = entry
        places[entry["id"]] = name
        dates += reader.date
    _drop_borrowed(entries, places, notes)
    kept = [entry for entry in entries.values() if entry["releases"]]
    document = {"version": "2.0", "last_updated": max(dates, default=today), "distributions": kept}
    return Migrated(document, tuple(notes))


class _File:
    def __init__(self, name: str, notes: list[Note]) -> None:
        self._name = name
        self._notes = notes
        self.date: list[str] = []
        """When it was last updated, if it says so."""

    def note(self, where: str, text: str, *, dropped: bool = False) -> None:
        self._notes.append(Note(self._name, where, text, dropped))

    def distribution(self, data: bytes) -> dict[str, Any] | None:
        if len(data) > MAX_FILE:
            self.note("$", f"larger than {MAX_FILE // 2**20} MiB", dropped=True)
            return None
        try:
            found = decode(data, self._name)
        except CatalogError as error:
            self.note("$", error.message.removeprefix(f"{self._name}: "), dropped=True)
            return None
        if not isinstance(found, dict) or not is_old(found):
            self.note("$", f"found {shown(found)}, expected a distribution with id and releases", dropped=True)
            return None
        entry: dict[str, Any] = {"id": found["id"]}
        for key, most in _TEXTS:
            entry[key] = self._text(found, key, most)
        entry["name"] = entry["name"] or (found["id"] if isinstance(found["id"], str) else "")
        rank = found.get("popularity_rank", 0)
        entry["popularity_rank"] = rank if type(rank) is int and 0 <= rank <= 1_000_000 else 0
        if rank != entry["popularity_rank"]:
            self.note("$.popularity_rank", f"found {shown(rank)}, expected a whole number; left out")
        gone = [key for key in _WITHOUT_PLACE if key in found]
        if gone:
            self.note("$", f"{', '.join(gone)} have no place in schema 2.0: the image itself tells this")
        metadata = found.get("metadata")
        stamp = metadata.get("last_updated") if isinstance(metadata, dict) else None
        if isinstance(stamp, str) and _DATE.match(stamp) and is_date(stamp[:10]):
            self.date = [stamp[:10]]
        entry["releases"] = list(self._releases(found["releases"], entry))
        if not entry["releases"]:
            self.note("$.releases", "nothing of it can be taken over", dropped=True)
            return None
        return entry if self._is_right(entry, "$") else None

    def _text(self, found: Mapping[str, Any], key: str, most: int) -> str:
        value = found.get(key, "")
        good = isinstance(value, str) and len(value) <= most
        if good and value and key in ("homepage", "logo_url"):
            good = _URL.fullmatch(value) is not None and not list(url_problems(value, "", secure=False))
        if good:
            return str(value)
        self.note(f"$.{key}", f"found {shown(value)}, which schema 2.0 does not allow; left out")
        return ""

    def _releases(self, found: object, entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        if not isinstance(found, list):
            self.note("$.releases", f"found {shown(found)}, expected a list", dropped=True)
            return
        seen: dict[tuple[str, str], int] = {}
        for index, one in enumerate(found):
            where = f"$.releases[{index}]"
            release = self._release(one, where)
            if release is None or not self._is_right({**entry, "releases": [release]}, where):
                continue
            key = release["version"], release["architecture"]
            if key in seen:
                text = f"version {release['version']} again, as in releases[{seen[key]}]"
                self.note(where, f"found {text}", dropped=True)
                continue
            seen[key] = index
            yield release

    def _release(self, found: object, where: str) -> dict[str, Any] | None:
        if not isinstance(found, dict):
            self.note(where, f"found {shown(found)}, expected an object", dropped=True)
            return None
        sha256 = found.get("sha256", "")
        sha256 = sha256.lower() if isinstance(sha256, str) else ""
        if not _SHA256.fullmatch(sha256) or len(set(sha256)) == 1:
            text = (
                f"found {shown(found.get('sha256'))}, expected the full SHA-256: without it nothing says what is right"
            )
            self.note(f"{where}.sha256", text, dropped=True)
            return None
        architecture = found.get("architecture", "")
        if architecture not in ("", "amd64", "i386", "arm64", *ARCHITECTURES):
            text = f"found {shown(architecture)}, expected one that LUXusb can start: x86_64, i686 or aarch64"
            self.note(f"{where}.architecture", text, dropped=True)
            return None
        date, size = found.get("release_date", ""), found.get("size_mb", 0)
        if date and not (isinstance(date, str) and _DATE.fullmatch(date) and is_date(date)):
            self.note(f"{where}.release_date", f"found {shown(date)}, expected a date; left out")
            date = ""
        if type(size) is not int or not 0 < size <= 10_000_000:
            self.note(f"{where}.size_mb", f"found {shown(size)}, which is no size; the server is asked for it")
            size = 0
        if found.get("gpg_verified") or found.get("cosign_available"):
            self.note(where, "claims a signature, and names no key: the image reaches `hash` and not `signed`")
        return {
            "version": found.get("version", ""),
            "release_date": date or "",
            "iso_url": found.get("iso_url", ""),
            "sha256": sha256,
            "size_mb": size,
            "architecture": ARCHITECTURES.get(architecture, architecture),
            "mirrors": self._mirrors(found.get("mirrors", []), where),
        }

    def _mirrors(self, found: object, where: str) -> list[str]:
        if not isinstance(found, list):
            self.note(f"{where}.mirrors", f"found {shown(found)}, expected a list; left out")
            return []
        kept: list[str] = []
        for index, url in enumerate(found):
            right = isinstance(url, str) and len(url) <= MAX_URL and _URL.fullmatch(url) is not None
            if right and not list(url_problems(url, "", secure=False)):
                kept.append(url)
            else:
                self.note(f"{where}.mirrors[{index}]", f"found {shown(url)}, expected an address; left out")
        return kept[:2000]

    def _is_right(self, entry: Mapping[str, Any], where: str) -> bool:
        try:
            validate({"version": "2.0", "last_updated": "2026-01-01", "distributions": [entry]}, "", Layer.MIGRATED)
        except CatalogError as error:
            for line in error.message.splitlines():
                place, _, text = line.removeprefix(": ").partition(": ")
                inside = place.removeprefix("$.distributions[0]").removeprefix(".releases[0]" if where != "$" else "")
                self.note(where + inside, text, dropped=True)
            return False
        return True


def _drop_borrowed(entries: Mapping[str, dict[str, Any]], places: Mapping[str, str], notes: list[Note]) -> None:
    """Take out releases that have the same hash for different files: one of them has that of another."""
    names: dict[str, set[str]] = {}
    for entry in entries.values():
        for release in entry["releases"]:
            names.setdefault(release["sha256"], set()).add(PurePosixPath(urlsplit(release["iso_url"]).path).name)
    for key, entry in entries.items():
        for release in entry["releases"]:
            if len(names[release["sha256"]]) > 1:
                others = ", ".join(sorted(names[release["sha256"]]))
                text = f"version {release['version']} has a hash that stands for different files: {others}"
                notes.append(Note(places[key], "$.releases", text, dropped=True))
        entry["releases"] = [release for release in entry["releases"] if len(names[release["sha256"]]) == 1]
