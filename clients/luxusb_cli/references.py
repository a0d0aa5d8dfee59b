"""What the user means by IMAGE: a catalogue reference, a stored image, or a file."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from luxusb_cli.errors import LUXUSB, CliError, DaemonError
from luxusb_cli.i18n import _
from luxusb_cli.images import ImageInfo
from luxusb_cli.model import StickImage
from luxusb_cli.text import clean, did_you_mean, join_sentences

if TYPE_CHECKING:
    from luxusb_cli.client import Client

_SUFFIXES = frozenset({".iso", ".img", ".raw", ".xz", ".lzma", ".gz", ".zst", ".bz2", ".zip"})
_CATALOGUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*(@[^/@]+)?(/[^/@]+)?")
_HASH = re.compile(r"[0-9a-f]{6,64}")


@dataclass(frozen=True)
class Catalogued:
    """A distribution, its version and its edition; downloaded when it is needed."""

    reference: str
    """Starts with `distro:`."""

    @property
    def distribution(self) -> str:
        """The id alone."""
        return re.split("[@/]", self.reference.removeprefix("distro:"), maxsplit=1)[0]


@dataclass(frozen=True)
class Stored:
    """An image in the store, `image:` and the first digits of its sha256 or all of them."""

    reference: str


@dataclass(frozen=True)
class LocalFile:
    """A file of the user's, imported before it is used."""

    path: Path


ImageArgument = Catalogued | Stored | LocalFile


def classify(argument: str) -> ImageArgument:
    """What an IMAGE argument means.

    `image:` and `distro:` say it themselves. A file is what starts with / or . or ends in .iso, .img, .raw or the
    suffix of a compressed file, and any other file that is there and whose name cannot be a reference. The rest is the
    catalogue's.
    """
    if argument.startswith("image:"):
        return Stored(argument.lower())
    if argument.startswith("distro:"):
        return Catalogued(argument)
    path = Path(argument)
    named_as_file = argument.startswith(("/", "./", "../")) or path.suffix.lower() in _SUFFIXES
    if named_as_file or (_CATALOGUE.fullmatch(argument) is None and os.path.lexists(argument)):
        return LocalFile(path)
    return Catalogued(f"distro:{argument}")


async def check_catalogued(client: Client, images: Sequence[ImageArgument]) -> None:
    """Find unknown distributions before anything is started.

    Raises:
        CliError: one is unknown; with similar names.
    """
    asked = {image.distribution: None for image in images if isinstance(image, Catalogued)}
    for name in asked:
        try:
            await client.distribution(name)
        except DaemonError as error:
            raise await suggesting(client, error, name) from error


async def suggesting(client: Client, error: DaemonError, name: str) -> CliError:
    """The error, with similar names when it is about an unknown distribution."""
    if error.name != LUXUSB + "DistributionNotFound":
        return error
    if "did you mean" in error.why:
        return error
    known = [distro.id for distro in await client.distributions()]
    return CliError(
        error.what, error.why, join_sentences(did_you_mean(name, known), error.todo), name=error.name, code=error.code
    )


def map_beside(argument: str) -> Path | None:
    """The block map that lies beside an image file as bmaptool looks for it: a.img.xz.bmap, a.img.bmap or a.bmap."""
    image = classify(argument)
    if not isinstance(image, LocalFile):
        return None
    path = image.path
    while True:
        beside = path.with_name(f"{path.name}.bmap")
        if beside.is_file():
            return beside
        if not path.suffix:
            return None
        path = path.with_suffix("")


async def complete_stored(client: Client, images: Sequence[Stored]) -> list[str]:
    """The full references of stored images given by the first digits of their hash.

    Raises:
        CliError: none, or more than one image starts with these digits.
    """
    if all(len(image.reference) == len("image:") + 64 for image in images):
        return [image.reference for image in images]
    known = await client.images()
    return [find_image(known, image.reference).reference for image in images]


def find_image(images: Sequence[ImageInfo], name: str) -> ImageInfo:
    """The stored image that is called `name`: its reference or hash, the first six digits or more, or its name.

    Raises:
        CliError: there is none, or more than one.
    """
    digits = name.lower().removeprefix("image:")
    found = [image for image in images if image.name == name]
    if not found and _HASH.fullmatch(digits):
        found = [image for image in images if image.sha256.startswith(digits)]
    if len(found) == 1:
        return found[0]
    if found:
        raise CliError(
            _("{name} is not one image").format(name=clean(name)),
            _("These fit: {names}.").format(names=", ".join(clean(image.reference) for image in found)),
            _("Give more of the hash."),
            name=LUXUSB + "InvalidArgument",
        )
    known = [known for image in images for known in (image.name, image.reference)]
    raise CliError(
        _("There is no stored image {name}").format(name=clean(name)),
        todo=join_sentences(did_you_mean(name, known), _("See them with `luxusb images`.")),
        name=LUXUSB + "ImageNotFound",
    )


def _as_reference(source: str) -> str:
    return f"distro:{source.removeprefix('custom:')}" if source.startswith("custom:") else source


def find_stick_images(images: Sequence[StickImage], names: Sequence[str]) -> list[StickImage]:
    """The images of a stick that are called `names`: file name, reference, or the first digits of the hash.

    Raises:
        CliError: one is not there; with similar names.
    """
    found: dict[str, StickImage] = {}
    for name in names:
        digits = name.lower().removeprefix("image:")
        # a reference says nothing of whose catalogue it was looked up in
        fits = [image for image in images if name in {image.name, image.source, _as_reference(image.source)}]
        if not fits and _HASH.fullmatch(digits):
            fits = [image for image in images if image.sha256.startswith(digits)]
        if len(fits) != 1:
            known = [image.name for image in images]
            raise CliError(
                _("There is no image {name} on the stick").format(name=clean(name))
                if not fits
                else _("{name} is not one image").format(name=clean(name)),
                _("On it are: {names}.").format(names=", ".join(clean(image) for image in known) or _("none")),
                did_you_mean(name, known),
                name=LUXUSB + "ImageNotFound",
            )
        found[fits[0].name] = fits[0]
    return list(found.values())
