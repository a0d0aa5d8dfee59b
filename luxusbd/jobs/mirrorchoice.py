"""In which order mirrors are asked. Pure: what is known of them and what is wanted go in, an order comes out.

The score of a mirror is its rate, faded towards what an untried one is given, times the share of its transfers that
went well. Preferred countries come first, mirrors that rest come last, excluded and banned ones are not asked. Those
within a quarter of the best are asked in random order, so that not everybody asks the same one (librepo's and aria2's
rule). With hundreds of mirrors all over the world that alone would leave the maker's own address out, which mostly
leads to a near server: it is always among those that a download gets.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from luxusbd.catalog.model import Mirror
from luxusbd.errors import NoMirrorError
from luxusbd.jobs.mirrorstats import Knowledge, Record, Rest, fading, host_of
from luxusbd.jobs.mirrorwishes import Level, Wishes, fits
from luxusbd.transfer.model import SourceHint

CANDIDATES = 16
"""Addresses that a download is given; it begins with the first ones and needs the others when those fail."""
TIE = 0.75
"""A mirror with this share of the best score is as good."""
UNTRIED = 0.7
"""What an untried mirror is thought to do, as a share of what the known ones do on average: such a one is asked before
those that are markedly slow, and after a good one, which stays in use. A download races the first ones anyway."""
DOUBT = 0.25
"""Measurements for which that guess counts; with time it outweighs a record, which fades."""
GUESS = 1e6
"""Bytes per second while no mirror is known at all. Any value does."""
NEAR = 1.4
"""The factor for mirrors in the user's own country; above 1 / `TIE`, so that of untried ones those come first."""
OWN_PLACE = 1
"""Where the maker's own address stands at the latest, counted from 0, when it is as good as the best: it is raced."""


class MirrorState(StrEnum):
    """Whether a mirror would be asked."""

    PINNED = "pinned"
    """It is the one, or one of those, that the user wants alone."""
    OK = "ok"
    UNTRIED = "untried"
    COOLING = "cooling"
    """It is asked only when no other is left."""
    BANNED = "banned"
    """It sent wrong bytes."""
    EXCLUDED = "excluded"
    """By the user's preference or the administrator's."""


@dataclass(frozen=True)
class Standing:
    """One mirror, as it stands for one user."""

    url: str
    host: str
    country: str
    """ISO 3166-1 alpha-2, or empty."""
    state: MirrorState
    rate: int = 0
    """Bytes per second, 0 when never measured."""
    latency: float = 0.0
    """Seconds to an answer, 0 when never measured."""
    success: float = -1.0
    """Share of its transfers that went well, -1 while too few are known."""
    measured: int = 0
    """Unix seconds of the last measurement."""
    until: int = 0
    """Unix seconds of the end of a rest or ban."""
    reason: str = ""
    preferred: bool = False
    """Whether it is in a country that the user prefers."""
    score: float = 0.0


_LAST = {MirrorState.COOLING: 2, MirrorState.BANNED: 3, MirrorState.EXCLUDED: 4}


def standings(mirrors: Sequence[Mirror], known: Knowledge, wishes: Wishes, near: str, now: int) -> tuple[Standing, ...]:
    """All mirrors of a release in the order in which they would be asked; those that would not come last.

    Args:
        mirrors: as the catalogue has them.
        known: what was learnt of them.
        wishes: what the user wants.
        near: the country that he is in, or empty.
        now: unix seconds.
    """
    guess = _guess(mirrors, known.hosts, now)
    found = [_standing(mirror, known, wishes, near, now, guess) for mirror in mirrors]
    pinned = [one for one, mirror in zip(found, mirrors, strict=True) if _is_pinned(mirror, wishes)]
    if pinned or wishes.pinned_at is Level.DISTRIBUTION:
        found = [
            replace(one, state=MirrorState.PINNED)
            if one in pinned
            else replace(one, state=MirrorState.EXCLUDED, until=0, reason="another one is pinned")
            for one in found
        ]
    return tuple(sorted(found, key=lambda one: (_tier(one), -one.score)))


def candidates(
    found: Sequence[Standing], rng: random.Random, most: int = CANDIDATES, own: str = ""
) -> tuple[Standing, ...]:
    """The mirrors to ask, the first ones first; ties in the order that `rng` makes.

    The maker's `own` address is among them if it may be asked at all, and `most` leaves room for others besides.

    When every mirror that is not excluded is banned, those are asked all the same: whatever they send is verified, and
    nobody shall be kept from an image by what a process without privileges said.
    """
    allowed = [one for one in found if one.state is not MirrorState.EXCLUDED]
    good = [one for one in allowed if one.state is not MirrorState.BANNED] or allowed
    ordered: list[Standing] = []
    for tier in sorted({_tier(one) for one in good}):
        waiting = [one for one in good if _tier(one) == tier]
        while waiting:
            best = max(one.score for one in waiting)
            taken = rng.choice([one for one in waiting if one.score >= TIE * best])
            waiting.remove(taken)
            ordered.append(taken)
    _put_forward(ordered, own, most)
    return tuple(ordered[:most])


def _put_forward(ordered: list[Standing], own: str, most: int) -> None:
    place = next((place for place, one in enumerate(ordered) if one.url == own), 0)
    if not place:
        return
    one, best = ordered[place], ordered[0]
    tied = _tier(one) == _tier(best) and one.score >= TIE * max(each.score for each in ordered)
    goal = OWN_PLACE if tied else most - 1
    if OWN_PLACE <= goal < min(place, most):
        ordered.insert(goal, ordered.pop(place))


def hints(chosen: Collection[Standing]) -> tuple[SourceHint, ...]:
    """What the transfer process is told of the mirrors that it gets."""
    return tuple(
        SourceHint(one.url, one.rate, one.latency, one.success if one.success >= 0 else 1.0)
        for one in chosen
        if one.rate or one.latency or one.success >= 0
    )


def none_left(found: Sequence[Standing], wishes: Wishes, distribution: str) -> NoMirrorError:
    """Why no mirror may be asked, and how to change that."""
    if wishes.pinned_at is Level.DISTRIBUTION:
        return NoMirrorError(
            f"the mirror {wishes.pinned} that you pinned for {distribution} does not have this image (any more); let"
            f" mirrors be chosen again with `luxusb mirrors {distribution} --unpin`, or pin another one"
        )
    countries = ", ".join(sorted({one.country for one in found}))
    where = {
        Level.DISTRIBUTION: f"you excluded these for {distribution}: `luxusb mirrors {distribution} --auto` takes it"
        " back",
        Level.ALL: "you excluded these for all distributions: `luxusb mirrors --auto` takes it back",
        Level.CONFIG: "the administrator excluded these ([mirrors] exclude in luxusbd.toml); exclude others for you"
        f" with `luxusb mirrors {distribution} --exclude CC`, or prefer one: `luxusb mirrors {distribution} --country"
        f" {found[0].country if found else 'CC'}`",
    }[wishes.excluded_at]
    return NoMirrorError(f"all mirrors of {distribution} are in countries that are excluded ({countries}); {where}")


def _standing(mirror: Mirror, known: Knowledge, wishes: Wishes, near: str, now: int, guess: float) -> Standing:
    host = host_of(mirror.url)
    record = known.hosts.get(host)
    rest = _resting(record, known.addresses.get(mirror.url), now)
    success = record.success(now) if record is not None else None
    expected = _expected(record, now, guess) * (1.0 if success is None else success)
    if mirror.country in wishes.exclude and not _is_pinned(mirror, wishes):
        state, until, reason = MirrorState.EXCLUDED, 0, f"mirrors in {mirror.country} are excluded"
    elif rest is not None:
        state, until, reason = MirrorState.BANNED if rest.banned else MirrorState.COOLING, rest.until, rest.reason
    else:
        tried = record is not None and (record.rate > 0 or success is not None)
        state, until, reason = MirrorState.OK if tried else MirrorState.UNTRIED, 0, ""
    return Standing(
        url=mirror.url,
        host=host,
        country=mirror.country,
        state=state,
        rate=int(record.rate) if record is not None else 0,
        latency=record.latency if record is not None else 0.0,
        success=-1.0 if success is None else success,
        measured=record.measured if record is not None else 0,
        until=until,
        reason=reason,
        preferred=mirror.country in wishes.prefer,
        score=expected * (NEAR if near and mirror.country == near else 1.0),
    )


def _is_pinned(mirror: Mirror, wishes: Wishes) -> bool:
    if not wishes.pinned or not fits(mirror.url, wishes.pinned):
        return False
    return mirror.country not in wishes.exclude or wishes.pinned_at >= wishes.excluded_at


def _resting(record: Record | None, address: Rest | None, now: int) -> Rest | None:
    rests = [rest for rest in (record.ban if record is not None else None, address) if rest and rest.holds(now)]
    return max(rests, key=lambda rest: (rest.banned, rest.until), default=None)


def _guess(mirrors: Sequence[Mirror], hosts: Mapping[str, Record], now: int) -> float:
    """What a mirror that nobody measured is thought to do, from those of the same release that somebody did."""
    known = [(record.rate, record.weight * fading(record.seen, now)) for record in _records(mirrors, hosts)]
    total = sum(weight for _rate, weight in known)
    return UNTRIED * sum(rate * weight for rate, weight in known) / total if total > 0 else GUESS


def _records(mirrors: Sequence[Mirror], hosts: Mapping[str, Record]) -> list[Record]:
    found = {host: hosts[host] for host in (host_of(mirror.url) for mirror in mirrors) if host in hosts}
    return [record for record in found.values() if record.rate > 0]


def _expected(record: Record | None, now: int, guess: float) -> float:
    if record is None or record.rate <= 0:
        return guess
    weight = record.weight * fading(record.seen, now)
    return (record.rate * weight + guess * DOUBT) / (weight + DOUBT)


def _tier(one: Standing) -> int:
    return _LAST.get(one.state, 0 if one.preferred or one.state is MirrorState.PINNED else 1)
