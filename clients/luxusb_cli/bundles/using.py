"""What a bundle becomes on the machine that uses it: entries of the user's own catalogue, and imports."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luxusb_cli import own
from luxusb_cli.beside import Beside
from luxusb_cli.bundles import gpg
from luxusb_cli.bundles.directory import Directory, damaged
from luxusb_cli.bundles.index import BundleImage
from luxusb_cli.bundles.known import Known
from luxusb_cli.bundles.opening import Opened, proof_data
from luxusb_cli.bundles.web import Site
from luxusb_cli.errors import LUXUSB, CliError, DaemonError
from luxusb_cli.i18n import _
from luxusb_cli.text import clean, did_you_mean
from luxusb_cli.wire import Wire, text, wires

if TYPE_CHECKING:
    from luxusb_cli.client import Client

_OF_THEIR_MAKER = ("sums_url", "signature_url", "key_url", "key_fingerprint", "metalink", "mirror_list", "mirror_path")
"""What a release of a class room's server has no use for: nothing of it can be had there."""


@dataclass(frozen=True)
class Importable:
    """An image of a bundle in a directory, open."""

    fd: int
    image: BundleImage
    beside: Beside | None


def chosen(index_images: Sequence[BundleImage], names: Sequence[str]) -> tuple[BundleImage, ...]:
    """The images that go by these names: a distribution, with or without version and edition, or a file name.

    Raises:
        CliError: one is not in the bundle.
    """
    if not names:
        return tuple(index_images)
    found: dict[tuple[str, ...], BundleImage] = {}
    for name in names:
        fits = [image for image in index_images if _is_called(image, name.removeprefix("distro:"))]
        if not fits:
            known = [image.reference for image in index_images]
            raise CliError(
                _("There is no image {name} in the bundle").format(name=clean(name)),
                _("In it are: {names}.").format(names=", ".join(map(clean, known)) or _("none")),
                did_you_mean(name, known),
                name=LUXUSB + "ImageNotFound",
            )
        found.update({image.key: image for image in fits})
    return tuple(found.values())


def _is_called(image: BundleImage, name: str) -> bool:
    short = image.distribution + (f"/{image.edition}" if image.edition else "")
    file = image.file.path.rpartition("/")[2]
    return name in {
        image.distribution,
        short,
        f"{image.distribution}@{image.version}",
        image.reference,
        file,
        image.name,
    }


def catalogue_for(opened: Opened, images: Sequence[BundleImage]) -> dict[str, Any]:
    """The catalogue of these images as this place hands them out; its distributions replace all others of their id.

    What lies in a directory keeps the addresses of its maker, for the time when there is network again. What a web
    server hands out has its address alone, so that nobody waits for the internet.
    """
    by_hash = {image.file.sha256: image for image in images}
    entries = []
    for entry in opened.index.catalog["distributions"]:
        releases = [
            _release(release, opened, by_hash[release["sha256"]])
            for release in entry["releases"]
            if release["sha256"] in by_hash
        ]
        if releases:
            plain = {name: value for name, value in entry.items() if name not in _OF_THEIR_MAKER}
            entries.append({**plain, "replace": True, "releases": releases})
    return {"version": "2.0", "last_updated": opened.index.made, "distributions": entries}


def _release(release: Mapping[str, Any], opened: Opened, image: BundleImage) -> Mapping[str, Any]:
    if not isinstance(opened.place, Site):
        return release
    plain = {name: value for name, value in release.items() if name not in (*_OF_THEIR_MAKER, "rolling")}
    return {**plain, "iso_url": opened.place.at(image.file.path), "mirrors": []}


async def keys_known(client: Client, images: Sequence[BundleImage], before: Known | None) -> dict[str, tuple[str, ...]]:
    """Fingerprints of makers' keys by distribution, as this machine's catalogue has them, without the user's own."""
    found: dict[str, tuple[str, ...]] = {}
    for name in dict.fromkeys(image.distribution for image in images):
        keys = set(before.keys.get(name, ())) if before is not None else set()
        for release in await _releases(client, name):
            if text(release, "origin") != "user" and (key := text(release, "key_fingerprint")):
                keys.add(key)
        found[name] = tuple(sorted(keys))
    return found


async def older_than_known(client: Client, images: Sequence[BundleImage]) -> list[str]:
    """A line for each distribution of which this machine's catalogue has a newer release than the bundle."""
    from luxusbd.text import natural_key

    lines = []
    for name in dict.fromkeys(image.distribution for image in images):
        versions = [
            text(release, "version") for release in await _releases(client, name) if text(release, "origin") != "user"
        ]
        newest = max(versions, key=natural_key, default="")
        mine = max((image.version for image in images if image.distribution == name), key=natural_key)
        if newest and natural_key(newest) > natural_key(mine):
            lines.append(
                _("{name}: the catalogue of this machine has {newest}, the bundle {version}").format(
                    name=clean(name), newest=clean(newest), version=clean(mine)
                )
            )
    return lines


async def _releases(client: Client, name: str) -> Sequence[Wire]:
    try:
        distribution = await client.distribution_wire(name)
    except DaemonError as error:
        if error.name == LUXUSB + "DistributionNotFound":
            return ()
        raise
    return wires(distribution.get("releases", []), "releases")


@contextmanager
def importable(
    opened: Opened, directory: Directory, image: BundleImage, keys: Sequence[str], warnings: list[str]
) -> Iterator[Importable]:
    """An image, open for the length of the block, with what its maker signed where the key is one of `keys`.

    Raises:
        CliError: a file is missing, is no regular one, or has another size or other bytes than the index says.
    """
    with ExitStack() as stack:
        fd = directory.open(image.file.path)
        stack.callback(os.close, fd)
        size = os.fstat(fd).st_size
        if size != image.file.size:
            raise damaged(
                f"{directory.shown}/{image.file.path}",
                _("It has {size} bytes, and {expected} are right.").format(size=size, expected=image.file.size),
            )
        yield Importable(fd, image, _beside(opened, image, keys, warnings, stack))


def _beside(
    opened: Opened, image: BundleImage, keys: Sequence[str], warnings: list[str], stack: ExitStack
) -> Beside | None:
    if image.proofs is None:
        return None
    if image.proofs.fingerprint not in keys:
        why = _("this machine's catalogue does not know the key {key}").format(key=image.proofs.fingerprint)
        warnings.append(_("{name} counts as unsigned: {why}").format(name=clean(image.reference), why=why))
        return None
    try:
        # that of an image is checked by the service when it has the bytes, which then need not be read twice
        found = proof_data(opened.place, image)
    except gpg.BadSignatureError as error:
        warnings.append(_("{name} counts as unsigned: {why}").format(name=clean(image.reference), why=error))
        return None
    assert found is not None
    sums = stack.enter_context(own.in_memory(found.sums)) if found.sums else None
    key = stack.enter_context(own.in_memory(found.key))
    signature = stack.enter_context(own.in_memory(found.signature)) if found.signature else None
    path = Path(image.proofs.sums.path) if image.proofs.sums is not None else None
    return Beside(sums, path, image.proofs.named, signature, key)


def replaced_by(place: Path, ids: Sequence[str]) -> tuple[Mapping[str, Any], ...]:
    """What of the user's own catalogue distributions of these ids take the place of."""
    return tuple(entry for entry in _entries(place) if entry.get("id") in ids)


def without(place: Path, ids: Sequence[str], back: Sequence[Mapping[str, Any]]) -> bytes:
    """The user's own catalogue without the distributions of these ids, and with those in `back`."""
    kept = [entry for entry in _entries(place) if entry.get("id") not in ids]
    there = {entry["id"] for entry in kept}
    kept += [dict(entry) for entry in back if entry["id"] not in there]
    document = {"version": "2.0", "last_updated": "2026-01-01", "distributions": kept}
    if (data := own.read(place)) is not None:
        document = {**json.loads(data), "distributions": kept}
    return json.dumps(document, indent=1).encode() + b"\n"


def _entries(place: Path) -> list[dict[str, Any]]:
    data = own.read(place)
    if data is None:
        return []
    try:
        return [entry for entry in json.loads(data)["distributions"] if isinstance(entry, dict)]
    except (ValueError, KeyError, TypeError) as error:
        raise CliError(
            _("{file} cannot be used").format(file=clean(str(place))),
            todo=_("`luxusb catalog check {file}` says more.").format(file=clean(str(place))),
            name=LUXUSB + "InvalidCatalog",
        ) from error
