"""The record beside an image in the store: who sees it under which name, and what recognition said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luxusbd.catalog.model import Trust
from luxusbd.errors import FailedError
from luxusbd.images.codec import recognition_from_json, recognition_to_json
from luxusbd.images.model import Recognition, StoredImage
from luxusbd.text import clean

FORMAT = 1
MAX_SIDECAR = 4 * 1024 * 1024
MAX_NAME = 200
MAX_SOURCE = 300
ROOT = 0
PUBLIC = "*"

_STRENGTH = {Trust.NONE: 0, Trust.TLS_ONLY: 1, Trust.HASH: 2, Trust.SIGNED: 3}


@dataclass(frozen=True)
class View:
    """How one uid (or everybody) knows an image."""

    name: str
    source: str
    trust: Trust
    added: int


@dataclass(frozen=True)
class Record:
    """An image and its views."""

    sha256: str
    size: int
    recognition: Recognition
    views: Mapping[str, View]
    """By uid in decimal, or `*` for a downloaded catalogue image that all may see."""

    def seen_by(self, uid: int) -> StoredImage | None:
        """The image as `uid` sees it, or None; the strongest trust of all views counts, for the bytes are the same."""
        views = [view for key, view in self.views.items() if uid == ROOT or key in (PUBLIC, str(uid))]
        if not views:
            return None
        own = self.views.get(str(uid)) or self.views.get(PUBLIC) or views[0]
        trust = max((view.trust for view in views), key=_STRENGTH.__getitem__)
        return StoredImage(self.sha256, own.name, self.size, own.added, own.source, trust, self.recognition)


def record_to_json(record: Record) -> dict[str, Any]:
    """A JSON object that `read_record` reads."""
    return {
        "format": FORMAT,
        "sha256": record.sha256,
        "size": record.size,
        "recognition": recognition_to_json(record.recognition),
        "views": {
            key: {"name": view.name, "source": view.source, "trust": view.trust.value, "added": view.added}
            for key, view in record.views.items()
        },
    }


def read_record(path: Path, size: int) -> Record:
    """Read the sidecar at `path` of an image of `size` bytes.

    Raises:
        FailedError, ValueError, RecursionError: it is torn, malformed, or another image's.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(MAX_SIDECAR + 1)
    document = json.loads(data)
    if (
        len(data) > MAX_SIDECAR
        or not isinstance(document, dict)
        or document.get("format") != FORMAT
        or document.get("sha256") != path.stem
        or document.get("size") != size
        or not isinstance(document.get("views"), dict)
        or not document["views"]
    ):
        raise FailedError(f"{path} is not the sidecar of an image of {size} bytes")
    views = {}
    for key, view in document["views"].items():
        if not (key == PUBLIC or key.isdecimal()) or not isinstance(view, dict):
            raise FailedError(f"{path}: the view {key!r} is malformed")
        name, source, added = view.get("name"), view.get("source"), view.get("added")
        if not isinstance(name, str) or not isinstance(source, str) or not isinstance(added, int):
            raise FailedError(f"{path}: the view {key!r} is malformed")
        views[key] = View(clean(name, MAX_NAME), clean(source, MAX_SOURCE), Trust(str(view.get("trust"))), added)
    return Record(path.stem, size, recognition_from_json(document.get("recognition")), views)
