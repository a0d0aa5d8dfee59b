"""The parts of the engine: how they are put together, how they start, and how they end."""

from __future__ import annotations

import asyncio
import logging
import shutil
from dataclasses import replace
from pathlib import Path

from luxusbd.catalog.catalog import Catalog, Sources
from luxusbd.catalog.model import Trust
from luxusbd.children.launch import Launcher
from luxusbd.config import Config
from luxusbd.devices.guard import GuardPolicy
from luxusbd.devices.owned import OwnedMarks
from luxusbd.errors import InterruptedJobError
from luxusbd.images.keeping import Limits
from luxusbd.images.recipebook import RecipeShelf
from luxusbd.images.store import ImageStore
from luxusbd.jobs import codec
from luxusbd.jobs.api import Listener
from luxusbd.jobs.arrivals import Arrivals
from luxusbd.jobs.catalogrecipes import FILE_NAME, CatalogRecipes
from luxusbd.jobs.catalogremote import CatalogRemotes
from luxusbd.jobs.catalogupdate import CatalogUpdates
from luxusbd.jobs.certificates import AdminCertificates
from luxusbd.jobs.checking import Checker
from luxusbd.jobs.creations import Creations
from luxusbd.jobs.devicejobs import DeviceJobs
from luxusbd.jobs.downloads import Downloads, cut_passing
from luxusbd.jobs.downloadwords import passes
from luxusbd.jobs.feeds import Feeds
from luxusbd.jobs.holds import Holds
from luxusbd.jobs.imports import Imports
from luxusbd.jobs.keyring import Keyring
from luxusbd.jobs.listing import Listing
from luxusbd.jobs.logocache import LogoCache
from luxusbd.jobs.logos import Logos
from luxusbd.jobs.mirrors import Mirrors
from luxusbd.jobs.model import Job, Operation
from luxusbd.jobs.owncatalogs import OwnCatalogs
from luxusbd.jobs.planning import Planner
from luxusbd.jobs.probing import Probing
from luxusbd.jobs.proofs import Proofs
from luxusbd.jobs.provision import Provision
from luxusbd.jobs.queue import JobQueue
from luxusbd.jobs.races import Races
from luxusbd.jobs.rawplans import RawPlans
from luxusbd.jobs.rawwrites import RawWrites
from luxusbd.jobs.registry import DeviceRegistry
from luxusbd.jobs.renewal import Renewals
from luxusbd.jobs.rescan import Rescans
from luxusbd.jobs.retirement import Retirement
from luxusbd.jobs.room import Room
from luxusbd.jobs.running import Lane
from luxusbd.jobs.savedfiles import SavedFiles
from luxusbd.jobs.startfiles import StartFiles
from luxusbd.jobs.steering import Steering, slots
from luxusbd.jobs.stickcomparison import StickComparer
from luxusbd.jobs.sticks import Sticks
from luxusbd.jobs.stickupdates import StickUpdates
from luxusbd.jobs.storekeeper import StoreKeeper
from luxusbd.jobs.transferlink import TransferSetup
from luxusbd.jobs.transfers import Transfers
from luxusbd.jobs.trust import TrustPolicy
from luxusbd.jobs.unfinished import UnfinishedMark
from luxusbd.jobs.unmounting import Unmounting
from luxusbd.jobs.unpacking import Unpacker
from luxusbd.jobs.upkeep import Upkeep
from luxusbd.jobs.vouching import Makers
from luxusbd.jobs.waiting import SpaceWatch
from luxusbd.jobs.wakefulness import Wakefulness
from luxusbd.jobs.wholedisks import WholeDisks
from luxusbd.jobs.workshop import Workshop
from luxusbd.settings import ChangedSettings
from luxusbd.store import Store
from luxusbd.transfer.network import Network

log = logging.getLogger(__name__)

LOOKS = 5.0
"""Seconds that the start waits for the first looks at disks."""


class Parts:
    """All of them, bound to each other."""

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
        """Build them; nothing runs before `start`.

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
        self.catalog = catalog
        state = Path(config.paths.state_dir)
        self.store = Store(state / "jobs.sqlite")
        self.images = images
        self._staging = state / "staging"
        downloads = config.downloads
        self._recipes = CatalogRecipes(Path(config.paths.cache_dir) / FILE_NAME)
        # not the one of the transfer process, which reads the same files
        self.shelf = RecipeShelf(Path(config.paths.recipes_dir), self._recipes.path)
        self.transfers = Transfers(
            launcher,
            TransferSetup(
                network or Network(),
                downloads.bandwidth,
                downloads.connections_per_host,
                downloads.connections,
                config.paths.recipes_dir,
                str(self._recipes.path),
            ),
        )
        self.queue = JobQueue(
            self.store,
            slots={Lane.IMPORT: 2, Lane.STREAM: 4, Lane.CATALOG: 1, **slots(config)},
            max_jobs=config.limits.jobs,
            max_jobs_per_uid=config.limits.jobs_per_uid,
            keep_finished=config.daemon.keep_finished,
        )
        self.certificates = AdminCertificates(Path(config.paths.certificates_dir), self.transfers.certificate)
        keyring = Keyring(Path(config.paths.keys_dir), Path(config.paths.cache_dir) / "keys")
        self.policy = TrustPolicy(keyring, Trust(config.verification.minimum_trust))
        comparer = StickComparer(catalog, self.policy)
        self.registry = DeviceRegistry(self.transfers, _policy(config), OwnedMarks(owned_marks), comparer.updates)
        catalog.renewed.append(self.registry.compare_again)
        checker = Checker(launcher)
        feeds = Feeds(self.transfers, checker, keyring, catalog, sources, self._catalog_changed)
        self.listing = Listing(catalog, keyring, self.registry)
        self.planner = Planner(catalog, self.images, self.registry, self.policy)
        holds = Holds(self.queue, self.planner, self.images)
        incoming = Path(config.paths.download_dir)
        room = Room(self.images, holds, _limits(config), incoming=incoming)
        self.mirrors = Mirrors(self.store, catalog, config.mirrors)
        self.downloads = Downloads(
            self.queue,
            self.transfers,
            self.images,
            self.mirrors,
            room=room,
            incoming=incoming,
            makers=Makers(self.transfers, self.policy),
            renewals=Renewals(feeds, catalog),
        )
        self.races = Races(self.queue, self.transfers, self.mirrors, self.downloads, room=room)
        self.imports = Imports(
            self.queue,
            self.transfers,
            self.images,
            catalog,
            room=room,
            staging=self._staging,
            max_unpacked=config.images.max_unpacked << 30,
            reserve=config.images.reserve,
        )
        self.keeper = StoreKeeper(
            self.images,
            catalog,
            self.planner,
            holds,
            room,
            incoming=incoming,
            keep_partial=config.downloads.keep_partial,
        )
        self._listeners: list[Listener] = []
        self.updates = CatalogUpdates(
            self.queue,
            self.transfers,
            checker,
            catalog,
            sources,
            config.catalog,
            self._catalog_changed,
            feeds,
            self._recipes,
        )
        self.logos = Logos(
            self.transfers,
            catalog,
            LogoCache(Path(config.paths.cache_dir) / "logos"),
            enabled=config.catalog.logos,
        )
        self.proofs = Proofs(self.transfers, catalog, keyring)
        self.own_catalogs = OwnCatalogs(self.transfers, catalog)
        self.unmounting = Unmounting(self.registry, launcher)
        workshop = Workshop(
            self.registry,
            self.images,
            Rescans(self.transfers, catalog),
            launcher,
            unmounting=self.unmounting,
        )
        device_jobs = DeviceJobs(self.queue, self.registry, holds)
        self.whole_disks = WholeDisks(
            self.registry, device_jobs, workshop, self.unmounting, SavedFiles(state / "probes")
        )
        unpacker = Unpacker(launcher)
        self.raw_plans = RawPlans(self.planner, self.registry, self.images, unpacker)
        probing = Probing(lambda: self.steering.config.devices.probe)
        self.raw_writes = RawWrites(
            self.queue,
            self.registry,
            self.images,
            self.downloads,
            self.planner,
            self.raw_plans,
            workshop,
            jobs=device_jobs,
            unmounting=self.unmounting,
            unpacker=unpacker,
            probing=probing,
        )
        startfiles = StartFiles(self.queue, self.transfers, checker, keyring, self.downloads, self.images)
        arrivals = Arrivals(
            self.queue,
            self.downloads,
            self.images,
            startfiles,
            self.planner.check_stored,
            self.transfers,
            incoming=incoming,
            window=config.downloads.window,
        )
        provision = Provision(self.queue, self.images, self.downloads, self.planner, startfiles, arrivals)
        self.sticks = Sticks(
            self.queue,
            self.registry,
            self.planner,
            workshop,
            jobs=device_jobs,
            creations=Creations(
                self.registry, workshop, unmounting=self.unmounting, probing=probing, provision=provision
            ),
            updates=StickUpdates(comparer, self.planner, workshop),
            provision=provision,
        )
        self._space = SpaceWatch(self.queue, room.check, incoming, self.downloads.bytes_wanted)
        self.awake = Wakefulness(self.queue, self.transfers, enabled=config.daemon.inhibit_sleep)
        self._upkeep = Upkeep(images, catalog, self.downloads, self.keeper, self.logos)
        self.queue.add_listener(_Cleanup(self.imports, device_jobs))
        self._mark = UnfinishedMark(state / "unfinished")
        self.queue.add_listener(self._mark)
        self.retirement = Retirement(self.queue)
        self.queue.add_listener(self.awake)
        self.steering = Steering(settings, self.queue, self.transfers, self.keeper, self.awake)
        self.remotes = CatalogRemotes(self.steering, self.updates, checker, state)

    async def start(self) -> None:
        """Open the store, start the transfer process and the device monitor, and take unfinished jobs up again."""
        await self.store.open()
        await self.mirrors.load()
        await asyncio.to_thread(self._clean_staging)
        await asyncio.to_thread(self._recipes.follow, self.catalog.cached)
        await self.transfers.start()
        await self.registry.start()
        await self._take_up()
        self._mark.busy_changed(self.queue.busy)

        # the call that started the daemon is to see a stick as what it is, and how much there is of a download
        await asyncio.gather(self.registry.settled(LOOKS), self._tell_claims())
        self.queue.begin()
        self._upkeep.begin()

    async def stop(self) -> None:
        """Stop everything so that the next start goes on where this one ends."""
        await self._upkeep.end()
        await self.logos.close()
        self._mark.freeze()
        await self._space.close()
        await self.queue.close()
        await self.awake.close()
        await self.registry.stop()
        await self.transfers.stop()
        await self.store.close()

    def add_listener(self, listener: Listener) -> None:
        """Tell `listener` everything from now on."""
        self.steering.listeners.append(listener)
        self.queue.add_listener(listener)
        self.registry.add_listener(listener)
        self._listeners.append(listener)

    async def _take_up(self) -> None:
        ask = self.steering.config.downloads.resume == "ask"
        for row in reversed(await self.store.rows(unfinished=True)):
            job = codec.job_of(row)
            if job is None:
                # out of the way: its job cannot go on, and the next start need not stumble over it
                await self.store.save(replace(row, finished=True))
            elif job.operation is Operation.DOWNLOAD and passes(job.params):
                await self.downloads.drop_passing(job)
                await self.queue.restore_failed(job, cut_passing(job))
            elif job.operation is Operation.DOWNLOAD:
                self.downloads.take_up(job, ask=ask)
            elif job.operation is Operation.UPDATE_CATALOG:
                self.queue.restore(job, Lane.CATALOG, self.updates.run)
            elif job.operation is Operation.RACE:
                self.queue.restore(job, Lane.DOWNLOAD, self.races.run, ask=ask)
            elif job.operation is Operation.IMPORT:
                await self.queue.restore_failed(
                    job, InterruptedJobError(f"the daemon ended while {job.title} was imported; import it again")
                )
            else:
                await self.queue.restore_failed(job, self.sticks.interrupted(job))

    async def _tell_claims(self) -> None:
        try:
            async with asyncio.timeout(LOOKS):
                await self.downloads.tell_claims()
        except TimeoutError:
            log.warning("how much there is of unfinished downloads was not told in time")

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

    def __init__(self, imports: Imports, devices: DeviceJobs) -> None:
        self._imports = imports
        self._devices = devices
        self._tasks: set[asyncio.Task[None]] = set()

    def job_finished(self, job: Job) -> None:
        self._imports.job_ended(job)
        if job.device_ids:
            task = asyncio.get_running_loop().create_task(self._devices.ended(job))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
