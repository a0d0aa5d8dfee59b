"""The index of a bundle, `bundle.json`: which images it has, what each has to be, and the catalogue that names them.

Everything else in a bundle counts only as far as the index names it with its sha256. Pure, but for the schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luxusbd.catalog.model import Document

INDEX = "bundle.json"
SIGNATURE = "bundle.json.asc"
KEY = "bundle.gpg"
"""The public key that made the signature, in binary, which is the form that gpgv reads."""
MAX_INDEX = 1024 * 1024
"""Bytes; twice what a user's own catalogue may have, which is in it."""
MAX_PROOF = 4 * 1024 * 1024
"""Bytes of a list of hashes, a signature or a key."""


@dataclass(frozen=True)
class Part:
    """A file of a bundle."""

    path: str
    """Relative to the bundle: names of letters, digits and . _ + - which begin with a letter or digit."""
    size: int
    sha256: str


@dataclass(frozen=True)
class Proofs:
    """What the maker of an image published to vouch for it."""

    fingerprint: str
    """Of the primary key that signed, in full."""
    key: Part
    sums: Part | None
    """The signed list of hashes; None where the image itself is signed."""
    signature: Part | None
    """None where the list holds it."""
    named: str
    """What the list calls the image."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its files."""
        return tuple(part for part in (self.key, self.sums, self.signature) if part is not None)


@dataclass(frozen=True)
class BundleImage:
    """An image of a bundle."""

    distribution: str
    version: str
    edition: str
    architecture: str
    name: str
    """To be shown; the file may be called otherwise."""
    file: Part
    sha512: str
    proofs: Proofs | None

    @property
    def reference(self) -> str:
        """Under which it is asked for, without the prefix."""
        return f"{self.distribution}@{self.version}" + (f"/{self.edition}" if self.edition else "")

    @property
    def key(self) -> tuple[str, str, str, str]:
        """By which it is told from the other images of a bundle."""
        return self.distribution, self.version, self.edition, self.architecture


@dataclass(frozen=True)
class Index:
    """All that a bundle says of itself."""

    id: str
    """32 hex digits by which a newer edition of the same bundle is known."""
    serial: int
    """Larger after every change."""
    made: str
    """When it was changed last; a date with a time, in UTC."""
    images: tuple[BundleImage, ...]
    catalog: Mapping[str, Any]
    """A catalogue of schema 2.0 with one release for each image, and the addresses of their makers."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """All files, each once."""
        found = [part for image in self.images for part in (image.file, *(image.proofs.parts if image.proofs else ()))]
        return tuple({part.path: part for part in found}.values())


def read_index(data: bytes, name: str) -> Index:
    """Decode and check an index; `name` is what errors call it.

    Raises:
        luxusbd.errors.CatalogError: a line for each fault.
    """
    from luxusbd.catalog.schema import check_format, decode, refuse

    document = check_format(decode(data, name), name, "bundle.schema.json")
    index = _from_document(document)
    catalogue = catalogue_of(index, name)
    refuse(list(_faults(index, catalogue)), name)
    return index


def catalogue_of(index: Index, name: str) -> Document:
    """The catalogue in an index, checked.

    Raises:
        luxusbd.errors.CatalogError: it is none, or more than a user's own may be.
    """
    from luxusbd.catalog.own import read_own

    return read_own(json.dumps(index.catalog).encode(), f"{name}: catalog")


def index_document(index: Index) -> bytes:
    """The index as it is written."""
    document = {
        "version": "2.0",
        "id": index.id,
        "serial": index.serial,
        "made": index.made,
        "images": [_image(image) for image in index.images],
        "catalog": index.catalog,
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def _faults(index: Index, catalogue: Document) -> Sequence[str]:
    faults: list[str] = []
    seen: dict[str, Part] = {}
    for part in (
        part for image in index.images for part in (image.file, *(image.proofs.parts if image.proofs else ()))
    ):
        # disks for sticks and Windows take names in any case for the same
        before = seen.setdefault(part.path.casefold(), part)
        # the pattern of a schema also takes a line feed at the end
        if not part.path.isprintable():
            faults.append(f"$.images: found {part.path!r}, expected a path")
        if before != part:
            faults.append(f"$.images: found {part.path} twice with different contents, expected each file once")
    hashes = [image.file.sha256 for image in index.images]
    listed = {
        (entry.id, one.version, one.edition, one.architecture): one.sha256
        for entry in catalogue.distributions
        for one in entry.releases
    }
    if len(set(hashes)) != len(hashes):
        faults.append("$.images: found an image twice, expected each once")
    if len(listed) != len(index.images):
        faults.append(f"$.catalog: found {len(listed)} releases, expected one for each of {len(index.images)} images")
    for number, image in enumerate(index.images):
        if listed.get(image.key) != image.file.sha256:
            faults.append(
                f"$.images[{number}]: found {image.reference}, expected a release of $.catalog with its sha256"
            )
    return faults


def _part(part: Part) -> dict[str, Any]:
    return {"path": part.path, "size": part.size, "sha256": part.sha256}


def _image(image: BundleImage) -> dict[str, Any]:
    found: dict[str, Any] = {
        "distribution": image.distribution,
        "version": image.version,
        "edition": image.edition,
        "architecture": image.architecture,
        "name": image.name,
        "file": _part(image.file),
        "sha512": image.sha512,
    }
    if image.proofs is not None:
        proofs = {"fingerprint": image.proofs.fingerprint, "named": image.proofs.named, "key": _part(image.proofs.key)}
        for name, part in (("sums", image.proofs.sums), ("signature", image.proofs.signature)):
            if part is not None:
                proofs[name] = _part(part)
        found["proofs"] = proofs
    return found


def _from_document(document: Mapping[str, Any]) -> Index:
    return Index(
        id=document["id"],
        serial=int(document["serial"]),
        made=document["made"],
        images=tuple(_image_from(entry) for entry in document["images"]),
        catalog=document["catalog"],
    )


def _image_from(entry: Mapping[str, Any]) -> BundleImage:
    given = entry.get("proofs")
    proofs = None
    if given is not None:
        proofs = Proofs(
            fingerprint=given["fingerprint"],
            key=_part_from(given["key"]),
            sums=_part_from(given["sums"]) if "sums" in given else None,
            signature=_part_from(given["signature"]) if "signature" in given else None,
            named=given["named"],
        )
    return BundleImage(
        distribution=entry["distribution"],
        version=entry["version"],
        edition=entry["edition"],
        architecture=entry["architecture"],
        name=entry["name"],
        file=_part_from(entry["file"]),
        sha512=entry["sha512"],
        proofs=proofs,
    )


def _part_from(entry: Mapping[str, Any]) -> Part:
    return Part(entry["path"], int(entry["size"]), entry["sha256"])
