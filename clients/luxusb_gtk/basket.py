"""What the user wants on a stick, and whether it has room. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from luxusb_cli.catalog import DistroInfo, ReleaseInfo

MIB = 1024 * 1024

OVERHEAD = 128 * MIB
"""Of a new stick, about, beside 1/64 of its size: boot partitions, and the tables of the filesystem."""


@dataclass(frozen=True)
class Choice:
    """One system."""

    key: str
    """Id of its system, or the reference of a stored image; one choice for each."""
    reference: str
    title: str
    size: int
    """Bytes, 0 when unknown."""
    persistence: int = 0
    """Bytes of room for its changes."""
    asked: bool = False
    """Whether the user said how much; else what is preferred counts, where its system keeps changes."""

    @property
    def room(self) -> int:
        """Bytes that it takes on the stick."""
        return self.size + self.persistence


@dataclass(frozen=True)
class Basket:
    """All of them, in the order in which they were chosen, which is that of the menu."""

    choices: tuple[Choice, ...] = ()

    def __len__(self) -> int:
        return len(self.choices)

    def __contains__(self, key: object) -> bool:
        return any(choice.key == key for choice in self.choices)

    def get(self, key: str) -> Choice | None:
        """The choice of a system."""
        return next((choice for choice in self.choices if choice.key == key), None)

    def with_choice(self, choice: Choice) -> Basket:
        """One more, or another release in the same place."""
        if choice.key in self:
            return Basket(tuple(choice if old.key == choice.key else old for old in self.choices))
        return Basket((*self.choices, choice))

    def without(self, key: str) -> Basket:
        """One less."""
        return Basket(tuple(choice for choice in self.choices if choice.key != key))

    @property
    def room(self) -> int:
        """Bytes of all of them."""
        return sum(choice.room for choice in self.choices)

    @property
    def references(self) -> list[str]:
        """As the daemon wants them."""
        return [choice.reference for choice in self.choices]


def choice_of(system: DistroInfo, release: ReleaseInfo) -> Choice:
    """The choice of a release."""
    edition = f"/{release.edition}" if release.edition else ""
    title = " ".join(part for part in (system.name, release.version, release.edition) if part)
    return Choice(system.id, f"distro:{system.id}@{release.version}{edition}", title, release.size)


def editions(system: DistroInfo) -> tuple[ReleaseInfo, ...]:
    """The releases that differ by what a reference can name, the newest first."""
    found: dict[tuple[str, str], ReleaseInfo] = {}
    for release in system.releases:
        found.setdefault((release.version, release.edition), release)
    return tuple(found.values())


def chosen_release(system: DistroInfo, choice: Choice | None) -> ReleaseInfo:
    """The release of a system that is chosen, or would be."""
    for release in editions(system):
        if choice is not None and choice_of(system, release).reference == choice.reference:
            return release
    return system.releases[0]


@dataclass(frozen=True)
class Segment:
    """A stretch of the bar."""

    title: str
    size: int
    kind: str
    """system, persistence, overhead (boot files), filesystem, companion, share, there (already), part (of a disk that
    is no LUXusb stick) or free."""
    fits: bool = True


@dataclass(frozen=True)
class Space:
    """How the choice fills a stick."""

    capacity: int
    segments: tuple[Segment, ...]
    too_much: tuple[Choice, ...]
    """Those that have no room, in the order of the choice."""
    unknown: bool
    """Whether the size of one is not known."""
    exact: bool = False
    """Whether the figures are those of a plan, and no estimate."""

    @property
    def used(self) -> int:
        """Bytes of all segments but the free one."""
        return sum(segment.size for segment in self.segments if segment.kind != "free")

    @property
    def free(self) -> int:
        """Bytes left; negative when it is too much."""
        return self.capacity - self.used


def overhead_of(capacity: int) -> int:
    """What a new stick takes for itself, about."""
    return OVERHEAD + capacity // 64


def measure(capacity: int, choices: Sequence[Choice], *, overhead: int, there: Sequence[tuple[str, int]] = ()) -> Space:
    """Lay the choices out on a stick.

    Args:
        capacity: bytes of the stick.
        choices: what is to come onto it.
        overhead: bytes that it takes for itself.
        there: title and bytes of the images that stay on it.
    """
    segments = [Segment("", overhead, "overhead")]
    segments += [Segment(title, size, "there") for title, size in there]
    left = capacity - sum(segment.size for segment in segments)
    too_much: list[Choice] = []
    for choice in choices:
        fits = choice.room <= left
        if fits:
            left -= choice.room
        else:
            too_much.append(choice)
        segments.append(Segment(choice.title, choice.size, "system", fits))
        if choice.persistence:
            segments.append(Segment(choice.title, choice.persistence, "persistence", fits))
    space = Space(capacity, tuple(segments), tuple(too_much), any(not choice.size for choice in choices))
    if space.free > 0:
        space = replace(space, segments=(*segments, Segment("", space.free, "free")))
    return space
