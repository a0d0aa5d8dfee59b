"""The record beside an image in the store: who sees it under which name, who wants it kept, and what recognition said.

Format 2 added `last_used` to the views, `pins` and `requested_by`; format 1 is read as an image that was last used when
it was added, and that nobody pinned or is known to have asked for. `sha512` may be missing in both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from luxusbd.catalog.model import Trust
from luxusbd.errors import FailedError
from luxusbd.images.codec import recognition_from_json, recognition_to_json
from luxusbd.images.model import Recognition, StoredImage
from luxusbd.text import clean

FORMAT = 2
READABLE = (1, 2)
MAX_SIDECAR = 4 * 1024 * 1024
MAX_NAME = 200
MAX_SOURCE = 300
ROOT = 0
PUBLIC = "*"
SHA512 = re.compile(r"[0-9a-f]{128}")

_STRENGTH = {Trust.NONE: 0, Trust.TLS_ONLY: 1, Trust.HASH: 2, Trust.SIGNED: 3}


@dataclass(frozen=True)
class View:
    """How one uid (or everybody) knows an image."""

    name: str
    source: str
    trust: Trust
    added: int
    last_used: int = 0
    """Unix seconds. Kept for each view, so that nobody sees when somebody else used the same imported bytes."""


@dataclass(frozen=True)
class Record:
    """An image and its views."""

    sha256: str
    size: int
    recognition: Recognition
    views: Mapping[str, View]
    """By uid in decimal, or `*` for a downloaded catalogue image that all may see."""
    pins: frozenset[int] = frozenset()
    """The uids that want it kept."""
    requested_by: frozenset[int] = frozenset()
    """The uids that asked for the download; the image counts for one who is alone."""
    sha512: str = ""
    """128 lower-case hex digits where the catalogue that vouches for the bytes tells this hash alone, else empty."""

    @property
    def public(self) -> bool:
        """Whether every uid sees it."""
        return PUBLIC in self.views

    @property
    def imported_by(self) -> frozenset[int]:
        """The uids that brought it themselves."""
        return frozenset(int(key) for key in self.views if key != PUBLIC)

    @property
    def last_used(self) -> int:
        """Unix seconds, of anybody's use."""
        return max(view.last_used for view in self.views.values())

    @property
    def charged(self) -> frozenset[int]:
        """The uids for whose quota its bytes count: importers, pinners, and one who alone asked for the download."""
        alone = self.requested_by if self.public and len(self.requested_by) == 1 else frozenset()
        return self.imported_by | self.pins | alone

    def used_by(self, uid: int, now: int) -> Record:
        """With the use by `uid` noted: in its own view and in that of all; by root without a view, in every one."""
        keys = {str(uid), PUBLIC} & self.views.keys() or (set(self.views) if uid == ROOT else set())
        return replace(
            self,
            views={key: replace(view, last_used=now) if key in keys else view for key, view in self.views.items()},
        )

    def without(self, keys: frozenset[str]) -> Record | None:
        """With views taken away, and the pins of those who see it no more; None when nobody is left."""
        views = {key: view for key, view in self.views.items() if key not in keys}
        if not views:
            return None
        kept = frozenset(uid for uid in self.pins if uid == ROOT or PUBLIC in views or str(uid) in views)
        return replace(self, views=views, pins=kept, requested_by=self.requested_by if PUBLIC in views else frozenset())

    def seen_by(self, uid: int) -> StoredImage | None:
        """The image as `uid` sees it, or None; the strongest trust of all views counts, for the bytes are the same."""
        views = [view for key, view in self.views.items() if uid == ROOT or key in (PUBLIC, str(uid))]
        if not views:
            return None
        own = self.views.get(str(uid)) or self.views.get(PUBLIC) or views[0]
        trust = max((view.trust for view in views), key=_STRENGTH.__getitem__)
        return StoredImage(
            self.sha256,
            own.name,
            self.size,
            own.added,
            own.source,
            trust,
            self.recognition,
            last_used=max(view.last_used for view in views),
            pinned=bool(self.pins & {uid, ROOT}),
            sha512=self.sha512,
        )


def record_to_json(record: Record) -> dict[str, Any]:
    """A JSON object that `read_record` reads."""
    return {
        "format": FORMAT,
        "sha256": record.sha256,
        "size": record.size,
        "recognition": recognition_to_json(record.recognition),
        "views": {
            key: {
                "name": view.name,
                "source": view.source,
                "trust": view.trust.value,
                "added": view.added,
                "last_used": view.last_used,
            }
            for key, view in record.views.items()
        },
        "pins": sorted(record.pins),
        "requested_by": sorted(record.requested_by),
        **({"sha512": record.sha512} if record.sha512 else {}),
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
        or document.get("format") not in READABLE
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
        used = view.get("last_used", added)
        if not (isinstance(name, str) and isinstance(source, str) and isinstance(added, int) and isinstance(used, int)):
            raise FailedError(f"{path}: the view {key!r} is malformed")
        trust = Trust(str(view.get("trust")))
        views[key] = View(clean(name, MAX_NAME), clean(source, MAX_SOURCE), trust, added, used)
    return Record(
        path.stem,
        size,
        recognition_from_json(document.get("recognition")),
        views,
        pins=_uids(path, document.get("pins", [])),
        requested_by=_uids(path, document.get("requested_by", [])),
        sha512=_sha512(path, document.get("sha512", "")),
    )


def _sha512(path: Path, value: Any) -> str:
    if not isinstance(value, str) or (value and not SHA512.fullmatch(value)):
        raise FailedError(f"{path}: sha512 is malformed")
    return value


def _uids(path: Path, value: Any) -> frozenset[int]:
    if not isinstance(value, list) or not all(type(uid) is int and uid >= 0 for uid in value):
        raise FailedError(f"{path}: a list of uids is malformed")
    return frozenset(value)
