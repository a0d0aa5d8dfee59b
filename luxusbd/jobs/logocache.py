"""Logos on this machine's disk: one file each, named by its address, with a line in front that says what it is.

A cache and nothing else: a file that is not right is as good as none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from luxusbd.catalog.files import read_bounded
from luxusbd.durable import replace_file
from luxusbd.errors import CatalogError
from luxusbd.transfer.picture import MAX_PICTURE, PictureKind
from luxusbd.transfer.smallmodel import Version

VERSION = 1
"""Of the files, and of the rules by which pictures are written anew: what was kept by others is fetched again."""
MAX_LOGOS = 500
MAX_TOTAL = 64 << 20
"""Bytes of all together."""
_MAX_LINE = 8192


@dataclass(frozen=True)
class Kept:
    """One logo."""

    url: str
    kind: PictureKind
    data: bytes
    version: Version
    checked: int
    """When its server last said that it is this one, in unix seconds."""


class LogoCache:
    """The directory. All methods block."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, url: str) -> Kept | None:
        """What is kept of this address; None for nothing that is whole."""
        try:
            line, _end, data = read_bounded(self._path(url), MAX_PICTURE + _MAX_LINE).partition(b"\n")
            about = json.loads(line)
            if (about["version"], about["url"]) != (VERSION, url) or about["sha256"] != _sha256(data):
                return None
            version = Version(str(about["etag"]), str(about["last_modified"]))
            return Kept(url, PictureKind(about["kind"]), data, version, int(about["checked"]))
        except (OSError, CatalogError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def put(self, kept: Kept) -> None:
        """Keep one, in place of what there was, and let the oldest go where there are too many.

        Raises:
            OSError: the disk refused.
        """
        about = {
            "version": VERSION,
            "url": kept.url,
            "kind": kept.kind.value,
            "checked": kept.checked,
            "sha256": _sha256(kept.data),
            **asdict(kept.version),
        }
        self._directory.mkdir(parents=True, exist_ok=True)
        replace_file(self._path(kept.url), json.dumps(about).encode() + b"\n" + kept.data)
        self._bound()

    def remove(self, url: str) -> None:
        """Keep this one no longer.

        Raises:
            OSError: the disk refused.
        """
        self._path(url).unlink(missing_ok=True)

    def clean(self, wanted: Collection[str]) -> None:
        """Remove everything but the logos of these addresses.

        Raises:
            OSError: the disk refused.
        """
        names = {self._path(url).name for url in wanted}
        for path in self._files():
            if path.name not in names:
                path.unlink(missing_ok=True)

    def _bound(self) -> None:
        found = sorted(((path.stat(), path) for path in self._files()), key=lambda each: each[0].st_mtime, reverse=True)
        total = 0
        for number, (status, path) in enumerate(found, start=1):
            total += status.st_size
            if number > MAX_LOGOS or total > MAX_TOTAL:
                path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return list(self._directory.iterdir()) if self._directory.is_dir() else []

    def _path(self, url: str) -> Path:
        return self._directory / _sha256(url.encode())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
