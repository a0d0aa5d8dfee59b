"""The values of a stick job to and from JSON, as they cross the socket between the core and its children."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from luxusbd.errors import InternalError
from luxusbd.images import blockmap
from luxusbd.stick import manifest as manifests
from luxusbd.stick.isofiles import FileKind, FoundFile
from luxusbd.stick.model import (
    MenuChange,
    Probe,
    RawImage,
    SourceImage,
    StickContents,
    StickOperation,
    StickOrder,
    StickProgress,
    StrayRoom,
    Theme,
)
from luxusbd.stick.persistence import is_stray

LATEST = 1 << 40
"""Unix seconds beyond any date that a filesystem can hold."""


def order_to_json(order: StickOrder) -> dict[str, Any]:
    """Everything but the descriptors; those travel beside it as `order_fds` gives them."""
    return {
        "operation": order.operation.value,
        "node": order.node,
        "disk_seq": order.disk_seq,
        "size": order.size,
        "options": manifests.options_to_json(order.options),
        "add": [manifests.image_to_json(source.image) for source in order.add],
        "sha512": [source.sha512 for source in order.add],
        "remove": list(order.remove),
        "found": [manifests.image_to_json(image) for image in order.found],
        "persist": [list(each) for each in order.persist],
        "change": {name: value for name, value in asdict(order.change).items() if value is not None},
        "probe": order.probe.value,
        "streams": [manifests.image_to_json(image) for image in order.streams],
        "sequence": list(order.sequence),
        "in_step": order.in_step,
        **({"raw": _raw_to_json(order.raw)} if order.raw is not None else {}),
        "saved": len(order.saved),
    }


def _raw_to_json(raw: RawImage) -> dict[str, Any]:
    found = blockmap.to_json(raw.map) if raw.map is not None else None
    return {"size": raw.size, "packed": raw.packed, "map": found}


def order_fds(order: StickOrder) -> tuple[int, ...]:
    """The descriptors that go with an order: the target, the images in the order of `add`, `saved`, then the pipe."""
    pipe = order.raw.pipe if order.raw is not None else -1
    return (order.fd, *(source.fd for source in order.add), *order.saved, *((pipe,) if pipe >= 0 else ()))


def order_from_json(document: Mapping[str, Any], fds: Sequence[int]) -> StickOrder:
    """The order, with descriptors in this process's numbering.

    Raises:
        InternalError: the number of descriptors does not fit.
    """
    images, saved = len(document["add"]), document["saved"]
    raw = document.get("raw")
    piped = raw is not None and raw["packed"]
    if len(fds) != 1 + images + saved + piped:
        raise InternalError(f"{len(fds)} descriptors came with an order for {images} images")
    return StickOrder(
        operation=StickOperation(document["operation"]),
        fd=fds[0],
        node=document["node"],
        disk_seq=document["disk_seq"],
        size=document["size"],
        options=manifests.options_from_json(document["options"]),
        add=tuple(
            SourceImage(fd, manifests.image_from_json(image), sha512)
            for fd, image, sha512 in zip(fds[1 : images + 1], document["add"], document["sha512"], strict=True)
        ),
        remove=tuple(document["remove"]),
        found=tuple(manifests.image_from_json(image) for image in document["found"]),
        persist=tuple((name, size) for name, size in document["persist"]),
        change=_change_from_json(document["change"]),
        probe=Probe(document["probe"]),
        in_step=document["in_step"],
        saved=tuple(fds[1 + images : 1 + images + saved]),
        streams=tuple(manifests.image_from_json(image) for image in document["streams"]),
        sequence=tuple(document["sequence"]),
        raw=_raw_from_json(raw, fds[-1]) if raw is not None else None,
    )


def _raw_from_json(document: Mapping[str, Any], last: int) -> RawImage:
    packed, found = bool(document["packed"]), document["map"]
    return RawImage(
        document["size"], packed, last if packed else -1, blockmap.from_json(found) if found is not None else None
    )


def _change_from_json(document: Mapping[str, Any]) -> MenuChange:
    theme = document.get("theme")
    return MenuChange(
        timeout=document.get("timeout"),
        theme=Theme(theme) if theme is not None else None,
        remember=document.get("remember"),
        language=document.get("language"),
    )


def progress_to_json(progress: StickProgress) -> dict[str, Any]:
    """Progress as a JSON object."""
    return {
        "stage": progress.stage,
        "bytes_done": progress.bytes_done,
        "bytes_total": progress.bytes_total,
        "note": progress.note,
    }


def progress_from_json(document: Mapping[str, Any]) -> StickProgress:
    """Progress from `progress_to_json`."""
    return StickProgress(document["stage"], document["bytes_done"], document["bytes_total"], document["note"])


def contents_to_json(contents: StickContents) -> dict[str, Any]:
    """What a look at a disk found, as a JSON object."""
    return {
        "manifest": manifests.to_json(contents.manifest),
        "free_bytes": contents.free_bytes,
        "damage": contents.damage,
        "unlisted": contents.unlisted,
        "stray": [asdict(room) for room in contents.stray],
    }


def contents_from_json(document: Mapping[str, Any]) -> StickContents:
    """What `contents_to_json` made; the manifest passes the schema again, since an unprivileged process sent it.

    Raises:
        DeviceDamagedError: the manifest does not fit the schema.
    """
    return StickContents(
        manifests.from_json(document["manifest"]),
        int(document["free_bytes"]),
        str(document["damage"]),
        int(document["unlisted"]),
        tuple(
            StrayRoom(str(room["name"]), int(room["size"]))
            for room in document.get("stray", ())
            if is_stray(str(room["name"]))
        ),
    )


def files_to_json(files: Iterable[FoundFile]) -> list[dict[str, Any]]:
    """What lies in /iso, as JSON objects."""
    return [{"name": file.name, "kind": file.kind.value, "size": file.size, "changed": file.changed} for file in files]


def files_from_json(documents: Iterable[Mapping[str, Any]]) -> tuple[FoundFile, ...]:
    """What `files_to_json` made. The names are untrusted."""
    return tuple(
        FoundFile(str(item["name"]), FileKind(item["kind"]), int(item["size"]), min(int(item["changed"]), LATEST))
        for item in documents
    )
