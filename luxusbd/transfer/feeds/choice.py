"""Which of the files that a feed names are wanted: whole names, the newest of each kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from luxusbd.catalog.feeds.model import MAX_CHOSEN, Feed, ImagePattern
from luxusbd.catalog.feeds.reach import leads_to
from luxusbd.errors import CatalogError
from luxusbd.text import clean, natural_key
from luxusbd.transfer.feeds.addresses import MAX_NAME, file_name, fill, path_of
from luxusbd.transfer.feeds.found import Found, date_of

_LABEL = re.compile(r"[^/@\x00-\x1f\x7f]{0,64}")
"""As the catalogue's schema has editions and versions."""


@dataclass(frozen=True)
class Wanted:
    """A file that is one of a feed's images."""

    found: Found
    pattern: ImagePattern
    values: Mapping[str, str]
    """The groups of its name, and `file`, `stem`, `path`, `version` and `edition`, for templates."""
    edition: str
    version: str
    series: str

    @property
    def shown(self) -> str:
        """For messages."""
        return " ".join(part for part in (self.edition, self.version, self.pattern.architecture) if part)


def matches(feed: Feed, files: Iterable[Found]) -> Iterator[Wanted]:
    """Every file whose whole name is that of an image."""
    for file in files:
        for pattern in feed.images:
            placed = _placed(feed, pattern, file)
            wanted = judge(pattern, placed, placed.name) if placed is not None else None
            if wanted is not None:
                yield wanted


def judge(pattern: ImagePattern, file: Found, name: str, version: str = "") -> Wanted | None:
    """The image that `file` is, if its name, or the one that a list has for it, is that of one."""
    if not name or len(name) > MAX_NAME:
        return None
    match = pattern.file.fullmatch(name)
    if match is None:
        return None
    groups = {key: value or "" for key, value in match.groupdict().items()}
    if version:
        groups["version"] = version
    elif not groups.get("version"):
        groups["version"] = file.version
    token = fill(pattern.version, groups)
    edition = fill(pattern.edition, groups).lower()
    series = fill(pattern.series, groups)
    if not token or not _LABEL.fullmatch(token) or not all(_LABEL.fullmatch(text) for text in (edition, series)):
        return None
    values = {
        **groups,
        "file": file.name,
        "stem": file.name.rpartition(".")[0],
        "path": path_of(file.url),
        "edition": edition,
    }
    return Wanted(file, pattern, values, edition, token, series)


def newest(feed: Feed, wanted: Iterable[Wanted]) -> tuple[Wanted, ...]:
    """Of each edition, architecture and series the newest, and of those the newest series."""
    best: dict[tuple[str, str, str], Wanted] = {}
    for candidate in wanted:
        key = (candidate.edition, candidate.pattern.architecture, candidate.series)
        if key not in best or natural_key(best[key].version) < natural_key(candidate.version):
            best[key] = candidate
    kinds: dict[tuple[str, str], list[Wanted]] = {}
    for candidate in best.values():
        kinds.setdefault((candidate.edition, candidate.pattern.architecture), []).append(candidate)
    chosen = []
    for kind in kinds.values():
        kind.sort(key=lambda candidate: natural_key(candidate.series), reverse=True)
        chosen += kind[: feed.keep]
    if len(chosen) > MAX_CHOSEN:
        raise CatalogError(f"names {len(chosen)} kinds of images, more than any real feed")
    return tuple(chosen)


def day_of(wanted: Wanted) -> str:
    """The day that the document or the name of the file tells of, or empty."""
    return wanted.found.date or date_of(wanted.values.get("date", ""))


def some_names(files: Iterable[Found]) -> str:
    """A few names, for messages."""
    names = list(dict.fromkeys(file.name or file.version for file in files))
    shown = ", ".join(clean(name, 80) for name in names[:4])
    return shown + (f" and {len(names) - 4} more" if len(names) > 4 else "") if names else "nothing"


def _placed(feed: Feed, pattern: ImagePattern, file: Found) -> Found | None:
    """The file with its address, where that follows from the version alone."""
    if not pattern.address or file.url:
        return file
    if not re.fullmatch(r"[0-9A-Za-z._-]{1,64}", file.version):
        return None
    url = leads_to(feed, feed.url, fill(pattern.address, {"version": file.version}))
    name = file_name(url)
    if not name:
        return None
    return Found(url, name, file.version, file.sha256, file.sha512, file.size, file.size_hint, file.date)
