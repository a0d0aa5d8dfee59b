"""Who needs which stored image: jobs that have not ended, plans that may still be used, and calls under way."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from luxusbd.jobs.model import Job, Operation
from luxusbd.jobs.partials import content_of

ROOT = 0


@dataclass(frozen=True)
class PlanHold:
    """A plan that can still be used."""

    token: str
    uid: int
    expires: int
    """Unix seconds."""
    images: frozenset[str]
    """sha256 of those that are stored, `Release.content` of the others."""


@dataclass(frozen=True)
class Hold:
    """One reason why an image must stay."""

    content: str
    """Its sha256, or `Release.content` while it is not there."""
    uid: int
    job: Job | None = None
    plan: PlanHold | None = None


class JobSource(Protocol):
    """Knows the jobs: the queue."""

    def jobs(self) -> tuple[Job, ...]:
        """Unfinished jobs, and those that ended not long ago."""


class PlanSource(Protocol):
    """Knows the plans: the planner."""

    def plans(self) -> Iterable[PlanHold]:
        """Those that can still be used."""


class ImageSource(Protocol):
    """Knows the images: the store."""

    def named(self, content: str) -> str:
        """The sha256 of the image that `Release.content` means; the text itself where no such image is there."""


class Holds:
    """All reasons at one moment; nothing here is remembered, so that nothing can be forgotten to be given back."""

    def __init__(self, jobs: JobSource, plans: PlanSource, images: ImageSource) -> None:
        self._jobs = jobs
        self._plans = plans
        self._images = images
        self._calls: list[Hold] = []

    def all(self) -> tuple[Hold, ...]:
        """Every hold, those of jobs first."""
        found = [
            Hold(content, job.owner_uid, job=job)
            for job in self._jobs.jobs()
            if not job.state.finished
            for content in needed_by(job)
        ]
        found += [Hold(content, plan.uid, plan=plan) for plan in self._plans.plans() for content in plan.images]
        found += self._calls
        # what was named before it was there is held under its sha256, too, once it is
        there = [
            replace(hold, content=sha256)
            for hold in found
            if (sha256 := self._images.named(hold.content)) != hold.content
        ]
        return (*found, *there)

    def of(self, sha256: str, uid: int, *, public: bool) -> tuple[Hold, ...]:
        """The holds of one image that `uid` may know of, and that would suffer if it went out of his view.

        Of an image that everybody sees these are all. Of an imported one they are his own and root's: what another uid
        does with the same bytes stays between the daemon and that uid.
        """
        return tuple(
            hold for hold in self.all() if hold.content == sha256 and (public or uid == ROOT or hold.uid in (uid, ROOT))
        )

    @contextlib.contextmanager
    def keep(self, uid: int, contents: Collection[str]) -> Iterator[None]:
        """Hold images between a decision and the job that comes of it."""
        mine = [Hold(content, uid) for content in contents]
        self._calls += mine
        try:
            yield
        finally:
            for hold in mine:
                self._calls.remove(hold)


def needed_by(job: Job) -> frozenset[str]:
    """Of the images that a job needs or is downloading; see `Hold.content`."""
    wanted = {str(content) for content in job.params.get("images", ())}
    if job.operation is Operation.DOWNLOAD:
        wanted.add(content_of(job.params))
    return frozenset(wanted)


def reason(hold: Hold, uid: int) -> str:
    """What holds an image, in words for `uid`, with what he can do about it."""
    if hold.job is not None:
        if uid not in (hold.uid, ROOT):
            return "a job of another user; try again when it has ended"
        job = hold.job
        return (
            f"job {job.id} (/org/luxusb/jobs/_{job.id}, {job.operation}: {job.title}), which is {job.state};"
            f" wait for its end, or cancel it: luxusb cancel {job.id}"
        )
    if hold.plan is not None:
        who = "a plan of yours" if uid == hold.uid else "a plan of another user"
        return f"{who}, which expires in some minutes; try again then"
    return "a job that is just beginning; try again in a moment"
