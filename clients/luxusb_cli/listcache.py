"""The last list of distributions, kept so that it can be shown without a daemon."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from luxusb_cli.catalog import DistroInfo, ReleaseInfo
from luxusb_cli.context import to_json
from luxusb_cli.wire import ProtocolError, number, wire_of, wires

FORMAT = 1
MAX_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class CachedList:
    """What the daemon listed some time ago."""

    written: int
    """Unix seconds."""
    distributions: tuple[DistroInfo, ...]

    def matching(self, text: str, category: str, architecture: str) -> tuple[DistroInfo, ...]:
        """Those that fit, as the daemon would choose them."""
        found = (
            distro
            for distro in self.distributions
            if _has(distro, text.casefold()) and (not category or distro.category.casefold() == category.casefold())
        )
        if not architecture:
            return tuple(found)
        trimmed = (replace(distro, releases=_for(architecture, distro.releases)) for distro in found)
        return tuple(distro for distro in trimmed if distro.releases)


def _for(architecture: str, releases: Sequence[ReleaseInfo]) -> tuple[ReleaseInfo, ...]:
    return tuple(release for release in releases if release.architecture in {"", architecture})


def _has(distro: DistroInfo, text: str) -> bool:
    everything = f"{distro.id} {distro.name} {distro.description} {distro.category}".casefold()
    return all(word in everything for word in text.split())


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
