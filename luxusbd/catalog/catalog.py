"""The catalogue in force: layers merged and looked up.

Layers, the lowest first: the fallback in the code, what was migrated from an older LUXusb, the packaged list, the
cached update, what the makers' feeds told since, the admin's files, files named on the command line, and what a uid
imported for itself. How they are merged is in `layers`. A broken file is reported and skipped; it never takes the
others along. Releases that name a list of shared mirrors get its addresses here.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from luxusbd import resources
from luxusbd.catalog.cache import Cached, CatalogCache
from luxusbd.catalog.fallback import FALLBACK
from luxusbd.catalog.feedlayer import FeedLayer
from luxusbd.catalog.files import files_of, read_layer, trouble
from luxusbd.catalog.layers import Layers
from luxusbd.catalog.mirrorlists import MirrorLists, expanded, read_lists, unknown_lists
from luxusbd.catalog.model import SHA512_KEY, Distribution, Layer, Release
from luxusbd.catalog.schema import distributions_of
from luxusbd.errors import CatalogError, DistributionNotFoundError, InvalidArgumentError
from luxusbd.text import clean

PREFIX = "distro:"
PREFERRED_ARCHITECTURE = "amd64"
MAX_REFERENCE = 300

_REFERENCE = re.compile(
    r"(?P<id>[a-z0-9][a-z0-9.+_-]{0,63})(?:@(?P<version>[^/@]{1,64}))?(?:/(?P<edition>[^/@]{1,64}))?"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reference:
    """A parsed `distro:<id>[@<version>][/<edition>]`."""

    id: str
    version: str = ""
    edition: str = ""

    def __str__(self) -> str:
        version = f"@{self.version}" if self.version else ""
        edition = f"/{self.edition}" if self.edition else ""
        return f"{PREFIX}{self.id}{version}{edition}"


def parse_reference(text: str) -> Reference:
    """Read a reference; the prefix may be left out.

    Raises:
        InvalidArgumentError: it has another form.
    """
    found = _REFERENCE.fullmatch(text.removeprefix(PREFIX)) if len(text) <= MAX_REFERENCE else None
    if found is None or not text.isprintable():
        raise InvalidArgumentError(
            f"{clean(text, 80)!r} is no image reference: distro:ID[@VERSION][/EDITION] is expected,"
            " such as distro:debian-live@13.7.0/gnome"
        )
    return Reference(found["id"], found["version"] or "", found["edition"] or "")


@dataclass(frozen=True)
class Sources:
    """Where the layers lie. A file or directory that does not exist is an empty layer, except on the command line."""

    packaged: Path | None = None
    """The packaged list; None for the one that came with the program."""
    cache: Path = Path("/var/cache/luxusb/distros.json")
    admin: Path = Path("/etc/luxusb/distros.d")
    """A directory of *.json files, merged in the order of their names."""
    command_line: tuple[Path, ...] = ()
    pinned: frozenset[str] | None = None
    """Fingerprints of the keys by which the cached update has to be signed; None to take what lies there."""
    mirrors: Path | None = None
    """The lists of shared mirrors; None for the ones that came with the program."""
    feeds: Path | None = None
    """What feeds said; None for nothing."""
    feed_files: tuple[Path, ...] = ()
    """Descriptions of feeds besides those that came with the program."""
    migrated: Path | None = None
    """What was taken over from an older LUXusb on this machine; None for nothing."""
    notes: tuple[str, ...] = ()
    """What is to be told of that, a line each."""


class Catalog:
    """A merged catalogue. What it holds changes only as a whole, by `renew`, so that all may keep this one object."""

    def __init__(
        self,
        distributions: Iterable[Distribution],
        problems: Sequence[str] = (),
        user_layers: Mapping[int, Sequence[Distribution]] | None = None,
        cached: Cached | None = None,
        lists: MirrorLists | None = None,
        feeds: FeedLayer | None = None,
    ) -> None:
        self._lists = lists or {}
        self._shared = {entry.id: entry for entry in distributions}
        self._users = {uid: _of_user(entries) for uid, entries in (user_layers or {}).items()}
        # merged once and not at every call: a list of all distributions is asked for often
        self._views = {uid: self._merged(entries) for uid, entries in self._users.items()}
        self.problems = tuple(problems)
        """What was wrong with the layers that were skipped, a line each."""
        self.cached = cached
        """The edition of the cached update that is in it, where its keys are known."""
        self.renewed: list[Callable[[], None]] = []
        """Are called when `renew` has put another one in its place."""
        self.feeds = feeds or FeedLayer()
        """The feeds that there are, and what they said."""

    @classmethod
    def load(cls, sources: Sources) -> Catalog:
        """Read and merge all layers but the users'. Blocks; never fails for a broken layer, see `problems`."""
        # known to be right, and in force even where the format's own file is gone
        layers = Layers(distributions_of(FALLBACK, "built in", Layer.FALLBACK))
        problems: list[str] = []
        if sources.migrated is not None:
            _add(layers, problems, sources.migrated, Layer.MIGRATED)
        packaged = sources.packaged if sources.packaged is not None else resources.data("distros.json")
        _add(layers, problems, packaged, Layer.PACKAGED)
        cached = None
        if sources.pinned is None:
            _add(layers, problems, sources.cache, Layer.CACHE)
        else:
            cached, why = CatalogCache(sources.cache, sources.pinned).read()
            problems += why
            if cached is not None:
                layers.put(cached.document.distributions)
        feeds = FeedLayer.load(sources.feeds, sources.feed_files)
        layers.change(feeds.changed)
        problems += feeds.problems
        try:
            admin = files_of(sources.admin)
        except OSError as error:
            problems += trouble(sources.admin, error)
            admin = ()
        for path in admin:
            _add(layers, problems, path, Layer.ADMIN)
        for path in sources.command_line:
            _add(layers, problems, path, Layer.COMMAND_LINE)
        merged = layers.distributions()
        lists = _lists(problems, sources.mirrors if sources.mirrors is not None else resources.data("mirrors.json"))
        for entry in merged if lists else ():
            for name in unknown_lists(entry, lists):
                problems.append(f"{entry.id}: there is no list of mirrors {name}; its other addresses are used")
        for problem in problems:
            log.warning("catalogue: %s", problem)
        entries = (expanded(entry, lists) for entry in merged)
        return cls(entries, problems, cached=cached, lists=lists, feeds=feeds)

    def renew(self, loaded: Catalog) -> None:
        """Take over what another one has from the layers on the disk; what users imported stays."""
        self._shared, self.problems, self.cached = loaded._shared, loaded.problems, loaded.cached
        self._lists, self.feeds = loaded._lists, loaded.feeds
        self._views = {uid: self._merged(entries) for uid, entries in self._users.items()}
        for told in self.renewed:
            told()

    def import_layer(self, uid: int, distributions: Sequence[Distribution]) -> None:
        """Replace what `uid` imported, here and for all who keep this object; an empty sequence takes it away."""
        own = _of_user(expanded(entry, self._lists) for entry in distributions)
        # replaced as wholes, since other threads may be reading them
        self._users = {**self._users, uid: own}
        self._views = {**self._views, uid: self._merged(own)}

    def with_user_layer(self, uid: int, distributions: Sequence[Distribution]) -> Catalog:
        """The same catalogue, with what `uid` imported replaced; an empty sequence takes it away."""
        copy = Catalog(self._shared.values(), self.problems, self._users, self.cached, self._lists, self.feeds)
        copy.import_layer(uid, distributions)
        return copy

    def distributions(self, uid: int | None = None) -> tuple[Distribution, ...]:
        """All that `uid` sees, most popular first, those of unknown rank last."""
        entries = self._view(uid).values()
        return tuple(sorted(entries, key=lambda entry: (entry.popularity_rank or 10**9, entry.name.lower(), entry.id)))

    def get(self, distribution_id: str, uid: int | None = None) -> Distribution:
        """One distribution.

        Raises:
            DistributionNotFoundError: there is none; the text names similar ones.
        """
        entries = self._view(uid)
        entry = entries.get(distribution_id)
        if entry is None:
            raise DistributionNotFoundError(
                f"the catalogue has no distribution {clean(distribution_id, 64)!r}"
                + _suggest(distribution_id, entries, "; `luxusb distros` shows all")
            )
        return entry

    def resolve(
        self, reference: str, uid: int | None = None, architecture: str = PREFERRED_ARCHITECTURE
    ) -> tuple[Distribution, Release]:
        """Find what a reference means.

        Without a version the newest is taken; a version also matches its own point releases (`@13` the newest 13.x).
        Without an edition the first that the catalogue lists is taken; an architecture may stand in its place.
        Of several architectures `architecture` is preferred.

        Raises:
            InvalidArgumentError: the reference is malformed.
            DistributionNotFoundError: there is no such distribution, version or edition; the text says what there is.
        """
        wanted = parse_reference(reference)
        entry = self.get(wanted.id, uid)
        releases = entry.releases
        if wanted.edition:
            edition = wanted.edition.casefold()
            fitting = tuple(r for r in releases if r.edition.casefold() == edition)
            fitting = fitting or tuple(r for r in releases if r.architecture == edition)
            if not fitting:
                names = {name for r in releases for name in (r.edition, r.architecture) if name}
                raise DistributionNotFoundError(
                    f"{entry.name} has no edition {wanted.edition!r}"
                    + _suggest(wanted.edition, names, "; it has " + (", ".join(sorted(names)) or "none"))
                )
            releases = fitting
        if wanted.version:
            exact = tuple(r for r in releases if r.version == wanted.version)
            fitting = exact or tuple(
                r for r in releases if r.version.startswith((wanted.version + ".", wanted.version + "-"))
            )
            if not fitting:
                versions = list(dict.fromkeys(r.version for r in releases))
                raise DistributionNotFoundError(
                    f"{entry.name} has no version {wanted.version!r}"
                    + _suggest(wanted.version, versions, "; it has " + ", ".join(versions[:8]))
                )
            releases = fitting
        newest = [r for r in releases if r.version == releases[0].version]
        return entry, next((r for r in newest if r.architecture in (architecture, "")), newest[0])

    def find_by_hash(
        self, sha256: str, uid: int | None = None, *, sha512: str = ""
    ) -> tuple[Distribution, Release] | None:
        """The release with this hash, or None: an image with it is genuine as far as the catalogue is.

        `sha512` is that of the same bytes where it is known, for releases that have no sha256.
        """
        return self.find_by_content({sha256, f"{SHA512_KEY}{sha512}"}, uid)

    def find_by_content(self, contents: Collection[str], uid: int | None = None) -> tuple[Distribution, Release] | None:
        """The first release whose `Release.content` is one of these, or None."""
        for entry in self.distributions(uid):
            for release in entry.releases:
                if release.content in contents:
                    return entry, release
        return None

    def needs_sha512(self, size: int) -> bool:
        """Whether bytes of this size (0: nobody knows) may be those of a release that is known by its SHA-512 alone.

        To hash by a second algorithm costs more than the first one did, so that it is done for nothing else.
        """
        return any(
            not release.sha256 and (not size or release.size in (0, size))
            for entry in self._shared.values()
            for release in entry.releases
        )

    def _view(self, uid: int | None) -> Mapping[str, Distribution]:
        return self._views.get(uid, self._shared) if uid is not None else self._shared

    def _merged(self, own: Sequence[Distribution]) -> Mapping[str, Distribution]:
        layers = Layers(self._shared.values())
        layers.put(own)
        return {entry.id: entry for entry in layers.distributions()}


def reference_to(distribution: Distribution, release: Release) -> str:
    """The full reference under which a release is downloaded."""
    return str(Reference(distribution.id, release.version, release.edition))


def _of_user(entries: Iterable[Distribution]) -> tuple[Distribution, ...]:
    return tuple(
        replace(
            entry,
            layer=Layer.USER,
            releases=tuple(replace(release, layer=Layer.USER) for release in entry.releases),
            origins=tuple(replace(origin, layer=Layer.USER) for origin in entry.origins),
        )
        for entry in entries
    )


def _add(layers: Layers, problems: list[str], path: Path, layer: Layer) -> None:
    try:
        document = read_layer(path, layer)
    except FileNotFoundError:
        if layer in (Layer.PACKAGED, Layer.COMMAND_LINE):
            problems.append(f"{path}: there is no such file")
    except (OSError, CatalogError) as error:
        problems += trouble(path, error)
    else:
        problems += document.warnings
        layers.put(document.distributions)


def _lists(problems: list[str], path: Path) -> MirrorLists:
    """The shared mirrors; none when they cannot be read, since every release has an address of its own."""
    try:
        return read_lists(path, problems)
    except FileNotFoundError:
        problems.append(f"{path}: there is no such file")
    except (OSError, CatalogError) as error:
        problems += trouble(path, error)
    return {}


def _suggest(wanted: str, names: Iterable[str], otherwise: str) -> str:
    near = difflib.get_close_matches(wanted, list(names), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else otherwise
