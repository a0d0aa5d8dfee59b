"""Mirrors: what is known of them, what each user wants of them, and which ones a download gets.

What is known is shared by all users of the machine and names hosts and addresses of the shared catalogue alone; wishes
belong to a uid. Both are in memory, and in the store.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from luxusbd.catalog.catalog import Catalog, parse_reference
from luxusbd.catalog.model import Distribution, Mirror, Release
from luxusbd.config import MirrorsConfig
from luxusbd.errors import InvalidArgumentError, LimitExceededError
from luxusbd.jobs import mirrorchoice, mirrorstats, mirrorwishes
from luxusbd.jobs.mirrorchoice import MirrorState, Standing
from luxusbd.jobs.mirrorstats import Knowledge, Record, Rest
from luxusbd.jobs.mirrorwishes import Wish, WishChange, Wishes
from luxusbd.jobs.whereabouts import Whereabouts
from luxusbd.store import MirrorRow, Store, WishRow
from luxusbd.text import clean
from luxusbd.transfer.model import SourceHint, SourceShare

log = logging.getLogger(__name__)

MAX_RECORDS = 5000
"""Hosts and addresses that are remembered: those with the latest news."""
MAX_WISHES = 500
"""Distributions for which one user may have a preference."""
SHOWN = 3
"""Addresses that an error names."""


@dataclass(frozen=True)
class Choice:
    """The mirrors that a download gets."""

    urls: tuple[str, ...]
    hints: tuple[SourceHint, ...]
    notes: tuple[str, ...] = ()
    """What the user should know of it."""


class Mirrors:
    """`await load()` before anything else."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        config: MirrorsConfig,
        *,
        whereabouts: Whereabouts | None = None,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`rng` and `clock` (unix seconds) are for tests."""
        self._store = store
        self._catalog = catalog
        self._config = config
        self._whereabouts = whereabouts or Whereabouts(config)
        self._rng = rng or random.Random()  # noqa: S311 - spreads the load on mirrors, guards nothing
        self._clock = clock
        self._hosts: dict[str, Record] = {}
        self._addresses: dict[str, Rest] = {}
        self._wishes: dict[tuple[int, str], Wish] = {}
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        """Read what is stored."""
        for row in await self._store.mirrors():
            record = mirrorstats.record_from_document(row.document)
            rest = mirrorstats.rest_from_document(row.document)
            if record is not None:
                self._hosts[row.address] = record
            elif rest is not None:
                self._addresses[row.address] = rest
        for wished in await self._store.wishes():
            wish = mirrorwishes.wish_from_document(wished.document)
            if wish is not None:
                self._wishes[wished.owner_uid, wished.distribution] = wish

    async def standings(self, uid: int, distribution: str, mirrors: Sequence[Mirror]) -> tuple[Standing, ...]:
        """All mirrors as they stand for a user, in the order in which they would be asked."""
        near = await self._whereabouts.country()
        known = Knowledge(self._hosts, self._addresses)
        return mirrorchoice.standings(mirrors, known, self._wanted(uid, distribution), near, int(self._clock()))

    async def choose(
        self, uid: int, distribution: str, mirrors: Sequence[Mirror], most: int = mirrorchoice.CANDIDATES
    ) -> Choice:
        """The mirrors that a download of `uid` asks; the first of `mirrors` is the maker's own address.

        Raises:
            NoMirrorError: preferences leave none; the text says how to change them.
        """
        found = await self.standings(uid, distribution, mirrors)
        chosen = mirrorchoice.candidates(found, self._rng, most, mirrors[0].url if mirrors else "")
        if not chosen:
            raise mirrorchoice.none_left(found, self._wanted(uid, distribution), distribution)
        notes = []
        if chosen[0].state is MirrorState.BANNED:
            notes.append(
                "every mirror has sent wrong bytes lately; they are asked all the same, and what comes is checked"
            )
        elif chosen[0].state is MirrorState.PINNED and chosen[0].until:
            notes.append(f"{chosen[0].host} is asked since it is pinned, though: {chosen[0].reason}")
        return Choice(tuple(one.url for one in chosen), mirrorchoice.hints(chosen), tuple(notes))

    def learn(self, urls: Sequence[str], shares: Sequence[SourceShare], *, verified: bool) -> None:
        """Take what a download of the shared catalogue taught.

        Args:
            urls: the addresses that it was given.
            shares: what the transfer process says that they did.
            verified: whether the bytes turned out right.
        """
        now = int(self._clock())
        news = mirrorstats.learn(
            Knowledge(self._hosts, self._addresses), frozenset(urls), shares, now, verified=verified
        )
        if not news.hosts:
            return
        self._hosts.update(news.hosts)
        self._addresses.update(news.addresses)
        rows = [MirrorRow(host, now, mirrorstats.record_to_document(record)) for host, record in news.hosts.items()]
        rows += [MirrorRow(url, now, mirrorstats.rest_to_document(rest)) for url, rest in news.addresses.items()]
        saved = self._store.save_mirrors(rows, most=MAX_RECORDS, not_before=now - mirrorstats.KEEP)
        saved.add_done_callback(_log_failure)
        self._forget()

    async def prefer(self, uid: int, distribution: str, change: WishChange) -> None:
        """Change what a user wants; an empty `distribution` means all.

        Raises:
            DistributionNotFoundError: there is no such distribution; the text names similar ones.
            InvalidArgumentError: it makes no sense; the text says why.
            LimitExceededError: he wants too much.
        """
        entries = self._named(uid, distribution)
        name = entries[0].id if distribution else ""
        async with self._changing:
            wish = mirrorwishes.change(self._wishes.get((uid, name), Wish()), change)
            if change.pinned:
                self._check_pin(change.pinned, entries, wish, name)
            mine = [key for key in self._wishes if key[0] == uid]
            if wish and (uid, name) not in self._wishes and len(mine) >= MAX_WISHES:
                raise LimitExceededError(
                    f"you have preferences for {MAX_WISHES} distributions; take one back: `luxusb mirrors NAME --auto`"
                )
            await self._store.save_wish(WishRow(uid, name, mirrorwishes.wish_to_document(wish) if wish else {}))
            if wish:
                self._wishes[uid, name] = wish
            else:
                self._wishes.pop((uid, name), None)

    def _wanted(self, uid: int, distribution: str) -> Wishes:
        return mirrorwishes.merged(
            self._config, self._wishes.get((uid, ""), Wish()), self._wishes.get((uid, distribution), Wish())
        )

    def _named(self, uid: int, distribution: str) -> tuple[Distribution, ...]:
        if not distribution:
            return self._catalog.distributions(uid)
        wanted = parse_reference(distribution)
        if wanted.version or wanted.edition:
            raise InvalidArgumentError(
                f"a preference holds for all versions of a distribution; call it {wanted.id}, without version and"
                " edition"
            )
        return (self._catalog.get(wanted.id, uid),)

    def _check_pin(self, pinned: str, entries: Sequence[Distribution], wish: Wish, name: str) -> None:
        mirrors = {mirror for entry in entries for release in entry.releases for mirror in release.mirrors}
        fitting = [mirror for mirror in mirrors if mirrorwishes.fits(mirror.url, pinned)]
        shown = clean(pinned, 200)
        if not fitting:
            those = (
                sorted({mirror.url for release in entries[0].releases for mirror in release.mirrors}) if name else []
            )
            known = f"; it has {', '.join(those[:SHOWN])}" if those else ""
            more = f" and {len(those) - SHOWN} more" if len(those) > SHOWN else ""
            raise InvalidArgumentError(
                f"{shown!r} is no mirror of {name or 'any distribution'}{known}{more}; give the whole address of one,"
                " or its beginning, such as https://HOST/"
            )
        if all(mirror.country in wish.exclude for mirror in fitting):
            countries = ", ".join(sorted({mirror.country for mirror in fitting}))
            raise InvalidArgumentError(
                f"{shown} is in {countries}, which you exclude; pin another one or allow {countries}"
            )

    def _forget(self) -> None:
        """Keep the memory as small as the store."""
        if len(self._hosts) + len(self._addresses) <= 2 * MAX_RECORDS:
            return
        newest = sorted(self._hosts, key=lambda host: self._hosts[host].seen, reverse=True)[:MAX_RECORDS]
        self._hosts = {host: self._hosts[host] for host in newest}
        now = int(self._clock())
        self._addresses = {url: rest for url, rest in self._addresses.items() if rest.holds(now)}


def mirrors_of(params: Mapping[str, object]) -> tuple[Mirror, ...]:
    """The mirrors in the parameters of a download job; one of an older version has no countries."""
    urls, countries = _texts(params.get("urls")), _texts(params.get("countries"))
    padded = (*countries, *[""] * len(urls))
    return tuple(Mirror(url, country) for url, country in zip(urls, padded, strict=False))


def params_of(release: Release) -> dict[str, object]:
    """What a job that asks mirrors has to keep of them."""
    return {
        "urls": [mirror.url for mirror in release.mirrors],
        "countries": [mirror.country for mirror in release.mirrors],
        # what a user brought himself may blame mirrors of what they never had
        "shared": not release.custom,
    }


def is_custom(params: Mapping[str, object]) -> bool:
    """Whether a job is about a release that stands in its user's own catalogue alone."""
    return params.get("shared") is False


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list | tuple) else ()


def _log_failure(saved: asyncio.Future[None]) -> None:
    if not saved.cancelled() and (error := saved.exception()) is not None:
        log.error("what was learnt of mirrors could not be stored: %s", error)
