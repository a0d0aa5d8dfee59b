"""The list of systems: the catalogue joined with what recipes, keys, the calendar and a stick say of its releases."""

from __future__ import annotations

import datetime
import difflib
from asyncio import to_thread
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from luxusbd.catalog.catalog import Catalog
from luxusbd.catalog.model import Distribution
from luxusbd.catalog.search import Searchable, Wording, squeezed
from luxusbd.devices.model import DeviceState
from luxusbd.errors import DeviceBusyError, DeviceDamagedError, InvalidArgumentError, NotEnoughSpaceError
from luxusbd.images.hints import RecipeHint, SecureBoot, family, recipe_hints, secure_boot
from luxusbd.jobs.keyring import Keyring, reachable
from luxusbd.jobs.listed import CatalogQuery, Fit, Listed, ListedRelease, Order
from luxusbd.jobs.registry import DeviceRegistry, name_of
from luxusbd.jobs.views import DeviceView
from luxusbd.stick import layout
from luxusbd.stick.model import MIB, StickOptions
from luxusbd.text import clean

KEPT_VIEWS = 8
"""Joined catalogues that are kept: one for all who imported nothing, and some of those who did."""

Today = Callable[[], datetime.date]


@dataclass(frozen=True)
class _View:
    """What one state of the catalogue looks like on one day."""

    entries: tuple[Distribution, ...]
    """Most popular first; kept, so that no other object can get the identity by which they are compared."""
    held: frozenset[str]
    day: datetime.date
    listed: tuple[Listed, ...]
    searchable: tuple[Searchable, ...]

    def shows(self, entries: Sequence[Distribution], held: frozenset[str], day: datetime.date) -> bool:
        same = len(entries) == len(self.entries) and all(a is b for a, b in zip(entries, self.entries, strict=True))
        return same and held == self.held and day == self.day


class Listing:
    """Answers what there is."""

    def __init__(
        self,
        catalog: Catalog,
        keyring: Keyring,
        registry: DeviceRegistry,
        *,
        hints: Mapping[str, RecipeHint] | None = None,
        today: Today = datetime.date.today,
    ) -> None:
        """`hints` in place of those of the packaged recipes."""
        self._catalog = catalog
        self._keyring = keyring
        self._registry = registry
        self._hints = recipe_hints() if hints is None else hints
        self._today = today
        self._views: list[_View] = []

    async def find(self, uid: int, query: CatalogQuery) -> tuple[Listed, ...]:
        """What `uid` sees and `query` wants; a system without a wanted release is left out.

        Raises:
            InvalidArgumentError: no system has this category, or no recipe this family.
            DeviceError: the stick is gone, in use by a job, or damaged.
            NotEnoughSpaceError: the disk is smaller than any stick.
        """
        view = await self._view(uid)
        category = _chosen("category", query.category, (entry.category for entry in view.entries))
        wanted_family = _chosen("family", query.family, (hint.family for hint in self._hints.values()))
        room = await self._room(query)
        wording = Wording.of(query.text)
        found: list[tuple[int, Listed]] = []
        for listed, searchable in zip(view.listed, view.searchable, strict=True):
            rank = wording.rank(searchable)
            if rank is None or (category and listed.distribution.category != category):
                continue
            chosen = _releases(listed, query, wanted_family, room)
            if chosen:
                found.append((rank, _trimmed(listed, chosen)))
        if query.order is Order.NAME:
            found.sort(key=lambda pair: (squeezed(pair[1].distribution.name), pair[1].distribution.id))
        else:
            found.sort(key=lambda pair: pair[0])
        return tuple(listed for _rank, listed in found)

    async def one(self, uid: int, distribution_id: str) -> Listed:
        """One system with all its releases.

        Raises:
            DistributionNotFoundError: there is none; the text names similar ones.
        """
        entry = self._catalog.get(distribution_id, uid)
        view = await self._view(uid)
        known = next((listed for listed in view.listed if listed.distribution is entry), None)
        return known or self._listed(entry, view.held, view.day)

    async def _view(self, uid: int) -> _View:
        held = await to_thread(self._keyring.held)
        entries, day = self._catalog.distributions(uid), self._today()
        view = next((view for view in self._views if view.shows(entries, held, day)), None)
        if view is None:
            listed = tuple(self._listed(entry, held, day) for entry in entries)
            view = _View(entries, held, day, listed, tuple(_searchable(each) for each in listed))
        self._views = [view, *(other for other in self._views if other is not view)][:KEPT_VIEWS]
        return view

    def _listed(self, entry: Distribution, held: frozenset[str], day: datetime.date) -> Listed:
        today = day.isoformat()
        return Listed(
            entry,
            tuple(
                ListedRelease(
                    replace(release, trust=reachable(release, held.__contains__)),
                    family(release.recipe, self._hints),
                    secure_boot(release, self._hints),
                    # both are YYYY-MM-DD, which sort as the days do
                    ended=bool(release.end_of_life) and release.end_of_life < today,
                )
                for release in entry.releases
            ),
        )

    async def _room(self, query: CatalogQuery) -> int | None:
        if query.device is None:
            return None
        await self._registry.looked_at([query.device])
        return room_on(self._registry.current(query.device))


def room_on(view: DeviceView) -> int:
    """Bytes for images: what is free on a LUXusb stick, else what there would be after an erase.

    Raises:
        DeviceBusyError: a job is changing that.
        DeviceDamagedError: nobody can tell.
        NotEnoughSpaceError: the disk is smaller than any stick.
    """
    if view.current_job is not None:
        raise DeviceBusyError(f"{name_of(view)} is in use by job {view.current_job}; ask again when that has ended")
    if view.state is DeviceState.DAMAGED:
        raise DeviceDamagedError(f"how much fits on {name_of(view)} cannot be told: it is damaged; repair it first")
    if view.state is DeviceState.LUXUSB:
        return view.free_bytes
    try:
        return layout.capacity(layout.plan(view.device.identity.size, StickOptions()))
    except NotEnoughSpaceError as error:
        raise NotEnoughSpaceError(f"{name_of(view)} is too small: {error}; take a larger one") from None


def _releases(listed: Listed, query: CatalogQuery, wanted_family: str, room: int | None) -> tuple[ListedRelease, ...]:
    chosen = []
    for item in listed.releases:
        if query.architecture and item.release.architecture not in ("", query.architecture):
            continue
        if (wanted_family and item.family != wanted_family) or (query.hide_end_of_life and item.ended):
            continue
        if query.secure_boot and item.secure_boot is not SecureBoot.YES:
            continue
        if room is None:
            chosen.append(item)
            continue
        # as a plan reckons it before the download
        size = item.release.size or item.release.size_mb * MIB
        if not size or layout.bytes_needed([size]) <= room:
            chosen.append(replace(item, fit=Fit.YES if size else Fit.UNKNOWN))
    return tuple(chosen)


def _trimmed(listed: Listed, chosen: tuple[ListedRelease, ...]) -> Listed:
    same = len(chosen) == len(listed.releases) and all(a is b for a, b in zip(chosen, listed.releases, strict=True))
    return listed if same else Listed(listed.distribution, chosen)


def _searchable(listed: Listed) -> Searchable:
    entry = listed.distribution
    labels = [entry.category]
    for item in listed.releases:
        labels += [item.family, item.release.edition]
    return Searchable.of(entry.id, entry.name, labels, [entry.description])


def _chosen(option: str, given: str, allowed: Iterable[str]) -> str:
    """The allowed value that is meant; empty for nothing.

    Raises:
        InvalidArgumentError: there is none; the text names the nearest and all.
    """
    if not given:
        return ""
    known = {squeezed(value): value for value in dict.fromkeys(allowed) if value}
    if (found := known.get(squeezed(given))) is not None:
        return found
    names = sorted(known.values())
    close = difflib.get_close_matches(given[:60], names, n=1, cutoff=0.5)
    meant = f" (did you mean {close[0]}?)" if close else ""
    raise InvalidArgumentError(
        f"the option {option} cannot be {clean(given, 60)!r}{meant}; allowed: {', '.join(names)}"
    )
