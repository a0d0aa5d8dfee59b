"""What callers call the images on a stick."""

from __future__ import annotations

from collections.abc import Sequence

from luxusbd.catalog.catalog import PREFIX
from luxusbd.errors import ImageNotFoundError
from luxusbd.images.model import CUSTOM
from luxusbd.jobs.registry import name_of
from luxusbd.jobs.views import DeviceView
from luxusbd.stick.model import ManifestImage


def files_named(view: DeviceView, names: Sequence[str]) -> list[str]:
    """File names of the images on a stick that are named by reference, file name or source.

    Raises:
        ImageNotFoundError: a name fits none; the text says what there is.
    """
    files: list[str] = []
    for name in names:
        match = [image.name for image in view.images if name in (image.name, image.reference, *_sources(image))]
        if not match:
            there = ", ".join(image.name for image in view.images) or "no images"
            raise ImageNotFoundError(f"{name} is not on {name_of(view)}, which holds {there}")
        files += [file for file in match if file not in files]
    return files


def _sources(image: ManifestImage) -> tuple[str, ...]:
    """What its source may be called: a reference says nothing of whose catalogue it is looked up in."""
    return (image.source, image.source.replace(CUSTOM, PREFIX, 1)) if image.custom else (image.source,)
