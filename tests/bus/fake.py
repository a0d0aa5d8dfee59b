"""An engine that lives in memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from luxusbd.devices.model import DeviceIdentity
from luxusbd.errors import (
    DeviceChangedError,
    DistributionNotFoundError,
    ImageNotFoundError,
    JobStateError,
    PlanExpiredError,
)
from luxusbd.images.details import Inspection
from luxusbd.images.model import Firmware
from luxusbd.images.recipelist import Recipes
from luxusbd.jobs.api import Listener
from luxusbd.jobs.listed import CatalogQuery, Listed
from luxusbd.jobs.mirrorchoice import Standing
from luxusbd.jobs.mirrorwishes import WishChange
from luxusbd.jobs.model import Job, JobState, Operation
from luxusbd.jobs.views import (
    Caller,
    CatalogStatus,
    DeviceView,
    ImageView,
    ImportOptions,
    Plan,
    PlannedDevice,
    Pruned,
    PruneOptions,
    RawPlan,
    RawWishes,
    RemoteWishes,
    UpdateWishes,
)
from luxusbd.stick.model import ManifestImage, MenuChange, Probe, StickOptions
from tests.bus import examples
from tests.bus.examples import SHA

FEATURES = (
    "ListDistributions",
    "GetDistribution",
    "UpdateCatalog",
    "GetCatalogStatus",
    "ListRecipes",
    "SetCatalogRemote",
    "ImportCatalog",
    "GetLogo",
    "GetProofs",
    "Download",
    "ImportImage",
    "InspectImage",
    "ListImages",
    "OpenImage",
    "DeleteImage",
    "PinImage",
    "PruneImages",
    "ListMirrors",
    "RaceMirrors",
    "SetMirrorPreference",
    "PlanStick",
    "CreateStick",
    "AddImages",
    "RemoveImages",
    "UpdateStick",
    "RefreshStick",
    "VerifyStick",
    "RescanStick",
    "AdoptStick",
    "ListStickImages",
    "OpenImageTarget",
    "ListJobs",
    "GetSettings",
    "SetSettings",
    "ResetSettings",
)


@dataclass
class FakeEngine:
    """Implements `luxusbd.jobs.api.Engine`; `calls` keeps what was asked."""

    features: tuple[str, ...] = FEATURES
    views: dict[str, DeviceView] = field(default_factory=dict)
    all_jobs: dict[int, Job] = field(default_factory=dict)
    listeners: list[Listener] = field(default_factory=list)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    plans: dict[str, tuple[DeviceView, ...]] = field(default_factory=dict)
    hold: asyncio.Event | None = None
    """When set, list_distributions waits for it."""
    failure: BaseException | None = None
    """When set, list_distributions raises it."""
    busy: bool = False
    listed: tuple[Listed, ...] = (examples.LISTED,)

    def add_listener(self, listener: Listener) -> None:
        self.listeners.append(listener)

    def devices(self) -> tuple[DeviceView, ...]:
        return tuple(self.views.values())

    def jobs(self) -> tuple[Job, ...]:
        return tuple(self.all_jobs.values())

    def caller_vanished(self, bus_name: str) -> None:
        self.vanished.append(bus_name)
        for shown in [shown for shown in self.views.values() if shown.owner and shown.owner.bus_name == bus_name]:
            self.remove_device(shown)

    def put_device(self, shown: DeviceView) -> None:
        known = shown.device.identity.id in self.views
        self.views[shown.device.identity.id] = shown
        for listener in self.listeners:
            (listener.device_changed if known else listener.device_added)(shown)

    def remove_device(self, shown: DeviceView) -> None:
        del self.views[shown.device.identity.id]
        for listener in self.listeners:
            listener.device_removed(shown)

    def put_job(self, shown: Job) -> Job:
        known = shown.id in self.all_jobs
        self.all_jobs[shown.id] = shown
        for listener in self.listeners:
            (listener.job_changed if known else listener.job_added)(shown)
        return shown

    def progress(self, number: int, **fields: Any) -> None:
        shown = self.all_jobs[number] = replace(self.all_jobs[number], **fields)
        for listener in self.listeners:
            listener.job_progress(shown)

    def finish(self, number: int, **fields: Any) -> None:
        shown = self.all_jobs[number] = replace(self.all_jobs[number], **fields)
        for listener in self.listeners:
            listener.job_changed(shown)
            listener.job_progress(shown)
            listener.job_finished(shown)

    def new_job(self, caller: Caller, operation: Operation, *device_ids: str, **fields: Any) -> Job:
        number = max(self.all_jobs, default=0) + 1
        return self.put_job(examples.job(number, caller.uid, operation=operation, device_ids=device_ids, **fields))

    async def list_distributions(self, caller: Caller, query: CatalogQuery) -> tuple[Listed, ...]:
        self.calls.append(("list_distributions", caller, query))
        if self.hold is not None:
            await self.hold.wait()
        if self.failure is not None:
            raise self.failure
        return self.listed

    async def get_distribution(self, caller: Caller, distribution_id: str) -> Listed:
        if distribution_id != examples.DISTRIBUTION.id:
            raise DistributionNotFoundError(f"no distribution {distribution_id}")
        return examples.LISTED

    async def update_catalog(self, caller: Caller, *, feeds: bool = False, ids: Sequence[str] = ()) -> Job:
        self.calls.append(("update_catalog", caller, feeds, ids))
        return self.new_job(caller, Operation.UPDATE_CATALOG)

    async def get_catalog_status(self, caller: Caller) -> CatalogStatus:
        return examples.STATUS

    async def list_recipes(self) -> Recipes:
        return examples.RECIPES

    async def set_catalog_remote(self, caller: Caller, wishes: RemoteWishes, key: int | None) -> Sequence[str]:
        self.calls.append(("set_catalog_remote", wishes, None if key is None else os.pread(key, 100, 0)))
        return wishes.fingerprints or ("AB" * 20,)

    async def import_catalog(self, caller: Caller, fd: int, name: str) -> int:
        self.calls.append(("import_catalog", caller, os.pread(fd, 100, 0), name))
        return 3

    async def get_logo(self, caller: Caller, distribution_id: str) -> int:
        if distribution_id != examples.DISTRIBUTION.id:
            raise DistributionNotFoundError(f"no distribution {distribution_id}")
        fd = os.memfd_create("logo")
        os.write(fd, b"the logo")
        os.lseek(fd, 0, os.SEEK_SET)
        return fd

    async def get_proofs(self, caller: Caller, reference: str) -> tuple[int, int, int]:
        self.calls.append(("get_proofs", caller, reference))
        fds = []
        for data in (b"the list", b"", b"the key"):
            fd = os.memfd_create("proof")
            os.write(fd, data)
            fds.append(fd)
        return fds[0], fds[1], fds[2]

    async def download(self, caller: Caller, reference: str, *, priority: int = 0, bandwidth: int = 0) -> Job:
        self.calls.append(("download", caller, reference, priority, bandwidth))
        return self.new_job(caller, Operation.DOWNLOAD, priority=priority, bandwidth=bandwidth)

    async def import_image(self, caller: Caller, fd: int, name: str, options: ImportOptions) -> Job:
        beside = [
            None if given is None else os.pread(given, 100, 0)
            for given in (options.sums, options.signature, options.key)
        ]
        self.calls.append(("import_image", os.pread(fd, 100, 0), name, options.sha256, options.size, *beside))
        return self.new_job(caller, Operation.IMPORT)

    async def inspect_image(self, caller: Caller, fd: int, *, sha256: str = "") -> Inspection:
        self.calls.append(("inspect_image", os.pread(fd, 100, 0), os.get_inheritable(fd), sha256))
        return Inspection(examples.RECOGNITION, examples.DETAILS, sha256, "Debian 12.5" if sha256 == SHA else "")

    async def list_images(self, caller: Caller) -> tuple[ImageView, ...]:
        return (examples.IMAGE,)

    async def open_image(self, caller: Caller, reference: str) -> int:
        if reference != f"image:{SHA}":
            raise ImageNotFoundError(f"no image {reference}")
        fd = os.memfd_create("image")
        os.write(fd, b"the image")
        os.lseek(fd, 0, os.SEEK_SET)
        return fd

    async def delete_image(self, caller: Caller, reference: str) -> None:
        self.calls.append(("delete_image", caller, reference))

    async def pin_image(self, caller: Caller, reference: str, pinned: bool) -> None:
        self.calls.append(("pin_image", caller, reference, pinned))

    async def prune_images(self, caller: Caller, options: PruneOptions) -> tuple[Pruned, ...]:
        self.calls.append(("prune_images", caller, options))
        return (examples.PRUNED,)

    async def list_mirrors(self, caller: Caller, reference: str) -> tuple[Standing, ...]:
        self.calls.append(("list_mirrors", caller, reference))
        return examples.STANDINGS

    async def race_mirrors(self, caller: Caller, reference: str, *, most: int) -> Job:
        self.calls.append(("race_mirrors", caller, reference, most))
        return self.new_job(caller, Operation.RACE)

    async def set_mirror_preference(self, caller: Caller, distribution: str, change: WishChange) -> None:
        self.calls.append(("set_mirror_preference", caller, distribution, change))

    async def plan_stick(
        self,
        caller: Caller,
        devices: Sequence[DeviceIdentity],
        references: Sequence[str],
        options: StickOptions,
        *,
        allow_large: bool = False,
        certificates: Sequence[int] = (),
        persistence: Mapping[str, int] | None = None,
        probe: bool | None = None,
        download_first: bool | None = None,
        keep: bool = True,
        dry_run: bool = False,
        raw: RawWishes | None = None,
    ) -> Plan:
        self.calls.append(("plan_stick", tuple(devices), tuple(references), options, allow_large, persistence, keep))
        shown = tuple(self.views[identity.id] for identity in devices)
        self.plans["token"] = shown
        return Plan(
            token="" if dry_run else "token",
            expires=2000,
            devices=tuple(PlannedDevice(entry, ("everything",), 5, 6, examples.LAYOUT) for entry in shown),
            images=(examples.PLANNED_IMAGE,),
            options=options,
            firmware=frozenset({Firmware.BIOS}),
            secure_boot=False,
            warnings=(),
            raw=RawPlan("xz", 42, "hybrid") if raw is not None else None,
        )

    async def write_raw(self, caller: Caller, token: str) -> Job:
        planned = self.plan_devices(caller, token)
        self._same(entry.device.identity for entry in planned)
        del self.plans[token]
        return self.new_job(caller, Operation.WRITE_RAW, *(entry.device.identity.id for entry in planned))

    async def create_stick(self, caller: Caller, token: str) -> Job:
        planned = self.plan_devices(caller, token)
        self._same(entry.device.identity for entry in planned)
        del self.plans[token]
        return self.new_job(caller, Operation.CREATE, *(entry.device.identity.id for entry in planned))

    def plan_devices(self, caller: Caller, token: str) -> tuple[DeviceView, ...]:
        if token not in self.plans:
            raise PlanExpiredError("no such plan")
        return self.plans[token]

    async def add_images(
        self, caller: Caller, device: DeviceIdentity, references: Sequence[str], *, keep: bool = True
    ) -> Job:
        self.calls.append(("add_images", device, tuple(references), keep))
        self._same([device])
        return self.new_job(caller, Operation.ADD, device.id)

    async def remove_images(self, caller: Caller, device: DeviceIdentity, names: Sequence[str]) -> Job:
        self.calls.append(("remove_images", device, tuple(names)))
        return self.new_job(caller, Operation.REMOVE, device.id)

    async def update_stick(self, caller: Caller, device: DeviceIdentity, wishes: UpdateWishes) -> Job:
        self.calls.append(("update_stick", device, wishes))
        return self.new_job(caller, Operation.UPDATE, device.id)

    async def refresh_stick(
        self,
        caller: Caller,
        device: DeviceIdentity,
        *,
        certificates: Sequence[int] = (),
        change: MenuChange | None = None,
    ) -> Job:
        self.calls.append(("refresh_stick", device, tuple(os.pread(fd, 100, 0) for fd in certificates), change))
        return self.new_job(caller, Operation.REFRESH, device.id)

    async def repair_stick(self, caller: Caller, device: DeviceIdentity) -> Job:
        return self.new_job(caller, Operation.REPAIR, device.id)

    async def verify_stick(self, caller: Caller, device: DeviceIdentity) -> Job:
        return self.new_job(caller, Operation.VERIFY, device.id)

    async def adopt_stick(self, caller: Caller, device: DeviceIdentity, *, dry_run: bool = False) -> Job:
        self.calls.append(("adopt_stick", device, dry_run))
        return self.new_job(caller, Operation.ADOPT, device.id)

    async def rescan_stick(self, caller: Caller, device: DeviceIdentity, *, thorough: bool = False) -> Job:
        self.calls.append(("rescan_stick", device, thorough))
        return self.new_job(caller, Operation.RESCAN, device.id)

    async def set_persistence(self, caller: Caller, device: DeviceIdentity, image: str, size: int) -> Job:
        self.calls.append(("set_persistence", device, image, size))
        return self.new_job(caller, Operation.PERSIST, device.id)

    async def probe_capacity(
        self, caller: Caller, device: DeviceIdentity, mode: Probe, *, allow_large: bool = False
    ) -> Job:
        self.calls.append(("probe_capacity", device, mode, allow_large))
        return self.new_job(caller, Operation.PROBE, device.id)

    async def restore_disk(
        self, caller: Caller, device: DeviceIdentity, options: StickOptions, *, allow_large: bool = False
    ) -> Job:
        self.calls.append(("restore_disk", device, options, allow_large))
        return self.new_job(caller, Operation.RESTORE, device.id)

    async def eject(self, caller: Caller, device: DeviceIdentity) -> None:
        self.calls.append(("eject", device))

    async def list_stick_images(self, caller: Caller, device: DeviceIdentity) -> tuple[ManifestImage, ...]:
        return self.views[device.id].images

    async def open_image_target(self, caller: Caller, fd: int, size: int) -> DeviceView:
        self.calls.append(("open_image_target", size))
        shown = examples.view(f"file-{len(self.views)}", owner=caller)
        self.put_device(shown)
        return shown

    async def list_jobs(self, caller: Caller, *, unfinished: bool = False, all_users: bool = False) -> tuple[Job, ...]:
        self.calls.append(("list_jobs", caller.uid, unfinished, all_users))
        return tuple(shown for shown in self.all_jobs.values() if all_users or shown.owner_uid == caller.uid)

    async def pause_job(self, job_id: int) -> None:
        if self.all_jobs[job_id].state.finished:
            raise JobStateError("the job has ended")
        self.put_job(replace(self.all_jobs[job_id], state=JobState.PAUSED))

    async def resume_job(self, job_id: int) -> None:
        self.put_job(replace(self.all_jobs[job_id], state=JobState.QUEUED))

    async def cancel_job(self, job_id: int, *, keep_partial: bool = False) -> None:
        self.calls.append(("cancel_job", job_id, keep_partial))
        self.finish(job_id, state=JobState.CANCELLED)

    async def modify_job(self, job_id: int, *, priority: int | None = None, bandwidth: int | None = None) -> None:
        self.calls.append(("modify_job", job_id, priority, bandwidth))

    def settings(self) -> Mapping[str, bool | int | str | tuple[str, ...]]:
        return {"bus.idle": 300, "transfer.countries": (), "daemon.private": True, "catalog.url": "https://x.example/"}

    def setting_origins(self) -> Mapping[str, str]:
        return dict.fromkeys(self.settings(), "default")

    async def set_settings(self, values: Mapping[str, object]) -> None:
        self.calls.append(("set_settings", dict(values)))
        for listener in self.listeners:
            listener.settings_changed(tuple(values))

    async def reset_settings(self, keys: Collection[str]) -> None:
        self.calls.append(("reset_settings", tuple(keys)))

    def _same(self, identities: Any) -> None:
        for identity in identities:
            present = self.views.get(identity.id)
            if present is None or present.device.identity != identity:
                raise DeviceChangedError(f"{identity.id} is another disk now")
