"""What the app knows at a moment: systems of the catalogue, devices, jobs, and what the user chose.

Pages read it and listen to it; nothing else holds state that outlives a page.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gi.repository import GLib, GObject
from luxusb_cli.catalog import DistroInfo
from luxusb_cli.errors import CliError
from luxusb_cli.model import DeviceInfo, JobInfo

from luxusb_gtk import wishes
from luxusb_gtk.basket import Basket, Choice, choice_of, editions
from luxusb_gtk.logos import Logos
from luxusb_gtk.service import DEVICE_INTERFACE, JOB_INTERFACE, Presence, Service, ServiceError
from luxusb_gtk.stickplan import StickChoices
from luxusb_gtk.wishes import Wishes

NO_OPTIONS = GLib.Variant("(a{sv})", ({},))


class Model(GObject.Object):
    """The service's state as values.

    Signals: `systems`, `devices`, `jobs`, `chosen` and `presence` when one of them changed; `progress` with a path when
    only the figures of a job did; `finished` with the path of a job.
    """

    __gsignals__ = {  # noqa: RUF012  # GObject reads it
        "presence": (GObject.SignalFlags.RUN_FIRST, None, ()),
        "systems": (GObject.SignalFlags.RUN_FIRST, None, ()),
        "devices": (GObject.SignalFlags.RUN_FIRST, None, ()),
        "jobs": (GObject.SignalFlags.RUN_FIRST, None, ()),
        "progress": (GObject.SignalFlags.RUN_FIRST, None, (str,)),
        "finished": (GObject.SignalFlags.RUN_FIRST, None, (str,)),
        "chosen": (GObject.SignalFlags.RUN_FIRST, None, ()),
    }

    def __init__(self, service: Service) -> None:
        super().__init__()
        self.service = service
        self.logos = Logos(service)
        self.systems: tuple[DistroInfo, ...] = ()
        self.systems_problem = ""
        """Why there is no list of systems, else empty."""
        self.devices: dict[str, DeviceInfo] = {}
        self.jobs: dict[str, JobInfo] = {}
        self.basket = Basket()
        self.wishes = wishes.load()
        """What the user prefers for new sticks."""
        self.for_stick = StickChoices(self.wishes.filesystem)
        """What else is chosen for the stick that is to be made."""
        self._made: dict[str, tuple[Basket, StickChoices]] = {}
        """What the jobs of this window were about, by their paths."""
        self.problem = ""
        """What of the daemon's answers was not understood last, else empty."""
        service.connect("presence", lambda _service: self._presence())
        service.connect("device", lambda _service, path: self._device(path))
        service.connect("job", lambda _service, path: self._job(path))
        service.connect("finished", lambda _service, path, _state: self._finished(path))
        service.connect("told", lambda _service, signal: self.load_systems() if signal == "CatalogChanged" else None)

    # ---- what the user chose
    def choose(self, choice: Choice) -> None:
        """Add one, or put it in the place of another release of the same system."""
        self.basket = self.basket.with_choice(choice)
        self.emit("chosen")

    def leave_out(self, key: str) -> None:
        """Take one away."""
        self.basket = self.basket.without(key)
        self.emit("chosen")

    def clear(self) -> None:
        """Nothing is chosen any more."""
        self.basket = Basket()
        self.for_stick = StickChoices(self.wishes.filesystem)
        self.emit("chosen")

    def remember(self, path: str) -> None:
        """Keep what is chosen now as that of a job, which may have to be done again for some of its sticks."""
        self._made[path] = (self.basket, self.for_stick)

    def choose_again(self, job: JobInfo) -> None:
        """Choose what a job was about, and nothing else."""
        known = {
            choice.reference: choice
            for system in self.systems
            for choice in (choice_of(system, release) for release in editions(system))
        }
        wanted = (known.get(name, Choice(name, name, name, 0)) for name in job.details.images)
        # of a job that another window began the systems are known, and nothing else
        again = (Basket(tuple(wanted)), StickChoices(self.wishes.filesystem))
        self.basket, self.for_stick = self._made.get(job.path, again)
        self.emit("chosen")

    def choose_for_stick(self, choices: StickChoices) -> None:
        """Choose filesystem and partitions of the stick that is to be made."""
        self.for_stick = choices
        self.emit("chosen")

    def prefer(self, preferred: Wishes) -> None:
        """Keep what the user prefers for new sticks, also for the one that is chosen for now.

        Raises:
            OSError: it cannot be kept.
        """
        wishes.save(preferred)
        self.wishes = preferred
        self.for_stick = replace(self.for_stick, filesystem=preferred.filesystem)
        self.emit("chosen")

    # ---- what the daemon says
    def load_systems(self) -> None:
        """Read the catalogue anew."""
        self.logos.forget_failures()

        def done(answer: tuple[Any, ...]) -> None:
            try:
                self.systems = tuple(DistroInfo.from_wire(item) for item in answer[0])
                self.systems_problem = ""
            except CliError as error:
                self.systems, self.systems_problem = (), str(error)
            self.emit("systems")

        def failed(error: ServiceError) -> None:
            self.systems, self.systems_problem = (), str(error)
            self.emit("systems")

        self.service.manager("ListDistributions", NO_OPTIONS, done, failed)

    def running_jobs(self) -> list[JobInfo]:
        """Jobs that nobody else asked for and that are not at their end, the oldest first."""
        return sorted((job for job in self.jobs.values() if not job.state.finished and not job.parent), key=_number)

    def top_jobs(self) -> list[JobInfo]:
        """All jobs that nobody else asked for, the newest first."""
        return sorted((job for job in self.jobs.values() if not job.parent), key=_number, reverse=True)

    def children(self, path: str) -> list[JobInfo]:
        """What a job asked for, in order."""
        return sorted((job for job in self.jobs.values() if job.parent == path), key=_number)

    def _presence(self) -> None:
        ready = self.service.presence is Presence.READY
        self.devices = self._all(DEVICE_INTERFACE, self._read_device) if ready else {}
        self.jobs = self._all(JOB_INTERFACE, self._read_job) if ready else {}
        if ready:
            self.load_systems()
        self.emit("presence")
        self.emit("devices")
        self.emit("jobs")

    def _all(self, interface: str, read: Any) -> dict[str, Any]:
        found = {path: read(path) for path in self.service.paths(interface)}
        return {path: value for path, value in found.items() if value is not None}

    def _read_device(self, path: str) -> DeviceInfo | None:
        told = self.service.properties(path, DEVICE_INTERFACE)
        try:
            return DeviceInfo.from_wire(path, told) if told else None
        except CliError as error:
            self.problem = str(error)
            return None

    def _read_job(self, path: str) -> JobInfo | None:
        told = self.service.properties(path, JOB_INTERFACE)
        try:
            return JobInfo.from_wire(path, told) if told else None
        except CliError as error:
            self.problem = str(error)
            return None

    def _device(self, path: str) -> None:
        device = self._read_device(path)
        if device == self.devices.get(path):
            return
        if device is None:
            self.devices.pop(path, None)
        else:
            self.devices[path] = device
        self.emit("devices")

    def _job(self, path: str) -> None:
        old, new = self.jobs.get(path), self._read_job(path)
        if new is None:
            self.jobs.pop(path, None)
            self.emit("jobs")
            return
        self.jobs[path] = new
        if old is None or (old.state, old.details.pause_reason) != (new.state, new.details.pause_reason):
            self.emit("jobs")
        else:
            self.emit("progress", path)

    def _finished(self, path: str) -> None:
        self._job(path)
        self.emit("finished", path)


def _number(job: JobInfo) -> int:
    return job.id
