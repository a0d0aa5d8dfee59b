"""What an image is, by its content. Runs in a thread of the unprivileged child, because it reads foreign bytes."""

from __future__ import annotations

from collections.abc import Sequence

from luxusbd.images.iso9660 import IsoImage
from luxusbd.images.match import Match, guess_architecture, match
from luxusbd.images.model import Recognition
from luxusbd.images.recipes import Recipe, packaged_recipes
from luxusbd.images.source import ImageSource
from luxusbd.text import clean

REASON_LIMIT = 500
LABEL_LIMIT = 128


def recognise(source: int | ImageSource, recipes: Sequence[Recipe] | None = None) -> Recognition:
    """Look at an image. Blocks; takes well under a second.

    Args:
        source: what gives its bytes, or a regular file, readable, which stays open and keeps its offset.
        recipes: those to try; the packaged ones by default.

    Raises:
        MalformedImageError: it is no ISO 9660 image, or a damaged one; the text says which.
        CatalogError: a packaged recipe is malformed.
    """
    image = IsoImage(source)
    found = match(image, packaged_recipes() if recipes is None else recipes)
    if found is None:
        return _unknown(image)
    return _known(image, found)


def _known(image: IsoImage, found: Match) -> Recognition:
    entries = () if found.reason else found.entries
    return Recognition(
        size=image.size,
        volume_id=clean(image.volume_id, LABEL_LIMIT),
        iso_uuid=image.uuid,
        recipe=found.recipe.id,
        family=found.recipe.family,
        system=found.system,
        version=found.version,
        architecture=found.architecture,
        entries=entries,
        filesystems=found.recipe.filesystems,
        reason=clean(found.reason, REASON_LIMIT),
        advice=clean(found.advice, REASON_LIMIT),
        firmware=frozenset(firmware for entry in entries for firmware in entry.firmware),
    )


def _unknown(image: IsoImage) -> Recognition:
    label = clean(image.volume_id, LABEL_LIMIT)
    if image.boot_platforms:
        reason = "No recipe knows how to start this system from a file, and it brings no loopback.cfg of its own."
        advice = "Write it to a stick of its own, byte for byte, or update the catalogue, which brings newer recipes."
    else:
        reason = "The image has no boot record and holds no known system: it looks like a data disc."
        advice = "Copy it to the stick as a plain file if you only need its content."
    return Recognition(
        size=image.size,
        volume_id=label,
        iso_uuid=image.uuid,
        recipe="",
        family="",
        system=label or "Unknown system",
        version="",
        architecture=guess_architecture(image),
        reason=reason,
        advice=advice,
    )
