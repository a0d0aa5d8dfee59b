"""What the members of the fake daemon answer."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from typing import Any

from dbus_next.signature import Variant

from tests.cli import contract, world
from tests.cli.fake_jobs import JOB, FakeJob, Jobs, RefusalError

MANAGER = "org.luxusb.Manager"
DEVICE = "org.luxusb.Device"
ERROR = "org.luxusb.Error."
Options = dict[str, Variant]


class Handlers(Jobs):
    """The manager half of the fake daemon."""

    def __init__(self) -> None:
        super().__init__()
        self.devices = world.devices()
        self.private: dict[str, str] = {}
        """Owner (bus name) by path of an image file's device."""
        self.target_sizes: list[tuple[int, int]] = []
        """Size of every image file when it came and when it was opened."""
        self.distros = world.distros()
        self.images = world.images()
        self.unneeded = world.unneeded()
        self.settings = world.settings()
        self.origins: dict[str, str] = {}
        self.catalog_status = world.catalog_status()
        self.update_options: dict[str, Variant] = {}
        """Of the last update of the catalogue."""
        self.own_catalogues: list[tuple[str, bytes]] = []
        """Name and bytes of what was imported."""
        self.refuses_catalogues = ""
        """Why no catalogue is taken."""
        self.remotes: list[tuple[str, dict[str, Any]]] = []
        """Addresses and options by which the catalogue was to be kept up to date."""
        self.refuses_remotes = ""
        """Why no remote is taken."""
        self.plans: dict[str, tuple[list[str], list[str]]] = {}
        self.plan_changes: dict[str, Variant] = {}
        """Keys that replace those of every plan."""
        self.verify_ok = True
        self.repaired: dict[str, Variant] = {"sound": Variant("b", True)}
        """Result of a repair."""
        self.adopted: dict[str, Variant] = {}
        self.probed = world.probed("genuine", 16 * world.GIB)
        self.probed_at: dict[str, dict[str, Variant]] = {}
        """By path, of devices of which a probe finds something else."""
        """Result of a takeover, also of a dry run."""
        self.rescanned: dict[str, Variant] = {}
        self.updated: dict[str, Variant] = {}
        self.added: dict[str, Variant] = {}
        """Result of a rescan."""
        self.inspected: dict[str, Variant] = {}
        self.imported: dict[str, Variant] = {}
        """Keys that are added to the result of every import."""
        self.beside: dict[str, bytes] = {}
        """What the last import had beside its image, by the names of the options."""
        self.image_bytes = world.IMAGE_BYTES
        self.downloaded = world.SHA_A
        """Hash of what a download stores."""
        self.missing: set[str] = set()
        """Members without an engine."""

    def vanished(self, name: str) -> None:
        self.watchers.discard(name)
        for path in [path for path, owner in self.private.items() if owner == name]:
            del self.private[path]
            del self.devices[path]
        self.news()

    def properties(self, path: str, interface: str, sender: str) -> dict[str, Variant]:
        if interface == JOB:
            return self.find_job(path).wire()
        if interface == DEVICE and path in self.devices and self.private.get(path, sender) == sender:
            return self._device_wire(path)
        if interface == MANAGER:
            features = sorted(set(contract.interface(MANAGER).methods) - self.missing)
            return {
                "Version": Variant("s", "9.9.9"),
                "Features": Variant("as", features),
                "Busy": Variant("b", any(not job.finished for job in self.jobs.values())),
            }
        raise RefusalError("org.freedesktop.DBus.Error.UnknownObject", f"There is nothing at {path}.")

    def objects(self, path: str, sender: str) -> dict[str, dict[str, dict[str, Variant]]]:
        if path != "/org/luxusb":
            raise RefusalError("org.freedesktop.DBus.Error.UnknownObject", path)
        found = {job.path: {JOB: job.wire()} for job in self.jobs.values()}
        for device in self.devices:
            if self.private.get(device, sender) == sender:
                found[device] = {DEVICE: self._device_wire(device)}
        return found

    def _device_wire(self, path: str) -> dict[str, Variant]:
        types = contract.interface(DEVICE).properties
        return {name: Variant(types[name], value) for name, value in self.devices[path].items()}

    def manager(self, member: str, body: list[Any], fds: list[int], sender: str) -> Any:
        if member in self.missing:
            raise RefusalError(f"{ERROR}NotSupported", f"this luxusbd cannot do {member} yet")
        options: Options = body[-1]
        match member:
            case "ListDistributions":
                return self._list_distributions(options)
            case "GetDistribution":
                return world.traced(self._distribution(body[0]), origins="origins" in options)
            case "Download":
                name = str(body[0]).removeprefix("distro:")
                self._distribution(name.partition("@")[0].partition("/")[0])
                return self._store_job("download", name, f"{name}.iso", self.downloaded, 3 * world.GIB).path
            case "ImportImage":
                data = _all_of(fds[body[0]])
                self.beside = {
                    name: os.pread(fds[option.value], 1 << 20, 0)
                    for name, option in options.items()
                    if option.signature == "h"
                }
                digest = hashlib.sha256(data).hexdigest()
                if "sha256" in options and options["sha256"].value != digest:
                    raise RefusalError(f"{ERROR}VerificationFailed", f"{body[1]} has the sha256 {digest}.")
                return self._store_job("import", body[1], body[1], digest, len(data), more=self.imported).path
            case "InspectImage":
                return self._inspect(fds[body[0]], options)
            case "ListImages":
                return list(self.images.values())
            case "DeleteImage":
                if self.images.pop(body[0], None) is None:
                    raise RefusalError(f"{ERROR}ImageNotFound", f"There is no image {body[0]}.")
                return None
            case "PinImage":
                if body[0] not in self.images:
                    raise RefusalError(f"{ERROR}ImageNotFound", f"There is no image {body[0]}.")
                self.images[body[0]]["pinned"] = Variant("b", body[1])
                return None
            case "PruneImages":
                return self._prune(options)
            case "OpenImageTarget":
                return self._open_target(fds[body[0]], body[1], sender)
            case "PlanStick":
                plan = self._plan(body[0], body[1], sender, allow_large="allow_large" in body[2])
                raw = {"raw": Variant("a{sv}", world.raw()), "layout": Variant("aa{sv}", [])}
                return plan | raw if "raw" in body[2] else plan
            case "CreateStick":
                return self._create(body[0])
            case "ListJobs":
                return self._list_jobs(options)
            case "GetSettings":
                if "origins" in options:
                    return {key: Variant("s", self.origins.get(key, "default")) for key in self.settings}
                return self.settings
            case "ResetSettings":
                for key in body[0] or tuple(self.origins):
                    self.settings[key] = world.settings()[key]
                    self.origins.pop(key, None)
                return None
            case "SetSettings":
                self._set_settings(body[0])
                return None
            case "OpenImage":
                if body[0] not in self.images:
                    raise RefusalError(f"{ERROR}ImageNotFound", f"There is no image {body[0]}.")
                return self.image_bytes
            case "GetProofs":
                raise RefusalError(f"{ERROR}NotTrusted", f"the catalogue knows no signature for {body[0]}")
            case "GetLogo":
                self._distribution(body[0])
                return b"\x89PNG logo"
            case "UpdateCatalog":
                self.update_options = body[0]
                asked = world.asked() if "feeds" in body[0] else {}
                return self.new_job("update-catalog", "the catalogue", outcome={**world.updated(), **asked}).path
            case "GetCatalogStatus":
                return self.catalog_status
            case "ListRecipes":
                return world.recipes()
            case "SetCatalogRemote":
                return self._set_remote(body[0], options, fds)
            case "ImportCatalog":
                data = os.pread(fds[body[0]], 1 << 20, 0)
                self.own_catalogues.append((options["name"].value, data))
                if self.refuses_catalogues:
                    raise RefusalError(f"{ERROR}InvalidCatalog", self.refuses_catalogues)
                self.catalog_status["own"] = Variant("s", hashlib.sha256(data).hexdigest())
                return len(json.loads(data)["distributions"])
            case "ListMirrors":
                self._distribution(body[0].partition("@")[0])
                return world.mirrors()
            case "RaceMirrors":
                self._distribution(body[0].partition("@")[0])
                return self.new_job("race", body[0]).path
            case "SetMirrorPreference":
                if body[0]:
                    self._distribution(body[0])
                return None
            case "WriteRaw":
                if body[0] not in self.plans:
                    raise RefusalError(f"{ERROR}PlanExpired", "The plan is unknown or used.")
                return self.new_job("write-raw", "an image", devices=self.plans.pop(body[0])[0]).path
            case "RestoreDisk":
                return self.new_job("restore", "a disk", devices=[self._known_device(body[0], sender)]).path
            case "ProbeCapacity":
                path = self._known_device(body[0], sender)
                return self.new_job(
                    "probe", "a disk", devices=[path], outcome=self.probed_at.get(path, self.probed)
                ).path
            case "AdoptStick":
                path = self._known_device(body[0], sender)
                return self.new_job("adopt", "an old stick", devices=[path], outcome=self.adopted).path
            case "Eject":
                del self.devices[self._known_device(body[0], sender)]
                return None
            case _:
                return self._on_stick(member, body, sender)

    def _set_remote(self, url: str, options: dict[str, Variant], fds: list[int]) -> list[str]:
        if self.refuses_remotes:
            raise RefusalError(f"{ERROR}InvalidArgument", self.refuses_remotes)
        given = {name: value.value for name, value in options.items()}
        if "key" in given:
            given["key"] = os.pread(fds[given["key"]], 1 << 20, 0)
        self.remotes.append((url, given))
        found = [] if not url else given.get("fingerprints", ["AB" * 20])
        self.settings["catalog.update_url"] = Variant("s", url)
        self.settings["catalog.update_fingerprints"] = Variant("as", found)
        self.origins["catalog.update_url"] = "default" if "configured" in given else "set"
        return list(found)

    def _on_stick(self, member: str, body: list[Any], sender: str) -> Any:
        path = self._known_device(body[0], sender)
        device = self.devices[path]
        if device["State"] not in ("luxusb", "damaged"):
            raise RefusalError(f"{ERROR}NotALuxusbStick", f"{device['DeviceNode'] or path} is not a LUXusb stick.")
        title = device["Model"]
        match member:
            case "AddImages":
                job = self.new_job("add", title, devices=[path], outcome=self.added)
            case "RemoveImages":
                job = self.new_job("remove", title, devices=[path])
            case "RefreshStick":
                job = self.new_job("refresh", title, devices=[path])
            case "VerifyStick":
                state = "good" if self.verify_ok else "damaged"
                images = [
                    {"name": image["name"], "sha256": image["sha256"], "state": Variant("s", state)}
                    for image in device["Images"]
                ]
                outcome = {"ok": Variant("b", self.verify_ok), "images": Variant("aa{sv}", images)}
                job = self.new_job("verify", title, devices=[path], outcome=outcome)
            case "RescanStick":
                job = self.new_job("rescan", title, devices=[path], outcome=self.rescanned)
            case "UpdateStick":
                job = self.new_job("update", title, devices=[path], outcome=self.updated)
            case "RepairStick":
                job = self.new_job("repair", title, devices=[path], outcome=self.repaired)
            case "SetPersistence":
                job = self.new_job("persistence", title, devices=[path])
            case "ListStickImages":
                return device["Images"]
            case _:
                raise RefusalError(f"{ERROR}NotSupported", f"{member} has no engine.")
        return job.path

    def _list_distributions(self, options: Options) -> list[dict[str, Variant]]:
        found = self.distros
        if "category" in options and not any(item["category"] == options["category"] for item in found):
            raise RefusalError(f"{ERROR}InvalidArgument", f"the option category cannot be {options['category'].value}")
        for key, field in (("text", "name"), ("category", "category")):
            if key in options:
                found = [item for item in found if options[key].value.lower() in item[field].value.lower()]
        return found

    def _prune(self, options: Options) -> list[dict[str, Variant]]:
        found = list(self.unneeded)
        if "imports" in options:
            found.append(world.pruned("import", "arch.iso", world.SHA_B))
        if "only" in options:
            found = [one for one in found if one["sha256"].value in options["only"].value]
        if "dry_run" not in options:
            self.unneeded = []
            for one in found:
                self.images.pop(one["reference"].value, None)
        return found

    def _set_settings(self, changes: Options) -> None:
        for key, value in changes.items():
            if key not in self.settings or value.signature.replace("t", "u") != self.settings[key].signature:
                raise RefusalError(f"{ERROR}InvalidArgument", f"{key} is no setting of type {value.signature}")
        self.settings |= {key: Variant(self.settings[key].signature, value.value) for key, value in changes.items()}
        self.origins |= dict.fromkeys(changes, "set")

    def _distribution(self, name: str) -> dict[str, Variant]:
        for item in self.distros:
            if item["id"].value == name:
                return item
        raise RefusalError(f"{ERROR}DistributionNotFound", f"The catalogue has no distribution {name}.")

    def _store_job(
        self,
        operation: str,
        title: str,
        name: str,
        digest: str,
        size: int,
        parent: str = "/",
        more: dict[str, Variant] | None = None,
    ) -> FakeJob:
        outcome = {
            "image": Variant("s", f"image:{digest}"),
            "name": Variant("s", name),
            "size": Variant("t", size),
            "trust": Variant("s", "signed" if operation == "download" else "none"),
            **(more or {}),
        }
        self.images.setdefault(f"image:{digest}", world.stored(name, digest))
        return self.new_job(operation, title, outcome=outcome, parent=parent)

    def _inspect(self, fd: int, options: dict[str, Variant]) -> dict[str, Variant]:
        size = os.fstat(fd).st_size
        if not size:
            raise RefusalError(f"{ERROR}MalformedImage", "The file is empty.")
        entry = {
            "title": Variant("s", "Live system"),
            "method": Variant("s", "linux"),
            "kernel": Variant("s", "/live/vmlinuz"),
            "initrds": Variant("as", ["/live/initrd.img"]),
            "parameters": Variant("as", ["boot=live", "findiso={iso}", "root={data_uuid}"]),
            "firmware": Variant("as", ["bios", "uefi"]),
            "signer": Variant("s", "debian"),
        }
        report = {
            "label": Variant("s", "MY_LABEL"),
            "system": Variant("s", "Debian GNU/Linux"),
            "version": Variant("s", "12.5"),
            "architecture": Variant("s", "amd64"),
            "family": Variant("s", "debian"),
            "recipe": Variant("s", "debian-live"),
            "bootable": Variant("b", True),
            "reason": Variant("s", ""),
            "advice": Variant("s", ""),
            "firmware": Variant("as", ["bios", "uefi-sb"]),
            "entries": Variant("aa{sv}", [entry]),
            "filesystems": Variant("as", ["ext4"]),
            "size": Variant("t", size),
            **world.inspected(),
        }
        if "sha256" in options:
            digest = options["sha256"].value
            report["sha256"] = Variant("s", digest)
            report["genuine"] = Variant("s", "Debian Live 12.5" if digest == world.ISO_SHA else "")
        return report | self.inspected

    def _known_device(self, path: str, sender: str) -> str:
        if path not in self.devices or self.private.get(path, sender) != sender:
            raise RefusalError("org.freedesktop.DBus.Error.UnknownObject", f"There is no device at {path}.")
        return path

    def _open_target(self, fd: int, size: int, sender: str) -> str:
        before = os.fstat(fd).st_size
        if size:
            os.ftruncate(fd, size)
        now = os.fstat(fd).st_size
        self.target_sizes.append((before, now))
        path = f"/org/luxusb/devices/file_{len(self.target_sizes)}"
        stick = {"State": "luxusb", "Images": world.devices()[world.STICK]["Images"]} if before else {}
        self.devices[path] = world.device(f"file-{len(self.target_sizes)}", Bus="file", Size=now, **stick)
        self.private[path] = sender
        return path

    def _plan(self, devices: list[str], references: list[str], sender: str, *, allow_large: bool) -> dict[str, Variant]:
        planned = []
        for path in devices:
            device = self.devices[self._known_device(path, sender)]
            if device["BlockedReason"]:
                raise RefusalError(f"{ERROR}SystemDevice", device["BlockedReason"])
            if device["Large"] and not allow_large:
                raise RefusalError(f"{ERROR}LargeDisk", "/dev/sdb is a disk of 2.0 TiB.")
            lost = ['partition 1, vfat "PHOTOS", 16 GiB'] if device["State"] != "blank" else []
            planned.append(
                {
                    "path": Variant("o", path),
                    "id": Variant("s", device["Id"]),
                    "node": Variant("s", device["DeviceNode"]),
                    "size": Variant("t", device["Size"]),
                    "model": Variant("s", device["Model"]),
                    "vendor": Variant("s", device["Vendor"]),
                    "serial": Variant("s", device["Serial"]),
                    "lost": Variant("as", lost),
                    "lost_details": Variant("aa{sv}", [_loss()] if lost else []),
                    "bytes_needed": Variant("t", 4 * world.GIB),
                    "bytes_free": Variant("t", 11 * world.GIB),
                }
            )
        for reference in references:
            if reference.startswith("distro:"):
                self._distribution(reference.removeprefix("distro:").partition("@")[0].partition("/")[0])
            elif reference not in self.images:
                raise RefusalError(f"{ERROR}ImageNotFound", f"There is no image {reference}.")
        token = f"token-{len(self.plans) + 1}"
        self.plans[token] = (devices, references)
        plan = {
            "token": Variant("s", token),
            "expires": Variant("t", 1_700_000_600),
            "devices": Variant("aa{sv}", planned),
            "layout": Variant("aa{sv}", [_partition(1, "BIOS boot"), _partition(3, "LUXDATA")]),
            "images": Variant("aa{sv}", [self._planned_image(reference) for reference in references]),
            "firmware": Variant("as", ["bios", "uefi"]),
            "secure_boot": Variant("b", False),
            "warnings": Variant("as", ["GRUB is not signed on this host."]),
        }
        return plan | self.plan_changes

    def _planned_image(self, reference: str) -> dict[str, Variant]:
        download = reference.startswith("distro:")
        name = reference.removeprefix("distro:") if download else self.images[reference]["name"].value
        return {
            "reference": Variant("s", reference),
            "name": Variant("s", f"{name}.iso" if download else name),
            "title": Variant("s", f"The {name} system"),
            "size": Variant("t", 0 if download else 3 * world.GIB),
            "firmware": Variant("as", [] if download else ["bios", "uefi"]),
            "warnings": Variant("as", ["It needs 4 GiB of memory."]),
            "download": Variant("b", download),
            "trust": Variant("s", "signed" if download else "none"),
        }

    def _create(self, token: str) -> str:
        if token not in self.plans:
            raise RefusalError(f"{ERROR}PlanExpired", "The plan is unknown or used.")
        devices, references = self.plans.pop(token)
        job = self.new_job("create", "a stick", devices=devices, run=False)
        for reference in references:
            if reference.startswith("distro:"):
                name = reference.removeprefix("distro:")
                self._store_job("download", name, f"{name}.iso", world.SHA_A, 3 * world.GIB, parent=job.path)
        self.begin(job)
        return job.path

    def _list_jobs(self, options: Options) -> list[dict[str, Variant]]:
        found = [job for job in reversed(self.jobs.values()) if "unfinished" not in options or not job.finished]
        if "limit" in options:
            found = found[: options["limit"].value]
        for job in found:
            job.seen.set()
        return [{"path": Variant("o", job.path), **job.wire()} for job in found]


def _all_of(fd: int) -> bytes:
    """What is behind a descriptor, which may be a pipe whose writer has ended."""
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return os.pread(fd, 1 << 20, 0)
    return b"".join(iter(lambda: os.read(fd, 65536), b""))


def _partition(number: int, name: str) -> dict[str, Variant]:
    return {
        "number": Variant("u", number),
        "name": Variant("s", name),
        "type": Variant("s", ""),
        "start": Variant("t", number << 20),
        "size": Variant("t", 1 << 20),
    }


def _loss() -> dict[str, Variant]:
    return {
        "number": Variant("u", 1),
        "filesystem": Variant("s", "FAT32"),
        "label": Variant("s", "PHOTOS"),
        "size": Variant("t", 16 * world.GIB),
        "used": Variant("t", 3 * world.GIB),
        "system": Variant("s", ""),
    }
