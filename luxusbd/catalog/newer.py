"""Which release of the catalogue is newer than an image that somebody has: pure functions.

Versions are compared by the numbers and words in them. A word that marks what comes before a release (rc, beta) makes
it older than the release itself; other words say nothing of an order, and where only these differ, nothing is newer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from luxusbd.catalog.catalog import PREFERRED_ARCHITECTURE, PREFIX, parse_reference
from luxusbd.catalog.model import Distribution, Release, Trust
from luxusbd.errors import InvalidArgumentError

_TOKENS = re.compile(r"[0-9]+|[^\W\d_]+")
_EARLY = ("daily", "nightly", "dev", "alpha", "beta", "pre", "preview", "rc")
"""What stands in versions that come before a release, the earliest first."""
_END = (1, 0, "")
_NULL = (3, 0, "")

_MONTHLY = re.compile(r"(?:1[7-9]|[2-9][0-9])\.(?:04|05|10|11)(?![0-9])", re.ASCII)
"""Series that are named by year and month: Ubuntu and what is made of it 24.04, NixOS 25.11, TrueNAS 25.10."""
_NUMBERED = re.compile(r"[0-9]{1,4}(?![0-9])", re.ASCII)
_FIRST_YEAR = 1990
"""From this number on, the first one of a version is a year, and the system a rolling one."""

Token = tuple[int, int, str]


@dataclass(frozen=True)
class Known:
    """An image that somebody has, as far as that decides what is newer."""

    version: str
    edition: str
    architecture: str
    """As a release has it; empty when nobody knows."""
    sha256: str
    genuine: bool = False
    """Whether the catalogue has a release of just these bytes."""
    trust: Trust | None = None
    """How sure its bytes were; None when nobody knows."""
    end_of_life: str = ""
    """YYYY-MM-DD, or empty."""


@dataclass(frozen=True)
class Wishes:
    """What may be taken for an update."""

    today: str
    """YYYY-MM-DD."""
    same_series: bool = False
    """Whether another series, as 26.04 after 24.04, is none."""
    minimum: Trust = Trust.NONE
    """Less sure releases do not count at all."""


@dataclass(frozen=True)
class Newer:
    """A release to be had in place of an image."""

    release: Release
    trust: Trust
    """What a download of it can reach."""
    respin: bool
    """The same version with other bytes."""
    series_change: bool
    less_trust: bool
    """Whether it is less sure than the image is."""


def version_key(version: str) -> tuple[Token, ...]:
    """Sorts versions, oldest first; unrelated words are in the order of the alphabet, which means nothing."""
    tokens: list[Token] = []
    for text in _TOKENS.findall(version.lower()):
        if text.isdecimal():
            tokens.append((3, int(text[:18]), ""))
        elif text in _EARLY:
            _strip(tokens)
            tokens.append((0, _EARLY.index(text), ""))
        else:
            tokens.append((2, 0, text))
    _strip(tokens)
    return (*tokens, _END)


def _strip(tokens: list[Token]) -> None:
    # 13 and 13.0 are one version
    while tokens and tokens[-1] == _NULL:
        tokens.pop()


def is_newer(version: str, than: str) -> bool:
    """Whether a version certainly comes after another one."""
    for left, right in zip(version_key(version), version_key(than), strict=False):
        if left != right:
            # of two words nobody knows which comes first
            return left > right and not left[0] == right[0] == 2
    return False


def is_early(version: str) -> bool:
    """Whether it comes before a release: a beta, a release candidate."""
    return any(token[0] == 0 for token in version_key(version))


def series(version: str) -> str:
    """The series in which a version gets its corrections: 24.04 of 24.04.3, 13 of 13.7.0; empty where there is none."""
    if monthly := _MONTHLY.match(version):
        return monthly[0]
    numbered = _NUMBERED.match(version)
    if numbered is None or int(numbered[0]) >= _FIRST_YEAR:
        return ""
    return str(int(numbered[0]))


def identify(
    distributions: Mapping[str, Distribution], source: str, sha256: str, architecture: str, trust: Trust | None
) -> tuple[Distribution, Known] | None:
    """What the catalogue knows of an image; None when it is of no distribution in it.

    Args:
        distributions: the catalogue, by id.
        source: the `distro:` reference by which the image was had, or something else.
        sha256: of its bytes, by which an image that came from elsewhere is known.
        architecture: what was read from the image, or empty.
        trust: how sure its bytes were, None when that was not kept.
    """
    entry, version, edition = None, "", ""
    if source.startswith(PREFIX):
        try:
            reference = parse_reference(source)
        except InvalidArgumentError:
            # it comes from a stick, and anybody may have written it
            return None
        entry, version, edition = distributions.get(reference.id), reference.version, reference.edition
    exact = _exact(entry, sha256) if entry is not None else None
    if exact is None:
        for other in distributions.values():
            if (exact := _exact(other, sha256)) is not None:
                entry = other
                break
    if entry is None:
        return None
    if exact is not None:
        return entry, Known(
            exact.version,
            exact.edition,
            exact.architecture or architecture,
            sha256,
            genuine=True,
            trust=trust or exact.trust,
            end_of_life=exact.end_of_life,
        )
    if not version:
        return None
    ends = {release.end_of_life for release in entry.releases if release.version == version}
    return entry, Known(
        version, edition, architecture, sha256, trust=trust, end_of_life=ends.pop() if len(ends) == 1 else ""
    )


def _exact(entry: Distribution, sha256: str) -> Release | None:
    return next((release for release in entry.releases if release.sha256 and release.sha256 == sha256), None)


def newest(
    releases: Sequence[Release],
    known: Known,
    wishes: Wishes,
    *,
    reach: Callable[[Release], Trust],
    present: Collection[str] = (),
) -> Newer | None:
    """The release to be had in place of an image, or None.

    One that is as sure as the image goes before one that is not, one that is supported before one that has ended, and
    a newer version before an older one.

    Args:
        releases: all of the image's distribution.
        known: the image.
        wishes: what may be taken.
        reach: what a download of a release can reach.
        present: `Release.content` of what need not be fetched any more: nothing is newer where one of these is.
    """
    found: list[tuple[tuple[bool, bool, tuple[Token, ...], str], Newer]] = []
    for release in _of_kind(releases, known):
        respin = not known.genuine and _same_version(release, known) and release.sha256 not in ("", known.sha256)
        if not respin and not is_newer(release.version, known.version):
            continue
        if is_early(release.version) and not is_early(known.version):
            continue
        before, after = series(known.version), series(release.version)
        changes = bool(before and after and before != after)
        trust = reach(release)
        if (changes and wishes.same_series) or not trust.reaches(wishes.minimum):
            continue
        less = known.trust is not None and not trust.reaches(known.trust)
        rank = (not less, not ended(release, wishes.today), version_key(release.version), release.release_date)
        found.append((rank, Newer(release, trust, respin, changes, less)))
    best = max(found, key=lambda pair: pair[0], default=None)
    if best is None or best[1].release.content in present:
        return None
    return best[1]


def ended(release: Release, today: str) -> bool:
    """Whether its maker supports it no more."""
    return bool(release.end_of_life) and release.end_of_life < today


def _same_version(release: Release, known: Known) -> bool:
    return version_key(release.version) == version_key(known.version)


def _of_kind(releases: Iterable[Release], known: Known) -> list[Release]:
    """Those of the image's edition and architecture."""
    architecture = known.architecture or PREFERRED_ARCHITECTURE
    return [
        release
        for release in releases
        if release.edition.casefold() == known.edition.casefold() and release.architecture in (architecture, "")
    ]
