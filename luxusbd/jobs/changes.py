"""Room for changes, asked for before anything is written: which image gets how much, and whether that can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from luxusbd.errors import InvalidArgumentError
from luxusbd.images.changeshints import Way, expected_ways
from luxusbd.images.model import Persistence, Store
from luxusbd.jobs.views import DeviceView
from luxusbd.stick import persistence
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import Kept, ManifestImage, PartitionRole

_THE_PARTITION = (Store.PARTITION, "")
"""As `persistence.place_of` has it."""


@dataclass(frozen=True)
class Asked:
    """The room for changes that one image is to get on a stick."""

    name: str
    """File name on the stick."""
    size: int
    """Bytes."""
    partition: PartitionRole
    """On which the image is or will be."""
    ways: Sequence[Persistence] | None
    """None where they are not known before a download."""
    recipe: str = ""
    """The boot recipe that is expected to say then."""


def by_reference(references: Sequence[str], wanted: Mapping[str, int]) -> tuple[int, ...]:
    """Bytes for each of the references that a caller named, 0 for none.

    Raises:
        InvalidArgumentError: room is asked for an image that was not named.
    """
    for reference in wanted:
        if reference not in references:
            raise InvalidArgumentError(
                f"room for changes is asked for {reference}, which is none of the images; name it as it is named there"
            )
    return tuple(wanted.get(reference, 0) for reference in references)


def needed(asked: Sequence[Asked], kind: Kind, *, partition: bool) -> Mapping[PartitionRole, int]:
    """Bytes that the rooms take on the data partition and on the companion.

    Args:
        asked: the rooms.
        kind: filesystem of the data partition.
        partition: whether the stick has, or will have, a persistence partition.

    Raises:
        InvalidArgumentError: one of them cannot be; the text says what would help.
    """
    total = {PartitionRole.DATA: 0, PartitionRole.COMPANION: 0}
    alone: dict[tuple[str, str], str] = {}
    for each in asked:
        here = Kind.EXT4 if each.partition is PartitionRole.COMPANION else kind
        if each.ways is None:
            if not partition or keeps(None, each.recipe, here) != Store.PARTITION:
                total[each.partition] += each.size
            elif (other := alone.setdefault(_THE_PARTITION, each.name)) != each.name:
                raise _both(other, each.name)
            continue
        way = persistence.way_for(each.name, each.ways, here, partition=partition)
        persistence.check_size(each.name, way, each.size, here)
        if not persistence.is_shared_out(way):
            other = alone.setdefault(persistence.place_of(way), each.name)
            if other != each.name:
                raise _both(other, each.name)
        total[each.partition] += persistence.needed(way, each.size, here)
    return total


def _both(one: str, other: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{one} and {other} would keep their changes in the same place, and only one system can"
    )


def keeps(ways: Sequence[Persistence] | None, recipe: str, kind: Kind) -> str:
    """Where a system would keep changes on a stick that is still to be made.

    Args:
        ways: of a stored image; None before the download.
        recipe: the boot recipe that is expected of its release.
        kind: filesystem of the partition that the image goes onto.

    Returns:
        A value of `Store`, `partition` only where there is no other way; none; or unknown.
    """
    known: Sequence[Persistence | Way] | None = expected_ways().get(recipe) if ways is None else ways
    if known is None:
        return "unknown"
    stores = [way.store for way in known if not way.on or kind in way.on]
    if not stores:
        return "none"
    return next((store for store in stores if store is not Store.PARTITION), Store.PARTITION).value


def check_existing(view: DeviceView, image: ManifestImage, size: int) -> None:
    """Refuse room for changes that a stick cannot give.

    Raises:
        LuxusbError: by its class; the text says what would help.
    """
    kind = persistence.kind_for(image, view.filesystem)
    way = persistence.way_for(image.name, image.persistence, kind, partition=view.persistence)
    persistence.check_size(image.name, way, size, kind)
    persistence.check_alone(view.images, image, way)
    if image.kept is not None:
        persistence.check_same(image.name, image.kept, way)
        if image.kept.size == size:
            return
    if image.partition is not PartitionRole.DATA:
        return
    # an image goes on with the room that it has left there; of several the worker knows which
    names = persistence.directories(image, way, view.images)
    left = [room.size for room in view.stray if room.name in names] if image.kept is None else []
    if way.store is Store.FILE and size in left:
        return
    had = Kept(way.store, way.name, "", max(left), way.entry) if left else image.kept
    persistence.check_room(image.name, way, size, kind, view.free_bytes, had, gone=bool(left))
