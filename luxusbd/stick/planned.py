"""`/luxusb/planned.json`: the manifest that a stick is to have once it is made.

It lies there from the first menu on, which holds no images yet, to the last one: a stick that has it, and not all of
its images, was pulled while it was made.
"""

from __future__ import annotations

from collections.abc import Iterable

from luxusbd.errors import DeviceDamagedError, MalformedImageError
from luxusbd.stick import manifest as manifests
from luxusbd.stick.filesystem import DataFilesystem
from luxusbd.stick.model import Manifest, ManifestImage

PATH = "/luxusb/planned.json"
NAMED = 5
"""Images that the sentence about an unfinished stick names."""


def load(filesystem: DataFilesystem) -> Manifest | None:
    """The manifest that was planned; None when there is none, or none that can be read."""
    try:
        data = filesystem.read_file(PATH, manifests.LIMIT)
        return None if data is None else manifests.decode(data)
    except (DeviceDamagedError, MalformedImageError):
        return None


def missing(planned: Manifest | None, present: Iterable[ManifestImage]) -> tuple[ManifestImage, ...]:
    """The images that were to come and are not among `present`."""
    known = {image.sha256 for image in present}
    return () if planned is None else tuple(image for image in planned.images if image.sha256 not in known)


def damage(images: tuple[ManifestImage, ...]) -> str:
    """The sentence about a stick on which these images are missing."""
    names = ", ".join(image.name for image in images[:NAMED])
    more = f" and {len(images) - NAMED} more" if len(images) > NAMED else ""
    return f"the stick was not finished when it was made: {names}{more} did not get onto it; repair the stick"
