"""Opening a bundle, wherever it lies: the index, who signed it, and what vouches for its images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from luxusb_cli.bundles import gpg
from luxusb_cli.bundles.directory import BAD, Directory, damaged
from luxusb_cli.bundles.index import (
    INDEX,
    KEY,
    MAX_INDEX,
    MAX_PROOF,
    SIGNATURE,
    BundleImage,
    Index,
    Part,
    read_index,
)
from luxusb_cli.bundles.web import Site, is_address
from luxusb_cli.errors import LUXUSB, CliError, UsageError
from luxusb_cli.i18n import _
from luxusb_cli.text import clean

UNTRUSTED = LUXUSB + "NotTrusted"


class Place(Protocol):
    """Where a bundle lies."""

    @property
    def shown(self) -> str:
        """What messages call it."""

    def has(self, path: str) -> bool:
        """Whether there is a file of that name."""

    def read(self, path: str, most: int) -> bytes:
        """All of a small file; `CliError` when it cannot be had."""


@dataclass(frozen=True)
class Opened:
    """A bundle whose index was read and checked."""

    place: Place
    index: Index
    signed_by: str
    """Fingerprint of the primary key that signed the index, in full; empty when nobody did."""


@dataclass(frozen=True)
class ProofData:
    """What the maker of an image published; a list is checked, and is about this image."""

    sums: bytes
    """Empty where the image itself is signed."""
    signature: bytes
    key: bytes
    fingerprint: str


@contextmanager
def opened_place(name: str) -> Iterator[Directory | Site]:
    """The place of a bundle, which is named by a directory, the index in it, or an address."""
    if is_address(name):
        yield Site(name)
        return
    path = Path(name)
    with Directory(path.parent if path.name == INDEX else path) as directory:
        yield directory


def open_bundle(place: Place, fingerprint: str = "") -> Opened:
    """Read and check the index.

    Args:
        place: where it lies.
        fingerprint: of the key that has to have signed it; empty for whoever did.

    Raises:
        CliError: it is no bundle, or not signed as it has to be. A signature that is there and not good is an error in
            any case.
    """
    data = place.read(INDEX, MAX_INDEX)
    signed_by = _signer(place, data)
    if fingerprint and signed_by != fingerprint:
        raise CliError(
            _("{bundle} is not signed by the key that you named").format(bundle=clean(place.shown)),
            _("It is signed by {fingerprint}.").format(fingerprint=signed_by) if signed_by else _("Nobody signed it."),
            _("Ask whoever made the bundle for the fingerprint of the key, by another way than the bundle."),
            name=UNTRUSTED,
        )
    return Opened(place, parse(place, data), signed_by)


def parse(place: Place, data: bytes) -> Index:
    """An index, whoever signed it.

    Raises:
        CliError: it is none.
    """
    from luxusbd.errors import CatalogError

    try:
        return read_index(data, f"{place.shown.rstrip('/')}/{INDEX}")
    except CatalogError as error:
        raise damaged(place.shown, error.message) from error


def wanted_fingerprint(text: str) -> str:
    """A fingerprint as people write it, with or without blanks.

    Raises:
        UsageError: it is none, or the short name of a key, which anybody can make another key for.
    """
    found = "".join(text.split()).upper()
    if found and (len(found) not in (40, 64) or not set(found) <= set("0123456789ABCDEF")):
        raise UsageError(
            _("{text} is no fingerprint").format(text=clean(text)),
            _("A full one has 40 or 64 hex digits."),
            _("See it with `gpg --fingerprint`."),
        )
    return found


def part_data(place: Place, part: Part) -> bytes:
    """A small file that the index names.

    Raises:
        CliError: it is missing, or has other bytes.
    """
    data = place.read(part.path, MAX_PROOF)
    if len(data) != part.size or hashlib.sha256(data).hexdigest() != part.sha256:
        raise damaged(f"{place.shown.rstrip('/')}/{part.path}", _("It is not what the index of the bundle names."))
    return data


def proof_data(place: Place, image: BundleImage, fd: int | None = None) -> ProofData | None:
    """What vouches for an image; None where nothing does.

    Args:
        place: where the bundle lies.
        image: the image.
        fd: its bytes, which are read where its maker signs images and no lists; None leaves such a signature unchecked.

    Raises:
        gpg.BadSignatureError: the signature is not good, or not by the key that the index names, or the list tells
            another hash.
        CliError: a file is missing or has other bytes.
    """
    proofs = image.proofs
    if proofs is None:
        return None
    sums = part_data(place, proofs.sums) if proofs.sums is not None else b""
    signature = part_data(place, proofs.signature) if proofs.signature is not None else b""
    key = part_data(place, proofs.key)
    if sums:
        check_list(image, sums, signature, key)
    elif fd is not None:
        _check_signer(image, gpg.verify_file(fd, signature, key))
    return ProofData(sums, signature, key, proofs.fingerprint)


def check_list(image: BundleImage, sums: bytes, signature: bytes, key: bytes) -> None:
    """Whether a list of hashes is signed and has the hash of an image.

    Raises:
        gpg.BadSignatureError: it is not, or has another one.
    """
    from luxusbd.errors import LuxusbError
    from luxusbd.transfer.sums import all_sums

    assert image.proofs is not None
    signed = gpg.verify(sums, signature, key)
    _check_signer(image, signed)
    listed = image.proofs.sums.path.rpartition("/")[2] if image.proofs.sums is not None else ""
    text = (sums if signature else signed.text).decode("utf-8", "replace")
    try:
        found = all_sums(text, (image.proofs.named,), listed)
    except LuxusbError as error:
        raise gpg.BadSignatureError(error.message) from error
    known = {"sha256": image.file.sha256, "sha512": image.sha512}
    said = [entry for entry in found if entry.algorithm in known]
    if not said or any(known[entry.algorithm] != entry.digest for entry in said):
        raise gpg.BadSignatureError(_("the signed list tells another hash"))


def _check_signer(image: BundleImage, signed: gpg.Signed) -> None:
    assert image.proofs is not None
    if signed.fingerprint != image.proofs.fingerprint:
        raise gpg.BadSignatureError(_("another key made the signature"))


def _signer(place: Place, data: bytes) -> str:
    if not place.has(SIGNATURE):
        return ""
    try:
        return gpg.verify(data, place.read(SIGNATURE, MAX_PROOF), place.read(KEY, MAX_PROOF)).fingerprint
    except gpg.BadSignatureError as error:
        raise CliError(
            _("The signature of {bundle} is not good").format(bundle=clean(place.shown)),
            _("The index and its signature do not fit: {reason}.").format(reason=error),
            _("Get the bundle again; whoever made it signs it anew with `luxusb bundle update --sign KEY`."),
            name=BAD,
        ) from error
