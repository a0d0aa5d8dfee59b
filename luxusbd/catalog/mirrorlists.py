"""Lists of mirrors that many releases share: base addresses with their countries, `data/mirrors.json`.

A release names a list and its path below the addresses of it, so that a mirror that comes or goes is one line. What a
mirror sends is checked like everything else: a list says where to ask, never what is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from luxusbd.catalog.files import read_bounded
from luxusbd.catalog.model import Distribution, Mirror, Release
from luxusbd.catalog.schema import check_format, decode, refuse, url_problems
from luxusbd.countries import CODES

MAX_MIRRORS = 500
"""Addresses of one release. A download is given a few of them; all of them travel to who asks for the distribution."""

MirrorLists = Mapping[str, tuple[Mirror, ...]]
"""Base addresses, each with a slash at its end."""


def parse_lists(data: bytes, name: str, warnings: list[str] | None = None) -> MirrorLists:
    """Decode and check lists of mirrors; `name` is what errors call the document, usually its path.

    `warnings` gets the fields of a newer version, as for a catalogue.

    Raises:
        CatalogError: one line a fault, as for a catalogue.
    """
    document = check_format(decode(data, name), name, "mirrors.schema.json", warnings)
    refuse(list(_problems(document)), name)
    return {
        key: tuple(Mirror(url, group.get("country", "")) for group in groups for url in group["urls"])
        for key, groups in document["lists"].items()
    }


def read_lists(path: Path, warnings: list[str] | None = None) -> MirrorLists:
    """Read a file of lists.

    Raises:
        OSError: it cannot be read.
        CatalogError: it is malformed.
    """
    return parse_lists(read_bounded(path), str(path), warnings)


def expanded(entry: Distribution, lists: MirrorLists) -> Distribution:
    """A distribution whose releases have the addresses of their lists besides their own; one without a known list stays
    as it is."""
    if not any(release.mirror_list in lists for release in entry.releases):
        return entry
    return replace(entry, releases=tuple(_expanded(release, lists) for release in entry.releases))


def unknown_lists(entry: Distribution, lists: MirrorLists) -> tuple[str, ...]:
    """Names of lists that releases want and that are not there."""
    wanted = {release.mirror_list for release in entry.releases if release.mirror_list}
    return tuple(sorted(wanted - lists.keys()))


def _expanded(release: Release, lists: MirrorLists) -> Release:
    found = {mirror.url: mirror for mirror in release.mirrors}
    for base in lists.get(release.mirror_list, ()):
        url = base.url + release.mirror_path
        if url in found:
            found[url] = Mirror(url, found[url].country or base.country)
        elif len(found) < MAX_MIRRORS:
            found[url] = Mirror(url, base.country)
    return replace(release, mirrors=tuple(found.values()))


def _problems(document: Mapping[str, Any]) -> Iterator[str]:
    for key, groups in document["lists"].items():
        seen: dict[str, str] = {}
        for index, group in enumerate(groups):
            at = f"$.lists.{key}[{index}]"
            if "country" in group and group["country"] not in CODES:
                yield f'{at}.country: found "{group["country"]}", expected a country of ISO 3166-1'
            for number, url in enumerate(group["urls"]):
                where = f"{at}.urls[{number}]"
                yield from url_problems(url, where, secure=True)
                if url in seen:
                    yield f'{where}: found "{url}" again, expected an address that {seen[url]} is not'
                seen.setdefault(url, where)
