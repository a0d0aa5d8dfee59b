"""What the daemon tells of its distributions, as a catalogue of schema 2.0 that means the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from luxusb_cli.wire import Wire, flag, number, text, wires

_OPTIONAL = (
    "sha512", "blake2b", "sums_url", "signature_url", "key_fingerprint", "key_url", "metalink", "recipe", "end_of_life",
    "mirror_list", "mirror_path",
)  # fmt: skip
"""Fields of a release that are left out where they are empty, and are called the same on the bus."""


def document_of(found: Sequence[Wire]) -> dict[str, Any]:
    """A catalogue with these distributions, as GetDistribution tells them."""
    entries = [_entry(wire) for wire in found]
    return {
        "version": "2.0",
        "last_updated": datetime.now(UTC).date().isoformat(),
        "distributions": [entry for entry in entries if entry["releases"]],
    }


def _entry(wire: Wire) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": text(wire, "id"),
        "name": text(wire, "name"),
        "description": text(wire, "description"),
        "homepage": text(wire, "homepage"),
        "logo_url": text(wire, "logo_url"),
        "category": text(wire, "category"),
        "popularity_rank": number(wire, "popularity_rank"),
    }
    if feed := text(wire, "feed"):
        entry["feed"] = feed
    releases = wires(wire.get("releases", []), "releases")
    # Without a hash a release is nothing that another daemon could check.
    entry["releases"] = [_release(one) for one in releases if text(one, "sha256") or text(one, "sha512")]
    return entry


def _release(wire: Wire) -> dict[str, Any]:
    url, size = text(wire, "url"), number(wire, "size")
    release: dict[str, Any] = {
        "version": text(wire, "version"),
        "release_date": text(wire, "release_date"),
        "iso_url": url,
        "sha256": text(wire, "sha256"),
        # an older daemon does not tell the hint
        "size_mb": number(wire, "size_mb") or round(size / 1_000_000),
        "mirrors": [_mirror(one) for one in wires(wire.get("mirrors", []), "mirrors") if _counts(one, url)],
    }
    optional: dict[str, int | str | bool] = {
        "size": size,
        "minimum_memory_mb": number(wire, "minimum_memory_mb"),
        "rolling": flag(wire, "rolling"),
        **{name: text(wire, name) for name in ("architecture", "edition", *_OPTIONAL)},
    }
    return release | {name: value for name, value in optional.items() if value}


def _counts(mirror: Wire, url: str) -> bool:
    """Whether a mirror says something that `iso_url` does not."""
    return text(mirror, "url") != url or bool(text(mirror, "country"))


def _mirror(mirror: Wire) -> str | dict[str, str]:
    address, country = text(mirror, "url"), text(mirror, "country")
    return {"url": address, "country": country} if country else address
