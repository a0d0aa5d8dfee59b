"""Which place an image has in the menu: that of the plan, or that of the older image that it replaces."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from luxusbd.stick import beside, persistence
from luxusbd.stick import manifest as manifests
from luxusbd.stick.model import Manifest, ManifestImage

_OF_THE_NEW = (
    "name",
    "title",
    "sha256",
    "size",
    "source",
    "recipe",
    "family",
    "version",
    "architecture",
    "volume_id",
    "iso_uuid",
    "added",
    "entries",
    "trust",
    "partition",
    "persistence",
)
"""Fields that say what an image is. The others are what a user wants of the place that it has, and stay."""


def in_sequence(images: Sequence[ManifestImage], sequence: Sequence[str]) -> tuple[ManifestImage, ...]:
    """Images in the order of a menu: those without a place in `sequence` first, files that only start others last."""
    places = {name: number for number, name in enumerate(sequence)}
    last = len(places)
    return tuple(sorted(images, key=lambda image: last if beside.is_beside(image) else places.get(image.name, -1)))


def coming(manifest: Manifest, images: Sequence[ManifestImage], sequence: Sequence[str]) -> bytes:
    """The manifest that a stick is to have which is being made of `images`, for `planned`."""
    return manifests.encode(dataclasses.replace(manifest, images=in_sequence(images, sequence)))


def put(
    images: Sequence[ManifestImage], new: Mapping[str, ManifestImage], behind: Sequence[ManifestImage] = ()
) -> tuple[ManifestImage, ...]:
    """Images of which some are replaced, by their file names, with others behind them."""
    return (*(_in_place_of(image, new[image.name]) if image.name in new else image for image in images), *behind)


def _in_place_of(old: ManifestImage, new: ManifestImage) -> ManifestImage:
    listed = dataclasses.replace(old, **{name: getattr(new, name) for name in _OF_THE_NEW})
    return persistence.going_on(old, listed)
