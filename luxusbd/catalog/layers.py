"""Layers of the catalogue on top of each other. Pure.

What an upper layer says of a field of a distribution counts; an empty value says nothing. Of its releases, one of the
same version, edition and architecture takes the place of the one below. What happens to the others depends on what the
upper layer is. The fallback, what was migrated, the packaged list and the updated one are each a whole list, of which
a later one is newer: releases that it does not name any more are gone, since their maker may have withdrawn them. The
files of administrators and users are additions, which take nothing away unless they say `replace`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from luxusbd.catalog.model import Distribution, Layer, Origin, Release
from luxusbd.catalog.schema import FIELDS
from luxusbd.text import natural_key

ADDITIONS = frozenset({Layer.ADMIN, Layer.COMMAND_LINE, Layer.USER})
"""Layers that name what they change, and not all that there is."""

_UNNAMED_ARCHITECTURE = "amd64"
"""What a release is for that does not say it, when it is compared with those below: the minimal fields have none."""


class Layers:
    """Distributions by id, put on top of each other from the lowest layer up."""

    def __init__(self, below: Iterable[Distribution] = ()) -> None:
        self._found = {entry.id: entry for entry in below}

    def put(self, entries: Iterable[Distribution]) -> None:
        """Lay the distributions of one document over what is there."""
        for entry in entries:
            below = self._found.get(entry.id)
            self._found[entry.id] = entry if below is None else merged(below, entry)

    def change(self, each: Callable[[Distribution], Distribution]) -> None:
        """Put what `each` makes of every distribution in its place."""
        self._found = {key: each(entry) for key, entry in self._found.items()}

    def distributions(self) -> tuple[Distribution, ...]:
        """What there is by now."""
        return tuple(self._found.values())


def merged(below: Distribution, above: Distribution) -> Distribution:
    """A distribution as two layers have it together, its releases newest first."""
    if above.replaces:
        return above
    values = {name: getattr(above, name) or getattr(below, name) for name in FIELDS}
    fields = {origin.field: origin for origin in (*below.origins, *above.origins)}
    return replace(
        above,
        **values,
        releases=_releases(below.releases, above.releases, keep=above.layer in ADDITIONS),
        replaces=below.replaces,
        origins=tuple(fields[name] for name in FIELDS if name in fields),
    )


def marked(before: Distribution, after: Distribution, layer: Layer, document: str) -> Distribution:
    """`after` with what differs from `before` marked as coming from a layer that is no document of its own."""
    kept = set(before.releases)
    changed = {name for name in FIELDS if getattr(before, name) != getattr(after, name)}
    releases = tuple(
        release if release in kept else replace(release, layer=layer, document=document) for release in after.releases
    )
    if not changed and releases == before.releases:
        return after
    return replace(
        after,
        releases=releases,
        layer=layer,
        origins=(
            *(origin for origin in after.origins if origin.field not in changed),
            *(Origin(name, layer, document) for name in FIELDS if name in changed),
        ),
    )


def _releases(below: Iterable[Release], above: Iterable[Release], *, keep: bool) -> tuple[Release, ...]:
    fresh = list(above)
    named = {_key(release) for release in fresh}
    if not keep:
        return tuple(fresh)
    found: list[Release] = []
    for release in below:
        key = _key(release)
        if key not in named:
            found.append(release)
            continue
        # in the place of the one below, so that the edition that is taken without a choice stays the same one
        found += [one for one in fresh if _key(one) == key]
        fresh = [one for one in fresh if _key(one) != key]
    found += fresh
    found.sort(key=lambda release: natural_key(release.version), reverse=True)
    return tuple(found)


def _key(release: Release) -> tuple[str, str, str]:
    return release.version, release.edition.casefold(), release.architecture or _UNNAMED_ARCHITECTURE
