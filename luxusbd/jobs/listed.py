"""Values of the list of systems: what is asked for, and what is told of each system and release."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from luxusbd.catalog.model import Distribution, Release
from luxusbd.devices.model import DeviceIdentity
from luxusbd.images.hints import SecureBoot


class Order(StrEnum):
    """How a list is sorted."""

    POPULARITY = "popularity"
    """What is called exactly as the search text first, then the most popular."""
    NAME = "name"


class Fit(StrEnum):
    """Whether an image has room on a stick; those that have none are not listed at all."""

    YES = "yes"
    UNKNOWN = "unknown"
    """Its size is not known."""


@dataclass(frozen=True)
class CatalogQuery:
    """Which systems and releases are wanted; what is empty or false excludes nothing."""

    text: str = ""
    """Words, each of which has to occur in id, name, description, category, a family or an edition."""
    category: str = ""
    architecture: str = ""
    """Releases for an unknown one stay, too."""
    family: str = ""
    secure_boot: bool = False
    hide_end_of_life: bool = False
    device: DeviceIdentity | None = None
    """Only what has room there."""
    order: Order = Order.POPULARITY


@dataclass(frozen=True)
class ListedRelease:
    """A release with what the catalogue itself does not say."""

    release: Release
    """With the trust that can be reached with the keys that can be had."""
    family: str
    """Of the boot recipe that is expected to fit, or empty."""
    secure_boot: SecureBoot
    ended: bool
    """Whether its end of life lies before the day of the call."""
    fit: Fit | None = None
    """None where no stick was asked about."""


@dataclass(frozen=True, eq=False)
class Listed:
    """A system with those of its releases that are wanted, newest first.

    The same catalogue gives the same object again, so that whoever makes something of it can keep that.
    """

    distribution: Distribution
    releases: tuple[ListedRelease, ...]
