"""What a plan for a new stick is asked with, and how what it tells fills the stick. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from luxusb_cli.model import DeviceInfo
from luxusb_cli.wire import Wire, number, text, wires

from luxusb_gtk.basket import MIB, Basket, Choice, Segment, Space

LARGEST_FILE_FAT32 = 4095 * MIB
"""What a room for changes in a file on FAT32 has at most, in whole MiB."""
NONE, UNKNOWN, PARTITION = "none", "unknown", "partition"
_ALONE = (PARTITION, "own")
"""Places for changes that one system of a stick can have."""
_IN_FILES = ("file", "own")

DATA, COMPANION, SHARE, CHANGES = "LUXDATA", "LUXEXT4", "LUXSHARE", "LUXPERSIST"
"""Names of partitions (luxusbd, docs/architecture.md)."""


@dataclass(frozen=True)
class StickChoices:
    """What else the user chooses for a new stick."""

    filesystem: str = "ext4"
    """Of the data partition."""
    companion: int = 0
    """Bytes of an ext4 partition for images that the filesystem cannot start, 0 for none."""
    share: int = 0
    """Bytes of an empty partition for the user's own files, 0 for none."""
    keep: bool = True
    """Whether downloads stay on this computer."""
    raw: bool = False
    """Whether the disk becomes the one image that is chosen, byte for byte; only `unbootable` counts beside it."""
    unbootable: bool = False
    """Whether that is meant also where no computer starts it."""

    @property
    def companion_asked(self) -> int:
        """Bytes of the companion; with ext4 there is nothing that it would be for."""
        return 0 if self.filesystem == "ext4" else self.companion


@dataclass(frozen=True)
class Asked:
    """What PlanStick is asked."""

    references: tuple[str, ...]
    filesystem: str
    companion: int
    share: int
    persistence: tuple[int, ...]
    """Bytes for the changes of each of the references."""
    partition: int
    """Bytes of the persistence partition, 0 for none."""
    keep: bool = True
    """Whether downloads stay on this computer."""
    raw: bool = False
    """Whether it is for one image byte for byte."""
    unbootable: bool = False
    """Whether that is meant also where no computer starts it."""

    @property
    def options(self) -> dict[str, tuple[str, object]]:
        """By their names: type and value."""
        if self.raw:
            return {name: ("b", True) for name, said in (("raw", True), ("unbootable", self.unbootable)) if said}
        rooms = {
            name: room for name, room in zip(self.references, self.persistence, strict=True) if room
        }  # no reference is there twice
        found: dict[str, tuple[str, object]] = {"filesystem": ("s", self.filesystem)}
        for name, size in (
            ("companion", self.companion),
            ("share", self.share),
            ("persistence_partition", self.partition),
        ):
            if size:
                found[name] = ("t", size)
        if rooms:
            found["persistence"] = ("a{st}", rooms)
        if not self.keep:
            found["keep_images"] = ("b", False)
        return found


def rooms_of(choices: Sequence[Choice], keeps: Sequence[str], filesystem: str, default: int) -> tuple[int, ...]:
    """Bytes for the changes of each choice.

    Args:
        choices: the systems.
        keeps: where each of them would keep changes, in the words of a plan.
        filesystem: of the data partition.
        default: bytes for those of which the user said nothing, where they are known to keep changes.
    """
    rooms: list[int] = []
    taken = {place for choice, place in zip(choices, keeps, strict=True) if choice.asked and choice.persistence}
    for choice, place in zip(choices, keeps, strict=True):
        room = choice.persistence if choice.asked else default
        if place == NONE or (not choice.asked and (place == UNKNOWN or (place in _ALONE and place in taken))):
            room = 0
        if filesystem == "fat32" and place in _IN_FILES and not choice.asked:
            room = min(room, LARGEST_FILE_FAT32)
        if room:
            taken.add(place)
        rooms.append(room)
    return tuple(rooms)


def asked(basket: Basket, choices: StickChoices, keeps: Mapping[str, str], default: int) -> Asked:
    """What to ask; `keeps` says by references where systems keep changes, and those that are missing get no room."""
    if choices.raw:
        none = (0,) * len(basket)
        return Asked(tuple(basket.references), "", 0, 0, none, 0, raw=True, unbootable=choices.unbootable)
    places = [keeps.get(choice.reference, NONE) for choice in basket.choices]
    rooms = rooms_of(basket.choices, places, choices.filesystem, default)
    own = [room for room, place in zip(rooms, places, strict=True) if place == PARTITION]
    return Asked(
        tuple(basket.references),
        choices.filesystem,
        choices.companion_asked,
        choices.share,
        rooms,
        -(-max(own, default=0) // MIB) * MIB,
        choices.keep,
    )


@dataclass(frozen=True)
class ImageFigures:
    """What one image takes, in bytes."""

    size: int
    persistence: int
    keeps: str
    """Where its system would keep changes: file, directory, own, partition, none or unknown."""
    companion: bool
    """Whether it goes onto the companion partition."""

    @property
    def on_data(self) -> int:
        """Bytes that it takes on the data partition."""
        if self.companion:
            return 0
        return self.size + (0 if self.keeps == PARTITION else self.persistence)

    @property
    def on_companion(self) -> int:
        """Bytes that it takes on the companion partition."""
        if not self.companion:
            return 0
        return self.size + (0 if self.keeps == PARTITION else self.persistence)


@dataclass(frozen=True)
class Figures:
    """How a stick is filled, in bytes, as a plan has it."""

    size: int
    """Of the stick."""
    partitions: Mapping[str, int]
    """Sizes by names."""
    free: int
    missing: int
    images: tuple[ImageFigures, ...]

    @classmethod
    def from_wire(cls, plan: Wire) -> Figures:
        """From the answer of PlanStick; of several devices the first, which is to be the smallest, counts."""
        device, *_others = wires(plan.get("devices", []), "devices")
        return cls(
            number(device, "size"),
            {text(part, "name"): number(part, "size") for part in wires(plan.get("layout", []), "layout")},
            number(device, "bytes_free"),
            number(device, "bytes_missing"),
            tuple(
                ImageFigures(
                    number(image, "reckoned"),
                    number(image, "persistence"),
                    text(image, "keeps"),
                    text(image, "partition") == "companion",
                )
                for image in wires(plan.get("images", []), "images")
            ),
        )

    @property
    def spare(self) -> int:
        """Bytes that less room for changes could give back."""
        return sum(image.persistence for image in self.images)


def space_of(figures: Figures, choices: Sequence[Choice]) -> Space:
    """Lay a plan out; the segments are the whole stick, or more where something is too much.

    Args:
        figures: of the plan.
        choices: what it was asked for, in the same order.
    """
    parts = {name: figures.partitions.get(name, 0) for name in (DATA, COMPANION, SHARE, CHANGES)}
    here = sum(image.on_data for image in figures.images)
    beside = sum(image.on_companion for image in figures.images)
    apart = sum(image.persistence for image in figures.images if image.keeps == PARTITION)
    filesystem = parts[DATA] - figures.free + figures.missing - here
    fixed = [
        Segment("", figures.size - sum(parts.values()), "overhead"),
        Segment("", filesystem + max(0, parts[CHANGES] - apart), "filesystem"),
        Segment("", max(0, parts[COMPANION] - beside), "companion"),
        Segment("", parts[SHARE], "share"),
    ]
    left = parts[DATA] - filesystem
    segments: list[Segment] = [segment for segment in fixed if segment.size]
    too_much: list[Choice] = []
    for choice, image in zip(choices, figures.images, strict=True):
        fits = image.on_data <= left
        if fits:
            left -= image.on_data
        else:
            too_much.append(choice)
        segments.append(Segment(choice.title, image.size, "system", fits))
        if image.persistence:
            segments.append(Segment(choice.title, image.persistence, "persistence", fits))
    unknown = any(not image.size for image in figures.images)
    space = Space(figures.size, tuple(segments), tuple(too_much), unknown, exact=True)
    if space.free > 0:
        space = replace(space, segments=(*segments, Segment("", space.free, "free")))
    return space


def raw_space_of(figures: Figures, choices: Sequence[Choice], needed: int, *, exact: bool) -> Space:
    """Lay out a disk that becomes one image.

    Args:
        figures: of the plan.
        choices: the one that it was asked for.
        needed: bytes on the disk, 0 when they are not known.
        exact: whether they are what the image unpacks to.
    """
    fits = not figures.missing
    segments = [Segment(choice.title, needed, "system", fits) for choice in choices]
    space = Space(figures.size, tuple(segments), () if fits else tuple(choices), not needed, exact=exact)
    if space.free > 0:
        space = replace(space, segments=(*segments, Segment("", space.free, "free")))
    return space


@dataclass(frozen=True)
class Kept:
    """An image on a stick and its room for changes."""

    name: str
    title: str
    size: int
    persistence: int
    """Bytes, 0 for none."""
    persistent: bool
    """Whether its system could keep changes."""

    @classmethod
    def from_wire(cls, image: Wire) -> Kept:
        """From an entry of ListStickImages."""
        return cls(
            text(image, "name"),
            text(image, "title") or text(image, "name"),
            number(image, "size"),
            number(image, "persistence"),
            image.get("persistent") is True,
        )


def space_on(size: int, free: int, images: Sequence[Kept]) -> Space:
    """Lay out a LUXusb stick of `size` bytes, of which `free` are left on the data partition."""
    there = [
        segment
        for image in images
        for segment in (
            Segment(image.title, image.size, "there"),
            Segment(image.title, image.persistence, "persistence"),
        )
        if segment.size
    ]
    taken = max(0, size - free - sum(segment.size for segment in there))
    segments = (Segment("", taken, "overhead"), *there, Segment("", free, "free"))
    return Space(size, segments, (), unknown=False, exact=True)


def picture_of(device: DeviceInfo) -> Space | None:
    """What is on a disk now; None where nothing is, or nobody looked."""
    if device.state == "luxusb":
        return space_on(
            device.size,
            device.free_bytes,
            [Kept(image.name, image.title, image.size, 0, persistent=False) for image in device.images],
        )
    left = device.size
    segments: list[Segment] = []
    for part in device.contents:
        size = min(part.size, left)
        title = " ".join(word for word in (part.filesystem, part.label) if word)
        segments.append(Segment(title, size, "part"))
        left -= size
    if not segments:
        return None
    return Space(device.size, (*segments, Segment("", left, "free")), (), unknown=False, exact=True)
