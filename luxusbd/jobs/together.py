"""Several devices in one job: one progress, one pause, one outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from luxusbd.devices.model import DeviceIdentity
from luxusbd.errors import FailedError, LuxusbError
from luxusbd.jobs.model import JobState
from luxusbd.jobs.running import JobContext
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

    def __post_init__(self) -> None:
        # in place, without ending the task: the downloads are jobs of their own, and workers are stopped by signal
        self.context.on_pause(self._pause)

    def on_pause(self, device_id: str, hook: Callable[[bool], None] | None) -> None:
        """Let `hook` stop and continue the worker of a device, from now on."""
        if hook is None:
            self.hooks.pop(device_id, None)
            return
        self.hooks[device_id] = hook
        if self.context.job.state is JobState.PAUSED:
            hook(True)

    def _pause(self, paused: bool) -> None:
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
        self._report(progress.stage)

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


def combine(
    identities: Sequence[DeviceIdentity], outcomes: Sequence[Mapping[str, Any] | BaseException]
) -> Mapping[str, Any]:
    """The Result of a job over several devices, from what came of each.

    Raises:
        LuxusbError: of the only device there is.
        FailedError: some of several failed; the text says which, and how many were made.
        BaseException: one ended in no foreseen way.
    """
    failures = [
        (identity, outcome)
        for identity, outcome in zip(identities, outcomes, strict=True)
        if isinstance(outcome, BaseException)
    ]
    for _identity, failure in failures:
        if not isinstance(failure, LuxusbError):
            raise failure
    if len(identities) == 1:
        if failures:
            raise failures[0][1]
        assert isinstance(outcomes[0], Mapping)
        return outcomes[0]
    if failures:
        done = len(identities) - len(failures)
        texts = "; ".join(f"{identity.id}: {failure}" for identity, failure in failures)
        raise FailedError(f"{done} of {len(identities)} sticks were made; {texts}")
    return {
        "devices": [
            {"id": identity.id, **outcome}
            for identity, outcome in zip(identities, outcomes, strict=True)
            if isinstance(outcome, Mapping)
        ]
    }
