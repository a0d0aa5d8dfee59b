"""What is on a stick, compared with the catalogue: which releases are newer."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from luxusbd.catalog import newer
from luxusbd.catalog.catalog import PREFIX, Catalog, reference_to
from luxusbd.catalog.model import Distribution, Release
from luxusbd.catalog.newer import Known
from luxusbd.images.model import CUSTOM
from luxusbd.jobs.downloadwords import release_title
from luxusbd.jobs.keyring import reachable
from luxusbd.jobs.trust import TrustPolicy
from luxusbd.jobs.views import ImageUpdate
from luxusbd.stick.model import MIB, ManifestImage


@dataclass(frozen=True)
class Found:
    """An image on a stick and the release to be had in its place."""

    image: ManifestImage
    known: Known
    distribution: Distribution
    release: Release
    update: ImageUpdate

    def title(self, fresh: str) -> str:
        """What the menu is to call the new one: `fresh`, unless the old title says nothing of version and release.

        Such a one somebody has chosen, and it is as right as before.
        """
        old = replace(self.release, version=self.known.version, edition=self.known.edition)
        made_up = self.known.version in self.image.title or self.image.version in self.image.title
        return fresh if made_up or self.image.title == release_title(self.distribution, old) else self.image.title


class StickComparer:
    """Compares; quick enough for the loop, and asks nobody."""

    def __init__(
        self, catalog: Catalog, policy: TrustPolicy, today: Callable[[], datetime.date] = datetime.date.today
    ) -> None:
        self._catalog = catalog
        self._policy = policy
        self._today = today

    def updates(self, images: Sequence[ManifestImage]) -> tuple[ImageUpdate, ...]:
        """What everybody's catalogue has for the images of a stick."""
        return tuple(found.update for found in self.find(images))

    def find(
        self, images: Sequence[ManifestImage], uid: int | None = None, *, same_series: bool = False
    ) -> tuple[Found, ...]:
        """The newer releases for the images of a stick, in menu order.

        Of several images in whose places the same release could come, the newest one gets it.

        Args:
            images: all that are on the stick.
            uid: whose catalogue; None for what everybody sees.
            same_series: leave out other series.
        """
        if not images:
            return ()
        distributions = {entry.id: entry for entry in self._catalog.distributions(uid)}
        today = self._today().isoformat()
        wishes = newer.Wishes(today, same_series, self._policy.minimum)
        keys = self._policy.keyring.held()
        present = {image.sha256 for image in images}
        chosen: dict[str, Found] = {}
        for image in images:
            identified = _identified(distributions, image)
            if identified is None:
                continue
            entry, known = identified
            best = newer.newest(
                entry.releases,
                known,
                wishes,
                reach=lambda release: reachable(release, keys.__contains__),
                present=present,
            )
            if best is None:
                continue
            before = chosen.get(best.release.content)
            if before is None or newer.is_newer(known.version, before.known.version):
                chosen[best.release.content] = _found(image, known, entry, best, today)
        places = {image.name: place for place, image in enumerate(images)}
        return tuple(sorted(chosen.values(), key=lambda found: places[found.image.name]))


def _identified(distributions: Mapping[str, Distribution], image: ManifestImage) -> tuple[Distribution, Known] | None:
    if not image.custom:
        return newer.identify(distributions, image.source, image.sha256, image.architecture, image.trust)
    # what a user's own catalogue called it means nothing in that of others
    own = {name: entry for name, entry in distributions.items() if entry.custom}
    source = image.source.replace(CUSTOM, PREFIX, 1)
    by_name = newer.identify(own, source, image.sha256, image.architecture, image.trust)
    return by_name or newer.identify(distributions, "", image.sha256, image.architecture, image.trust)


def _found(image: ManifestImage, known: Known, entry: Distribution, best: newer.Newer, today: str) -> Found:
    release = best.release
    update = ImageUpdate(
        name=image.name,
        title=image.title,
        reference=reference_to(entry, release),
        from_version=known.version,
        to_version=release.version,
        size=release.size or release.size_mb * MIB,
        respin=best.respin,
        series_change=best.series_change,
        end_of_life=known.end_of_life,
        ended=bool(known.end_of_life) and known.end_of_life < today,
        trust=best.trust,
        less_trust=best.less_trust,
    )
    return Found(image, known, entry, release, update)
