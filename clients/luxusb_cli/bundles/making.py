"""Making bundles: images out of the store into a directory, with what vouches for them.

Whatever is cut, the index names whole files alone: it is replaced as the last thing after each image, and what there is
of an image that is not whole stays beside it for the next time.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from luxusb_cli.bundles import gpg
from luxusb_cli.bundles.directory import Directory, damaged, write_all
from luxusb_cli.bundles.index import (
    INDEX,
    KEY,
    MAX_INDEX,
    SIGNATURE,
    BundleImage,
    Index,
    Part,
    Proofs,
    index_document,
)
from luxusb_cli.bundles.opening import check_list, parse
from luxusb_cli.copying import CHUNK, Line
from luxusb_cli.errors import LUXUSB, CliError, DaemonError
from luxusb_cli.exporting import document_of
from luxusb_cli.i18n import _
from luxusb_cli.text import clean
from luxusb_cli.units import format_size
from luxusb_cli.wire import Wire, text, wires

if TYPE_CHECKING:
    from luxusb_cli.client import Client
    from luxusb_cli.images import ImageInfo

CATALOG = "catalog.json"
README = "README.txt"
MAX_MIRRORS = 8
"""Addresses of a release that are kept beside the maker's own: who has network again has a catalogue of his own."""
FLUSH = 256 * 1024 * 1024
"""Bytes after which the disk gets what was copied, so that Ctrl-C and the end never wait for much."""
_SUFFIX = re.compile(r"[A-Za-z0-9]{1,10}")
_PLAIN = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass(frozen=True)
class Chosen:
    """A stored image that is to be in a bundle, and the release that it is."""

    image: ImageInfo
    distribution: Wire
    """As GetDistribution tells it."""


@dataclass(frozen=True)
class Digests:
    """What bytes were copied."""

    sha256: str
    sha512: str
    size: int


class Bundle:
    """A bundle that is being changed."""

    def __init__(self, directory: Directory, index: Index, key: str) -> None:
        """Prepare; `key` is the fingerprint of the key that signs, or empty."""
        self.directory = directory
        self.index = index
        self._key = key
        self.warnings: list[str] = []

    @classmethod
    def begin(cls, directory: Directory, key: str) -> Bundle:
        """Make an empty directory a bundle, or go on with the one that is there.

        Raises:
            CliError: something else is in it.
        """
        if directory.has(INDEX):
            return cls(directory, parse(directory, directory.read(INDEX, MAX_INDEX)), key)
        if not directory.empty():
            raise damaged(
                directory.shown, _("There is something else in it."), _("Take a directory that is new or empty.")
            )
        empty = {"version": "2.0", "last_updated": _now()[:10], "distributions": []}
        bundle = cls(directory, Index(secrets.token_hex(16), 1, _now(), (), empty), key)
        directory.write(INDEX, index_document(bundle.index))
        return bundle

    def check_room(self, chosen: Sequence[Chosen]) -> None:
        """Refuse before anything is copied what the disk has no room for.

        Raises:
            CliError: there is not enough.
        """
        have = {image.file.sha256 for image in self.index.images}
        missing = sum(
            max(0, each.image.size - self.directory.part_size(self._path_of(each.image)))
            for each in chosen
            if each.image.sha256 not in have
        )
        free = self.directory.free()
        if missing > free:
            raise CliError(
                _("There is no room in {place}").format(place=clean(self.directory.shown)),
                _("{size} are needed, and {free} are free.").format(size=format_size(missing), free=format_size(free)),
                _("Take fewer images, or a larger disk."),
                name=LUXUSB + "NotEnoughSpace",
            )

    async def add(self, client: Client, chosen: Chosen, *, progress: bool) -> BundleImage | None:
        """Copy an image, with its proofs, and name it in the index; None when the bundle has it.

        Raises:
            CliError: it cannot be copied, the stored image is damaged, or the catalogue does not know it.
        """
        image = chosen.image
        if any(each.file.sha256 == image.sha256 for each in self.index.images):
            return None
        path = self._path_of(image)
        fd = await client.open_image(image.reference)
        try:
            digests = await copy_image(fd, self.directory, path, image.sha256, progress=progress)
        finally:
            os.close(fd)
        release = _release_of(chosen.distribution, digests)
        if release is None:
            self.directory.remove(path)
            raise CliError(
                _("{name} cannot be put into a bundle").format(name=clean(image.name)),
                _("The catalogue has no release with its hash: it is another edition by now."),
                _("Get the one of the catalogue with `luxusb download`."),
            )
        made = BundleImage(
            distribution=text(chosen.distribution, "id"),
            version=text(release, "version"),
            edition=text(release, "edition"),
            architecture=text(release, "architecture"),
            name=clean(image.name).replace("/", "_")[:200] or "image.iso",
            file=Part(path, digests.size, digests.sha256),
            sha512=digests.sha512,
            proofs=None,
        )
        made = replace(made, proofs=await self._proofs(client, made, release))
        # the same release again, made anew by its maker, takes the place of the one before
        others = tuple(each for each in self.index.images if each.key != made.key)
        before = [each for each in self.index.images if each.key == made.key]
        self._put((*others, made), with_release(self.index.catalog, chosen.distribution, release, made))
        self._drop(before)
        return made

    def _path_of(self, image: ImageInfo) -> str:
        return path_of(image, [each.file.path for each in self.index.images])

    def remove(self, images: Sequence[BundleImage]) -> None:
        """Take images out of the bundle; without any nothing changes."""
        if not images:
            return
        gone = {image.key for image in images}
        kept = tuple(image for image in self.index.images if image.key not in gone)
        self._put(kept, _without(self.index.catalog, {image.file.sha256 for image in images}))
        self._drop(images)

    def finish(self) -> None:
        """Sign the index, where a key was named, and write what is for people and other programs.

        Raises:
            CliError: gpg refused, or the disk.
        """
        data = index_document(self.index)
        self.directory.write(CATALOG, _json(self.index.catalog))
        self.directory.write(README, _readme(self.index, self._key).encode())
        if self._key:
            self.directory.write(KEY, gpg.public_key(self._key))
            self.directory.write(SIGNATURE, gpg.sign(data, self._key))
        else:
            self.directory.remove(KEY)

    def _put(self, images: tuple[BundleImage, ...], catalog: Mapping[str, Any]) -> None:
        dated = {**catalog, "last_updated": _now()[:10]}
        self.index = replace(self.index, images=images, catalog=dated, serial=self.index.serial + 1, made=_now())
        data = index_document(self.index)
        # what cannot be read back is not to be written
        parse(self.directory, data)
        # a cut leaves a bundle without a signature, and none with a wrong one
        self.directory.remove(SIGNATURE)
        self.directory.write(INDEX, data)

    def _drop(self, images: Sequence[BundleImage]) -> None:
        """Remove files that no image needs any more."""
        needed = {part.path for part in self.index.parts}
        for image in images:
            for part in (image.file, *(image.proofs.parts if image.proofs else ())):
                if part.path not in needed:
                    self.directory.remove(part.path)

    async def _proofs(self, client: Client, image: BundleImage, release: Wire) -> Proofs | None:
        """What the maker publishes, when it is what it should be; else a warning."""
        if text(release, "trust") != "signed":
            return None
        fingerprint = text(release, "key_fingerprint")
        try:
            sums, signature, key = await client.proofs(f"distro:{image.reference}")
        except DaemonError as error:
            self._unsigned(image, error.why or error.what)
            return None
        directory = f"proofs/{image.file.sha256[:16]}"
        proofs = Proofs(
            fingerprint=fingerprint,
            key=_part(f"proofs/{fingerprint}.gpg", key),
            sums=_part(f"{directory}/{_file_name(text(release, 'sums_url'), 'SUMS')}", sums) if sums else None,
            signature=_part(f"{directory}/{_file_name(text(release, 'signature_url'), 'SIGNATURE')}", signature)
            if signature
            else None,
            named=_name_in_lists(text(release, "url")),
        )
        try:
            if sums:
                check_list(replace(image, proofs=proofs), sums, signature, key)
            else:
                fd = self.directory.open(image.file.path)
                try:
                    gpg.verify_file(fd, signature, key)
                finally:
                    os.close(fd)
        except gpg.BadSignatureError as error:
            self._unsigned(image, str(error))
            return None
        for part, data in zip(proofs.parts, (key, *(each for each in (sums, signature) if each)), strict=True):
            self.directory.write(part.path, data)
        return proofs

    def _unsigned(self, image: BundleImage, why: str) -> None:
        self.warnings.append(
            _("{name} comes without its maker's signature: {why}").format(name=clean(image.reference), why=clean(why))
        )


async def copy_image(fd: int, directory: Directory, path: str, sha256: str, *, progress: bool) -> Digests:
    """Copy all of `fd`; bytes that are there from before are read and gone on with.

    Raises:
        CliError: the disk refused (what is there stays), or what was copied is not what it should be (nothing stays).
    """
    target = directory.open_part(path)
    try:
        with directory.errors(path):
            total = os.fstat(fd).st_size
            there = os.fstat(target).st_size
            if there > total:
                os.ftruncate(target, 0)
            digests = await _copy(fd, target, total, progress=progress)
            if digests.sha256 != sha256 and there:
                # the bytes from before are of something else
                os.ftruncate(target, 0)
                digests = await _copy(fd, target, total, progress=progress)
        if digests.sha256 != sha256:
            directory.remove(path)
            raise CliError(
                _("{file} was not written").format(file=path),
                _("The stored image is damaged: its sha256 is {hash}.").format(hash=digests.sha256),
                _("Delete the image with `luxusb delete`, and get it again."),
                name=LUXUSB + "VerificationFailed",
            )
        await asyncio.to_thread(directory.keep, path, target)
    finally:
        os.close(target)
    return digests


async def _copy(fd: int, target: int, total: int, *, progress: bool) -> Digests:
    line = Line(total, shown=progress)
    first, second = hashlib.sha256(), hashlib.sha512()
    there = os.fstat(target).st_size
    done, flushed = 0, there
    while done < total:
        old = done < there
        # in a thread, so that Ctrl-C comes in while a slow disk writes
        chunk = await asyncio.to_thread(
            os.pread, target if old else fd, min(CHUNK, (there if old else total) - done), done
        )
        if not chunk:
            break
        if not old:
            await asyncio.to_thread(write_all, target, chunk, done)
        await asyncio.to_thread(_update, first, second, chunk)
        done += len(chunk)
        if done - flushed >= FLUSH:
            await asyncio.to_thread(os.fdatasync, target)
            flushed = done
        line.draw(done)
    line.clear()
    return Digests(first.hexdigest(), second.hexdigest(), done)


def _update(first: Any, second: Any, chunk: bytes) -> None:
    first.update(chunk)
    second.update(chunk)


def newest_of(distribution: Wire, image: BundleImage) -> Wire | None:
    """The release that an image of a bundle would be updated to: of the same edition and architecture, and newer."""
    from luxusbd.text import natural_key

    def key(release: Wire) -> Any:
        return natural_key(text(release, "version"))

    fitting = [
        release
        for release in wires(distribution.get("releases", []), "releases")
        if text(release, "edition") == image.edition and text(release, "architecture") == image.architecture
    ]
    newest = max(fitting, key=key, default=None)
    if newest is None or _is_release(newest, image.file.sha256, image.sha512):
        return None
    return newest if key(newest) >= natural_key(image.version) else None


def _is_release(release: Wire, sha256: str, sha512: str) -> bool:
    known = text(release, "sha256")
    return known == sha256 if known else text(release, "sha512") == sha512


def _release_of(distribution: Wire, digests: Digests) -> Wire | None:
    found = wires(distribution.get("releases", []), "releases")
    return next((release for release in found if _is_release(release, digests.sha256, digests.sha512)), None)


def with_release(catalog: Mapping[str, Any], distribution: Wire, release: Wire, image: BundleImage) -> dict[str, Any]:
    """The catalogue with one release more, which takes the place of the same one before."""
    mirrors = wires(release.get("mirrors", []), "mirrors")[:MAX_MIRRORS]
    # what is known by its SHA-512 alone has a sha256 now that its bytes are here
    exact = {**release, "mirrors": list(mirrors), "sha256": image.file.sha256, "size": image.file.size}
    (entry,) = document_of([{**distribution, "releases": [exact]}])["distributions"]
    entry["releases"][0] |= {"sha512": image.sha512}
    for name in ("mirror_list", "mirror_path", "metalink"):
        entry["releases"][0].pop(name, None)
    entries = {each["id"]: each for each in catalog["distributions"]}
    if (before := entries.get(entry["id"])) is not None:
        key = _key(entry["releases"][0])
        entry["releases"] += [each for each in before["releases"] if _key(each) != key]
    entries[entry["id"]] = entry
    return {**catalog, "distributions": list(entries.values())}


def _key(release: Mapping[str, Any]) -> tuple[Any, ...]:
    return release["version"], release.get("edition", ""), release.get("architecture", "")


def _without(catalog: Mapping[str, Any], hashes: set[str]) -> dict[str, Any]:
    entries = [
        {**entry, "releases": [one for one in entry["releases"] if one["sha256"] not in hashes]}
        for entry in catalog["distributions"]
    ]
    return {**catalog, "distributions": [entry for entry in entries if entry["releases"]]}


def path_of(image: ImageInfo, taken: Collection[str]) -> str:
    """Where an image is to lie: its name as far as every disk can have it, and its hash where that is not enough.

    `taken` are the paths of other images; disks for sticks take names in any case for the same.
    """
    stem, dot, suffix = image.name.rpartition(".")
    if not _SUFFIX.fullmatch(suffix):
        stem, dot = image.name, ""
    plain = _PLAIN.sub("_", stem if dot else image.name).strip("._+-")[:80] or "image"
    ending = f".{suffix}" if dot else ""
    path = f"images/{plain}{ending}"
    if path.casefold() in {each.casefold() for each in taken}:
        return f"images/{plain}-{image.sha256[:8]}{ending}"
    return path


def _file_name(url: str, otherwise: str) -> str:
    plain = _PLAIN.sub("_", url.partition("?")[0].rpartition("/")[2]).strip("._-+")[:100]
    return plain or otherwise


def _name_in_lists(url: str) -> str:
    """The name by which a maker's lists call an image; SourceForge puts /download behind it."""
    from urllib.parse import unquote, urlsplit

    names = [name for name in unquote(urlsplit(url).path).split("/") if name]
    if len(names) > 1 and names[-1] == "download":
        names.pop()
    return names[-1][:200] if names else "image.iso"


def _part(path: str, data: bytes) -> Part:
    return Part(path, len(data), hashlib.sha256(data).hexdigest())


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(document: Mapping[str, Any]) -> bytes:
    from luxusb_cli.context import to_json

    return to_json(document).encode() + b"\n"


def _readme(index: Index, key: str) -> str:
    names = "\n".join(f"  {image.reference:40} {image.file.path}" for image in index.images)
    signed = f"Its index is signed by the OpenPGP key {key}.\n" if key else ""
    trust = f" --fingerprint {key}" if key else ""
    return (
        "This directory is a bundle of LUXusb: images of systems, what their makers published to vouch for\n"
        "them, and the catalogue that names them. It was changed last on "
        f"{index.made.replace('T', ' ').removesuffix('Z')} UTC.\n{signed}\n"
        f"{names}\n\n"
        "On a machine without network, from this directory or a copy of it:\n\n"
        f"  luxusb bundle use DIRECTORY{trust}\n"
        "  luxusb create NAME\n\n"
        "Or hand it out to a class room (any web server will do), and use its address on the other machines:\n\n"
        "  python3 -m http.server --directory DIRECTORY 8000\n"
        f"  luxusb bundle use http://ADDRESS:8000/{trust}\n\n"
        "Is all of it whole?\n\n"
        "  luxusb bundle check DIRECTORY\n"
    )
