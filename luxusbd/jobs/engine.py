"""The engine: puts the operations together behind the interface that the bus uses."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from luxusbd.catalog.catalog import Catalog, Sources, reference_to
from luxusbd.catalog.model import Distribution, Trust
from luxusbd.children.launch import Launcher
from luxusbd.config import Config, Value
from luxusbd.devices.guard import GuardPolicy
from luxusbd.devices.model import DeviceIdentity
from luxusbd.devices.owned import OwnedMarks
from luxusbd.errors import InterruptedJobError, JobStateError, LuxusbError
from luxusbd.images.details import Inspection
from luxusbd.images.keeping import Limits
from luxusbd.images.store import ImageStore
from luxusbd.jobs import codec
from luxusbd.jobs.api import (
    Caller,
    CatalogStatus,
    Desktop,
    DeviceView,
    ImageView,
    ImportOptions,
    Listener,
    Plan,
    Power,
    Pruned,
    PruneOptions,
)
from luxusbd.jobs.catalogupdate import CatalogUpdates
from luxusbd.jobs.downloads import Downloads, file_name, release_title
from luxusbd.jobs.holds import Holds
from luxusbd.jobs.imports import Imports, readable_size
from luxusbd.jobs.keyring import Keyring
from luxusbd.jobs.mirrorchoice import Standing
from luxusbd.jobs.mirrors import Mirrors
from luxusbd.jobs.mirrorwishes import WishChange
from luxusbd.jobs.model import Job, JobState, Operation
from luxusbd.jobs.planning import Planner
from luxusbd.jobs.queue import JobQueue
from luxusbd.jobs.races import Races
from luxusbd.jobs.registry import DeviceRegistry
from luxusbd.jobs.rescan import Rescans
from luxusbd.jobs.room import Room
from luxusbd.jobs.running import Lane
from luxusbd.jobs.steering import Steering, slots
from luxusbd.jobs.sticks import Sticks
from luxusbd.jobs.storekeeper import DAY, StoreKeeper
from luxusbd.jobs.transfers import Transfers, TransferSetup
from luxusbd.jobs.trust import TrustPolicy
from luxusbd.jobs.unfinished import UnfinishedMark
from luxusbd.jobs.unmounting import Unmounting
from luxusbd.jobs.vouching import Makers
from luxusbd.jobs.waiting import SpaceWatch
from luxusbd.jobs.wakefulness import Wakefulness
from luxusbd.jobs.workshop import Workshop
from luxusbd.settings import ChangedSettings
from luxusbd.stick.model import ManifestImage, StickOptions
from luxusbd.store import Row, Store
from luxusbd.transfer.network import Network

log = logging.getLogger(__name__)

FEATURES = (
    "ListDistributions",
    "GetDistribution",
    "UpdateCatalog",
    "GetCatalogStatus",
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
    "RefreshStick",
    "RepairStick",
    "VerifyStick",
    "RescanStick",
    "ListStickImages",
    "OpenImageTarget",
    "ListJobs",
    "GetSettings",
    "SetSettings",
    "ResetSettings",
)


LOOKS = 5.0
"""Seconds that the start waits for the first looks at disks."""


class LuxusbEngine:
    """Implements `luxusbd.jobs.api.Engine`."""

    features: tuple[str, ...] = FEATURES

    def __init__(
        self,
        settings: ChangedSettings,
        catalog: Catalog,
        sources: Sources,
        images: ImageStore,
        launcher: Launcher,
        *,
        network: Network | None = None,
        owned_marks: Path | None = None,
    ) -> None:
        """Build the parts; nothing runs before `start`.

        Args:
            settings: the configuration and what was changed of it.
            catalog: is renewed when an update comes.
            sources: what it was loaded from.
            images: the store.
            launcher: starts the children.
            network: how the transfer process reaches the network.
            owned_marks: where udev looks for disks that jobs own.
        """
        config = settings.config
        self._catalog = catalog
        state = Path(config.paths.state_dir)
        self._store = Store(state / "jobs.sqlite")
        self._images = images
        self._staging = state / "staging"
        downloads = config.downloads
        self._transfers = Transfers(
            launcher,
            TransferSetup(
                network or Network(), downloads.bandwidth, downloads.connections_per_host, downloads.connections
            ),
        )
        self._queue = JobQueue(
            self._store,
            slots={Lane.IMPORT: 2, Lane.STREAM: 4, Lane.CATALOG: 1, **slots(config)},
            max_jobs=config.limits.jobs,
            max_jobs_per_uid=config.limits.jobs_per_uid,
            keep_finished=config.daemon.keep_finished,
        )
        self._registry = DeviceRegistry(self._transfers, _policy(config), OwnedMarks(owned_marks))
        keyring = Keyring(Path(config.paths.keys_dir), Path(config.paths.cache_dir) / "keys")
        self._policy = TrustPolicy(keyring, Trust(config.verification.minimum_trust))
        self._planner = Planner(catalog, self._images, self._registry, self._policy)
        holds = Holds(self._queue, self._planner)
        incoming = Path(config.paths.download_dir)
        room = Room(self._images, holds, _limits(config), incoming=incoming)
        self._mirrors = Mirrors(self._store, catalog, config.mirrors)
        self._downloads = Downloads(
            self._queue,
            self._transfers,
            self._images,
            self._mirrors,
            room=room,
            incoming=incoming,
            makers=Makers(self._transfers, self._policy),
        )
        self._races = Races(self._queue, self._transfers, self._mirrors, self._downloads, room=room)
        self._imports = Imports(
            self._queue,
            self._transfers,
            self._images,
            catalog,
            room=room,
            staging=self._staging,
            max_unpacked=config.images.max_unpacked << 30,
            reserve=config.images.reserve,
        )
        self._keeper = StoreKeeper(
            self._images,
            catalog,
            self._planner,
            holds,
            room,
            incoming=incoming,
            keep_partial=config.downloads.keep_partial,
        )
        self._listeners: list[Listener] = []
        self._updates = CatalogUpdates(
            self._queue, self._transfers, launcher, catalog, sources, config.catalog, self._catalog_changed
        )
        self._unmounting = Unmounting(self._registry, launcher, self._staging)
        workshop = Workshop(
            self._registry,
            self._images,
            Rescans(self._transfers, catalog),
            launcher,
            unmounting=self._unmounting,
            staging=self._staging,
        )
        self._sticks = Sticks(
            self._queue,
            self._registry,
            self._images,
            self._downloads,
            self._planner,
            workshop,
            holds=holds,
            unmounting=self._unmounting,
        )
        self._space = SpaceWatch(self._queue, room.check, incoming, self._downloads.bytes_wanted)
        self._awake = Wakefulness(self._queue, self._transfers, enabled=config.daemon.inhibit_sleep)
        self._background: list[asyncio.Task[None]] = []
        self._queue.add_listener(_Cleanup(self._imports, self._sticks))
        self._mark = UnfinishedMark(state / "unfinished")
        self._queue.add_listener(self._mark)
        self._queue.add_listener(self._awake)
        self._steering = Steering(settings, self._queue, self._transfers, self._keeper, self._awake)

    async def start(self) -> None:
        """Open the store, start the transfer process and the device monitor, and take unfinished jobs up again."""
        await self._store.open()
        await self._mirrors.load()
        await asyncio.to_thread(self._clean_staging)
        await self._transfers.start()
        await self._registry.start()
        ask = self._steering.config.downloads.resume == "ask"
        for row in reversed(await self._store.rows(unfinished=True)):
            job = _job_of(row)
            if job is None:
                # out of the way: its job cannot go on, and the next start need not stumble over it
                await self._store.save(replace(row, finished=True))
            elif job.operation is Operation.DOWNLOAD:
                self._downloads.take_up(job, ask=ask)
            elif job.operation is Operation.UPDATE_CATALOG:
                self._queue.restore(job, Lane.CATALOG, self._updates.run)
            elif job.operation is Operation.RACE:
                self._queue.restore(job, Lane.DOWNLOAD, self._races.run, ask=ask)
            elif job.operation is Operation.IMPORT:
                await self._queue.restore_failed(
                    job, InterruptedJobError(f"the daemon ended while {job.title} was imported; import it again")
                )
            else:
                await self._queue.restore_failed(job, self._sticks.interrupted(job))
        self._mark.busy_changed(self._queue.busy)

        # the call that started the daemon is to see a stick as what it is, and how much there is of a download
        await asyncio.gather(self._registry.settled(LOOKS), self._tell_claims())
        self._queue.begin()
        self._keeper.adopting = True
        loop = asyncio.get_running_loop()
        self._background = [
            loop.create_task(self._adopt_orphans(), name="orphans"),
            loop.create_task(self._clean_partials(), name="unfinished downloads"),
        ]

    async def _tell_claims(self) -> None:
        try:
            async with asyncio.timeout(LOOKS):
                await self._downloads.tell_claims()
        except TimeoutError:
            log.warning("how much there is of unfinished downloads was not told in time")

    async def _clean_partials(self) -> None:
        while True:
            try:
                await self._keeper.clean_partials()
            except LuxusbError as error:
                log.warning("old unfinished downloads stay: %s", error)
            await asyncio.sleep(DAY)

    async def _adopt_orphans(self) -> None:
        """Give images whose description was lost a new one; only root sees those that no catalogue knows."""
        for orphan in await asyncio.to_thread(self._images.orphans):
            try:
                found = await self._downloads.examine(orphan.path)
                if found.sha256 != orphan.sha256:
                    log.error("%s does not have the hash in its name and is left alone; delete it", orphan.path)
                    continue
                genuine = self._catalog.find_by_hash(orphan.sha256)
                await asyncio.to_thread(
                    self._images.adopt,
                    orphan.sha256,
                    file_name(genuine[1].iso_url) if genuine else orphan.sha256,
                    reference_to(*genuine) if genuine else "import",
                    Trust.HASH if genuine else Trust.NONE,
                    found.recognition,
                    None if genuine else 0,
                )
            except (LuxusbError, OSError) as error:
                log.warning("%s: its description was lost and cannot be made anew: %s", orphan.path, error)
        self._keeper.adopting = False

    async def stop(self) -> None:
        """Stop everything so that the next start goes on where this one ends."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        self._mark.freeze()
        await self._space.close()
        await self._queue.close()
        await self._awake.close()
        await self._registry.stop()
        await self._transfers.stop()
        await self._store.close()

    def use_desktop(self, desktop: Desktop) -> None:
        """Let jobs unmount what this one mounted, from now on."""
        self._unmounting.desktop = desktop

    async def use_power(self, power: Power) -> None:
        """Keep the machine awake by this one while jobs run, from now on."""
        await self._awake.use(power)

    def add_listener(self, listener: Listener) -> None:
        """Tell `listener` everything from now on."""
        self._steering.listeners.append(listener)
        self._queue.add_listener(listener)
        self._registry.add_listener(listener)
        self._listeners.append(listener)

    @property
    def busy(self) -> bool:
        """Whether any job runs or waits."""
        return self._queue.busy

    @property
    def transfer_pid(self) -> int:
        """Process id of the transfer process, for diagnostics."""
        return self._transfers.supervisor.pid

    def devices(self) -> tuple[DeviceView, ...]:
        """All devices."""
        return self._registry.views()

    def jobs(self) -> tuple[Job, ...]:
        """All jobs that have an object."""
        return self._queue.jobs()

    def caller_vanished(self, bus_name: str) -> None:
        """A bus name left the bus."""
        self._registry.caller_vanished(bus_name)

    async def list_distributions(
        self, caller: Caller, *, text: str = "", category: str = "", architecture: str = ""
    ) -> tuple[Distribution, ...]:
        """Most popular first."""
        found = self._catalog.search(text=text, category=category, architecture=architecture, uid=caller.uid)
        return await asyncio.to_thread(lambda: tuple(self._policy.keyring.shown(entry) for entry in found))

    async def get_distribution(self, caller: Caller, distribution_id: str) -> Distribution:
        """One entry."""
        return await asyncio.to_thread(self._policy.keyring.shown, self._catalog.get(distribution_id, caller.uid))

    async def update_catalog(self, caller: Caller) -> Job:
        """Start an update of the catalogue."""
        return await self._updates.start(caller.uid)

    async def get_catalog_status(self, caller: Caller) -> CatalogStatus:  # noqa: ARG002
        """How up to date the catalogue is."""
        return self._updates.status()

    async def download(self, caller: Caller, reference: str, *, priority: int = 0, bandwidth: int = 0) -> Job:
        """Start a download."""
        distribution, release = self._catalog.resolve(reference, caller.uid)
        return await self._downloads.download(caller.uid, distribution, release, priority=priority, bandwidth=bandwidth)

    async def import_image(self, caller: Caller, fd: int, name: str, options: ImportOptions) -> Job:
        """Take a file or a stream into the store."""
        return await self._imports.start(caller.uid, fd, name, options)

    async def inspect_image(self, caller: Caller, fd: int, *, sha256: str = "") -> Inspection:
        """What a file is."""
        readable_size(fd)
        found = await self._transfers.explain(fd)
        if not sha256:
            return found
        genuine = self._catalog.find_by_hash(sha256, caller.uid)
        return replace(found, sha256=sha256, genuine=release_title(*genuine) if genuine else "")

    async def list_images(self, caller: Caller) -> tuple[ImageView, ...]:
        """The images that the caller may see."""
        return await self._keeper.images(caller)

    async def open_image(self, caller: Caller, reference: str) -> int:
        """A read-only descriptor."""
        return await asyncio.to_thread(self._images.open, caller.uid, _sha256(reference))

    async def delete_image(self, caller: Caller, reference: str) -> None:
        """Out of the caller's view."""
        await self._keeper.delete(caller, _sha256(reference))

    async def pin_image(self, caller: Caller, reference: str, pinned: bool) -> None:
        """Keep an image, or let go of it."""
        await self._keeper.pin(caller, _sha256(reference), pinned)

    async def prune_images(self, caller: Caller, options: PruneOptions) -> tuple[Pruned, ...]:
        """Remove what can be had again."""
        return await self._keeper.prune(caller, options)

    async def list_mirrors(self, caller: Caller, reference: str) -> tuple[Standing, ...]:
        """The mirrors of a release, as they would be asked."""
        distribution, release = self._catalog.resolve(reference, caller.uid)
        return await self._mirrors.standings(caller.uid, distribution.id, release.mirrors)

    async def race_mirrors(self, caller: Caller, reference: str, *, most: int) -> Job:
        """Measure mirrors."""
        distribution, release = self._catalog.resolve(reference, caller.uid)
        return await self._races.start(caller.uid, distribution, release, most=most)

    async def set_mirror_preference(self, caller: Caller, distribution: str, change: WishChange) -> None:
        """Change what the caller wants of mirrors."""
        await self._mirrors.prefer(caller.uid, distribution, change)

    async def plan_stick(
        self,
        caller: Caller,
        devices: Sequence[DeviceIdentity],
        references: Sequence[str],
        options: StickOptions,
        *,
        allow_large: bool = False,
    ) -> Plan:
        """Work out a stick."""
        await self._registry.looked_at(devices)
        await self._unmounting.check(devices)
        return self._planner.make(caller, devices, references, options, allow_large=allow_large)

    async def create_stick(self, caller: Caller, token: str) -> Job:
        """Carry a plan out."""
        return await self._sticks.create(caller, token)

    def plan_devices(self, caller: Caller, token: str) -> tuple[DeviceView, ...]:
        """The devices of a plan."""
        return tuple(device.view for device in self._planner.get(caller, token).plan.devices)

    async def add_images(self, caller: Caller, device: DeviceIdentity, references: Sequence[str]) -> Job:
        """Add images to a stick."""
        await self._registry.looked_at([device])
        return await self._sticks.add(caller, device, references)

    async def remove_images(self, caller: Caller, device: DeviceIdentity, names: Sequence[str]) -> Job:
        """Remove images from a stick."""
        await self._registry.looked_at([device])
        return await self._sticks.remove(caller, device, names)

    async def refresh_stick(self, caller: Caller, device: DeviceIdentity) -> Job:
        """Write boot files and menu anew."""
        await self._registry.looked_at([device])
        return await self._sticks.refresh(caller, device)

    async def repair_stick(self, caller: Caller, device: DeviceIdentity) -> Job:
        """Mend a damaged stick."""
        await self._registry.looked_at([device])
        return await self._sticks.repair(caller, device)

    async def verify_stick(self, caller: Caller, device: DeviceIdentity) -> Job:
        """Compare everything on the stick with its manifest."""
        await self._registry.looked_at([device])
        return await self._sticks.verify(caller, device)

    async def rescan_stick(self, caller: Caller, device: DeviceIdentity, *, thorough: bool = False) -> Job:
        """Make manifest and menu fit the files on the stick."""
        await self._registry.looked_at([device])
        return await self._sticks.rescan(caller, device, thorough=thorough)

    async def list_stick_images(self, caller: Caller, device: DeviceIdentity) -> tuple[ManifestImage, ...]:  # noqa: ARG002
        """The images on a stick in menu order."""
        await self._registry.looked_at([device])
        return await self._sticks.images(device)

    async def open_image_target(self, caller: Caller, fd: int, size: int) -> DeviceView:
        """Make a file a device."""
        return await self._registry.open_target(caller, fd, size)

    async def list_jobs(self, caller: Caller, *, unfinished: bool = False, all_users: bool = False) -> tuple[Job, ...]:
        """From the store, newest first; those that still have an object as they are now."""
        live = {job.id: job for job in self._queue.jobs()}
        stored = [_job_of(row) for row in await self._store.rows(unfinished=unfinished)]
        jobs = [live.get(job.id, job) for job in stored if job is not None]
        return tuple(
            job
            for job in jobs
            if (all_users or job.owner_uid == caller.uid) and not (unfinished and job.state.finished)
        )

    async def pause_job(self, job_id: int) -> None:
        """Pause a job."""
        self._queue.pause(job_id)

    async def resume_job(self, job_id: int) -> None:
        """Resume a job."""
        self._queue.resume(job_id)

    async def cancel_job(self, job_id: int, *, keep_partial: bool = False) -> None:
        """Begin to end a job."""
        self._queue.cancel(job_id, keep_partial=keep_partial)

    async def modify_job(self, job_id: int, *, priority: int | None = None, bandwidth: int | None = None) -> None:
        """Change a job while it waits or runs."""
        if bandwidth is not None and self._queue.get(job_id).operation not in (Operation.DOWNLOAD, Operation.RACE):
            raise JobStateError(f"job {job_id} is no download and has no bandwidth to limit")
        job = self._queue.modify(job_id, priority=priority, bandwidth=bandwidth)
        if bandwidth is not None and job.state is JobState.RUNNING:
            await self._downloads.set_bandwidth(job, bandwidth)

    def settings(self) -> Mapping[str, Value]:
        """The settings in force, without secrets in them."""
        return self._steering.settings()

    def setting_origins(self) -> Mapping[str, str]:
        """Where each of the settings comes from."""
        return self._steering.origins()

    async def set_settings(self, values: Mapping[str, object]) -> None:
        """Set these, now and for the next starts."""
        await self._steering.set(values)

    async def reset_settings(self, keys: Collection[str]) -> None:
        """Take back what was set."""
        await self._steering.reset(keys)

    def _catalog_changed(self, layer: str) -> None:
        for listener in self._listeners:
            listener.catalog_changed(layer)

    def _clean_staging(self) -> None:
        for left in self._staging.iterdir():
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()


def _policy(config: Config) -> GuardPolicy:
    return GuardPolicy(allow_loop=config.devices.allow_loop, large_disk=config.devices.large_disk)


def _limits(config: Config) -> Limits:
    images = config.images
    return Limits(images.quota, images.quota_per_user, images.reserve, images.clean_imports)


class _Cleanup(Listener):
    """Gives back what a job held, also when it ended without ever having run."""

    def __init__(self, imports: Imports, sticks: Sticks) -> None:
        self._imports = imports
        self._sticks = sticks
        self._tasks: set[asyncio.Task[None]] = set()

    def job_finished(self, job: Job) -> None:
        self._imports.job_ended(job)
        if job.device_ids:
            task = asyncio.get_running_loop().create_task(self._sticks.job_ended(job))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


def _job_of(row: Row) -> Job | None:
    """The job of a stored row; None for one that is damaged or of another version of this program."""
    try:
        return codec.from_row(row)
    except (KeyError, TypeError, ValueError) as error:
        log.error("job %d in the database cannot be read and is left out: %r", row.id, error)  # noqa: TRY400
        return None


def _sha256(reference: str) -> str:
    return reference.removeprefix("image:")
