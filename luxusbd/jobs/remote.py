"""The remote by which the catalogue is kept up to date, as the configuration names it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from luxusbd.config import CatalogConfig
from luxusbd.errors import ConfigError
from luxusbd.text import clean, without_secrets
from luxusbd.transfer.openpgp import MAX_KEY

_FINGERPRINT = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")


@dataclass(frozen=True)
class Remote:
    """Where the catalogue is kept up to date from, and whose signature counts."""

    url: str
    signature_url: str
    key: Path
    pinned: frozenset[str]

    @classmethod
    def of(cls, config: CatalogConfig) -> Remote:
        """As configured.

        Raises:
            ConfigError: it is not, or not well; the text names the key.
        """
        if not config.update_url:
            raise ConfigError(
                "no catalogue to update from is configured: set catalog.update_url, catalog.update_key and"
                " catalog.update_fingerprints in luxusbd.toml, or ask the makers themselves"
                " (`luxusb catalog update --feeds`)"
            )
        signature_url = config.update_signature_url or _with_suffix(config.update_url)
        _check_url("catalog.update_url", config.update_url)
        _check_url("catalog.update_signature_url", signature_url)
        if not config.update_key:
            raise ConfigError("catalog.update_key is empty: name the file with the key that signs the catalogue")
        pinned = pinned_fingerprints(config)
        if not pinned:
            raise ConfigError(
                "catalog.update_fingerprints is empty: name the full fingerprint of the key that signs the catalogue"
                f" (`gpg --show-keys {config.update_key}`)"
            )
        for fingerprint in pinned:
            if not _FINGERPRINT.fullmatch(fingerprint):
                raise ConfigError(
                    f"catalog.update_fingerprints: {clean(fingerprint, 80)!r} is no full fingerprint, which has 40 or"
                    " 64 hex digits"
                )
        return cls(config.update_url, signature_url, Path(config.update_key), pinned)


def pinned_fingerprints(config: CatalogConfig) -> frozenset[str]:
    """Whose signature counts; nobody's while no remote is configured."""
    if not config.update_url:
        return frozenset()
    return frozenset("".join(each.split()).upper() for each in config.update_fingerprints)


def read_keys(path: Path) -> bytes:
    """The file of keys that the configuration names. Blocks.

    Raises:
        ConfigError: it cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_KEY + 1)
    except OSError as error:
        raise ConfigError(f"catalog.update_key: {path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_KEY:
        raise ConfigError(f"catalog.update_key: {path} is larger than {MAX_KEY // 2**20} MiB: is it the right file?")
    return data


def _check_url(key: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ConfigError(f"{key}: {clean(without_secrets(url), 200)!r} is no http or https address")


def _with_suffix(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return url  # told by the check of the address itself
    return urlunsplit(parts._replace(path=parts.path + ".asc", fragment=""))
