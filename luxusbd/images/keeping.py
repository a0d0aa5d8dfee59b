"""Who gives way when the image store is full: a function of what is there, what is promised, and the limits. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from luxusbd.errors import NotEnoughSpaceError
from luxusbd.text import exact_size, size_text

ROOT = 0


class Kind(StrEnum):
    """What takes the space."""

    IMAGE = "image"
    """Downloaded from the catalogue, and nobody imported it: it can be fetched again."""
    IMPORT = "import"
    """Imported by at least one user; maybe the only copy."""
    PARTIAL = "partial"
    """What an unfinished download or import has written."""
    ORPHAN = "orphan"
    """An image whose description was lost and whose bytes are not what its name says."""


@dataclass(frozen=True)
class Limits:
    """Section [images] of the configuration, in bytes; 0 is no limit."""

    quota: int = 0
    quota_per_user: int = 0
    reserve: int = 0
    clean_imports: bool = False


@dataclass(frozen=True)
class Holding:
    """One thing that takes space."""

    key: str
    """sha256 of an image; the name of a file for the rest."""
    kind: Kind
    size: int
    """Bytes that are free when it is gone."""
    last_used: int
    """Unix seconds."""
    pinned: bool = False
    in_use: bool = False
    charged: frozenset[int] = frozenset()
    """The uids for whom it counts; it counts in full for each of them, so that nobody can tell by his own figure
    whether somebody else has the same bytes."""


@dataclass(frozen=True)
class Need:
    """Bytes that a job is going to write for a user."""

    uid: int
    missing: int
    written: bool = False
    """Whether they are on the disk already and only the quotas are to be kept; `missing` is 0 then."""


@dataclass(frozen=True)
class Situation:
    """What there is at one moment."""

    holdings: tuple[Holding, ...] = ()
    promised: Mapping[int, int] = field(default_factory=dict)
    """Bytes by uid that running jobs were promised and have not written yet."""
    free: int = 0
    """Bytes that the filesystem has left."""


@dataclass(frozen=True)
class _Bound:
    """One limit, and how much of it would be lacking with these holdings left."""

    concerns: Callable[[Holding], bool]
    lacking: Callable[[Iterable[Holding]], int]
    free: int
    promised: int
    """Bytes that running jobs have not written yet, as far as they count here."""
    name: str
    """What limits, for the message."""
    advice: str


def make_room(need: Need, now: Situation, limits: Limits) -> tuple[Holding, ...]:
    """What has to go, in this order, before `need` may be granted: the least recently used first, and no more.

    Raises:
        NotEnoughSpaceError: it does not fit even then; nothing is to go.
    """
    if need.missing == 0 and not need.written:
        return ()
    gone: list[Holding] = []
    queue = sorted((one for one in now.holdings if _may_go(one, limits)), key=lambda one: (one.last_used, one.key))
    for bound in _bounds(need, now, limits):
        left = [one for one in now.holdings if one not in gone]
        for one in queue:
            if bound.lacking(left) <= 0:
                break
            if one in left and bound.concerns(one):
                gone.append(one)
                left.remove(one)
        if bound.lacking(left) > 0:
            raise NotEnoughSpaceError(_refusal(need, now, limits, bound))
    return tuple(gone)


def charged_to(uid: int, now: Situation) -> int:
    """Bytes that count for a user."""
    return sum(one.size for one in now.holdings if uid in one.charged) + now.promised.get(uid, 0)


def taken(now: Situation) -> int:
    """Bytes that count for the quota of all."""
    return sum(one.size for one in now.holdings) + sum(now.promised.values())


def _may_go(one: Holding, limits: Limits) -> bool:
    if one.pinned or one.in_use or one.size == 0:
        return False
    return one.kind in (Kind.IMAGE, Kind.PARTIAL) or (one.kind is Kind.IMPORT and limits.clean_imports)


def _bounds(need: Need, now: Situation, limits: Limits) -> Iterable[_Bound]:
    promised = sum(now.promised.values())
    if limits.quota_per_user and need.uid != ROOT:
        own = now.promised.get(need.uid, 0)
        before = own + need.missing - limits.quota_per_user

        def mine(one: Holding) -> bool:
            return need.uid in one.charged

        yield _Bound(
            mine,
            lambda left: before + sum(one.size for one in left if mine(one)),
            limits.quota_per_user - charged_to(need.uid, now),
            own,
            f"your quota of {_limit(limits.quota_per_user)} ([images] quota_per_user)",
            "delete or unpin some of your images, or ask the administrator for a larger quota",
        )
    advice = "delete or unpin images (`luxusb images`), wait until jobs have ended, or "
    if limits.quota:
        yield _Bound(
            lambda _: True,
            lambda left: promised + need.missing - limits.quota + sum(one.size for one in left),
            limits.quota - taken(now),
            promised,
            f"the quota of {_limit(limits.quota)} ([images] quota)",
            advice + "let the administrator raise the quota",
        )
    if need.missing:
        everything = sum(one.size for one in now.holdings)
        yield _Bound(
            lambda _: True,
            lambda left: (
                promised + need.missing + limits.reserve - (now.free + everything - sum(one.size for one in left))
            ),
            now.free - limits.reserve - promised,
            promised,
            f"the filesystem, of which {_limit(limits.reserve)} stay free ([images] reserve)",
            advice + "free some space on the disk",
        )


def _refusal(need: Need, now: Situation, limits: Limits, bound: _Bound) -> str:
    mine = [one for one in now.holdings if bound.concerns(one)]
    pinned = sum(one.size for one in mine if one.pinned)
    busy = sum(one.size for one in mine if one.in_use and not one.pinned)
    rest = [one for one in mine if not one.pinned and not one.in_use]
    imports = sum(one.size for one in rest if one.kind is Kind.IMPORT)
    parts = [(pinned, "are pinned"), (busy + bound.promised, "are in use or promised to jobs")]
    if not limits.clean_imports:
        parts.append((imports, "are imported images, which only their owners remove"))
    parts.append((sum(one.size for one in rest if one.kind is Kind.ORPHAN), "are damaged (`luxusb images --prune`)"))
    held = ", ".join(f"{size_text(size)} {what}" for size, what in parts if size)
    removable = sum(one.size for one in mine if _may_go(one, limits))
    would = f" and {size_text(removable)} could be removed" if removable else ""
    return (
        f"the image store has no room: {size_text(max(need.missing, -bound.free))} more are needed and"
        f" {size_text(max(0, bound.free))} are free{would}, limited by {bound.name}"
        + (f"; {held}" if held else "")
        + f"; {bound.advice}"
    )


def _limit(count: int) -> str:
    return exact_size(count) if count % (1024 * 1024) == 0 else size_text(count)
