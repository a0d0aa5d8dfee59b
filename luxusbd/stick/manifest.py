"""`/luxusb/stick.json`, the manifest of a stick, to and from bytes.

A stick may come from anywhere, so that the bytes are hostile until the schema has passed them.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jsonschema

from luxusbd import resources
from luxusbd.catalog.model import Trust
from luxusbd.errors import DeviceDamagedError, NewerStickError
from luxusbd.images.model import BootEntry, BootMethod, Firmware, Persistence, Store
from luxusbd.stick.model import Kept, Manifest, ManifestImage, MenuStyle, PartitionRole, StickOptions, Theme

FORMAT = 1
LIMIT = 4 * 1024 * 1024
"""Bytes; a bigger manifest is not ours."""
PATH = "/luxusb/stick.json"
NEW_PATH = "/luxusb/stick.json.new"
"""A complete manifest that is about to take the place of `PATH`; counts where `PATH` is missing or broken."""


def encode(manifest: Manifest) -> bytes:
    """The manifest as UTF-8 JSON with a newline at its end."""
    return (json.dumps(to_json(manifest), indent=1, sort_keys=True) + "\n").encode()


def decode(data: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        DeviceDamagedError: it is malformed.
        NewerStickError: it is written by a newer version of this program.
    """
    if len(data) > LIMIT:
        raise DeviceDamagedError(f"{PATH} has {len(data)} bytes, more than the {LIMIT} a manifest may have")
    try:
        document = json.loads(data)
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise DeviceDamagedError(f"{PATH} is no JSON: {error}; repair the stick") from None
    version = document.get("format") if isinstance(document, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise NewerStickError(
            f"{PATH} has format {version}, and this version of luxusbd knows formats up to {FORMAT}; "
            "update luxusbd to work with this stick"
        )
    return from_json(document)


def from_json(document: object) -> Manifest:
    """As `decode`, for a document that is parsed already."""
    try:
        error = next(_validator().iter_errors(document), None)
    except RecursionError:
        raise DeviceDamagedError(f"{PATH} is nested too deeply") from None
    if error is not None:
        where = "/".join(str(part) for part in error.absolute_path) or "the document"
        raise DeviceDamagedError(f"{PATH} is malformed at {where}: {error.message[:200]}")
    assert isinstance(document, dict)
    images = tuple(image_from_json(item) for item in document["images"])
    names = [image.name.lower() for image in images]
    if len(set(names)) != len(names):
        raise DeviceDamagedError(f"{PATH} names an image twice")
    if not document.get("companion_uuid") and any(image.partition is not PartitionRole.DATA for image in images):
        raise DeviceDamagedError(f"{PATH} has an image on a partition that it does not know")
    return Manifest(
        stick_id=document["stick_id"],
        data_uuid=document["data_uuid"],
        esp_serial=document["esp_serial"],
        generation=int(document["generation"]),
        created=int(document["created"]),
        updated=int(document["updated"]),
        options=options_from_json(document["options"]),
        firmware=frozenset(Firmware(item) for item in document["firmware"]),
        boot_files=tuple(
            (item["what"], int(item["start"]), int(item["length"]), item["sha256"]) for item in document["boot_files"]
        ),
        images=images,
        luxusbd=document["luxusbd"],
        companion_uuid=document.get("companion_uuid", ""),
        shim=document.get("shim", ""),
    )


def to_json(manifest: Manifest) -> dict[str, Any]:
    """The manifest as a JSON document."""
    return {
        "kind": "luxusb-stick",
        "format": FORMAT,
        "stick_id": manifest.stick_id,
        "data_uuid": manifest.data_uuid,
        "esp_serial": manifest.esp_serial,
        "generation": manifest.generation,
        "created": manifest.created,
        "updated": manifest.updated,
        "options": options_to_json(manifest.options),
        "firmware": sorted(manifest.firmware),
        "boot_files": [
            {"what": what, "start": start, "length": length, "sha256": sha256}
            for what, start, length, sha256 in manifest.boot_files
        ],
        "images": [image_to_json(image) for image in manifest.images],
        "luxusbd": manifest.luxusbd,
        **({"companion_uuid": manifest.companion_uuid} if manifest.companion_uuid else {}),
        **({"shim": manifest.shim} if manifest.shim else {}),
    }


def options_to_json(options: StickOptions) -> dict[str, Any]:
    """Options as a JSON object."""
    return {
        "filesystem": options.filesystem,
        "label": options.label,
        "timeout": options.timeout,
        "serial_console": options.serial_console,
        **({"companion": options.companion} if options.companion else {}),
        **({"share": options.share} if options.share else {}),
        **({"persistence": options.persistence} if options.persistence else {}),
        **_style_to_json(options.menu),
    }


def _style_to_json(style: MenuStyle) -> dict[str, Any]:
    usual = MenuStyle()
    return {
        **({"theme": style.theme.value} if style.theme is not usual.theme else {}),
        **({"remember": style.remember} if style.remember is not usual.remember else {}),
        **({"language": style.language} if style.language != usual.language else {}),
    }


def options_from_json(document: dict[str, Any]) -> StickOptions:
    """Options from an object that fits the schema."""
    usual = MenuStyle()
    return StickOptions(
        filesystem=document["filesystem"],
        label=document["label"],
        timeout=int(document["timeout"]),
        serial_console=document["serial_console"],
        companion=int(document.get("companion", 0)),
        share=int(document.get("share", 0)),
        persistence=int(document.get("persistence", 0)),
        menu=MenuStyle(
            theme=Theme(document.get("theme", usual.theme)),
            remember=document.get("remember", usual.remember),
            language=document.get("language", usual.language),
        ),
    )


def image_to_json(image: ManifestImage) -> dict[str, Any]:
    """An image as a JSON object."""
    return {
        "name": image.name,
        "title": _text(image.title),
        "sha256": image.sha256,
        "size": image.size,
        "source": _text(image.source),
        "recipe": _text(image.recipe),
        "family": _text(image.family),
        "version": _text(image.version),
        "architecture": _text(image.architecture),
        "volume_id": _text(image.volume_id),
        "iso_uuid": _text(image.iso_uuid),
        "added": image.added,
        "entries": [_entry_to_json(entry) for entry in image.entries],
        **({"trust": image.trust.value} if image.trust else {}),
        **({"partition": image.partition.value} if image.partition is not PartitionRole.DATA else {}),
        **({"persistence": [_way_to_json(way) for way in image.persistence]} if image.persistence else {}),
        **({"kept": _kept_to_json(image.kept)} if image.kept is not None else {}),
    }


def image_from_json(document: dict[str, Any]) -> ManifestImage:
    """An image from an object that fits the schema."""
    return ManifestImage(
        **{
            key: document[key]
            for key in (
                "name",
                "title",
                "sha256",
                "source",
                "recipe",
                "family",
                "version",
                "architecture",
                "volume_id",
                "iso_uuid",
            )
        },
        size=int(document["size"]),
        added=int(document["added"]),
        entries=tuple(_entry_from_json(entry) for entry in document["entries"]),
        trust=Trust(document["trust"]) if "trust" in document else None,
        partition=PartitionRole(document.get("partition", PartitionRole.DATA)),
        persistence=tuple(_way_from_json(way) for way in document.get("persistence", ())),
        kept=_kept_from_json(document["kept"]) if "kept" in document else None,
    )


def _entry_to_json(entry: BootEntry) -> dict[str, Any]:
    return {
        "title": _text(entry.title),
        "method": entry.method.value,
        "firmware": sorted(entry.firmware),
        "kernel": _text(entry.kernel),
        "initrds": [_text(item) for item in entry.initrds],
        "parameters": [_text(item) for item in entry.parameters],
        "signer": _text(entry.signer),
    }


def _entry_from_json(document: dict[str, Any]) -> BootEntry:
    return BootEntry(
        title=document["title"],
        method=BootMethod(document["method"]),
        firmware=frozenset(Firmware(item) for item in document["firmware"]),
        kernel=document["kernel"],
        initrds=tuple(document["initrds"]),
        parameters=tuple(document["parameters"]),
        signer=document.get("signer", ""),
    )


def _way_to_json(way: Persistence) -> dict[str, Any]:
    return {
        "entry": _entry_to_json(way.entry),
        "store": way.store.value,
        "name": way.name,
        "on": sorted(way.on),
        "files": [{"path": path, "text": text} for path, text in way.files],
    }


def _way_from_json(document: dict[str, Any]) -> Persistence:
    return Persistence(
        entry=_entry_from_json(document["entry"]),
        store=Store(document["store"]),
        name=document["name"],
        on=frozenset(document["on"]),
        files=tuple((item["path"], item["text"]) for item in document["files"]),
    )


def _kept_to_json(kept: Kept) -> dict[str, Any]:
    return {
        "store": kept.store.value,
        "name": kept.name,
        "directory": kept.directory,
        "size": kept.size,
        **({"entry": _entry_to_json(kept.entry)} if kept.entry is not None else {}),
    }


def _kept_from_json(document: dict[str, Any]) -> Kept:
    return Kept(
        store=Store(document["store"]),
        name=document["name"],
        directory=document["directory"],
        size=int(document["size"]),
        entry=_entry_from_json(document["entry"]) if "entry" in document else None,
    )


def _text(value: str) -> str:
    # a lone surrogate (an undecodable byte of a volume id, say) cannot be written as UTF-8
    return value.encode("utf-8", "replace").decode()


@cache
def _validator() -> Any:
    schema = json.loads(resources.data("schemas", "stick.schema.json").read_text("utf-8"))
    return jsonschema.Draft202012Validator(schema)
