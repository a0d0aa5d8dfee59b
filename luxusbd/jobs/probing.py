"""Whether a disk is probed before it is erased."""

from __future__ import annotations

from collections.abc import Callable

from luxusbd.devices.sysfs import Transport
from luxusbd.jobs.views import DeviceView
from luxusbd.stick.model import Probe


class Probing:
    """Decides it; `usual` says whether it is done when the caller does not say."""

    def __init__(self, usual: Callable[[], bool]) -> None:
        self._usual = usual

    def first(self, view: DeviceView, wanted: bool | None) -> Probe:
        """How this disk is probed; a loop device, which is no flash, by the caller's own wish only."""
        if wanted is None:
            wanted = self._usual() and view.device.bus != Transport.LOOP.value
        return Probe.QUICK if wanted else Probe.NONE
