"""Which mirrors a user wants: for one distribution, else for all, else what the administrator configured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from luxusbd.config import MirrorsConfig
from luxusbd.countries import country_code
from luxusbd.errors import InvalidArgumentError


class Level(IntEnum):
    """Where a wish was said; the higher one counts."""

    CONFIG = 0
    ALL = 1
    DISTRIBUTION = 2


@dataclass(frozen=True)
class Wish:
    """What was said at one level; what is empty was not said."""

    pinned: str = ""
    """An address, or the beginning of one."""
    prefer: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.pinned or self.prefer or self.exclude)


@dataclass(frozen=True)
class WishChange:
    """What a user says anew; None stays as it is."""

    pinned: str | None = None
    """Empty: no more."""
    prefer: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Wishes:
    """What counts for one user and one distribution."""

    pinned: str = ""
    pinned_at: Level = Level.CONFIG
    prefer: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()
    excluded_at: Level = Level.CONFIG


def change(wish: Wish, said: WishChange) -> Wish:
    """The wish of one level after a user said something.

    Raises:
        InvalidArgumentError: a code that is no country, or a country that is both preferred and excluded.
    """
    new = replace(
        wish,
        pinned=wish.pinned if said.pinned is None else said.pinned,
        prefer=wish.prefer if said.prefer is None else _codes("prefer", said.prefer),
        exclude=wish.exclude if said.exclude is None else _codes("exclude", said.exclude),
    )
    both = sorted(set(new.prefer) & set(new.exclude))
    if both:
        raise InvalidArgumentError(
            f"{', '.join(both)} cannot be preferred and excluded at once; say both anew, with an empty list for the"
            " one that shall go"
        )
    return new


def merged(config: MirrorsConfig, everywhere: Wish, here: Wish) -> Wishes:
    """What counts in the end; of each kind the one that was said for the fewest distributions."""
    levels = {
        Level.CONFIG: Wish(prefer=config.prefer, exclude=config.exclude),
        Level.ALL: everywhere,
        Level.DISTRIBUTION: here,
    }
    found = Wishes()
    preferred_at = Level.CONFIG
    for level, wish in levels.items():
        if wish.pinned:
            found = replace(found, pinned=wish.pinned, pinned_at=level)
        if wish.prefer:
            found, preferred_at = replace(found, prefer=frozenset(wish.prefer)), level
        if wish.exclude:
            found = replace(found, exclude=frozenset(wish.exclude), excluded_at=level)
    if preferred_at > found.excluded_at:
        return replace(found, exclude=found.exclude - found.prefer)
    return replace(found, prefer=found.prefer - found.exclude)


def fits(url: str, pinned: str) -> bool:
    """Whether an address is the pinned one, or begins with it at the end of a part of its path."""
    return url == pinned or url.startswith(pinned if pinned.endswith("/") else pinned + "/")


def wish_to_document(wish: Wish) -> dict[str, Any]:
    """A wish as JSON values."""
    return {"pinned": wish.pinned, "prefer": list(wish.prefer), "exclude": list(wish.exclude)}


def wish_from_document(document: Mapping[str, Any]) -> Wish | None:
    """The wish in a document; None for one that is damaged."""
    pinned, prefer, exclude = (document.get(key) for key in ("pinned", "prefer", "exclude"))
    if not isinstance(pinned, str) or not _is_texts(prefer) or not _is_texts(exclude):
        return None
    return Wish(pinned, tuple(document["prefer"]), tuple(document["exclude"]))


def _codes(name: str, countries: Sequence[str]) -> tuple[str, ...]:
    try:
        return tuple(dict.fromkeys(country_code(country) for country in countries))
    except ValueError as error:
        raise InvalidArgumentError(f"the option {name}: {error}") from error


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
