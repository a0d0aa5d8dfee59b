"""Groups of images in a long boot menu."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from luxusbd.stick.model import ManifestImage

SHORT = 8
"""Images that a menu shows without groups."""

_OTHER = "Other systems"
_TOOLS = "Rescue and tests"
_GROUPS = {
    "Arch": ("arch", "artix", "manjaro"),
    "BSD": ("bsd",),
    "Debian": ("debian-live", "debian-installer", "antix"),
    "Fedora": ("anaconda", "dracut-live"),
    "Gentoo": ("gentoo",),
    "Mageia": ("drakx", "pclinuxos"),
    "openSUSE": ("kiwi-live", "linuxrc"),
    "Slackware": ("slackware", "slax", "porteus"),
    "Ubuntu": ("casper",),
    "Windows": ("windows",),
    _TOOLS: ("memtest86plus", "grub-rescue", "ipxe", "dos", "parted-magic"),
}
"""Families of recipes."""
_FAMILIES = {family: name for name, families in _GROUPS.items() for family in families}
TRANSLATED = (_OTHER, _TOOLS)
"""Names of groups that are texts."""


@dataclass(frozen=True)
class Group:
    """Images that the menu shows together; without a name they stand in the menu itself."""

    name: str
    images: tuple[ManifestImage, ...]

    @property
    def id(self) -> str:
        """Under which `default` names it; empty for none."""
        return f"group-{re.sub('[^a-z]+', '-', self.name.lower())}" if self.name else ""


def grouped(images: Sequence[ManifestImage]) -> tuple[Group, ...]:
    """Images in groups, in the order of the first of each; what would be alone in a group has none."""
    if len(images) <= SHORT:
        return tuple(Group("", (image,)) for image in images)
    members: dict[str, list[ManifestImage]] = {}
    for image in images:
        members.setdefault(_FAMILIES.get(image.family, _OTHER), []).append(image)
    return tuple(Group(name if len(found) > 1 else "", tuple(found)) for name, found in members.items())


def letter_class(title: str) -> str:
    """The class of an entry, by which a theme finds its icon."""
    found = re.search("[A-Za-z]", title)
    return f"letter-{found.group().lower()}" if found else "disc"
