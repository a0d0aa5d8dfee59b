"""The daemon's members as typed calls."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager

from luxusb_cli.beside import Beside, descriptors
from luxusb_cli.bootrecipes import RecipeBook
from luxusb_cli.calls import (
    DEVICE,
    JOB,
    MANAGER,
    MANAGER_PATH,
    MAX_NAME,
    MAY_ASK,
    NO_OPTIONS,
    OBJECT_MANAGER,
    PROPERTIES,
    ROOT_PATH,
    USES_CATALOG,
    ServiceInfo,
    Work,
    certificate_options,
    only_path,
    only_value,
    query_options,
    throttle_options,
)
from luxusb_cli.catalog import DistroInfo, DistroQuery, MirrorState
from luxusb_cli.connection import Connection, Event, Options, Typed
from luxusb_cli.errors import FREEDESKTOP, LUXUSB, DaemonError
from luxusb_cli.i18n import _
from luxusb_cli.images import ImageInfo, PrunedInfo
from luxusb_cli.inspection import InspectReport
from luxusb_cli.model import DeviceInfo, JobInfo, StickImage
from luxusb_cli.own import in_memory
from luxusb_cli.plans import PlanInfo
from luxusb_cli.remote import CatalogStatus
from luxusb_cli.text import clean
from luxusb_cli.wire import Wire, flag, get, text, texts, wire_of, wires

MAX_PROOF = 4 * 1024 * 1024
"""Bytes of a list of hashes, a signature or a key, as the daemon fetches them."""


class Client:
    """What can be asked of the daemon. Every call may raise `DaemonError`, `NoDaemonError` and `ProtocolError`."""

    def __init__(
        self,
        connection: Connection,
        prepare: Callable[[], Awaitable[None]] | None = None,
        before_catalog: Callable[[Client], Awaitable[None]] | None = None,
    ) -> None:
        """Prepare, without asking anything.

        Args:
            connection: to the bus.
            prepare: awaited before each call that may lead to a question for a password.
            before_catalog: awaited once, before the first call that looks something up in the catalogue.
        """
        self._connection = connection
        self._prepare = prepare
        self._before_catalog = before_catalog

    def events(self) -> AbstractContextManager[asyncio.Queue[Event]]:
        """What the daemon and the bus say from now on, in order."""
        return self._connection.events()

    @property
    def daemon_seen(self) -> bool:
        """Whether the daemon was on the bus at any time since the connection began."""
        return self._connection.daemon_seen

    @property
    def answered(self) -> int:
        """The place of the last answer in what came over the connection, as a signal's `order`."""
        return self._connection.answered

    async def _manager(
        self, member: str, signature: str, *arguments: object, what: str, fds: Sequence[int] = ()
    ) -> Sequence[object]:
        await self._catalog_known(member)
        if member in MAY_ASK:
            await self._prepare_question()
        return await self._connection.call(MANAGER_PATH, MANAGER, member, signature, arguments, what=what, fds=fds)

    async def _catalog_known(self, member: str) -> None:
        if member in USES_CATALOG and (first := self._before_catalog) is not None:
            self._before_catalog = None
            await first(self)

    async def _prepare_question(self) -> None:
        if self._prepare is not None:
            await self._prepare()

    async def _properties(self, path: str, interface: str, what: str) -> Wire:
        reply = await self._connection.call(path, PROPERTIES, "GetAll", "s", [interface], what=what)
        return wire_of(only_value(reply), "GetAll")

    # The service

    async def service(self) -> ServiceInfo:
        """The daemon itself."""
        wire = await self._properties(MANAGER_PATH, MANAGER, _("Could not ask for the daemon's version"))
        return ServiceInfo(text(wire, "Version"), texts(wire, "Features"), flag(wire, "Busy"))

    async def require(self, member: str, what: str) -> None:
        """Find out before anything is asked or begun that the daemon cannot do it.

        Raises:
            DaemonError: NotSupported.
        """
        if member not in (await self.service()).features:
            raise DaemonError(
                what, LUXUSB + "NotSupported", _("This luxusbd has no engine for {member}.").format(member=member)
            )

    async def settings(self) -> dict[str, object]:
        """The settings in force by their names, section.key."""
        reply = await self._manager("GetSettings", "a{sv}", NO_OPTIONS, what=_("Could not read the settings"))
        return dict(wire_of(only_value(reply), "the settings"))

    async def setting_origins(self) -> dict[str, str]:
        """Where each of them comes from: default, configured or set."""
        options = {"origins": Typed("b", True)}
        reply = await self._manager("GetSettings", "a{sv}", options, what=_("Could not read the settings"))
        wire = wire_of(only_value(reply), "the settings")
        return {key: text(wire, key) for key in wire}

    async def reset_settings(self, keys: Sequence[str]) -> None:
        """Take back what was set, of all without a key."""
        await self._manager("ResetSettings", "asa{sv}", list(keys), NO_OPTIONS, what=_("Could not change the settings"))

    async def change_settings(self, settings: Options) -> None:
        """Change global settings."""
        await self._manager("SetSettings", "a{sv}", settings, what=_("Could not change the settings"))

    # Catalogue

    async def distributions(self, query: DistroQuery | None = None) -> tuple[DistroInfo, ...]:
        """The distributions of the catalogue that fit, most popular first, or all."""
        options = query_options(query) if query is not None else NO_OPTIONS
        reply = await self._manager("ListDistributions", "a{sv}", options, what=_("Could not list the distributions"))
        return tuple(DistroInfo.from_wire(item) for item in wires(only_value(reply), "the distributions"))

    async def distribution(self, name: str) -> DistroInfo:
        """One distribution with its releases and mirrors."""
        return DistroInfo.from_wire(await self.distribution_wire(name))

    async def distribution_wire(self, name: str, *, origins: bool = False) -> Wire:
        """All that the daemon tells of a distribution; with `origins` also where that comes from."""
        what = _("Could not look up {name}").format(name=clean(name))
        options = {"origins": Typed("b", True)} if origins else NO_OPTIONS
        reply = await self._manager("GetDistribution", "sa{sv}", name, options, what=what)
        return wire_of(only_value(reply), "the distribution")

    async def update_catalog(self, *, feeds: bool = False, ids: Sequence[str] = ()) -> str:
        """Start fetching the catalogue, with `feeds` from the makers too (of `ids` alone); the path of the job."""
        options: dict[str, Typed] = {}
        if feeds:
            options["feeds"] = Typed("b", True)
        if ids:
            options["ids"] = Typed("as", list(ids))
        return only_path(
            await self._manager("UpdateCatalog", "a{sv}", options, what=_("Could not update the catalogue"))
        )

    async def catalog_status(self) -> CatalogStatus:
        """How up to date the catalogue is."""
        reply = await self._manager(
            "GetCatalogStatus", "a{sv}", NO_OPTIONS, what=_("Could not ask how up to date the catalogue is")
        )
        return CatalogStatus.from_wire(wire_of(only_value(reply), "the status of the catalogue"))

    async def recipes(self) -> RecipeBook:
        """The boot recipes in force."""
        reply = await self._manager("ListRecipes", "a{sv}", NO_OPTIONS, what=_("Could not list the boot recipes"))
        return RecipeBook.from_wire(wire_of(only_value(reply), "the boot recipes"))

    async def set_catalog_remote(self, url: str, options: Options, key: int | None) -> tuple[str, ...]:
        """Keep the catalogue up to date from another remote; the fingerprints of the keys that count then."""
        what = _("Could not change the remote of the catalogue")
        given = {**options, **({"key": Typed("h", 0)} if key is not None else {})}
        reply = await self._manager(
            "SetCatalogRemote", "sa{sv}", url, given, what=what, fds=[key] if key is not None else []
        )
        return texts({"fingerprints": only_value(reply)}, "fingerprints")

    async def import_catalog_bytes(self, data: bytes, name: str) -> int:
        """Make a catalogue the caller's own layer, in place of the one before; how many distributions it holds."""
        what = _("Could not import {name}").format(name=clean(name))
        with in_memory(data) as fd:
            options = {"name": Typed("s", name[:MAX_NAME])}
            reply = await self._manager("ImportCatalog", "ha{sv}", 0, options, what=what, fds=[fd])
        return get({"distributions": only_value(reply)}, "distributions", int, 0)

    async def logo(self, distribution: str) -> int:
        """A descriptor of the logo, which the caller closes."""
        what = _("Could not get the logo of {distribution}").format(distribution=clean(distribution))
        return await self._file("GetLogo", distribution, what)

    async def proofs(self, reference: str) -> tuple[bytes, bytes, bytes]:
        """What vouches for a release: the signed list of hashes, the signature (either may be empty), and the key."""
        await self._prepare_question()
        await self._catalog_known("GetProofs")
        what = _("Could not get the signature of {reference}").format(reference=clean(reference))
        fds = await self._connection.call_for_files(
            MANAGER_PATH, MANAGER, "GetProofs", "sa{sv}", [reference, NO_OPTIONS], what=what, count=3
        )
        try:
            sums, signature, key = (os.pread(fd, MAX_PROOF, 0) for fd in fds)
        finally:
            for fd in fds:
                os.close(fd)
        return sums, signature, key

    async def mirrors(self, distribution: str) -> tuple[MirrorState, ...]:
        """The mirrors of a distribution and how they did."""
        what = _("Could not list the mirrors of {distribution}").format(distribution=clean(distribution))
        reply = await self._manager("ListMirrors", "sa{sv}", distribution, NO_OPTIONS, what=what)
        return tuple(MirrorState.from_wire(item) for item in wires(only_value(reply), "the mirrors"))

    async def race_mirrors(self, distribution: str) -> str:
        """Start measuring the mirrors of a distribution; the path of the job."""
        what = _("Could not measure the mirrors of {distribution}").format(distribution=clean(distribution))
        return only_path(await self._manager("RaceMirrors", "sa{sv}", distribution, NO_OPTIONS, what=what))

    async def prefer_mirrors(self, distribution: str, options: Options) -> None:
        """Set the caller's preference for a distribution, or with an empty name for all."""
        what = _("Could not set the preference")
        await self._manager("SetMirrorPreference", "sa{sv}", distribution, options, what=what)

    # Images

    async def _file(self, member: str, name: str, what: str) -> int:
        arguments: list[object] = [name, NO_OPTIONS]
        await self._catalog_known(member)
        return await self._connection.call_for_file(MANAGER_PATH, MANAGER, member, "sa{sv}", arguments, what=what)

    async def open_image(self, reference: str) -> int:
        """A read-only descriptor of a stored image, which the caller closes."""
        return await self._file(
            "OpenImage", reference, _("Could not open {reference}").format(reference=clean(reference))
        )

    async def download(self, reference: str, *, priority: int | None = None, bandwidth: int | None = None) -> str:
        """Start a download; the path of its job."""
        options = throttle_options(priority, bandwidth)
        what = _("Could not download {reference}").format(reference=clean(reference))
        return only_path(await self._manager("Download", "sa{sv}", reference, options, what=what))

    async def import_image(
        self,
        fd: int,
        name: str,
        *,
        sha256: str = "",
        size: int = 0,
        beside: Beside | None = None,
        keep_packed: bool = False,
    ) -> str:
        """Start taking what is behind `fd` into the store; the path of the job.

        Args:
            fd: a regular file, or a pipe or socket, which is read to its end.
            name: to be shown.
            sha256: what its hash has to be.
            size: bytes that have to come, 0 when that is not known.
            beside: files that vouch for it.
            keep_packed: whether a compressed image stays so.
        """
        options = {"sha256": Typed("s", sha256)} if sha256 else {}
        if keep_packed:
            options["keep_packed"] = Typed("b", True)
        if size:
            options["size"] = Typed("t", size)
        if beside is not None and beside.name:
            options["sums_name"] = Typed("s", beside.name)
        fds = [fd]
        for option, given in descriptors(beside):
            options[option] = Typed("h", len(fds))
            fds.append(given)
        what = _("Could not import {name}").format(name=clean(name))
        return only_path(await self._manager("ImportImage", "hsa{sv}", 0, name, options, what=what, fds=fds))

    async def inspect(self, fd: int, name: str, *, sha256: str = "") -> InspectReport:
        """What the file behind `fd` is; `name` is for messages, `sha256` its hash when that is known."""
        options = {"sha256": Typed("s", sha256)} if sha256 else {}
        what = _("Could not inspect {name}").format(name=clean(name))
        reply = await self._manager("InspectImage", "ha{sv}", 0, options, what=what, fds=[fd])
        return InspectReport.from_wire(wire_of(only_value(reply), "the report"))

    async def images(self) -> tuple[ImageInfo, ...]:
        """The stored images."""
        reply = await self._manager("ListImages", "a{sv}", NO_OPTIONS, what=_("Could not list the images"))
        return tuple(ImageInfo.from_wire(item) for item in wires(only_value(reply), "the images"))

    async def delete_image(self, reference: str) -> None:
        """Take an image out of this user's view."""
        await self._manager(
            "DeleteImage",
            "sa{sv}",
            reference,
            NO_OPTIONS,
            what=_("Could not delete {reference}").format(reference=clean(reference)),
        )

    async def pin_image(self, reference: str, *, pinned: bool) -> None:
        """Keep an image when space is needed, or let go of it."""
        name = clean(reference)
        what = _("Could not pin {reference}") if pinned else _("Could not unpin {reference}")
        await self._manager("PinImage", "sba{sv}", reference, pinned, NO_OPTIONS, what=what.format(reference=name))

    async def prune(
        self, *, older_than: int = 0, imports: bool = False, dry_run: bool = False, only: Sequence[str] = ()
    ) -> tuple[PrunedInfo, ...]:
        """Remove what is not needed any more and was not used for `older_than` seconds; `only` what has these hashes.

        The user's imports go with `imports`; with `dry_run` nothing goes. What went, or would.
        """
        options: dict[str, Typed] = {
            key: Typed("b", True) for key, on in (("imports", imports), ("dry_run", dry_run)) if on
        }
        if older_than:
            options["older_than"] = Typed("t", older_than)
        if only:
            options["only"] = Typed("as", list(only))
        reply = await self._manager("PruneImages", "a{sv}", options, what=_("Could not clean up the image store"))
        return tuple(PrunedInfo.from_wire(item) for item in wires(only_value(reply), "what was removed"))

    # Sticks

    async def devices(self) -> tuple[DeviceInfo, ...]:
        """The disks, by node."""
        what = _("Could not list the devices")
        reply = await self._connection.call(ROOT_PATH, OBJECT_MANAGER, "GetManagedObjects", "", [], what=what)
        objects = wire_of(only_value(reply), "the objects")
        found = [
            DeviceInfo.from_wire(path, wire_of(interfaces[DEVICE], DEVICE))
            for path, interfaces in ((path, wire_of(value, path)) for path, value in objects.items())
            if DEVICE in interfaces
        ]
        return tuple(sorted(found, key=lambda device: (len(device.node), device.node, device.path)))

    async def device(self, path: str) -> DeviceInfo:
        """One disk or image file."""
        return DeviceInfo.from_wire(path, await self._properties(path, DEVICE, _("Could not look at the device")))

    async def open_image_target(self, fd: int, size: int, name: str) -> str:
        """Make the file behind `fd` a device of `size` bytes (0: as it is); its path. `name` is for messages."""
        what = _("Could not use {name} as an image file").format(name=clean(name))
        return only_path(await self._manager("OpenImageTarget", "hta{sv}", 0, size, NO_OPTIONS, what=what, fds=[fd]))

    async def plan(
        self, devices: Sequence[str], images: Sequence[str], options: Options, certificates: Sequence[int] = ()
    ) -> PlanInfo:
        """Work out a stick without touching anything; `certificates` are open files with keys to enrol."""
        what = _("Could not plan the stick")
        given = {**options, **certificate_options(certificates)}
        arguments = (list(devices), list(images), given)
        reply = await self._manager("PlanStick", "aoasa{sv}", *arguments, what=what, fds=certificates)
        return PlanInfo.from_wire(wire_of(only_value(reply), "the plan"))

    async def plan_raw(
        self, devices: Sequence[str], image: str, options: Options = NO_OPTIONS, bmap: int | None = None
    ) -> PlanInfo:
        """Work out what is written byte for byte; `bmap` is an open file with a block map of the image."""
        given: dict[str, Typed] = {**options, "raw": Typed("b", True)}
        if bmap is not None:
            given["bmap"] = Typed("h", 0)
        fds = [] if bmap is None else [bmap]
        what = _("Could not plan what is written")
        reply = await self._manager("PlanStick", "aoasa{sv}", list(devices), [image], given, what=what, fds=fds)
        return PlanInfo.from_wire(wire_of(only_value(reply), "the plan"))

    async def create(self, token: str) -> str:
        """Carry a plan out; the path of the job."""
        what = _("Could not create the stick")
        return only_path(await self._manager("CreateStick", "sa{sv}", token, NO_OPTIONS, what=what))

    async def write_raw(self, token: str) -> str:
        """Carry a raw plan out; the path of the job."""
        return only_path(
            await self._manager("WriteRaw", "sa{sv}", token, NO_OPTIONS, what=_("Could not write the image"))
        )

    async def add_images(self, device: str, images: Sequence[str], *, keep: bool = True) -> str:
        """Add images to a stick; without `keep` downloads do not stay on the machine. The path of the job."""
        what = _("Could not add to the stick")
        options = NO_OPTIONS if keep else {"keep_images": Typed("b", False)}
        return only_path(await self._manager("AddImages", "oasa{sv}", device, list(images), options, what=what))

    async def remove_images(self, device: str, images: Sequence[str]) -> str:
        """Remove images from a stick; the path of the job."""
        what = _("Could not remove from the stick")
        return only_path(await self._manager("RemoveImages", "oasa{sv}", device, list(images), NO_OPTIONS, what=what))

    async def work_on(self, device: str, work: Work, options: Options = NO_OPTIONS) -> str:
        """Start what needs no more than a device; the path of the job."""
        return only_path(await self._manager(work.member, "oa{sv}", device, options, what=work.failed))

    async def refresh(self, device: str, certificates: Sequence[int] = (), menu: Options | None = None) -> str:
        """Write boot files anew, with the keys in these open files, and the menu with what changes; the job's path."""
        work, options = Work.REFRESH, {**certificate_options(certificates), **(menu or {})}
        reply = await self._manager(work.member, "oa{sv}", device, options, what=work.failed, fds=certificates)
        return only_path(reply)

    async def set_persistence(self, device: str, image: str, size: int) -> str:
        """Give an image on a stick room for changes, 0 for none; the path of the job."""
        what = _("Could not change the room for changes")
        arguments = (device, image, size, NO_OPTIONS)
        return only_path(await self._manager("SetPersistence", "osta{sv}", *arguments, what=what))

    async def eject(self, device: str) -> None:
        """Flush a disk and switch it off."""
        await self._manager("Eject", "oa{sv}", device, NO_OPTIONS, what=_("Could not eject the disk"))

    async def contents(self, device: str) -> tuple[StickImage, ...]:
        """The images on a stick in menu order."""
        what = _("Could not read the stick")
        reply = await self._manager("ListStickImages", "oa{sv}", device, NO_OPTIONS, what=what)
        return tuple(StickImage.from_wire(item) for item in wires(only_value(reply), "the images of the stick"))

    # Jobs

    async def jobs(
        self, *, unfinished: bool = False, all_users: bool = False, limit: int | None = None
    ) -> tuple[JobInfo, ...]:
        """The jobs, newest first."""
        options = {key: Typed("b", True) for key, on in (("unfinished", unfinished), ("all_users", all_users)) if on}
        if limit is not None:
            options["limit"] = Typed("u", limit)
        if all_users:
            await self._prepare_question()
        reply = await self._manager("ListJobs", "a{sv}", options, what=_("Could not list the jobs"))
        return tuple(JobInfo.from_wire(text(item, "path"), item) for item in wires(only_value(reply), "the jobs"))

    async def job(self, path: str) -> JobInfo:
        """One job; also one whose object is gone, from the daemon's records."""
        try:
            return JobInfo.from_wire(path, await self._properties(path, JOB, _("Could not look at the job")))
        except DaemonError as error:
            if error.name not in {FREEDESKTOP + "UnknownObject", FREEDESKTOP + "UnknownMethod"}:
                raise
            for job in await self.jobs():
                if job.path == path:
                    return job
            raise

    async def pause(self, path: str) -> None:
        """Stop a job for now."""
        await self._job(path, "Pause", {}, _("Could not pause the job"))

    async def resume(self, path: str) -> None:
        """Go on with a paused job."""
        await self._job(path, "Resume", {}, _("Could not resume the job"))

    async def cancel(self, path: str, *, keep_partial: bool = False) -> None:
        """End a job."""
        options = {"keep_partial": Typed("b", True)} if keep_partial else {}
        await self._job(path, "Cancel", options, _("Could not cancel the job"))

    async def modify(self, path: str, *, priority: int | None, bandwidth: int | None) -> None:
        """Change a job's place in the queue (-10 to 10) and its limit (bytes per second, 0 without)."""
        await self._job(path, "Modify", throttle_options(priority, bandwidth), _("Could not change the job"))

    async def _job(self, path: str, member: str, options: Options, what: str) -> None:
        await self._prepare_question()
        await self._connection.call(path, JOB, member, "a{sv}", [options], what=what)
