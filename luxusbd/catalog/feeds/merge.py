"""What a feed said, put into a distribution: newer releases take the place of older ones, and nothing is made worse.

A release is left as it was where the feed has an older one, and where what was signed would become unsigned. So a
maker's server that was taken over, or is behind, takes nothing away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from luxusbd.catalog.feeds.model import Feed, FeedRelease, HashTrust, SignatureKind
from luxusbd.catalog.model import Distribution, Mirror, Release, Trust
from luxusbd.text import natural_key

_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Merged:
    """A distribution after a feed."""

    distribution: Distribution
    notes: tuple[str, ...] = ()
    """What the feed told and what was not taken, a line each."""

    @property
    def versions(self) -> frozenset[str]:
        """Of all releases."""
        return frozenset(release.version for release in self.distribution.releases)


def merge(distribution: Distribution, feed: Feed, found: Iterable[FeedRelease]) -> Merged:
    """Take the releases of a feed of this distribution into it."""
    releases, notes = list(distribution.releases), []
    for told in found:
        kind = (told.edition, told.architecture)
        # what says nothing of its architecture cannot be told from the others, and stays
        known = [one for one in releases if (one.edition, one.architecture) == kind and in_series(one.version, told)]
        try:
            made = _made(told, feed, known)
        except _RefusedError as error:
            label = " ".join(part for part in (told.edition, told.version, told.architecture) if part)
            notes.append(f"{distribution.id} {label}: {error}; what was known before stays")
            continue
        releases = [one for one in releases if one not in known]
        releases.append(made)
    releases.sort(key=lambda release: (natural_key(release.version), release.release_date), reverse=True)
    return Merged(replace(distribution, releases=tuple(releases)), tuple(notes))


class _RefusedError(Exception):
    """Why a release of a feed is not taken."""


def successor(distribution: Distribution, told: Iterable[FeedRelease], known: Release) -> Release | None:
    """The release that takes the place of `known`, where a feed tells of one.

    Args:
        distribution: as it is after what was told.
        told: what the feed told.
        known: with its version, edition, architecture and hashes.
    """
    for one in told:
        kind = (known.edition, known.architecture)
        if (one.edition, one.architecture) != kind or not in_series(known.version, one):
            continue
        for release in distribution.releases:
            same = (release.version, release.edition, release.architecture) == (one.version, *kind)
            older = natural_key(one.version) < natural_key(known.version)
            if same and not older and _other_bytes(release, known):
                return release
    return None


def _other_bytes(release: Release, known: Release) -> bool:
    if release.sha256 and known.sha256:
        return release.sha256 != known.sha256
    if release.sha512 and known.sha512:
        return release.sha512 != known.sha512
    return release.version != known.version


def in_series(version: str, told: FeedRelease) -> bool:
    """Whether a known version is of the series of the one told: 24.04.5 is of 24.04, and 240 of no 24."""
    rest = version.removeprefix(told.series)
    return not told.series or (rest != version and not rest[:1].isalnum())


def _made(told: FeedRelease, feed: Feed, known: list[Release]) -> Release:
    newest = max(known, key=lambda one: natural_key(one.version), default=None)
    if newest is not None and natural_key(told.version) < natural_key(newest.version):
        raise _RefusedError(f"older than {newest.version}")
    respun = newest is not None and natural_key(told.version) == natural_key(newest.version)
    if newest is not None and respun and "" < told.release_date < newest.release_date:
        raise _RefusedError(f"of {told.release_date}, and the one before is of {newest.release_date}")
    same = next((one for one in known if not told.replaces(one.sha256, one.sha512, one.version)), None)
    # of the same version and told by another hash alone, it may be other bytes all the same
    proven = same if same is not None and _comparable(told, same) else None
    key = _key(told, feed)
    if newest is not None and newest.trust is Trust.SIGNED and not key:
        raise _RefusedError("not signed, and the one before was")
    size = told.size or (proven.size if proven is not None else 0)
    basis = same or newest
    shared = (same.mirror_list, same.mirror_path) if same is not None else _shared(told.iso_url, newest)
    return Release(
        version=told.version,
        release_date=told.release_date or (same.release_date if same is not None else ""),
        iso_url=told.iso_url,
        sha256=told.sha256 or (proven.sha256 if proven is not None else ""),
        size_mb=round(size / _MEGABYTE),
        # mirrors of other bytes have another file, or none
        mirrors=_mirrors(told.iso_url, same),
        size=size,
        architecture=told.architecture,
        edition=told.edition,
        trust=Trust.SIGNED if key else Trust.HASH,
        sha512=told.sha512 or (proven.sha512 if proven is not None else ""),
        sums_url=told.sums_url if told.trust is HashTrust.SIGNED else "",
        signature_url=told.signature_url if key else "",
        key_fingerprint=key,
        key_url=basis.key_url if basis is not None and basis.key_fingerprint == key else "",
        metalink=told.metalink or (same.metalink if same is not None else ""),
        recipe=basis.recipe if basis is not None else "",
        minimum_memory_mb=basis.minimum_memory_mb if basis is not None else 0,
        end_of_life=basis.end_of_life if basis is not None else "",
        mirror_list=shared[0],
        mirror_path=shared[1],
        rolling=told.rolling or (basis is not None and basis.rolling),
    )


def _shared(iso_url: str, known: Release | None) -> tuple[str, str]:
    """Which shared mirrors have other bytes, and where: those of the release before, if its maker's path is theirs."""
    if known is None or not known.mirror_list or not known.iso_url.endswith("/" + known.mirror_path):
        return "", ""
    base = known.iso_url.removesuffix(known.mirror_path)
    # under the same name they may still have the bytes of before, and would be blamed for them
    if not iso_url.startswith(base) or iso_url == known.iso_url:
        return "", ""
    return known.mirror_list, iso_url.removeprefix(base)


def _comparable(told: FeedRelease, known: Release) -> bool:
    return bool((told.sha256 and known.sha256) or (told.sha512 and known.sha512))


def _key(told: FeedRelease, feed: Feed) -> str:
    """The key whose signature a download of the release can ask for; empty when there is none."""
    if told.trust is HashTrust.SIGNED:
        return told.signed_by
    if feed.signing.kind is SignatureKind.IMAGE and told.signature_url and len(feed.signing.keys) == 1:
        return next(iter(feed.signing.keys))
    return ""


def _mirrors(iso_url: str, same: Release | None) -> tuple[Mirror, ...]:
    others = [mirror for mirror in same.mirrors if mirror.url != iso_url] if same is not None else []
    own = next((mirror for mirror in same.mirrors if mirror.url == iso_url), None) if same is not None else None
    return (own or Mirror(iso_url), *others)
