"""Jobs of the fake daemon."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dbus_next.signature import Variant

from tests.cli import contract

JOB = "org.luxusb.Job"
PREFIX = "/org/luxusb/jobs/_"
PROPERTIES = "org.freedesktop.DBus.Properties"
MIB = 1024**2
TOTAL = 400 * MIB
STAGES = {
    "download": ("transfer", "verify"),
    "import": ("transfer", "recognise"),
    "create": ("partition", "write-image", "read-back", "menu"),
    "add": ("write-image", "menu"),
    "remove": ("menu",),
    "refresh": ("boot-files", "menu"),
    "verify": ("read-back",),
    "rescan": ("read-image", "menu"),
    "adopt": ("boot-files", "menu"),
    "update": ("write-image", "menu"),
    "repair": ("boot-files", "menu"),
    "persistence": ("partition", "menu"),
    "write-raw": ("write-image", "read-back"),
    "restore": ("partition",),
    "probe": ("probe",),
    "race": ("race",),
    "update-catalog": ("fetch", "check", "install"),
}


class RefusalError(Exception):
    """An error answer."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name
        self.text = text


@dataclass
class FakeJob:
    """Property values under their names; `outcome` is its Result if it succeeds."""

    path: str
    values: dict[str, Any]
    outcome: dict[str, Variant] = field(default_factory=dict)
    children: list[str] = field(default_factory=list)
    seen: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def finished(self) -> bool:
        return self.values["State"] in {"succeeded", "failed", "cancelled"}

    def wire(self) -> dict[str, Variant]:
        types = contract.interface(JOB).properties
        return {name: Variant(types[name], value) for name, value in self.values.items()}


class Jobs(ABC):
    """The job half of the fake daemon."""

    def __init__(self) -> None:
        self.jobs: dict[str, FakeJob] = {}
        self.auto = True
        """Jobs run to their end by themselves; otherwise the test moves them."""
        self.eager = False
        """Jobs run at once; otherwise from when somebody asked for the list of jobs, so that they are seen."""
        self.fail_with: tuple[str, str] | None = None
        """How jobs that run by themselves end."""
        self.shares: list[dict[str, Variant]] = []
        """Entries of `devices` in the details of new jobs, and in what comes of those that fail."""
        self.title = ""
        """Title of new jobs, in place of the usual one."""
        self.resumed = 0
        self.watchers: set[str] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    @abstractmethod
    def send_signal(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        """Send a signal from one of its objects."""

    @abstractmethod
    def news(self) -> None:
        """Tell the test that something changed."""

    def new_job(
        self,
        operation: str,
        title: str,
        *,
        devices: Iterable[str] = (),
        parent: str = "/",
        outcome: dict[str, Variant] | None = None,
        run: bool = True,
    ) -> FakeJob:
        path = f"{PREFIX}{len(self.jobs) + 1}"
        values: dict[str, Any] = {
            "Operation": operation,
            "State": "queued",
            "Stage": "",
            "Progress": -1.0,
            "BytesDone": 0,
            "BytesTotal": 0,
            "ResumedBytes": self.resumed,
            "Rate": 0,
            "ExpectedEnd": 0,
            "OwnerUid": 0,
            "Devices": list(devices),
            "Parent": parent,
            "Details": {"title": Variant("s", self.title or title), "created": Variant("t", 1_700_000_000)}
            | ({"devices": Variant("aa{sv}", self.shares)} if self.shares else {}),
            "ErrorName": "",
            "ErrorMessage": "",
            "Result": {},
        }
        job = FakeJob(path, values, outcome or {})
        self.jobs[path] = job
        if parent in self.jobs:
            self.jobs[parent].children.append(path)
        self.send_signal(
            "/org/luxusb",
            "org.freedesktop.DBus.ObjectManager",
            "InterfacesAdded",
            "oa{sa{sv}}",
            [path, {JOB: job.wire()}],
        )
        if run:
            self.begin(job)
        return job

    def begin(self, job: FakeJob) -> None:
        """Let a job run, or stop a quarter of its way."""
        if self.auto:
            task = asyncio.get_running_loop().create_task(self._work(job))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        else:
            self.change(job, State="running", Stage=STAGES[job.values["Operation"]][0])
            self.progress(job, TOTAL // 4)

    def change(self, job: FakeJob, **values: Any) -> None:
        """Set properties and say so."""
        job.values.update(values)
        types = contract.interface(JOB).properties
        changed = {name: Variant(types[name], value) for name, value in values.items()}
        self.send_signal(job.path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [JOB, changed, []])
        self.news()

    def progress(self, job: FakeJob, done: int, total: int = TOTAL, rate: int = 10 * MIB) -> None:
        """Move bytes."""
        job.values.update(Progress=done / total, BytesDone=done, BytesTotal=total, Rate=rate)
        body = [done / total, done, total, rate, job.values["Stage"]]
        self.send_signal(job.path, JOB, "ProgressChanged", "dttts", body)
        self.news()

    def finish(self, job: FakeJob, state: str, error_name: str = "", message: str = "") -> None:
        """End a job, and with it what is left of its children."""
        for child in job.children:
            if not self.jobs[child].finished:
                self.finish(self.jobs[child], state, error_name, message)
        told = {"devices": Variant("aa{sv}", self.shares)} if self.shares else {}
        result = job.outcome if state == "succeeded" else told
        self.change(job, State=state, ErrorName=error_name, ErrorMessage=message, Result=result)
        self.send_signal(job.path, JOB, "Finished", "sssa{sv}", [state, error_name, message, result])

    async def _work(self, job: FakeJob) -> None:
        if not self.eager:
            await job.seen.wait()
        for child in list(job.children):
            while not self.jobs[child].finished:
                await asyncio.sleep(0)
        for stage in STAGES[job.values["Operation"]]:
            self.change(job, State="running", Stage=stage)
            for quarter in (1, 2, 3, 4):
                self.progress(job, TOTAL * quarter // 4)
                await asyncio.sleep(0)
                if job.finished:
                    return
        if self.fail_with is not None:
            self.finish(job, "failed", *self.fail_with)
        else:
            self.finish(job, "succeeded")

    def find_job(self, path: str) -> FakeJob:
        if path not in self.jobs:
            raise RefusalError("org.freedesktop.DBus.Error.UnknownObject", f"There is no job at {path}.")
        return self.jobs[path]

    def job_method(self, path: str, member: str, options: dict[str, Variant]) -> None:
        job = self.find_job(path)
        if job.finished:
            raise RefusalError("org.luxusb.Error.WrongJobState", f"The job is {job.values['State']}.")
        match member:
            case "Pause":
                self.change(job, State="paused")
            case "Resume":
                if job.values["State"] != "paused":
                    raise RefusalError("org.luxusb.Error.WrongJobState", "The job is not paused.")
                self.change(job, State="running")
            case "Cancel":
                self.finish(job, "cancelled", "org.luxusb.Error.Cancelled", "The job was cancelled.")
            case "Modify":
                self.change(job, Details=job.values["Details"] | options)
