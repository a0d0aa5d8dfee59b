"""What is said of an image that is written byte for byte. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from luxusb_cli.i18n import N_, _
from luxusb_cli.plans import PlanInfo, PlannedImage, PlannedRaw
from luxusb_cli.units import format_size

from luxusb_gtk import words

_STARTS = {
    "hybrid": N_("Made for it: the image of a disc and of a stick in one (hybrid)"),
    "disk": N_("Made for it: the image of a disk, with a boot sector or a partition table"),
    "optical": N_("No: the image of a disc, which starts from an optical drive alone"),
    "nothing": N_("No: it has neither a boot sector nor a partition table"),
    "unknown": N_("Known after the download, before anything is erased"),
}
"""By the words of a plan."""


def starts(raw: PlannedRaw) -> str:
    """Whether a computer starts what is written."""
    return _(_STARTS[raw.starts]) if raw.starts in _STARTS else raw.starts


def never(raw: PlannedRaw) -> bool:
    """Whether it is known that no computer does."""
    return raw.starts in ("optical", "nothing")


def lines(plan: PlanInfo, image: PlannedImage) -> Iterator[str]:
    """What there is to know of the image, a line each."""
    name = image.name if image.name != image.title else ""
    facts = [name, words.size(image.size), words.trust(image.trust), _("is downloaded first") if image.download else ""]
    yield " · ".join(fact for fact in facts if fact)
    if plan.raw is not None and plan.raw.packing:
        unpacked = format_size(plan.raw.size) if plan.raw.size else _("size known at its end")
        yield _("Unpacked from {packing} on the way: {size}").format(packing=plan.raw.packing, size=unpacked)
    yield from image.warnings


def tooltip() -> str:
    """What writing byte for byte is for."""
    return _(
        "The whole stick becomes this one image: for what cannot start from a file, such as Alpine, BSDs and appliances"
    )


def alone() -> str:
    """What can be done with an image that does not start from a file, where more than it is chosen."""
    return _("Chosen alone and for one stick, it can be written byte for byte")
