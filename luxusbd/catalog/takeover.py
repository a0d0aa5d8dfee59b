"""What LUXusb before 1.0 left on this machine, taken over once, at the first start that finds it.

That program kept its list of systems as files of its own Python package, and changed them there. They become a layer
below the packaged catalogue: what both have is newer there, what only they have stays to be had. The service is root,
so that a file counts only if nobody but root could have written it, or could have put another in its place.
"""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from luxusbd.catalog.files import bytes_of
from luxusbd.catalog.migrate import MAX_FILE, migrate
from luxusbd.durable import replace_file
from luxusbd.errors import CatalogError

CATALOGUE = "migrated.json"
RECORD = "migrated.record.json"
"""In the state directory: the layer, and that and how it was made."""
MAX_RECORD = 1024 * 1024
MAX_FILES = 1000
FORMAT = 1

log = logging.getLogger(__name__)


class _UnsafeError(Exception):
    """Somebody else than root could have written a file."""


@dataclass(frozen=True)
class TakenOver:
    """What there is of an older LUXusb."""

    catalogue: Path | None = None
    """The layer, or None where nothing was taken over."""
    notes: tuple[str, ...] = ()
    """What was done, a line each; empty where there was nothing to do."""


def take_over(patterns: Sequence[str], state: Path) -> TakenOver:
    """Do it, if it was not done before. Blocks. Whatever goes wrong is logged: it is no reason not to start.

    Args:
        patterns: of directories with *.json files, as glob(3) has them.
        state: where the layer and the record are kept.
    """
    try:
        before = _record(state)
        if before is None:
            before = _taken_over(patterns, state)
    except (OSError, CatalogError) as error:
        log.warning("the catalogue of an older LUXusb is not used: %s", error)
        return TakenOver()
    layer = state / CATALOGUE
    return TakenOver(layer if before and layer.exists() else None, before or ())


def _record(state: Path) -> tuple[str, ...] | None:
    """What was done at an earlier start, or None."""
    try:
        fd = os.open(state / RECORD, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        data = bytes_of(fd, RECORD, MAX_RECORD)
    finally:
        os.close(fd)
    try:
        notes = json.loads(data)["notes"]
    except (ValueError, KeyError, TypeError, RecursionError):
        # damaged: it was done all the same
        return (f"{state / RECORD}: cannot be read",)
    return tuple(str(note) for note in notes) if isinstance(notes, list) else ()


def _taken_over(patterns: Sequence[str], state: Path) -> tuple[str, ...]:
    """What is done now; nothing, and no record of it, where there is no older LUXusb."""
    root = Path("/")
    places = [place for pattern in patterns for place in sorted(root.glob(pattern.lstrip("/"))) if place.is_dir()]
    found: list[tuple[str, bytes]] = []
    refused: list[str] = []
    for path in _files(places, refused):
        try:
            found.append((str(path), _read(path)))
        except _UnsafeError as error:
            refused.append(f"{path}: left out, because {error}")
        except OSError as error:
            refused.append(f"{path}: left out: {error.strerror}")
        except CatalogError as error:
            refused.append(f"left out: {error}")
    if not found and not refused:
        return ()
    made = migrate(found, datetime.now(UTC).date().isoformat())
    where = ", ".join(map(str, places))
    said = (
        f"{made.distributions} distributions with {made.releases} releases of an older LUXusb in {where} were taken"
        " over; newer releases of the packaged catalogue go before them"
    )
    notes = (
        said,
        *refused,
        *(str(note) for note in made.notes if note.dropped),
    )
    if made.distributions:
        replace_file(state / CATALOGUE, json.dumps(made.document, indent=1).encode() + b"\n")
    record = {"format": FORMAT, "places": [str(place) for place in places], "notes": list(notes)}
    replace_file(state / RECORD, json.dumps(record, indent=1).encode() + b"\n")
    for note in (*notes[: 1 + len(refused)], *(str(note) for note in made.notes)):
        log.info("catalogue: %s", note)
    return notes


def _files(places: Sequence[Path], refused: list[str]) -> Iterator[Path]:
    for place in places:
        try:
            names = sorted(path for path in place.iterdir() if path.suffix == ".json")
        except OSError as error:
            refused.append(f"{place}: left out: {error.strerror}")
            continue
        yield from names[:MAX_FILES]


def _read(path: Path) -> bytes:
    # Path.resolve reports a loop of links as a RuntimeError up to Python 3.12
    real = Path(os.path.realpath(path, strict=True))
    for part in (*reversed(real.parents), real):
        _check(part.lstat(), str(part))
    fd = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _check(os.fstat(fd), str(real))
        return bytes_of(fd, str(path), MAX_FILE)
    finally:
        os.close(fd)


def _check(status: os.stat_result, name: str) -> None:
    if status.st_uid not in (0, os.geteuid()):
        raise _UnsafeError(f"{name} belongs to uid {status.st_uid}")
    # in a directory such as /tmp nobody can rename what belongs to root
    sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not sticky:
        raise _UnsafeError(f"others than root may write to {name}")
