"""Whether a newer edition of the catalogue may take the place of the one in force, and what it changes. Pure.

A good signature says who made a document, not that it is the newest: whoever sits between could go back to an old one
(a rollback) or keep everybody on it (a freeze). The serial stands against the first, the expiry against the second.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from luxusbd.catalog.fallback import FALLBACK
from luxusbd.catalog.model import Distribution, Layer, Stamp
from luxusbd.errors import FailedError, VerificationError

CLOCK_TOLERANCE = 86400
"""Seconds by which this machine's clock may be behind the one of the catalogue's maker."""
PROGRAM_MADE = int(datetime.datetime.fromisoformat(f"{FALLBACK['last_updated']}T00:00:00+00:00").timestamp())
"""A clock that shows an earlier time is wrong: this program was not there yet."""


@dataclass(frozen=True)
class Edition:
    """One signed catalogue document, without what it lists."""

    stamp: Stamp
    sha256: str
    """Of the document."""


@dataclass(frozen=True)
class Changes:
    """Ids of distributions, sorted."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


def check_clock(now: int, newest_known: int = 0) -> None:
    """Whether this machine's clock can be right.

    Args:
        now: unix seconds, as the machine believes.
        newest_known: when the catalogue at hand was made, 0 when there is none.

    Raises:
        FailedError: it shows a time before something that is there already.
    """
    if now < PROGRAM_MADE - CLOCK_TOLERANCE:
        raise _wrong_clock(now, f"before this version of luxusbd was made ({day(PROGRAM_MADE)})")
    if now < newest_known - CLOCK_TOLERANCE:
        raise _wrong_clock(now, f"before the catalogue was made ({moment(newest_known)})")


def judge(new: Edition, installed: Edition | None, now: int) -> None:
    """Whether `new`, whose signature is good, may take the place of `installed`, or be it.

    Args:
        new: the edition that the remote sent.
        installed: the newest edition that this machine has accepted from the same signer.
        now: unix seconds.

    Raises:
        VerificationError: it may not, and why.
        FailedError: this machine's clock is wrong.
    """
    if not new.stamp.serial:
        raise VerificationError(
            "the catalogue has no serial, so that nobody could tell an older one from it; publish it with"
            " `luxusb catalog sign`"
        )
    if not new.stamp.expires:
        raise VerificationError(
            "the catalogue does not say when it expires, so that an old one could be sent for ever; publish it with"
            " `luxusb catalog sign`"
        )
    check_clock(now, new.stamp.made)
    if installed is not None:
        if new.stamp.serial < installed.stamp.serial:
            raise VerificationError(
                f"the catalogue is older than the one in force (serial {new.stamp.serial} < {installed.stamp.serial});"
                " somebody may hold newer ones back"
            )
        if new.stamp.serial == installed.stamp.serial and new.sha256 != installed.sha256:
            raise VerificationError(
                f"there are two different catalogues of the same serial {new.stamp.serial}; its maker has to publish"
                " one with a larger serial"
            )
    if new.stamp.expires <= now:
        raise expired(new.stamp, now)


def expired(stamp: Stamp, now: int) -> VerificationError:
    """The error for an edition that is too old."""
    return VerificationError(
        f"the catalogue expired on {moment(stamp.expires)} (serial {stamp.serial}), and the remote has no newer one:"
        f" its maker has to publish one, or somebody holds newer ones back; this machine's clock says {moment(now)}"
    )


def warning(stamp: Stamp, now: int) -> str:
    """What is to be said of the edition in force, or empty."""
    if stamp.expires and stamp.expires <= now:
        return f"the catalogue expired on {moment(stamp.expires)}; updates may be held back"
    return ""


def compare(old: Iterable[Distribution], new: Iterable[Distribution]) -> Changes:
    """What a newer catalogue lists otherwise, wherever its entries come from."""
    before, after = _by_id(old), _by_id(new)
    return Changes(
        added=tuple(sorted(after.keys() - before.keys())),
        changed=tuple(sorted(key for key in after.keys() & before.keys() if after[key] != before[key])),
        removed=tuple(sorted(before.keys() - after.keys())),
    )


def moment(seconds: int) -> str:
    """A time for people."""
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return f"{seconds} seconds after 1970"


def day(seconds: int) -> str:
    """A date for people."""
    return moment(seconds).partition(" ")[0]


def _by_id(entries: Iterable[Distribution]) -> Mapping[str, Distribution]:
    return {entry.id: replace(entry, layer=Layer.CACHE) for entry in entries}


def _wrong_clock(now: int, why: str) -> FailedError:
    return FailedError(
        f"this machine's clock says {moment(now)}, which is {why}; set it (`timedatectl`), then update the catalogue"
        " again"
    )
