"""org.luxusb.Manager: decode, authorise, call the engine, encode."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from luxusbd.bus import device, members, render
from luxusbd.bus.contract import DEVICE, MANAGER, interfaces
from luxusbd.bus.dispatcher import Answer, Call, Getter, Implementation
from luxusbd.bus.gate import Gate, Operation, manager_member
from luxusbd.bus.options import Options
from luxusbd.bus.shown import ShownSystems
from luxusbd.bus.standard import as_variants
from luxusbd.bus.tree import Tree, device_path, job_path
from luxusbd.errors import InvalidArgumentError
from luxusbd.jobs.api import Engine
from luxusbd.jobs.listed import CatalogQuery, Order
from luxusbd.jobs.mirrorwishes import WishChange
from luxusbd.jobs.model import Job
from luxusbd.jobs.views import DeviceView, ImportOptions, PruneOptions, RawWishes, RemoteWishes, UpdateWishes
from luxusbd.settings import check_changeable
from luxusbd.stick.model import MenuChange, MenuStyle, Probe, StickOptions, Theme
from luxusbd.text import without_secrets

MAX_DEVICES = 64
MAX_URL = 2000
MAX_IMAGES = 256
"""Entries of one plan; far above what a stick holds, far below what would hurt."""


@dataclass(frozen=True)
class ManagerState:
    """What the Manager's properties show."""

    version: str
    features: tuple[str, ...]
    busy: bool


_GETTERS: Mapping[str, Getter] = {
    "Version": lambda state: state.version,
    "Features": lambda state: state.features,
    "Busy": lambda state: state.busy,
}


class ManagerMethods:
    """All methods of the Manager; those without an entry in `operations` have no engine."""

    def __init__(self, engine: Engine, tree: Tree, gate: Gate, jobs: Implementation) -> None:
        self._engine = engine
        self._tree = tree
        self._gate = gate
        self._jobs = jobs
        self._shown = ShownSystems()

    def operations(self) -> Mapping[str, Operation]:
        """What this layer can pass on to an engine."""
        return {
            "ListDistributions": self._list_distributions,
            "GetDistribution": self._get_distribution,
            "UpdateCatalog": self._update_catalog,
            "GetCatalogStatus": self._get_catalog_status,
            "ListRecipes": self._list_recipes,
            "SetCatalogRemote": self._set_catalog_remote,
            "ImportCatalog": self._import_catalog,
            "GetLogo": self._get_logo,
            "GetProofs": self._get_proofs,
            "Download": self._download,
            "ImportImage": self._import_image,
            "InspectImage": self._inspect_image,
            "ListImages": self._list_images,
            "OpenImage": self._open_image,
            "DeleteImage": self._delete_image,
            "PinImage": self._pin_image,
            "PruneImages": self._prune_images,
            "ListMirrors": self._list_mirrors,
            "RaceMirrors": self._race_mirrors,
            "SetMirrorPreference": self._set_mirror_preference,
            "PlanStick": self._plan_stick,
            "CreateStick": self._create_stick,
            "AddImages": self._add_images,
            "RemoveImages": self._remove_images,
            "UpdateStick": self._update_stick,
            "RefreshStick": self._refresh_stick,
            "RepairStick": self._repair_stick,
            "VerifyStick": self._verify_stick,
            "RescanStick": self._rescan_stick,
            "AdoptStick": self._adopt_stick,
            "SetPersistence": self._set_persistence,
            "ListStickImages": self._list_stick_images,
            "WriteRaw": self._write_raw,
            "RestoreDisk": self._restore_disk,
            "ProbeCapacity": self._probe_capacity,
            "Eject": self._eject,
            "OpenImageTarget": self._open_image_target,
            "ListJobs": self._list_jobs,
            "GetSettings": self._get_settings,
            "SetSettings": self._set_settings,
            "ResetSettings": self._reset_settings,
        }

    def features(self) -> tuple[str, ...]:
        """The members that both the engine and this layer have."""
        known = self.operations()
        return tuple(name for name in self._engine.features if name in known)

    def implementation(self) -> Implementation:
        """Handlers for every method of the contract, and getters over `ManagerState`."""
        interface = interfaces()[MANAGER]
        operations, features = self.operations(), self.features()
        handlers = {name: manager_member(name, operations.get(name), features) for name in interface.methods}
        return Implementation(interface, handlers, _GETTERS)

    def _device(self, call: Call, path: str) -> DeviceView:
        view: DeviceView = self._tree.find(path, call.caller.uid, DEVICE).value
        return view

    async def _list_distributions(self, call: Call, given: Options) -> Answer:
        path = given[members.DEVICE]
        query = CatalogQuery(
            text=given[members.TEXT],
            category=given[members.CATEGORY],
            architecture=given[members.ARCHITECTURE],
            family=given[members.FAMILY],
            secure_boot=given[members.SECURE_BOOT],
            hide_end_of_life=given[members.HIDE_END_OF_LIFE],
            device=self._device(call, path).device.identity if path else None,
            order=Order(given[members.SORT]),
        )
        found = await self._engine.list_distributions(call.caller, query)
        return Answer(encoded=self._shown.body(found))

    async def _get_distribution(self, call: Call, given: Options) -> Answer:
        found = await self._engine.get_distribution(call.caller, call.args[0])
        return Answer((render.distribution(found, mirrors=True, origins=given[members.ORIGINS]),))

    async def _update_catalog(self, call: Call, given: Options) -> Answer:
        await self._gate.authorise(call, given, {})
        ids: tuple[str, ...] = given[members.IDS]
        return _job(await self._engine.update_catalog(call.caller, feeds=given[members.FEEDS], ids=ids))

    async def _get_catalog_status(self, call: Call, given: Options) -> Answer:
        del given
        return Answer((render.catalog_status(await self._engine.get_catalog_status(call.caller)),))

    async def _list_recipes(self, call: Call, given: Options) -> Answer:
        del call, given
        return Answer((render.recipes(await self._engine.list_recipes()),))

    async def _set_catalog_remote(self, call: Call, given: Options) -> Answer:
        url = call.args[0]
        if len(url) > MAX_URL:
            raise InvalidArgumentError(f"the address has more than {MAX_URL} characters")
        await self._gate.authorise(call, given, {"url": without_secrets(url)})
        wishes = RemoteWishes(
            url=url,
            signature_url=given[members.SIGNATURE_URL],
            fingerprints=given[members.FINGERPRINTS],
            configured=given[members.CONFIGURED],
        )
        return Answer((list(await self._engine.set_catalog_remote(call.caller, wishes, given[members.KEY])),))

    async def _import_catalog(self, call: Call, given: Options) -> Answer:
        return Answer((await self._engine.import_catalog(call.caller, call.args[0], given[members.NAME]),))

    async def _get_logo(self, call: Call, given: Options) -> Answer:
        del given
        return Answer((0,), fds=(await self._engine.get_logo(call.caller, call.args[0]),))

    async def _get_proofs(self, call: Call, given: Options) -> Answer:
        reference = call.args[0]
        await self._gate.authorise(call, given, {"reference": reference})
        return Answer((0, 1, 2), fds=await self._engine.get_proofs(call.caller, reference))

    async def _download(self, call: Call, given: Options) -> Answer:
        reference = call.args[0]
        await self._gate.authorise(call, given, {"reference": reference})
        job = await self._engine.download(
            call.caller, reference, priority=given[members.PRIORITY], bandwidth=given[members.BANDWIDTH]
        )
        return _job(job)

    async def _import_image(self, call: Call, given: Options) -> Answer:
        fd, name = call.args[:2]
        await self._gate.authorise(call, given, {"name": name})
        wanted = ImportOptions(
            sha256=given[members.SHA256],
            size=given[members.SIZE],
            sums=given[members.SUMS],
            sums_name=given[members.SUMS_NAME],
            signature=given[members.SIGNATURE],
            key=given[members.KEY],
            keep_packed=given[members.KEEP_PACKED],
        )
        return _job(await self._engine.import_image(call.caller, fd, name, wanted))

    async def _inspect_image(self, call: Call, given: Options) -> Answer:
        sha256 = given[members.SHA256].lower()
        if sha256 and not set(sha256) <= set(string.hexdigits):
            raise InvalidArgumentError("the option sha256 must be 64 hex digits")
        found = await self._engine.inspect_image(call.caller, call.args[0], sha256=sha256)
        return Answer((render.inspection(found),))

    async def _list_images(self, call: Call, given: Options) -> Answer:
        del given
        return Answer(([render.stored_image(view) for view in await self._engine.list_images(call.caller)],))

    async def _open_image(self, call: Call, given: Options) -> Answer:
        del given
        return Answer((0,), fds=(await self._engine.open_image(call.caller, call.args[0]),))

    async def _delete_image(self, call: Call, given: Options) -> Answer:
        reference = call.args[0]
        await self._gate.authorise(call, given, {"reference": reference})
        await self._engine.delete_image(call.caller, reference)
        return Answer()

    async def _pin_image(self, call: Call, given: Options) -> Answer:
        reference, pinned = call.args[:2]
        await self._gate.authorise(call, given, {"reference": reference})
        await self._engine.pin_image(call.caller, reference, pinned)
        return Answer()

    async def _prune_images(self, call: Call, given: Options) -> Answer:
        only: tuple[str, ...] = given[members.ONLY]
        wanted = PruneOptions(
            dry_run=given[members.DRY_RUN],
            older_than=given[members.OLDER_THAN],
            imports=given[members.IMPORTS],
            only=frozenset(only),
        )
        if not wanted.dry_run:
            await self._gate.authorise(call, given, {"imports": "yes" if wanted.imports else "no"})
        return Answer(([render.pruned(one) for one in await self._engine.prune_images(call.caller, wanted)],))

    async def _list_mirrors(self, call: Call, given: Options) -> Answer:
        del given
        found = await self._engine.list_mirrors(call.caller, call.args[0])
        return Answer(([render.mirror(one) for one in found],))

    async def _race_mirrors(self, call: Call, given: Options) -> Answer:
        reference = call.args[0]
        await self._gate.authorise(call, given, {"reference": reference})
        return _job(await self._engine.race_mirrors(call.caller, reference, most=given[members.MOST]))

    async def _set_mirror_preference(self, call: Call, given: Options) -> Answer:
        await self._engine.set_mirror_preference(call.caller, call.args[0], _wish_change(given))
        return Answer()

    async def _plan_stick(self, call: Call, given: Options) -> Answer:
        paths, references = call.args[:2]
        _check_count("devices", paths, MAX_DEVICES)
        _check_count("images", references, MAX_IMAGES)
        if len(set(paths)) != len(paths):
            raise InvalidArgumentError("a device is named twice; name each one once")
        identities = [self._device(call, path).device.identity for path in paths]
        wanted = StickOptions(
            filesystem=given[members.FILESYSTEM],
            label=given[members.LABEL],
            timeout=given[members.TIMEOUT],
            serial_console=given[members.SERIAL_CONSOLE],
            companion=given[members.COMPANION],
            share=given[members.SHARE],
            menu=MenuStyle(Theme(given[members.THEME]), given[members.REMEMBER], given[members.LANGUAGE]),
            persistence=given[members.PERSISTENCE_PARTITION],
        )
        made = await self._engine.plan_stick(
            call.caller,
            identities,
            references,
            wanted,
            allow_large=given[members.ALLOW_LARGE],
            certificates=given[members.CERTIFICATES],
            persistence=given[members.PERSISTENCE],
            probe=given[members.PROBE] if given.given(members.PROBE) else None,
            download_first=given[members.DOWNLOAD_FIRST] if given.given(members.DOWNLOAD_FIRST) else None,
            keep=given[members.KEEP_IMAGES],
            dry_run=given[members.DRY_RUN],
            raw=_raw_wishes(given),
        )
        return Answer((render.plan(made),))

    async def _create_stick(self, call: Call, given: Options) -> Answer:
        token = call.args[0]
        # The plan holds the identities of its devices; the engine compares them with what is there after the await.
        planned = self._engine.plan_devices(call.caller, token)
        await self._gate.authorise(call, given, device.details(planned))
        return _job(await self._engine.create_stick(call.caller, token))

    async def _write_raw(self, call: Call, given: Options) -> Answer:
        token = call.args[0]
        # as with CreateStick
        planned = self._engine.plan_devices(call.caller, token)
        await self._gate.authorise(call, given, device.details(planned))
        return _job(await self._engine.write_raw(call.caller, token))

    async def _add_images(self, call: Call, given: Options) -> Answer:
        path, references = call.args[:2]
        _check_count("images", references, MAX_IMAGES)
        view = self._device(call, path)
        await self._gate.authorise(call, given, device.details([view]))
        keep = given[members.KEEP_IMAGES]
        return _job(await self._engine.add_images(call.caller, view.device.identity, references, keep=keep))

    async def _remove_images(self, call: Call, given: Options) -> Answer:
        path, names = call.args[:2]
        _check_count("images", names, MAX_IMAGES)
        view = self._device(call, path)
        await self._gate.authorise(call, given, device.details([view]))
        return _job(await self._engine.remove_images(call.caller, view.device.identity, names))

    async def _update_stick(self, call: Call, given: Options) -> Answer:
        view = self._device(call, call.args[0])
        wishes = UpdateWishes(
            images=given[members.IMAGES],
            check=given[members.CHECK],
            one_at_a_time=given[members.ONE_AT_A_TIME],
            same_series=given[members.SAME_SERIES],
            less_trust=given[members.LESS_TRUST],
            replace=given[members.REPLACE],
            keep=given[members.KEEP_IMAGES],
        )
        if not wishes.check:
            await self._gate.authorise(call, given, device.details([view]))
        return _job(await self._engine.update_stick(call.caller, view.device.identity, wishes))

    async def _refresh_stick(self, call: Call, given: Options) -> Answer:
        view = self._device(call, call.args[0])
        await self._gate.authorise(call, given, device.details([view]))
        change = MenuChange(
            timeout=given[members.TIMEOUT] if given.given(members.TIMEOUT) else None,
            theme=Theme(given[members.THEME]) if given.given(members.THEME) else None,
            remember=given[members.REMEMBER] if given.given(members.REMEMBER) else None,
            language=given[members.LANGUAGE] if given.given(members.LANGUAGE) else None,
        )
        return _job(
            await self._engine.refresh_stick(
                call.caller, view.device.identity, certificates=given[members.CERTIFICATES], change=change
            )
        )

    async def _repair_stick(self, call: Call, given: Options) -> Answer:
        view = self._device(call, call.args[0])
        await self._gate.authorise(call, given, device.details([view]))
        return _job(await self._engine.repair_stick(call.caller, view.device.identity))

    async def _verify_stick(self, call: Call, given: Options) -> Answer:
        view = self._device(call, call.args[0])
        await self._gate.authorise(call, given, device.details([view]))
        return _job(await self._engine.verify_stick(call.caller, view.device.identity))

    async def _rescan_stick(self, call: Call, given: Options) -> Answer:
        view = self._device(call, call.args[0])
        await self._gate.authorise(call, given, device.details([view]))
        return _job(
            await self._engine.rescan_stick(call.caller, view.device.identity, thorough=given[members.THOROUGH])
        )

    async def _adopt_stick(self, call: Call, given: Options) -> Answer:
        view = self._device(call, call.args[0])
        dry_run = given[members.DRY_RUN]
        if not dry_run:
            await self._gate.authorise(call, given, device.details([view]))
        return _job(await self._engine.adopt_stick(call.caller, view.device.identity, dry_run=dry_run))

    async def _set_persistence(self, call: Call, given: Options) -> Answer:
        path, image, size = call.args[:3]
        view = self._device(call, path)
        await self._gate.authorise(call, given, device.details([view]))
        return _job(await self._engine.set_persistence(call.caller, view.device.identity, image, size))

    async def _probe_capacity(self, call: Call, given: Options) -> Answer:
        view = self._device(call, call.args[0])
        await self._gate.authorise(call, given, device.details([view]))
        return _job(
            await self._engine.probe_capacity(
                call.caller,
                view.device.identity,
                Probe(given[members.PROBE_MODE]),
                allow_large=given[members.ALLOW_LARGE],
            )
        )

    async def _restore_disk(self, call: Call, given: Options) -> Answer:
        view = self._device(call, call.args[0])
        await self._gate.authorise(call, given, device.details([view]))
        options = StickOptions(filesystem=given[members.PLAIN_FILESYSTEM], label=given[members.PLAIN_LABEL])
        return _job(
            await self._engine.restore_disk(
                call.caller, view.device.identity, options, allow_large=given[members.ALLOW_LARGE]
            )
        )

    async def _eject(self, call: Call, given: Options) -> Answer:
        view = self._device(call, call.args[0])
        await self._gate.authorise(call, given, device.details([view]))
        await self._engine.eject(call.caller, view.device.identity)
        return Answer()

    async def _list_stick_images(self, call: Call, given: Options) -> Answer:
        del given
        view = self._device(call, call.args[0])
        found = await self._engine.list_stick_images(call.caller, view.device.identity)
        return Answer(([render.stick_image(image, view.shim, view.firmware) for image in found],))

    async def _open_image_target(self, call: Call, given: Options) -> Answer:
        del given
        fd, size = call.args[:2]
        view = await self._engine.open_image_target(call.caller, fd, size)
        return Answer((device_path(view.device.identity.id),))

    async def _list_jobs(self, call: Call, given: Options) -> Answer:
        everybody = given[members.ALL_USERS]
        if everybody:
            await self._gate.authorise(call, given, {}, members.Action.MANAGE_ALL_JOBS)
        found = await self._engine.list_jobs(call.caller, unfinished=given[members.UNFINISHED], all_users=everybody)
        shown = found[: given[members.LIMIT] or None]
        return Answer(([{"path": job_path(job.id), **as_variants(self._jobs, job)} for job in shown],))

    async def _get_settings(self, call: Call, given: Options) -> Answer:
        del call
        return Answer((dict(self._engine.setting_origins() if given[members.ORIGINS] else self._engine.settings()),))

    async def _set_settings(self, call: Call, given: Options) -> Answer:
        values = {name: variant.value for name, variant in call.args[0].items()}
        # what cannot be is refused without a question
        check_changeable(values)
        await self._gate.authorise(call, given, {"settings": sorted(values)})
        await self._engine.set_settings(values)
        return Answer()

    async def _reset_settings(self, call: Call, given: Options) -> Answer:
        keys = call.args[0]
        check_changeable(keys)
        await self._gate.authorise(call, given, {"settings": sorted(keys)})
        await self._engine.reset_settings(keys)
        return Answer()


def _job(job: Job) -> Answer:
    return Answer((job_path(job.id),))


def _check_count(what: str, items: Sequence[str], most: int) -> None:
    if len(items) > most:
        raise InvalidArgumentError(f"{len(items)} {what} are too many; at most {most} at once")


_WITH_RAW = (members.RAW, members.BMAP, members.UNBOOTABLE, members.ALLOW_LARGE, members.PROBE, members.DRY_RUN)


def _raw_wishes(given: Options) -> RawWishes | None:
    """What is said of a raw write, None where a stick is planned.

    Raises:
        InvalidArgumentError: options of both.
    """
    rule = members.RULES[MANAGER, "PlanStick"]
    raw = given[members.RAW]
    others = [
        option.name
        for option in rule.options
        if given.given(option) and (option not in _WITH_RAW if raw else option in (members.BMAP, members.UNBOOTABLE))
    ]
    if others:
        raise InvalidArgumentError(
            f"the option {others[0]} says nothing {'together with' if raw else 'without'} the option raw; leave it out"
        )
    return RawWishes(given[members.BMAP], given[members.UNBOOTABLE]) if raw else None


def _wish_change(given: Options) -> WishChange:
    """What SetMirrorPreference is told; that the parts fit together is checked here, what they mean in the engine."""
    pinned: str | None = None
    if given.given(members.URL) != (given[members.MODE] == "pinned"):
        raise InvalidArgumentError("the option url goes with mode pinned, and mode pinned with a url")
    if given.given(members.MODE):
        pinned = given[members.URL]
        if given[members.MODE] == "pinned" and not pinned:
            raise InvalidArgumentError("the option url is empty; give the address of a mirror, or mode auto for none")
    return WishChange(
        pinned,
        prefer=given[members.PREFER] if given.given(members.PREFER) else None,
        exclude=given[members.EXCLUDE] if given.given(members.EXCLUDE) else None,
    )
