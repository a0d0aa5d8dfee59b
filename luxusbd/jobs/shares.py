"""What becomes of each device of a job that works on several. Pure but for the clock that its caller reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from luxusbd.errors import LuxusbError
from luxusbd.jobs.model import DeviceShare, JobState
from luxusbd.jobs.progress import RateMeter
from luxusbd.jobs.views import DeviceView
from luxusbd.stick.model import StickProgress
from luxusbd.text import without_secrets


class Shares:
    """The devices of a job, each with its progress."""

    def __init__(self, devices: Iterable[DeviceShare]) -> None:
        self._devices = {device.id: device for device in devices}
        self._meters = {device_id: RateMeter() for device_id in self._devices}
        self._stages = dict.fromkeys(self._devices, 0)
        """How many stages each has begun."""

    def progress(self, device_id: str, told: StickProgress, now: float) -> None:
        """What the worker of a device told at `now`, in monotonic seconds."""
        share, meter = self._devices[device_id], self._meters[device_id]
        if told.stage != share.stage:
            self._stages[device_id] += 1
            meter.reset()
        meter.add(now, told.bytes_done)
        self._devices[device_id] = replace(
            share,
            state=JobState.RUNNING,
            stage=told.stage,
            bytes_done=told.bytes_done,
            bytes_total=told.bytes_total,
        )

    def ended(self, device_id: str, state: JobState, error: LuxusbError | None = None) -> None:
        """Nothing more will come of a device."""
        share = self._devices[device_id]
        self._devices[device_id] = replace(
            share,
            state=state,
            rate=0,
            bytes_done=share.bytes_total if state is JobState.SUCCEEDED else share.bytes_done,
            error_name=error.dbus_name if error else "",
            error_message=without_secrets(error.message) if error else "",
        )

    def now(self, now: float) -> tuple[DeviceShare, ...]:
        """All of them with their rates at `now`, in the order in which they were given."""
        return tuple(
            replace(share, rate=self._meters[share.id].estimate(now, share.bytes_total).rate)
            if share.state is JobState.RUNNING
            else share
            for share in self._devices.values()
        )

    @property
    def stage(self) -> str:
        """The stage of the one that has begun the fewest; so the job goes on from stage to stage, and never back."""
        running = [share for share in self._devices.values() if share.state is JobState.RUNNING]
        return min(running, key=lambda share: self._stages[share.id]).stage if running else ""


def shares_of(views: Sequence[DeviceView]) -> Shares | None:
    """For a job on these devices; a job on one has its own figures, and no others."""
    if len(views) < 2:
        return None
    devices = [view.device for view in views]
    return Shares(
        DeviceShare(device.identity.id, device.node, " ".join(part for part in (device.vendor, device.model) if part))
        for device in devices
    )


def outcome(devices: Sequence[DeviceShare]) -> Mapping[str, Any]:
    """The Result of a job that did not succeed on all of several devices; empty where it has none."""
    if not devices:
        return {}
    return {"devices": [summary(share) for share in devices]}


def summary(share: DeviceShare) -> Mapping[str, Any]:
    """What the Result says of one device."""
    said = {"id": share.id, "node": share.node, "model": share.model, "state": share.state.value}
    if share.error_name:
        said |= {"error_name": share.error_name, "error_message": share.error_message}
    return said


def interrupted(devices: Sequence[DeviceShare], error: LuxusbError) -> tuple[DeviceShare, ...]:
    """The devices of a job that ended with its daemon: those that were done are done."""
    return tuple(
        share
        if share.state.finished
        else replace(
            share,
            state=JobState.FAILED,
            rate=0,
            error_name=error.dbus_name,
            error_message=without_secrets(error.message),
        )
        for share in devices
    )
