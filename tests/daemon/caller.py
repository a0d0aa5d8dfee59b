"""A caller of the daemon: typed calls, and every signal that came, with its time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from luxusb_cli.calls import JOB, PROPERTIES, Work
from luxusb_cli.client import Client
from luxusb_cli.connection import Connection, Disconnected, OwnerChanged, Signal, Typed
from luxusb_cli.errors import DaemonError
from luxusb_cli.model import DeviceInfo, JobInfo, JobState
from luxusb_cli.plans import PlanInfo
from luxusb_cli.wire import wire_of

JOB_TIMEOUT = 60.0

T = TypeVar("T")


@dataclass(frozen=True)
class Heard:
    """A signal and when it arrived (monotonic seconds)."""

    time: float
    signal: Signal


class GoneError(Exception):
    """The daemon or its bus went away while something was waited for."""


class StickClient(Client):
    """The command's client, with the job that most tests start by name."""

    async def verify(self, device: str) -> str:
        return await self.work_on(device, Work.VERIFY)


class Caller:
    """One connection to the bus. `client` has the calls."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.client = StickClient(connection)
        self.heard: list[Heard] = []
        self._gone = False
        self._changed = asyncio.Condition()

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, address: str) -> AsyncIterator[Caller]:
        async with await Connection.open(address, interactive=False) as connection:
            caller = cls(connection)
            with connection.events() as events:
                listening = asyncio.create_task(caller._listen(events))
                try:
                    yield caller
                finally:
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, events: asyncio.Queue[Signal | OwnerChanged | Disconnected]) -> None:
        while True:
            event = await events.get()
            async with self._changed:
                if isinstance(event, Signal):
                    self.heard.append(Heard(time.monotonic(), event))
                elif isinstance(event, Disconnected) or not event.owner:
                    self._gone = True
                self._changed.notify_all()

    async def until(self, find: Callable[[Sequence[Heard]], T | None], timeout: float = JOB_TIMEOUT) -> T:
        """Wait until `find` sees something in all that was heard, and return it.

        Raises:
            GoneError: the daemon is gone.
        """
        async with asyncio.timeout(timeout), self._changed:
            while (found := find(self.heard)) is None:
                if self._gone:
                    raise GoneError
                await self._changed.wait()
            return found

    def signals(self, path: str, member: str) -> list[Heard]:
        """All signals of this name from this object."""
        return [heard for heard in self.heard if heard.signal.path == path and heard.signal.member == member]

    async def finished(self, path: str, timeout: float = JOB_TIMEOUT) -> JobInfo:
        """Wait for the end of a job; its last properties."""
        # the call makes this connection one that is told of the end
        job = await self.client.job(path)
        if job.state.finished:
            return job
        await self.until(lambda _heard: self.signals(path, "Finished") or None, timeout)
        return await self.client.job(path)

    async def succeeded(self, path: str, timeout: float = JOB_TIMEOUT) -> JobInfo:
        """Wait for the good end of a job."""
        job = await self.finished(path, timeout)
        assert job.state is JobState.SUCCEEDED, f"{job.operation}: {job.error_name}: {job.error_message}"
        return job

    async def failed(self, path: str, timeout: float = JOB_TIMEOUT) -> JobInfo:
        """Wait for the bad end of a job, which has to say what went wrong."""
        job = await self.finished(path, timeout)
        assert job.state is JobState.FAILED
        check_explained(job)
        return job

    async def progress(self, path: str, at_least: int) -> int:
        """Wait until a job tells of so many bytes; how many it told of."""

        def enough(_heard: Sequence[Heard]) -> int | None:
            self._check_running(path)
            done = [heard.signal.body[1] for heard in self.signals(path, "ProgressChanged")]
            return next((count for count in done if isinstance(count, int) and count >= at_least), None)

        return await self.until(enough)

    def _check_running(self, path: str) -> None:
        for heard in self.signals(path, "Finished"):
            assert heard.signal.body[0] == "succeeded", heard.signal.body

    async def property(self, path: str, name: str, value: object, interface: str = JOB) -> None:
        """Wait until a change of a property to this value is told; true also when it was told before."""

        def told(_heard: Sequence[Heard]) -> bool | None:
            for heard in self.signals(path, "PropertiesChanged"):
                if heard.signal.body[0] == interface and wire_of(heard.signal.body[1], name).get(name) == value:
                    return True
            return None

        await self.until(told)

    async def stage(self, path: str, *stages: str) -> None:
        """Wait until a job has reached one of these stages."""

        def reached(_heard: Sequence[Heard]) -> bool | None:
            self._check_running(path)
            for heard in self.signals(path, "PropertiesChanged"):
                if wire_of(heard.signal.body[1], "changed").get("Stage") in stages:
                    return True
            return None

        if (await self.client.job(path)).stage not in stages:
            await self.until(reached)

    async def target(self, path: Path, size: int = 0) -> str:
        """Make an image file a device; path of its object."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            return await self.client.open_image_target(fd, size, path.name)
        finally:
            os.close(fd)

    async def raced_into(self, name: str, rate: int) -> JobInfo:
        """Cancel a download at `rate` that has begun, keep what came, measure its mirrors, and download it to the end.

        While it runs nobody measures, and what was measured is in the file.
        """
        path = await self.client.download(name, bandwidth=rate)
        await self.progress(path, 1)
        with pytest.raises(DaemonError) as running:
            await self.client.race_mirrors(name)
        assert running.value.name == "org.luxusb.Error.AlreadyExists"
        await self.client.cancel(path, keep_partial=True)
        cancelled = await self.finished(path)
        assert cancelled.state is JobState.CANCELLED
        await self.succeeded(await self.client.race_mirrors(name))
        done = await self.succeeded(await self.client.download(name))
        assert done.resumed_bytes > cancelled.bytes_done, "how much more a race brings is a matter of time"
        return done

    async def imported(self, path: Path, name: str = "") -> JobInfo:
        """Import an image file to its end."""
        return await self.succeeded(await self.start_import(path, name))

    async def start_import(self, path: Path, name: str = "") -> str:
        with path.open("rb") as file:
            return await self.client.import_image(file.fileno(), name or path.name)

    async def plan(self, devices: Sequence[str], images: Sequence[str], **options: Typed) -> PlanInfo:
        return await self.client.plan(devices, images, options)

    async def created(self, devices: Sequence[str], images: Sequence[str], **options: Typed) -> JobInfo:
        """Plan and make a stick to its end."""
        return await self.succeeded(await self.client.create((await self.plan(devices, images, **options)).token))

    async def disk(self, node: str) -> DeviceInfo:
        """The disk at this node, once the daemon shows it."""
        async with asyncio.timeout(JOB_TIMEOUT):
            while True:
                known = len(self.heard)
                for device in await self.client.devices():
                    if device.node == node:
                        return device
                await self.news(known)

    def announced(self, path: str, interface: str) -> dict[str, object]:
        """The properties of an object that was added while we listened, as the signals told them so far."""
        told: dict[str, object] = {}
        for heard in self.heard:
            body = heard.signal.body
            if heard.signal.member == "InterfacesAdded" and body[0] == path:
                told = dict(wire_of(wire_of(body[1], "interfaces")[interface], interface))
            elif heard.signal.member == "PropertiesChanged" and (heard.signal.path, body[0]) == (path, interface):
                told.update(wire_of(body[1], "changed"))
        return told

    async def news(self, known: int) -> None:
        """Wait until more signals than `known` were heard."""
        await self.until(lambda heard: True if len(heard) > known else None)


def check_explained(job: JobInfo) -> None:
    """A job that did not succeed names its error, and says something that a person can act on."""
    assert job.error_name.startswith(("org.luxusb.Error.", "org.freedesktop.DBus.Error.")), job
    assert job.error_name != "org.luxusb.Error.Internal", job
    assert len(job.error_message.split()) >= 4, job


__all__ = ["PROPERTIES", "Caller", "GoneError", "Heard", "check_explained"]
