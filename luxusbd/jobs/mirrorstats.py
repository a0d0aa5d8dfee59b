"""What downloads taught about mirrors, and how that fades: values and functions of time, without a clock or a disk.

The figures come from the transfer process, which reads what mirrors send and is not trusted. So every one is bounded,
what one download says moves a record only so far, and nothing that keeps a mirror from being asked lasts longer than
`BAN`. A host is banned only by a download that ended with the right bytes, since a wrong hash in a catalogue makes
liars of all mirrors.

Sources of the figures: the half-life and the bans from the project's study of downloaders; librepo judges a mirror from
three transfers on; aria2 lets a new measurement count for a fifth.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from luxusbd.text import clean
from luxusbd.transfer.model import SourceShare, SourceState

DAY = 86400
HALF_LIFE = 7 * DAY
"""Seconds after which a record says half as much."""
KEEP = 90 * DAY
"""Seconds after which a record says nothing (less than a thousandth) and may be dropped."""
BAN = DAY
"""Seconds for which a host is not asked that sent wrong bytes."""
MAX_REST = 3600
"""Seconds for which a mirror rests at most: of a Retry-After, or of a file that is not there yet."""
MAX_WEIGHT = 4.0
"""Measurements that a record counts for at most, so that a new one is at least a fifth."""
PER_DOWNLOAD = 20
"""Transfers of one download that count at most."""
MAX_TRANSFERS = 100.0
JUDGED_FROM = 3.0
"""Transfers before it is judged how many of them went well."""
MAX_RATE = 10**11
"""Bytes per second: more than any line of these years carries."""
MAX_LATENCY = 60.0
REASON_LIMIT = 200
HOST_LIMIT = 260
"""Characters of a name (RFC 1035, section 2.3.4) and a port."""


@dataclass(frozen=True)
class Rest:
    """Until when a host or an address is not asked, or only when there is nothing better."""

    until: int = 0
    """Unix seconds."""
    banned: bool = False
    reason: str = ""

    def holds(self, now: int) -> bool:
        """Whether it has not ended. One that ends later than any can was written by a clock that was wrong."""
        return now < self.until <= now + (BAN if self.banned else MAX_REST)


@dataclass(frozen=True)
class Record:
    """What is known of one host, as it was at `seen`."""

    seen: int
    """Unix seconds of the last news."""
    measured: int = 0
    """Unix seconds of the last measured rate, 0 when there is none."""
    rate: float = 0.0
    """Bytes per second, 0 when nobody measured."""
    weight: float = 0.0
    """How many measurements `rate` counts for."""
    latency: float = 0.0
    """Seconds from a request to the headers of its answer, 0 when nobody measured."""
    successes: float = 0.0
    failures: float = 0.0
    ban: Rest = Rest()

    def success(self, now: int) -> float | None:
        """Share of the transfers that went well; None when too few are known by now to judge."""
        if (self.successes + self.failures) * fading(self.seen, now) < JUDGED_FROM:
            return None
        return self.successes / (self.successes + self.failures)


@dataclass(frozen=True)
class Knowledge:
    """All records."""

    hosts: Mapping[str, Record] = field(default_factory=dict)
    addresses: Mapping[str, Rest] = field(default_factory=dict)
    """What concerns one file on one mirror alone: it is not there (yet), or the server wants to be left alone."""


def host_of(url: str) -> str:
    """The host of an address in small letters, with its port where that is not the usual one; empty if it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{host}:{port}"[:HOST_LIMIT] if port not in (None, usual) else host[:HOST_LIMIT]


def fading(seen: int, now: int) -> float:
    """How much of a record is left, 1 to 0; a clock that was turned back takes nothing."""
    return float(0.5 ** (max(0, now - seen) / HALF_LIFE))


def learn(
    known: Knowledge, asked: Collection[str], shares: Sequence[SourceShare], now: int, *, verified: bool
) -> Knowledge:
    """The records that a download makes anew.

    Args:
        known: the records before it.
        asked: the addresses that it was given; no other one is written down.
        shares: what each of them did.
        now: unix seconds.
        verified: whether it ended with the right bytes, so that it is proven who sent wrong ones.
    """
    hosts: dict[str, Record] = {}
    addresses: dict[str, Rest] = {}
    if not any(share.bytes_done or share.latency for share in shares):
        # nobody answered: that says more of this machine's network than of theirs
        return Knowledge()
    for share in {share.url: share for share in shares if share.url in asked}.values():
        host = host_of(share.url)
        if not host:
            continue
        record = _counted(hosts.get(host) or known.hosts.get(host), share, now)
        rest = _rest(share, now)
        if rest is not None and rest.banned and verified:
            record = replace(record, ban=rest)
        elif rest is not None:
            addresses[share.url] = rest
        elif share.successes and share.url in known.addresses:
            addresses[share.url] = Rest()
        hosts[host] = record
    return Knowledge(hosts, addresses)


def _counted(record: Record | None, share: SourceShare, now: int) -> Record:
    record = record or Record(seen=now)
    left = fading(record.seen, now)
    new = replace(
        record,
        seen=now,
        weight=record.weight * left,
        successes=record.successes * left,
        failures=record.failures * left,
    )
    rate = min(share.measured, MAX_RATE)
    if rate:
        weight = min(new.weight, MAX_WEIGHT)
        mixed = (new.rate * weight + rate) / (weight + 1)
        new = replace(new, rate=mixed, weight=min(weight + 1, MAX_WEIGHT), measured=now)
    if share.latency:
        new = replace(new, latency=min(share.latency, MAX_LATENCY))
    total = share.successes + share.failures
    if total:
        counted = min(total, PER_DOWNLOAD) / total
        successes = new.successes + share.successes * counted
        failures = new.failures + share.failures * counted
        kept = min(1.0, MAX_TRANSFERS / (successes + failures))
        new = replace(new, successes=successes * kept, failures=failures * kept)
    return new


def _rest(share: SourceShare, now: int) -> Rest | None:
    reason = clean(share.reason, REASON_LIMIT)
    if share.state is SourceState.BANNED:
        return Rest(now + BAN, banned=True, reason=reason or "it sent wrong bytes")
    if share.state is SourceState.GIVEN_UP:
        return Rest(now + MAX_REST, reason=reason)
    if share.state is SourceState.WAITING and share.rests >= 1:
        return Rest(now + int(min(share.rests, MAX_REST)), reason=reason)
    return None


def record_to_document(record: Record) -> dict[str, Any]:
    """A record as JSON values."""
    return {**{name: getattr(record, name) for name in _FIGURES}, "ban": rest_to_document(record.ban)}


def record_from_document(document: Mapping[str, Any]) -> Record | None:
    """The record in a document; None for one that is damaged."""
    ban = rest_from_document(document.get("ban"))
    figures = {name: document.get(name) for name in _FIGURES}
    if ban is None or not all(_is_figure(value) for value in figures.values()):
        return None
    whole = {name: int(figures.pop(name)) for name in ("seen", "measured")}  # type: ignore[arg-type] # checked above
    return Record(**whole, **{name: float(value) for name, value in figures.items()}, ban=ban)  # type: ignore[arg-type]


def rest_to_document(rest: Rest) -> dict[str, Any]:
    """A rest as JSON values."""
    return {"until": rest.until, "banned": rest.banned, "reason": rest.reason}


def rest_from_document(document: object) -> Rest | None:
    """The rest in a document; None for one that is damaged."""
    if not isinstance(document, Mapping):
        return None
    until, banned, reason = document.get("until"), document.get("banned"), document.get("reason")
    if type(until) is not int or not isinstance(banned, bool) or not isinstance(reason, str):
        return None
    return Rest(until, banned, reason)


_FIGURES = ("seen", "measured", "rate", "weight", "latency", "successes", "failures")


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1 << 53
