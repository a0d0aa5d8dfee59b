"""Files beside the images in /iso that start them (`luxusbd.images.startfile`): pure functions.

They stand in the manifest as images without entries, so that they are written, read back, verified and announced as
those are. Two images of one build share one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from luxusbd.images.startfile import FAMILY, PLACE
from luxusbd.stick.model import Manifest, ManifestImage, SourceImage


def is_beside(image: ManifestImage) -> bool:
    """Whether it is such a file."""
    return image.family == FAMILY


def file_beside(sha256: str) -> str:
    """What the file of this hash is called in /iso."""
    return f"initrd-{sha256[:16]}.gz"


def started_by(image: ManifestImage, sha256: str) -> ManifestImage:
    """The image with the file of this hash in the entries that are started by one."""
    path = PLACE + file_beside(sha256)
    entries = tuple(
        replace(entry, initrds=tuple(path if one.startswith(PLACE) else one for one in entry.initrds))
        for entry in image.entries
    )
    return replace(image, entries=entries)


def shown(images: Iterable[ManifestImage]) -> tuple[ManifestImage, ...]:
    """The images alone."""
    return tuple(image for image in images if not is_beside(image))


def unneeded(images: Iterable[ManifestImage]) -> tuple[str, ...]:
    """Names of files that no image of these needs any more."""
    listed = tuple(images)
    needed = {path for image in listed for entry in image.entries for path in entry.initrds}
    return tuple(image.name for image in listed if is_beside(image) and PLACE + image.name not in needed)


def of(image: ManifestImage, images: Iterable[ManifestImage]) -> tuple[ManifestImage, ...]:
    """Those of `images` that start one of them."""
    needed = {path for entry in image.entries for path in entry.initrds}
    return tuple(one for one in images if is_beside(one) and PLACE + one.name in needed)


def to_write(manifest: Manifest, sources: Iterable[SourceImage]) -> tuple[SourceImage, ...]:
    """What of these has to be written: a file that an image on the stick has brought already need not be."""
    there = {image.sha256 for image in manifest.images if is_beside(image)}
    return tuple(one for one in sources if not (is_beside(one.image) and one.image.sha256 in there))
