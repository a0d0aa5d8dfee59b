"""What the Manager's methods return, as mappings with the keys that the contract names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from luxusbd.bus.tree import device_path
from luxusbd.bus.values import Typed
from luxusbd.images.details import Inspection
from luxusbd.images.model import BootEntry, Firmware, Recognition, started_by
from luxusbd.images.recipelist import Recipes
from luxusbd.jobs.listed import Listed, ListedRelease
from luxusbd.jobs.mirrorchoice import Standing
from luxusbd.jobs.views import (
    CatalogStatus,
    ImageUpdate,
    ImageView,
    Plan,
    PlannedDevice,
    PlannedImage,
    Pruned,
    RawPlan,
)
from luxusbd.stick import foreign
from luxusbd.stick.foreign import ForeignStick
from luxusbd.stick.losses import Loss
from luxusbd.stick.model import MIB, Layout, ManifestImage

Entry = Mapping[str, Any]


def entries(items: Iterable[Entry]) -> Typed:
    """A list of mappings; said outright, because an empty list would travel as a list of strings."""
    return Typed("aa{sv}", list(items))


def strings(items: Iterable[str]) -> Typed:
    """A list of strings, in the order given."""
    return Typed("as", list(items))


def firmware(kinds: Iterable[Firmware]) -> Typed:
    """Firmware names in a fixed order."""
    return strings(sorted(kind.value for kind in kinds))


def distribution(listed: Listed, *, mirrors: bool, origins: bool = False) -> Entry:
    """One system of the catalogue; with `mirrors` everything that is known of each release, all addresses among it, and
    with `origins` the documents that it comes from."""
    item = listed.distribution
    shown: dict[str, Any] = {
        "id": item.id,
        "name": item.name,
        "description": item.description,
        "homepage": item.homepage,
        "logo_url": item.logo_url,
        "category": item.category,
        "popularity_rank": item.popularity_rank,
        "origin": item.layer.value,
        "releases": entries(_release(release, mirrors=mirrors, origins=origins) for release in listed.releases),
    }
    if mirrors:
        shown["feed"] = item.feed
    if origins:
        shown["origins"] = entries(
            {"field": origin.field, "origin": origin.layer.value, "document": origin.document}
            for origin in item.origins
        )
    return shown


def _release(listed: ListedRelease, *, mirrors: bool, origins: bool) -> Entry:
    item = listed.release
    shown: dict[str, Any] = {
        "version": item.version,
        "release_date": item.release_date,
        "edition": item.edition,
        "architecture": item.architecture,
        "size": item.size,
        "sha256": item.sha256,
        "sha512": item.sha512,
        "url": item.iso_url,
        "trust": item.trust.value,
        "origin": item.layer.value,
        "family": listed.family,
        "secure_boot": listed.secure_boot.value,
        "end_of_life": item.end_of_life,
        "ended": listed.ended,
    }
    if listed.fit is not None:
        shown["fits"] = listed.fit.value
    if mirrors:
        shown["mirrors"] = entries({"url": mirror.url, "country": mirror.country} for mirror in item.mirrors)
        shown |= {name: getattr(item, name) for name in _FURTHER}
    if origins:
        shown["document"] = item.document
    return shown


_FURTHER = (
    "size_mb", "blake2b", "sums_url", "signature_url", "key_fingerprint", "key_url", "metalink", "recipe",
    "minimum_memory_mb", "mirror_list", "mirror_path", "rolling",
)  # fmt: skip
"""Fields of a release that are told of a single distribution, and called as in the catalogue."""


def catalog_status(item: CatalogStatus) -> Entry:
    """How up to date the catalogue is."""
    return {
        "url": item.url,
        "updated": item.updated,
        "checked": item.checked,
        "made": item.made,
        "serial": item.serial,
        "expires": item.expires,
        "fingerprint": item.fingerprint,
        "previous": item.previous,
        "problems": strings(item.problems),
        "feeds": item.feeds,
        "feeds_asked": item.feeds_asked,
        "feeds_failed": strings(item.feeds_failed),
        "migrated": strings(item.migrated),
        "own": item.own,
    }


def recipes(book: Recipes) -> Entry:
    """The boot recipes in force."""
    entries: list[Entry] = [
        {
            "origin": item.origin,
            "id": item.id,
            "version": item.version,
            "family": item.family,
            "priority": item.priority,
            "systems": strings(item.systems),
            "bootable": item.bootable,
            "filesystems": strings(item.filesystems),
            "toram": item.toram,
            "persistence": item.persistence,
        }
        for item in book.recipes
    ]
    return {"recipes": Typed("aa{sv}", entries), "problems": strings(book.problems)}


def inspection(found: Inspection) -> Entry:
    """What a file is, in full."""
    item, details = found.recognition, found.details
    return {
        "label": item.volume_id,
        "system": item.system,
        "version": item.version,
        "architecture": item.architecture,
        "family": item.family,
        "recipe": item.recipe,
        "bootable": item.bootable,
        "reason": item.reason,
        "advice": item.advice,
        "firmware": firmware(item.firmware),
        "entries": entries(_boot_entry(entry, item) for entry in item.entries),
        "filesystems": strings(sorted(item.filesystems)),
        "size": item.size,
        "uuid": item.iso_uuid,
        "recipe_version": details.recipe_version,
        "minimum_memory": details.minimum_memory * MIB,
        "toram": details.toram.value,
        "persistence": details.persistence.value,
        "persistence_filesystems": strings(sorted(details.persistence_on)),
        "container": details.container.value,
        "names": details.names,
        "partition_table": details.table,
        "partitions": entries(
            {
                "number": part.number,
                "type": part.kind,
                "label": part.label,
                "filesystem": part.filesystem,
                "start": part.start,
                "size": part.size,
                "active": part.active,
            }
            for part in details.partitions
        ),
        "boot_records": entries(
            {
                "platform": record.platform,
                "emulation": record.emulation,
                "bootable": record.bootable,
                "start": record.start,
                "size": record.size,
            }
            for record in details.boot_records
        ),
        "programs": entries(
            {
                "path": program.path,
                "architecture": program.architecture,
                "signed": program.signed,
                "signers": strings(program.signers),
            }
            for program in details.programs
        ),
        "sha256": found.sha256,
        "genuine": found.genuine,
    }


def _boot_entry(entry: BootEntry, image: Recognition) -> Entry:
    known = {"{iso_uuid}": image.iso_uuid, "{volume_id}": image.volume_id, "{blank}": " "}
    return {
        "title": entry.title,
        "method": entry.method.value,
        "firmware": firmware(entry.firmware),
        "kernel": entry.kernel,
        "initrds": strings(entry.initrds),
        # word by word, as they will be passed; where the file will lie is known when a stick is made
        "parameters": strings(_filled(word, known) for word in entry.parameters),
        "signer": entry.signer,
    }


def _filled(word: str, known: Mapping[str, str]) -> str:
    return re.sub(r"\{(?:iso_uuid|volume_id|blank)\}", lambda match: known[match[0]], word)


def stored_image(view: ImageView) -> Entry:
    """One image of the store."""
    image = view.image
    return {
        "reference": image.reference,
        "sha256": image.sha256,
        "name": image.name,
        "size": image.size,
        "added": image.added,
        "source": image.source,
        "custom": image.custom,
        "trust": image.trust.value,
        "genuine": view.genuine,
        "genuine_reference": view.genuine_reference,
        "bootable": image.recognition.bootable,
        "family": image.recognition.family,
        "system": image.recognition.system,
        "in_use": view.in_use,
        "pinned": image.pinned,
        "last_used": image.last_used,
        "owners": view.owners,
    }


def pruned(item: Pruned) -> Entry:
    """One thing that was removed from the store, or would be."""
    return {
        "kind": item.kind.value,
        "reference": item.reference,
        "sha256": item.sha256,
        "name": item.name,
        "size": item.size,
        "last_used": item.last_used,
    }


def mirror(item: Standing) -> Entry:
    """One mirror as it stands for the caller."""
    return {
        "url": item.url,
        "host": item.host,
        "country": item.country,
        "state": item.state.value,
        "rate": item.rate,
        "latency": float(item.latency),
        "success_rate": float(item.success),
        "measured": item.measured,
        "until": item.until,
        "reason": item.reason,
        "preferred": item.preferred,
    }


def image_update(update: ImageUpdate) -> Entry:
    """A newer release for an image on a stick."""
    return update.to_json()


def foreign_stick(found: ForeignStick | None) -> Entry:
    """A stick of another program; empty for every other disk."""
    return {} if found is None else {**(foreign.to_json(found) or {}), "name": foreign.NAMES[found.maker]}


def stick_image(image: ManifestImage, shim: str, served: frozenset[Firmware] = frozenset()) -> Entry:
    """One image on a stick that starts through this shim, and serves this firmware where that is known."""
    starts = started_by(image.entries, shim)
    return {
        "name": image.name,
        "title": image.title,
        "reference": image.reference,
        "sha256": image.sha256,
        "size": image.size,
        "source": image.source,
        "custom": image.custom,
        "recipe": image.recipe,
        "added": image.added,
        "firmware": firmware(starts & served if served else starts),
        "persistence": image.kept.size if image.kept is not None else 0,
        "persistent": bool(image.persistence),
    }


def plan(item: Plan) -> Entry:
    """A plan; `layout` is that of the first device, and every device carries its own beside it."""
    return {
        "token": item.token,
        "expires": item.expires,
        "devices": entries(_planned_device(device) for device in item.devices),
        "layout": _layout(item.devices[0].layout) if item.devices else entries(()),
        "images": entries(_planned_image(image) for image in item.images),
        "firmware": firmware(item.firmware),
        "secure_boot": item.secure_boot,
        "certificates": entries(
            {"name": one.file_name, "subject": one.subject, "sha256": one.sha256} for one in item.options.certificates
        ),
        "warnings": strings(item.warnings),
        **({"raw": _raw(item.raw)} if item.raw is not None else {}),
    }


def _raw(item: RawPlan) -> Entry:
    return {"packing": item.packing, "size": item.size, "starts": item.starts, "mapped": item.mapped}


def _planned_device(item: PlannedDevice) -> Entry:
    device = item.view.device
    return {
        "path": device_path(device.identity.id),
        "id": device.identity.id,
        "node": device.node,
        "size": device.identity.size,
        "model": device.model,
        "vendor": device.vendor,
        "serial": device.serial,
        "lost": strings(item.lost),
        "lost_details": entries(loss(each) for each in item.lost_details),
        "bytes_needed": item.bytes_needed,
        "bytes_free": item.bytes_free,
        "bytes_missing": item.bytes_missing,
        "layout": _layout(item.layout),
    }


def loss(item: Loss) -> Entry:
    """A partition or filesystem of a disk."""
    shown: dict[str, Any] = {
        "number": item.number,
        "filesystem": item.filesystem,
        "label": item.label,
        "size": item.size,
        "system": item.system,
    }
    return shown if item.used is None else {**shown, "used": item.used}


def _planned_image(item: PlannedImage) -> Entry:
    return {
        "reference": item.reference,
        "name": item.name,
        "title": item.title,
        "size": item.size,
        "firmware": firmware(item.firmware),
        "warnings": strings(item.warnings),
        "download": item.download,
        "trust": item.trust.value,
        "partition": item.partition.value,
        "custom": item.custom,
        "persistence": item.persistence,
        "keeps": item.keeps,
        "reckoned": item.reckoned or item.size,
    }


def _layout(layout: Layout) -> Typed:
    return entries(
        {
            "number": part.number,
            "name": part.name,
            "type": part.type_guid,
            "start": part.start,
            "size": part.size,
        }
        for part in layout.partitions
    )
