"""Copies of makers' keys: the administrator's, those that came with the program, and those that were fetched before.

A key is named by its full fingerprint, which the catalogue pins. Where a copy comes from decides nothing: gpgv is asked
whether the pinned key signed, and a copy of another key cannot answer yes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from luxusbd import resources
from luxusbd.catalog.model import Release, Trust

ENDINGS = (".asc", ".gpg", ".pgp")

log = logging.getLogger(__name__)


class Keyring:
    """Finds and keeps copies of keys; blocks for the time of a look into a directory."""

    def __init__(self, admin: Path, cache: Path, packaged: Path | None = None) -> None:
        """Prepare, without reading anything.

        Args:
            admin: the administrator's keys.
            cache: where fetched keys are kept; made when the first one comes.
            packaged: those that came with the program; None for where they lie.
        """
        self._cache = cache
        self._places = (admin, packaged if packaged is not None else resources.data("keys"), cache)

    def open(self, fingerprint: str) -> int | None:
        """A read-only descriptor of a copy of the key, which the caller closes; None without one."""
        for place in self._places:
            for ending in ENDINGS:
                try:
                    return os.open(place / f"{fingerprint}{ending}", os.O_RDONLY | os.O_CLOEXEC)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    log.warning("%s: a key cannot be read: %s", place / f"{fingerprint}{ending}", error.strerror)
        return None

    def keep(self, fingerprint: str, key: bytes) -> None:
        """Keep a fetched copy, in place of the one before. That it cannot be kept is logged: it is fetched again."""
        path = self._cache / f"{fingerprint}{ENDINGS[1]}"
        fresh = path.with_suffix(".new")
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(key)
            fresh.replace(path)
        except OSError as error:
            log.warning("%s: a fetched key cannot be kept: %s", path, error.strerror)

    def achievable(self, release: Release) -> Trust:
        """What a download of a release can reach at best, with the keys that can be had."""
        return reachable(release, self._has)

    def held(self) -> frozenset[str]:
        """The fingerprints of all keys of which there is a copy: three looks, however many releases are asked about."""
        found: set[str] = set()
        for place in self._places:
            try:
                names = [path.name for path in place.iterdir()]
            except FileNotFoundError:
                continue
            except OSError as error:
                log.warning("%s: the keys cannot be listed: %s", place, error.strerror)
                continue
            found |= {name.rpartition(".")[0] for name in names if name.endswith(ENDINGS)}
        return frozenset(found)

    def _has(self, fingerprint: str) -> bool:
        return any((place / f"{fingerprint}{ending}").exists() for place in self._places for ending in ENDINGS)


def reachable(release: Release, has: Callable[[str], bool]) -> Trust:
    """What a download can reach at best, where `has` tells of which fingerprints there is a copy of the key."""
    if release.trust is Trust.SIGNED and not release.key_url and not has(release.key_fingerprint):
        return Trust.HASH
    return release.trust
