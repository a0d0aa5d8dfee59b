"""Mends a stick: first what a worker can tell and write, then the images, read by the process without privileges."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

from luxusbd.errors import DeviceFailingError
from luxusbd.jobs.comparison import Comparison, Fate, How
from luxusbd.jobs.registry import name_of
from luxusbd.jobs.running import JobContext
from luxusbd.jobs.together import Overall
from luxusbd.jobs.views import DeviceView
from luxusbd.jobs.workshop import Workshop
from luxusbd.stick.findings import Area, Findings
from luxusbd.stick.fsck import DYING
from luxusbd.stick.model import StickOperation

_DONE = {
    Fate.GONE: "taken out of the menu",
    Fate.DAMAGED: "taken out of the menu; its file was deleted",
    Fate.UNREADABLE: "taken out of the menu; its file stays where the stick cannot be read",
    Fate.UNFIT: "taken out of the menu; its file was left alone",
}


class Repairs:
    """Runs the jobs that mend sticks."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    async def run(self, context: JobContext, view: DeviceView) -> Mapping[str, Any]:
        """Mend a stick; the Result of the job.

        Raises:
            DeviceFailingError: the medium gives input/output errors; what could be mended is.
            LuxusbError: it is no stick, or cannot be mended.
        """
        identity = view.device.identity
        overall = Overall(context, sum(image.size for image in view.images), 1)
        # held over all steps, so that nobody else changes the disk between the looks and the writing
        target = await self._workshop.open(identity)
        try:
            work = functools.partial(self._workshop.work, context, identity, overall=overall, target=target)
            first = await work(StickOperation.REPAIR)
            rebuild = bool(first["rebuild"])
            how = How(thorough=True, mending=True, newcomers=rebuild)
            found = await self._workshop.compare(context, identity, overall, target, how=how)
            last = first
            told = [first]
            if rebuild:
                last = await work(StickOperation.REBUILD, found=found.found)
                told.append(last)
            else:
                doomed = tuple(lost.image.name for lost in found.lost if lost.fate is Fate.DAMAGED)
                others = tuple(name for name in found.removed if name not in doomed)
                if found.found or others:
                    last = await work(StickOperation.RESCAN, found=found.found, remove=others)
                if doomed:
                    last = await work(StickOperation.REMOVE, remove=doomed)
        finally:
            os.close(target)
        images = _of_images(found, rebuild=rebuild)
        told.append(images.to_json())
        unreadable = [lost.image.name for lost in found.lost if lost.fate is Fate.UNREADABLE]
        if unreadable:
            raise DeviceFailingError(
                f"{name_of(view)}: {DYING}; {', '.join(unreadable)} cannot be read and went out of the menu, everything"
                " else was mended"
            )
        return _result(last, told)


def _of_images(found: Comparison, *, rebuild: bool) -> Findings:
    """What is to be said of the images."""
    findings = Findings()
    for lost in found.lost:
        findings.note(Area.IMAGE, f"{lost.image.name}: {lost.reason}", _DONE[lost.fate])
        findings.lose([lost.image], lost.reason)
    for name, old in found.renamed.items():
        findings.note(Area.IMAGE, f"{old} was renamed to {name} by hand", "its entry has the new name")
    for name in found.changed:
        findings.note(Area.IMAGE, f"{name} was replaced by hand", "its entry was made anew")
    if rebuild:
        for file in found.skipped:
            findings.note(
                Area.IMAGE, f"{file.name}: {file.reason}" if file.name else file.reason, "left without an entry"
            )
    return findings


def _result(last: Mapping[str, Any], told: list[Mapping[str, Any]]) -> dict[str, Any]:
    findings = [item for part in told for item in part["findings"]]
    return {
        **{key: last[key] for key in ("stick_id", "data_uuid", "generation", "firmware", "images", "free_bytes")},
        "sound": not findings,
        "findings": findings,
        "lost": [item for part in told for item in part["lost"]],
        "filesystem_log": [line for part in told for line in part["filesystem_log"]],
    }
