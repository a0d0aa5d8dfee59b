"""Several devices in one job: one progress, one pause, one outcome."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from luxusbd.devices.model import DeviceIdentity
from luxusbd.errors import FailedError, InternalError, LuxusbError, PartlyFailedError
from luxusbd.jobs.lockstep import Pack
from luxusbd.jobs.model import DeviceShare, JobState
from luxusbd.jobs.running import JobContext
from luxusbd.jobs.shares import Shares, summary
from luxusbd.stick.model import StickProgress


@dataclass
class Overall:
    """Adds the bytes of downloads and of every device up to one progress; passes a pause on to every worker."""

    context: JobContext
    expected: int
    """Bytes that one device is expected to take, until its worker says better."""
    devices: int
    fetched: tuple[int, int] = (0, 0)
    streamed: tuple[int, int] = (0, 0)
    written: dict[str, tuple[int, int]] = field(default_factory=dict)
    hooks: dict[str, Callable[[bool], None]] = field(default_factory=dict)
    later: int = 0
    """Bytes that orders will take which come after the ones under way."""
    shares: Shares | None = None
    """Of a job that tells how far each of its devices is."""
    pack: Pack | None = None
    """Those that read the same images."""

    def __post_init__(self) -> None:
        # in place, without ending the task: the downloads are jobs of their own, and workers are stopped by signal
        self.context.on_pause(self._pause)
        if self.shares is not None:
            # they wait for the downloads, and are seen to
            self.context.shared_by(self.shares.now(time.monotonic()))

    def keep_in_step(self, devices: Mapping[str, str], total: int) -> None:
        """Have the workers of these devices, names by ids, read `total` bytes of images close together."""
        if len(devices) < 2 or not total:
            return

        def drops(device_id: str) -> None:
            self.context.note(f"{devices[device_id]} is much slower than the others and reads the images for itself")

        self.pack = Pack.of(devices, total, drops)

    def on_pause(self, device_id: str, hook: Callable[[bool], None] | None) -> None:
        """Let `hook` stop and continue the worker of a device, from now on."""
        if hook is None:
            self.hooks.pop(device_id, None)
            return
        self.hooks[device_id] = hook
        if self.context.job.state is JobState.PAUSED:
            hook(True)

    def _pause(self, paused: bool) -> None:
        if self.pack is not None:
            self.pack.pause(paused)
        for hook in self.hooks.values():
            hook(paused)

    def downloads(self, done: int, total: int) -> None:
        """Bytes of the downloads that the devices wait for."""
        self.fetched = (done, total)
        self._report("download")

    def streaming(self, done: int, total: int) -> None:
        """Bytes of the downloads that go on while the devices are written."""
        self.streamed = (done, total)
        self._report(None if self.written else "download")

    def reading(self, done: int, total: int) -> None:
        """Bytes that are read from a stick before anything is written."""
        self.fetched = (done, total)
        self._report("read-image")

    def device(self, device_id: str, progress: StickProgress) -> None:
        """What the worker of a device tells."""
        self.written[device_id] = (progress.bytes_done, progress.bytes_total)
        if self.shares is None:
            self._report(progress.stage)
            return
        self.shares.progress(device_id, progress, time.monotonic())
        self._tell_shares()

    def ended(self, device_id: str, state: JobState, error: LuxusbError | None = None) -> None:
        """Nothing more will come of a device; the others go on."""
        if self.pack is not None:
            self.pack.leave(device_id)
        if self.shares is None:
            return
        if state is not JobState.SUCCEEDED:
            # what it has left undone is not waited for
            done, _total = self.written.get(device_id, (0, 0))
            self.written[device_id] = (done, done)
        self.shares.ended(device_id, state, error)
        self._tell_shares()

    def _tell_shares(self) -> None:
        assert self.shares is not None
        self.context.shared_by(self.shares.now(time.monotonic()))
        self._report(self.shares.stage or self.context.job.stage)

    def next_order(self, expected: int, later: int) -> None:
        """The orders under way are done, and the next ones begin: `expected` bytes each, and `later` after them."""
        done = sum(part[0] for part in self.written.values())
        self.fetched = (self.fetched[0] + done, self.fetched[1] + done)
        self.written.clear()
        self.expected = expected
        self.later = later

    def _report(self, stage: str | None) -> None:
        waiting = max(0, self.devices - len(self.written)) * self.expected
        done = self.fetched[0] + self.streamed[0] + sum(part[0] for part in self.written.values())
        total = (
            self.fetched[1] + self.streamed[1] + sum(part[1] for part in self.written.values()) + waiting + self.later
        )
        self.context.report(done, total, stage=stage)


async def make_each(
    overall: Overall,
    identities: Sequence[DeviceIdentity],
    make: Callable[[DeviceIdentity], Awaitable[Mapping[str, Any]]],
) -> Mapping[str, Any]:
    """Do the same on several devices at once, each for itself: one that fails keeps none of the others from its end.

    Raises:
        LuxusbError: as `combine` has it.
    """

    async def one(identity: DeviceIdentity) -> Mapping[str, Any]:
        try:
            made = await make(identity)
        except asyncio.CancelledError:
            overall.ended(identity.id, JobState.CANCELLED)
            raise
        except LuxusbError as error:
            overall.ended(identity.id, JobState.FAILED, error)
            raise
        except BaseException:
            overall.ended(identity.id, JobState.FAILED, InternalError("a defect of luxusbd; its log has the details"))
            raise
        overall.ended(identity.id, JobState.SUCCEEDED)
        return made

    outcomes = await asyncio.gather(*(one(identity) for identity in identities), return_exceptions=True)
    return combine(overall.context.job.devices, outcomes)


def combine(devices: Sequence[DeviceShare], outcomes: Sequence[Mapping[str, Any] | BaseException]) -> Mapping[str, Any]:
    """The Result of a job over devices, from what came of each.

    Raises:
        LuxusbError: of the only device there is.
        PartlyFailedError: some of several failed; the text says which, and how many were made.
        FailedError: all of several failed.
        BaseException: one ended in no foreseen way.
    """
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    for failure in failures:
        if not isinstance(failure, LuxusbError):
            raise failure
    if len(outcomes) == 1:
        if failures:
            raise failures[0]
        assert isinstance(outcomes[0], Mapping)
        return outcomes[0]
    if failures:
        done = len(outcomes) - len(failures)
        texts = "; ".join(
            f"{device.name}: {outcome}"
            for device, outcome in zip(devices, outcomes, strict=True)
            if isinstance(outcome, LuxusbError)
        )
        if not done:
            raise FailedError(f"none of {len(outcomes)} disks is ready; {texts}")
        raise PartlyFailedError(
            f"{done} of {len(outcomes)} disks are ready; do the others again by themselves; {texts}"
        )
    return {
        "devices": [
            {**summary(device), **outcome}
            for device, outcome in zip(devices, outcomes, strict=True)
            if isinstance(outcome, Mapping)
        ]
    }
