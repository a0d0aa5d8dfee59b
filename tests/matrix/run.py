"""From rows of the matrix to what was seen: images, a stick for each filesystem, one start after the other."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from luxusbd.images.model import Firmware
from tests.demo.result import file_hash
from tests.harness.service import Service, ServiceError
from tests.matrix import boots, sticks
from tests.matrix.boots import Seen
from tests.matrix.cases import Filesystem, Refuser, Result, Row
from tests.matrix.results import Record

EVIDENCE_LIMIT = 300
"""Characters."""


@dataclass(frozen=True)
class Workplace:
    """Where things are made, and who is told of them."""

    directory: Path
    """Sticks, the service's state and log."""
    consoles: Path
    """What each machine's console said, and the screens of failures."""
    say: Callable[[str], None]
    report: Callable[[Record], None]
    """Called with each row as soon as it was seen."""


async def run(chosen: Sequence[Row], images: Mapping[str, Path], place: Workplace) -> None:
    """Make the sticks that these rows need, and start each row once.

    Raises:
        ServiceError: a stick could not be made.
        StickError: it is not what the matrix says.
    """
    place.consoles.mkdir(parents=True, exist_ok=True)
    for filesystem, group in _by_filesystem(chosen):
        refused = [row for row in group if row.expected.refuser is Refuser.PLAN]
        wanted = {row.system.image: images[row.system.image] for row in group if row not in refused}
        place.say(f"{filesystem.name}: {', '.join(wanted) or 'nothing that it can start'}")
        async with _service(place) as service:
            for row in refused:
                place.report(await _refused(service, row, images[row.system.image], place))
            if not wanted:
                continue
            stick = await sticks.make(service, place.directory / f"{filesystem.name}.img", filesystem, wanted)
        unstarted: dict[Firmware, Seen] = {}
        for row in group:
            if row not in refused:
                place.report(await _started(stick, row, unstarted, place))


def _by_filesystem(chosen: Sequence[Row]) -> Iterator[tuple[Filesystem, list[Row]]]:
    for filesystem, group in groupby(chosen, key=lambda row: row.filesystem):
        yield filesystem, list(group)


def _service(place: Workplace) -> Service:
    state = place.directory / "state"
    if state.exists():
        shutil.rmtree(state)
    return Service(state, catalogue=None, log=place.directory / "luxusbd.log")


async def _started(stick: sticks.Stick, row: Row, unstarted: dict[Firmware, Seen], place: Workplace) -> Record:
    """Start the row's image; where the stick starts nothing, it is asked once for all of its images."""
    image = stick.images[row.system.image]
    seen = unstarted.get(row.firmware)
    if seen is None:
        seen = await boots.start(stick.path, image.title, row, place.consoles)
        if row.expected.refuser is Refuser.STICK:
            unstarted[row.firmware] = seen
    return record(row, image.sha256, image.recipe, seen)


async def _refused(service: Service, row: Row, image: Path, place: Workplace) -> Record:
    """Ask the service for a stick with an image that this filesystem cannot start."""
    path = place.directory / "refused.img"
    path.unlink(missing_ok=True)
    asked = ("create", "--image-file", str(path), "--size", "2GiB", "--yes", *row.filesystem.options, str(image))
    began = asyncio.get_running_loop().time()
    try:
        await service.ask(*asked, timeout=600)
        result, said = Result.FAILED, "the service made the stick"
    except ServiceError as error:
        result, said = boots.judge(row.expected, refusal(str(error)))
    finally:
        path.unlink(missing_ok=True)
    seconds = round(asyncio.get_running_loop().time() - began)
    return record(row, await asyncio.to_thread(file_hash, image), row.system.recipe, Seen(result, said, seconds))


def record(row: Row, sha256: str, recipe: str, seen: Seen) -> Record:
    return Record(
        image=row.system.image,
        entry=row.system.entry,
        sha256=sha256,
        recipe=recipe,
        firmware=row.firmware.value,
        filesystem=row.filesystem.name,
        date=datetime.now(UTC).date().isoformat(),
        seconds=seen.seconds,
        result=seen.result.value,
        evidence=one_line(seen.evidence),
    )


def refusal(text: str) -> str:
    """What the service answered, out of the text of a `ServiceError`, which names this machine's paths as well."""
    printed = re.search(r'\{"error": .*\}', text)
    return str(json.loads(printed[0])["error"]["message"]) if printed else "the command failed without an answer"


def one_line(text: str) -> str:
    """What can be printed of it, with single blanks, and not too long."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= EVIDENCE_LIMIT else line[: EVIDENCE_LIMIT - 1] + "…"
