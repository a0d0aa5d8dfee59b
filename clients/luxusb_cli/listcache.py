"""The last list of distributions, kept so that it can be shown without a daemon."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from luxusb_cli.catalog import DistroInfo, DistroQuery, ReleaseInfo
from luxusb_cli.context import to_json
from luxusb_cli.wire import ProtocolError, number, wire_of, wires
from luxusbd.catalog.search import Searchable, Wording, squeezed

FORMAT = 1
MAX_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class CachedList:
    """What the daemon listed some time ago."""

    written: int
    """Unix seconds."""
    distributions: tuple[DistroInfo, ...]

    def matching(self, query: DistroQuery) -> tuple[DistroInfo, ...]:
        """Those that fit, as the daemon would choose them, but for the room on a disk, which it alone knows."""
        return choose(self.distributions, query)


def choose(distributions: Sequence[DistroInfo], query: DistroQuery) -> tuple[DistroInfo, ...]:
    """The distributions that fit, with the releases that fit, of a list with the most popular first."""
    today = time.strftime("%Y-%m-%d")
    wording = Wording.of(query.text)
    found: list[tuple[int, DistroInfo]] = []
    for distro in distributions:
        rank = wording.rank(_searchable(distro))
        if rank is None or (query.category and squeezed(distro.category) != squeezed(query.category)):
            continue
        # it may have ended since the list was kept
        releases = tuple(
            replace(release, ended=bool(release.end_of_life) and release.end_of_life < today)
            for release in distro.releases
        )
        if releases := tuple(release for release in releases if _fits(release, query)):
            found.append((rank, replace(distro, releases=releases)))
    if query.sort == "name":
        found.sort(key=lambda pair: (squeezed(pair[1].name), pair[1].id))
    else:
        found.sort(key=lambda pair: pair[0])
    return tuple(distro for _rank, distro in found)


def _fits(release: ReleaseInfo, query: DistroQuery) -> bool:
    return (
        (not query.architecture or release.architecture in {"", query.architecture})
        and (not query.family or squeezed(release.family) == squeezed(query.family))
        and (not query.secure_boot or release.secure_boot == "yes")
        and not (query.hide_end_of_life and release.ended)
    )


def _searchable(distro: DistroInfo) -> Searchable:
    labels = [distro.category]
    for release in distro.releases:
        labels += [release.family, release.edition]
    return Searchable.of(distro.id, distro.name, labels, [distro.description])


def location() -> Path:
    """`distros.json` in the user's cache: $XDG_CACHE_HOME/luxusb or ~/.cache/luxusb."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    # A relative path there is invalid and to be ignored, says the XDG Base Directory specification.
    base = Path(named) if named.startswith("/") else Path("~/.cache").expanduser()
    return base / "luxusb" / "distros.json"


def save(distributions: Sequence[DistroInfo]) -> None:
    """Keep a list. Nothing happens where that is not possible: the list was shown, and that was the task."""
    path = location()
    with suppress(OSError):
        if Path.home().stat().st_uid != os.geteuid() and "XDG_CACHE_HOME" not in os.environ:
            # Under sudo this is another user's home, which root's files have no place in.
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        document = {"format": FORMAT, "written": int(time.time()), "distributions": distributions}
        try:
            part.write_text(to_json(document), "utf-8")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def load() -> CachedList | None:
    """The last list; None where there is none, or one that this version cannot read."""
    path = location()
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        document = wire_of(json.loads(path.read_text("utf-8")), "the list")
        if number(document, "format") != FORMAT:
            return None
        found = wires(document.get("distributions"), "distributions")
        return CachedList(number(document, "written"), tuple(DistroInfo.from_wire(item) for item in found))
    except (OSError, ValueError, RecursionError, ProtocolError):
        return None
