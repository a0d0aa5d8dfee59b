"""The engine: the operations behind the interface that the bus uses, each handed to the part that does it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from luxusbd.config import Value
from luxusbd.devices.model import DeviceIdentity
from luxusbd.errors import InvalidArgumentError, JobStateError
from luxusbd.images.details import Inspection
from luxusbd.images.model import Certificate
from luxusbd.images.recipelist import Recipes, listed
from luxusbd.jobs import codec
from luxusbd.jobs.api import Desktop, Listener, Power
from luxusbd.jobs.downloadwords import release_title
from luxusbd.jobs.imports import readable_size
from luxusbd.jobs.listed import CatalogQuery, Listed
from luxusbd.jobs.mirrorchoice import Standing
from luxusbd.jobs.mirrorwishes import WishChange
from luxusbd.jobs.model import Job, JobState, Operation
from luxusbd.jobs.parts import Parts
from luxusbd.jobs.views import (
    Caller,
    CatalogStatus,
    DeviceView,
    ImageView,
    ImportOptions,
    Plan,
    Pruned,
    PruneOptions,
    RawWishes,
    RemoteWishes,
    UpdateWishes,
)
from luxusbd.stick.model import ManifestImage, MenuChange, Probe, StickOptions

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
    "RepairStick",
    "VerifyStick",
    "RescanStick",
    "AdoptStick",
    "SetPersistence",
    "WriteRaw",
    "RestoreDisk",
    "ProbeCapacity",
    "Eject",
    "ListStickImages",
    "OpenImageTarget",
    "ListJobs",
    "GetSettings",
    "SetSettings",
    "ResetSettings",
)


class LuxusbEngine:
    """Implements `luxusbd.jobs.api.Engine`."""

    features: tuple[str, ...] = FEATURES

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def start(self) -> None:
        """See `Parts.start`."""
        await self._parts.start()

    async def stop(self) -> None:
        """See `Parts.stop`."""
        await self._parts.stop()

    async def retire(self) -> None:
        """See `Retirement.wait`."""
        await self._parts.retirement.wait()

    def use_desktop(self, desktop: Desktop) -> None:
        """Let jobs unmount what this one mounted, from now on."""
        self._parts.unmounting.desktop = desktop

    async def use_power(self, power: Power) -> None:
        """Keep the machine awake by this one while jobs run, from now on."""
        await self._parts.awake.use(power)

    def add_listener(self, listener: Listener) -> None:
        """Tell `listener` everything from now on."""
        self._parts.add_listener(listener)

    @property
    def busy(self) -> bool:
        """Whether any job runs or waits."""
        return self._parts.queue.busy

    @property
    def transfer_pid(self) -> int:
        """Process id of the transfer process, for diagnostics."""
        return self._parts.transfers.supervisor.pid

    def devices(self) -> tuple[DeviceView, ...]:
        """All devices."""
        return self._parts.registry.views()

    def jobs(self) -> tuple[Job, ...]:
        """All jobs that have an object."""
        return self._parts.queue.jobs()

    def caller_vanished(self, bus_name: str) -> None:
        """A bus name left the bus."""
        self._parts.registry.caller_vanished(bus_name)

    async def list_distributions(self, caller: Caller, query: CatalogQuery) -> tuple[Listed, ...]:
        """What the query wants, in its order."""
        return await self._parts.listing.find(caller.uid, query)

    async def get_distribution(self, caller: Caller, distribution_id: str) -> Listed:
        """One entry."""
        return await self._parts.listing.one(caller.uid, distribution_id)

    async def update_catalog(self, caller: Caller, *, feeds: bool = False, ids: Sequence[str] = ()) -> Job:
        """Start an update of the catalogue."""
        return await self._parts.updates.start(caller.uid, feeds=feeds, ids=ids)

    async def get_catalog_status(self, caller: Caller) -> CatalogStatus:
        """How up to date the catalogue is."""
        status, own = self._parts.updates.status(), self._parts.own_catalogs.of(caller.uid)
        return status if own is None else replace(status, own=own.sha256, problems=(*status.problems, *own.warnings))

    async def list_recipes(self) -> Recipes:
        """The boot recipes in force."""
        return await asyncio.to_thread(listed, self._parts.shelf)

    async def import_catalog(self, caller: Caller, fd: int, name: str) -> int:
        """Put a catalogue over what the caller sees."""
        return await self._parts.own_catalogs.take(caller.uid, fd, name)

    async def set_catalog_remote(self, caller: Caller, wishes: RemoteWishes, key: int | None) -> Sequence[str]:  # noqa: ARG002
        """Follow another remote."""
        return await self._parts.remotes.set(wishes, key)

    async def get_logo(self, caller: Caller, distribution_id: str) -> int:
        """A logo."""
        return await self._parts.logos.open(distribution_id, caller.uid)

    async def get_proofs(self, caller: Caller, reference: str) -> tuple[int, int, int]:
        """What vouches for a release."""
        return await self._parts.proofs.open(reference, caller.uid)

    async def download(self, caller: Caller, reference: str, *, priority: int = 0, bandwidth: int = 0) -> Job:
        """Start a download."""
        distribution, release = self._parts.catalog.resolve(reference, caller.uid)
        return await self._parts.downloads.download(
            caller.uid, distribution, release, priority=priority, bandwidth=bandwidth
        )

    async def import_image(self, caller: Caller, fd: int, name: str, options: ImportOptions) -> Job:
        """Take a file or a stream into the store."""
        return await self._parts.imports.start(caller.uid, fd, name, options)

    async def inspect_image(self, caller: Caller, fd: int, *, sha256: str = "") -> Inspection:
        """What a file is."""
        readable_size(fd)
        found = await self._parts.transfers.explain(fd)
        if not sha256:
            return found
        genuine = self._parts.catalog.find_by_hash(sha256, caller.uid)
        return replace(found, sha256=sha256, genuine=release_title(*genuine) if genuine else "")

    async def list_images(self, caller: Caller) -> tuple[ImageView, ...]:
        """The images that the caller may see."""
        return await self._parts.keeper.images(caller)

    async def open_image(self, caller: Caller, reference: str) -> int:
        """A read-only descriptor."""
        return await asyncio.to_thread(self._parts.images.open, caller.uid, _sha256(reference))

    async def delete_image(self, caller: Caller, reference: str) -> None:
        """Out of the caller's view."""
        await self._parts.keeper.delete(caller, _sha256(reference))

    async def pin_image(self, caller: Caller, reference: str, pinned: bool) -> None:
        """Keep an image, or let go of it."""
        await self._parts.keeper.pin(caller, _sha256(reference), pinned)

    async def prune_images(self, caller: Caller, options: PruneOptions) -> tuple[Pruned, ...]:
        """Remove what can be had again."""
        return await self._parts.keeper.prune(caller, options)

    async def list_mirrors(self, caller: Caller, reference: str) -> tuple[Standing, ...]:
        """The mirrors of a release, as they would be asked."""
        distribution, release = self._parts.catalog.resolve(reference, caller.uid)
        return await self._parts.mirrors.standings(caller.uid, distribution.id, release.mirrors)

    async def race_mirrors(self, caller: Caller, reference: str, *, most: int) -> Job:
        """Measure mirrors."""
        distribution, release = self._parts.catalog.resolve(reference, caller.uid)
        return await self._parts.races.start(caller.uid, distribution, release, most=most)

    async def set_mirror_preference(self, caller: Caller, distribution: str, change: WishChange) -> None:
        """Change what the caller wants of mirrors."""
        await self._parts.mirrors.prefer(caller.uid, distribution, change)

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
        """Work out a stick, or what is written byte for byte."""
        await self._parts.registry.looked_at(devices)
        await self._parts.unmounting.check(devices)
        if raw is not None:
            return await self._parts.raw_plans.make(
                caller, devices, references, raw, allow_large=allow_large, probe=probe, dry_run=dry_run
            )
        options = replace(options, certificates=await self._certificates(certificates))
        if download_first and not keep:
            raise InvalidArgumentError(
                "download_first and keep_images=false contradict each other: what is all downloaded before the disk is"
                " erased has to be kept meanwhile; leave one of them out"
            )
        if download_first is None:
            download_first = self._parts.steering.config.downloads.before_erasing
        return self._parts.planner.make(
            *(caller, devices, references, options),
            allow_large=allow_large,
            persistence=persistence or {},
            dry_run=dry_run,
            probe=probe,
            stream=not download_first,
            keep=keep,
        )

    async def _certificates(self, files: Sequence[int]) -> tuple[Certificate, ...]:
        found = [await self._parts.transfers.certificate(fd) for fd in files]
        found += await self._parts.certificates.all()
        return tuple(dict.fromkeys(found))

    async def create_stick(self, caller: Caller, token: str) -> Job:
        """Carry a plan out."""
        return await self._parts.sticks.create(caller, token)

    async def write_raw(self, caller: Caller, token: str) -> Job:
        """Carry a raw plan out."""
        return await self._parts.raw_writes.start(caller, token)

    def plan_devices(self, caller: Caller, token: str) -> tuple[DeviceView, ...]:
        """The devices of a plan."""
        return tuple(device.view for device in self._parts.planner.get(caller, token).plan.devices)

    async def add_images(
        self, caller: Caller, device: DeviceIdentity, references: Sequence[str], *, keep: bool = True
    ) -> Job:
        """Add images to a stick."""
        await self._parts.registry.looked_at([device])
        return await self._parts.sticks.add(caller, device, references, keep=keep)

    async def remove_images(self, caller: Caller, device: DeviceIdentity, names: Sequence[str]) -> Job:
        """Remove images from a stick."""
        await self._parts.registry.looked_at([device])
        return await self._parts.sticks.remove(caller, device, names)

    async def update_stick(self, caller: Caller, device: DeviceIdentity, wishes: UpdateWishes) -> Job:
        """Put newer releases in the places of images on a stick."""
        await self._parts.registry.looked_at([device])
        return await self._parts.sticks.update(caller, device, wishes)

    async def refresh_stick(
        self,
        caller: Caller,
        device: DeviceIdentity,
        *,
        certificates: Sequence[int] = (),
        change: MenuChange | None = None,
    ) -> Job:
        """Write boot files and menu anew."""
        await self._parts.registry.looked_at([device])
        return await self._parts.sticks.refresh(caller, device, await self._certificates(certificates), change)

    async def repair_stick(self, caller: Caller, device: DeviceIdentity) -> Job:
        """Mend a damaged stick."""
        await self._parts.registry.looked_at([device])
        return await self._parts.sticks.repair(caller, device)

    async def verify_stick(self, caller: Caller, device: DeviceIdentity) -> Job:
        """Compare everything on the stick with its manifest."""
        await self._parts.registry.looked_at([device])
        return await self._parts.sticks.verify(caller, device)

    async def rescan_stick(self, caller: Caller, device: DeviceIdentity, *, thorough: bool = False) -> Job:
        """Make manifest and menu fit the files on the stick."""
        await self._parts.registry.looked_at([device])
        return await self._parts.sticks.rescan(caller, device, thorough=thorough)

    async def adopt_stick(self, caller: Caller, device: DeviceIdentity, *, dry_run: bool = False) -> Job:
        """Take over a stick of LUXusb 0.6.3, or only say what that would do."""
        await self._parts.registry.looked_at([device])
        return await self._parts.sticks.adopt(caller, device, dry_run=dry_run)

    async def set_persistence(self, caller: Caller, device: DeviceIdentity, image: str, size: int) -> Job:
        """Give an image on a stick room for changes, or take it away."""
        await self._parts.registry.looked_at([device])
        return await self._parts.sticks.set_persistence(caller, device, image, size)

    async def probe_capacity(
        self, caller: Caller, device: DeviceIdentity, mode: Probe, *, allow_large: bool = False
    ) -> Job:
        """Find out what a disk holds."""
        return await self._parts.whole_disks.probe(caller, device, mode, allow_large=allow_large)

    async def restore_disk(
        self, caller: Caller, device: DeviceIdentity, options: StickOptions, *, allow_large: bool = False
    ) -> Job:
        """Make a plain drive of it."""
        return await self._parts.whole_disks.restore(caller, device, options, allow_large=allow_large)

    async def eject(self, caller: Caller, device: DeviceIdentity) -> None:  # noqa: ARG002
        """Flush a disk and switch it off."""
        await self._parts.whole_disks.eject(device)

    async def list_stick_images(self, caller: Caller, device: DeviceIdentity) -> tuple[ManifestImage, ...]:  # noqa: ARG002
        """The images on a stick in menu order."""
        await self._parts.registry.looked_at([device])
        return await self._parts.sticks.images(device)

    async def open_image_target(self, caller: Caller, fd: int, size: int) -> DeviceView:
        """Make a file a device."""
        return await self._parts.registry.open_target(caller, fd, size)

    async def list_jobs(self, caller: Caller, *, unfinished: bool = False, all_users: bool = False) -> tuple[Job, ...]:
        """From the store, newest first; those that still have an object as they are now."""
        live = {job.id: job for job in self._parts.queue.jobs()}
        stored = [codec.job_of(row) for row in await self._parts.store.rows(unfinished=unfinished)]
        jobs = [live.get(job.id, job) for job in stored if job is not None]
        return tuple(
            job
            for job in jobs
            if (all_users or job.owner_uid == caller.uid) and not (unfinished and job.state.finished)
        )

    async def pause_job(self, job_id: int) -> None:
        """Pause a job."""
        self._parts.queue.pause(job_id)

    async def resume_job(self, job_id: int) -> None:
        """Resume a job."""
        self._parts.queue.resume(job_id)

    async def cancel_job(self, job_id: int, *, keep_partial: bool = False) -> None:
        """Begin to end a job."""
        self._parts.queue.cancel(job_id, keep_partial=keep_partial)

    async def modify_job(self, job_id: int, *, priority: int | None = None, bandwidth: int | None = None) -> None:
        """Change a job while it waits or runs."""
        fetching = self._parts.queue.get(job_id).operation in (Operation.DOWNLOAD, Operation.RACE)
        if bandwidth is not None and not fetching:
            raise JobStateError(f"job {job_id} is no download and has no bandwidth to limit")
        job = self._parts.queue.modify(job_id, priority=priority, bandwidth=bandwidth)
        if fetching and job.state is JobState.RUNNING:
            await self._parts.downloads.steer(job, priority=priority, bandwidth=bandwidth)

    def settings(self) -> Mapping[str, Value]:
        """The settings in force, without secrets in them."""
        return self._parts.steering.settings()

    def setting_origins(self) -> Mapping[str, str]:
        """Where each of the settings comes from."""
        return self._parts.steering.origins()

    async def set_settings(self, values: Mapping[str, object]) -> None:
        """Set these, now and for the next starts."""
        await self._parts.steering.set(values)

    async def reset_settings(self, keys: Collection[str]) -> None:
        """Take back what was set."""
        await self._parts.steering.reset(keys)


def _sha256(reference: str) -> str:
    return reference.removeprefix("image:")
