"""How a feed is read: find the files, choose the newest, get their hashes from a list, measure what has no size.

One way for all six strategies; they differ in how files are found. A list of hashes whose signature is not good ends
the matter for its images: an older directory is not looked at instead, and whoever asked keeps what he had.
"""

from __future__ import annotations

import datetime
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin

from luxusbd.catalog.feeds.model import (
    Feed,
    FeedRelease,
    HashTrust,
    ImagePattern,
    Listing,
    Outcome,
    SignatureKind,
    Strategy,
)
from luxusbd.catalog.feeds.reach import leads_to
from luxusbd.errors import CatalogError
from luxusbd.text import natural_key
from luxusbd.transfer.feeds.addresses import beside, file_name, fill
from luxusbd.transfer.feeds.choice import Wanted, day_of, judge, matches, newest, some_names
from luxusbd.transfer.feeds.documents import directories_of, files_of, titles
from luxusbd.transfer.feeds.found import Found
from luxusbd.transfer.feeds.requests import Answer, Body, Fetch, Gone, Measure, Request, Same, Size
from luxusbd.transfer.feeds.sumslists import NotGenuineError, SumsList, SumsLists

MAX_DOCUMENT = 8 * 1024 * 1024
SPARE_DIRECTORIES = 4
"""Directories tried beyond those wanted: the newest may be there before its files are."""
PROBED = 6
_THE_DOCUMENT = "the list of releases"

Steps = Generator[Request, Answer, None]


class _GoneError(Exception):
    """A file that the feed names is not there; caught here."""


@dataclass
class _Reading:
    """What one attempt has so far."""

    feed: Feed
    lists: SumsLists
    wanted: list[Wanted] = field(default_factory=list)
    seen: list[Found] = field(default_factory=list)
    listed: dict[str, SumsList] = field(default_factory=dict)
    """By the address of the image, where the list is what named it."""
    tag: tuple[str, str] = ("", "")
    problems: list[str] = field(default_factory=list)


def reading(feed: Feed, today: datetime.date, etag: str, last_modified: str) -> Generator[Request, Answer, Outcome]:
    """The steps of one run; for `luxusbd.transfer.feeds.machine.FeedRun`.

    Raises:
        CatalogError: a document is not of its kind, or names none of the images.
    """
    first = None
    if feed.complete and (etag or last_modified):
        answer = yield _first(feed, today, etag, last_modified)
        if isinstance(answer, Same):
            return Outcome(feed.id, unchanged=True, etag=etag, last_modified=last_modified)
        first = answer
    outcome, missing = yield from _attempt(feed, today, first)
    if missing:
        # the file went while the feed was being read, or the listing was an old one: ask again, everything anew
        outcome, missing = yield from _attempt(feed, today, None)
    return replace(outcome, problems=tuple(dict.fromkeys([*outcome.problems, *missing])))


def _attempt(
    feed: Feed, today: datetime.date, first: Answer | None
) -> Generator[Request, Answer, tuple[Outcome, list[str]]]:
    """Read all of the feed once; the outcome, and a line for each file that it names and that is not there."""
    state = _Reading(feed, SumsLists(feed))
    validators = yield from _find(state, today, first)
    if not state.wanted and not state.problems:
        raise CatalogError(f"{feed.url}: none of its images among what it names: {some_names(state.seen)}")
    releases: list[FeedRelease] = []
    missing: list[str] = []
    for wanted in newest(feed, state.wanted):
        try:
            releases.append((yield from _complete(state, wanted)))
        except _GoneError as error:
            missing.append(f"{wanted.shown}: {error}")
        except CatalogError as error:
            state.problems.append(f"{wanted.shown}: {error.message}")
    problems = tuple(dict.fromkeys([*state.problems, *_absent(feed, state)]))
    return Outcome(feed.id, tuple(releases), problems, False, *validators), missing


def _first(feed: Feed, today: datetime.date, etag: str = "", last_modified: str = "") -> Fetch:
    url = next(_probed(feed, feed.url, today))
    if feed.strategy is Strategy.DIRECTORY_INDEX and feed.listing is Listing.SUMS and not feed.directories:
        url = beside(url, fill(feed.sums, {"directory": ""}))
    return Fetch(url, MAX_DOCUMENT, _THE_DOCUMENT, etag, last_modified)


def _find(state: _Reading, today: datetime.date, first: Answer | None) -> Generator[Request, Answer, tuple[str, str]]:
    """Fill in the files that the feed names; the validators of the first document."""
    feed = state.feed
    if feed.strategy is Strategy.STABLE_SYMLINK:
        yield from _links(state, today)
        return "", ""
    if feed.strategy is Strategy.DIRECTORY_INDEX:
        if feed.listing is Listing.SUMS and not feed.directories:
            return (yield from _one_list(state, first))
        if not (yield from _directory(state, feed.url, 0, "")) and not state.seen and not state.problems:
            raise CatalogError(f"{feed.url}: the listing, or all that it leads to, is not there")
        return "", ""
    for url in _probed(feed, feed.url, today):
        answer = first if first is not None else (yield Fetch(url, MAX_DOCUMENT, _THE_DOCUMENT))
        first = None
        if not isinstance(answer, Body):
            continue
        try:
            files = files_of(feed, answer.data, url)
        except CatalogError as error:
            raise CatalogError(f"{url}: {error.message}") from error
        state.seen += files
        state.wanted += matches(feed, files)
        if state.wanted or not feed.probe:
            return answer.etag, answer.last_modified
    if not feed.probe or not state.seen:
        raise CatalogError(f"{feed.url}: is not there")
    return "", ""


def _probed(feed: Feed, template: str, today: datetime.date) -> Iterator[str]:
    """The addresses that there may be, for makers that publish no list of their releases; the newest first."""
    if not feed.probe or "{probe}" not in template:
        yield template
        return
    count = 0
    for year in range(today.year, today.year - PROBED, -1):
        for month in sorted(feed.probe, reverse=True):
            if (year, month) <= (today.year, today.month) and count < PROBED:
                count += 1
                yield fill(template, {"probe": f"{year % 100:02}.{month:02}"})


def _one_list(state: _Reading, first: Answer | None) -> Generator[Request, Answer, tuple[str, str]]:
    """A list of hashes at a fixed place, which names the files."""
    feed = state.feed
    url = beside(feed.url, fill(feed.sums, {"directory": ""}))
    try:
        found = yield from state.lists.read(url, {"directory": ""}, first)
    except NotGenuineError as error:
        state.problems.append(error.message)
        return "", ""
    if found is None:
        raise CatalogError(f"{url}: is not there")
    _from_list(state, feed.url, found)
    return found.etag, found.last_modified


def _from_list(state: _Reading, directory: str, found: SumsList) -> bool:
    """Take the files that a list of hashes names; whether one of them is wanted."""
    files = []
    for name in found.names:
        url = leads_to(state.feed, directory, name)
        if url and file_name(url) == name:
            files.append(Found(url, name))
            state.listed[url] = found
    state.seen += files
    wanted = list(matches(state.feed, files))
    state.wanted += wanted
    return bool(wanted)


def _directory(state: _Reading, url: str, level: int, name: str) -> Generator[Request, Answer, bool]:
    """Descend, the newest directories first; whether one of the images was found."""
    feed = state.feed
    if level == len(feed.directories):
        return (yield from _files(state, urljoin(url, feed.below), name))
    answer = yield Fetch(url, MAX_DOCUMENT, "the listing")
    if not isinstance(answer, Body):
        return False
    found: set[str] = set()
    keep = feed.keep if level == 0 else 1
    for below, series in _descending(feed, level, directories_of(feed, answer.data, url))[: keep + SPARE_DIRECTORIES]:
        if series not in found and len(found) < keep:
            try:
                if (yield from _directory(state, f"{url}{below}/", level + 1, name or below)):
                    found.add(series)
            except NotGenuineError as error:
                # an older directory is no substitute for one whose list is not genuine
                state.problems.append(error.message)
                found.add(series)
            except CatalogError as error:
                state.problems.append(error.message)
    return bool(found)


def _descending(feed: Feed, level: int, names: Iterable[str]) -> list[tuple[str, str]]:
    """Directories with their series, the newest first."""
    pattern = feed.directories[level]
    ranked = []
    for name in names:
        match = pattern.fullmatch(name) if len(name) <= 128 else None
        if match is not None:
            ranked.append((natural_key(name), name, match.groupdict().get("series") or name))
    ranked.sort(key=lambda item: item[0], reverse=True)
    return [(name, series) for _key, name, series in ranked]


def _files(state: _Reading, url: str, name: str) -> Generator[Request, Answer, bool]:
    """The files of one directory."""
    feed = state.feed
    if feed.listing is Listing.SUMS:
        found = yield from state.lists.read(beside(url, fill(feed.sums, {"directory": name})), {"directory": name})
        return _from_list(state, url, found) if found is not None else False
    answer = yield Fetch(url, MAX_DOCUMENT, "the listing")
    if not isinstance(answer, Body):
        return False
    files = files_of(feed, answer.data, url)
    state.seen += files
    wanted = list(matches(feed, files))
    state.wanted += wanted
    return bool(wanted)


def _links(state: _Reading, today: datetime.date) -> Steps:
    """Addresses that stay, whose list of hashes names the file that lies there now."""
    feed = state.feed
    if feed.version_url:
        answer = yield Fetch(feed.version_url, MAX_DOCUMENT, "the list of versions")
        if not isinstance(answer, Body):
            raise CatalogError(f"{feed.version_url}: is not there")
        for title, day in titles(answer.data):
            match = feed.version_title.fullmatch(title) if feed.version_title else None
            if match is not None:
                state.tag = (match["version"], day)
                break
        else:
            raise CatalogError(f"{feed.version_url}: none of its entries is a version")
    for pattern in feed.images:
        for url in _probed(feed, pattern.address, today):
            try:
                if (yield from _link(state, pattern, url)):
                    break
            except CatalogError as error:
                state.problems.append(error.message)
                break


def _link(state: _Reading, pattern: ImagePattern, url: str) -> Generator[Request, Answer, bool]:
    """Whether there is something at an address that stays."""
    feed = state.feed
    name = file_name(url)
    values = {"file": name, "stem": name.rpartition(".")[0]}
    found = yield from state.lists.read(beside(url, fill(feed.sums, values)), values)
    if found is None:
        return False
    if len(found.names) != 1:
        raise CatalogError(f"{found.url}: names {len(found.names)} files, expected the one that lies there now")
    listed = found.names[0] or name
    version, day = state.tag
    wanted = judge(pattern, Found(url, name, date=day), listed, version)
    state.seen.append(Found(url, listed))
    if wanted is not None:
        state.listed[url] = found
        state.wanted.append(wanted)
    return wanted is not None


def _complete(state: _Reading, wanted: Wanted) -> Generator[Request, Answer, FeedRelease]:
    """Everything that a release needs: a hash, who vouches for it, the size."""
    feed, file = state.feed, wanted.found
    release = FeedRelease(
        feed.distribution, wanted.edition, wanted.pattern.architecture, wanted.version, file.url,
        wanted.series, file.sha256, file.sha512, file.size, file.size_hint, day_of(wanted), rolling=feed.rolling,
    )  # fmt: skip
    found, name = state.listed.get(file.url), file.name
    if found is not None and name not in found.names:
        name = found.names[0]
    elif found is None and (feed.sums or file.sums_url):
        url = file.sums_url or leads_to(feed, file.url, beside(file.url, fill(feed.sums, wanted.values)))
        if not url:
            raise CatalogError(f"the list of hashes of {file.url} would lie where this feed does not lead")
        found = yield from state.lists.read(url, wanted.values)
        if found is None:
            raise _GoneError(f"the list of hashes {url} is not there")
        name = _entry(feed, found, file)
    if found is not None:
        release = _with(release, found, name)
    if not (release.sha256 or release.sha512):
        raise CatalogError(f"{file.url}: no hash of it is told")
    if feed.signing.kind is SignatureKind.IMAGE:
        address = file.signature_url or leads_to(
            feed, file.url, beside(file.url, fill(feed.signing.address, wanted.values))
        )
        release = replace(release, signature_url=address)
    if feed.metalink:
        release = replace(
            release, metalink=leads_to(feed, file.url, beside(file.url, fill(feed.metalink, wanted.values)))
        )
    if not release.size:
        answer = yield Measure(file.url)
        if isinstance(answer, Gone):
            raise _GoneError(f"{file.url} is not there")
        if isinstance(answer, Size) and answer.size > 0:
            release = replace(release, size=answer.size)
    return release


def _entry(feed: Feed, found: SumsList, file: Found) -> str:
    """Under which name a list has the file: its own, or the only one, in a list that belongs to this file alone."""
    if file.name in found.names:
        return file.name
    alone = bool(file.sums_url) or "{file}" in feed.sums or "{stem}" in feed.sums
    if len(found.names) == 1 and (alone or not found.names[0]):
        return found.names[0]
    raise CatalogError(
        f"{found.url}: does not name {file.name}; it names {some_names(Found('', n) for n in found.names)}"
    )


def _with(release: FeedRelease, found: SumsList, name: str) -> FeedRelease:
    """The release with what a list of hashes says, which must not contradict the document."""
    sha256, sha512 = found.digests(name)
    if (sha256 and release.sha256 not in ("", sha256)) or (sha512 and release.sha512 not in ("", sha512)):
        raise CatalogError(f"{found.url}: has another hash than the list of releases; one of them is not up to date")
    if found.trust is HashTrust.SIGNED:
        # what nobody signed does not become signed by standing beside it
        release = replace(release, sha256="", sha512="")
    return replace(
        release,
        sha256=sha256 or release.sha256,
        sha512=sha512 or release.sha512,
        size_hint=found.hints.get(name, release.size_hint),
        sums_url=found.url,
        signature_url=found.signature_url,
        trust=found.trust,
        signed_by=found.signed_by,
    )


def _absent(feed: Feed, state: _Reading) -> list[str]:
    """Images of the description of which nothing was found: a maker has renamed them, or gave them up."""
    present = {id(wanted.pattern) for wanted in state.wanted}
    if state.problems:
        return []
    return [
        f"no file is named {pattern.file.pattern} among {some_names(state.seen)}"
        for pattern in feed.images
        if id(pattern) not in present
    ]
