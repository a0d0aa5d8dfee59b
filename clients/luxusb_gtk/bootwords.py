"""What is said of an image: under which firmware of the stick it starts, and under which it stays out. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from luxusb_cli.i18n import _
from luxusb_cli.plans import PlanInfo, PlannedImage
from luxusb_cli.units import format_size

from luxusb_gtk import words

SECURE = "-sb"
"""How the words for firmware with Secure Boot end."""


def left_out(plan: PlanInfo, image: PlannedImage) -> tuple[str, ...]:
    """Firmware that the stick serves and the image does not start under; nothing where that is not known yet."""
    return tuple(name for name in plan.firmware if name not in image.firmware) if image.firmware else ()


def out_of_secure_boot(plan: PlanInfo, image: PlannedImage) -> bool:
    """Whether a stick that starts under Secure Boot does not start this image there."""
    return any(name.endswith(SECURE) for name in left_out(plan, image))


def lines(plan: PlanInfo, image: PlannedImage) -> Iterator[str]:
    """What there is to know of a planned image, a line each."""
    facts = [words.size(image.size), words.trust(image.trust), _("is downloaded first") if image.download else ""]
    if image.persistence:
        facts.append(_("keeps changes, {size}").format(size=format_size(image.persistence)))
    yield " · ".join(fact for fact in facts if fact)
    if image.firmware:
        yield _("Starts under: {firmware}").format(firmware=words.firmware(image.firmware))
    else:
        yield _("What it starts under is known after the download")
    if missing := left_out(plan, image):
        yield _("Stays out under: {firmware}").format(firmware=words.firmware(missing))
    # the daemon says it once more where it has nothing to add
    plain = {f"does not start under {name}" for name in missing}
    yield from (warning for warning in image.warnings if warning not in plain)


def general(plan: PlanInfo) -> list[str]:
    """The warnings of a plan that are not of one image."""
    told = {f"{image.name}: {warning}" for image in plan.images for warning in image.warnings}
    return [warning for warning in plan.warnings if warning not in told]
