"""What the user prefers for new sticks, in a file of the app's own. Pure but for that file."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

FILESYSTEMS = ("ext4", "exfat", "fat32")
LIMIT = 1 << 16
"""Bytes of the file that are read at most."""
MOST = 1 << 50
"""Bytes for changes that can be asked for, as for the daemon."""


@dataclass(frozen=True)
class Wishes:
    """The defaults of new sticks."""

    filesystem: str = FILESYSTEMS[0]
    """Of the data partition."""
    persistence: int = 0
    """Bytes for the changes of every system that can keep some, 0 for none."""


def location() -> Path:
    """Where they are kept (XDG Base Directory specification)."""
    named = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(named) if named.startswith("/") else Path.home() / ".config") / "luxusb" / "app.json"


def load() -> Wishes:
    """What was kept; the defaults for what is not there or cannot be understood."""
    try:
        with location().open("rb") as file:
            found = json.loads(file.read(LIMIT))
    except (OSError, ValueError, RuntimeError):
        return Wishes()
    if not isinstance(found, dict):
        return Wishes()
    filesystem, persistence = found.get("filesystem"), found.get("persistence")
    return Wishes(
        filesystem if filesystem in FILESYSTEMS else Wishes.filesystem,
        persistence if type(persistence) is int and 0 <= persistence <= MOST else 0,
    )


def save(wishes: Wishes) -> None:
    """Keep them.

    Raises:
        OSError: the file cannot be written.
    """
    path = location()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    try:
        fresh.write_text(json.dumps(asdict(wishes)) + "\n", "utf-8")
        fresh.replace(path)
    finally:
        with suppress(OSError):
            fresh.unlink()
