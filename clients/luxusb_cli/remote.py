"""The signed catalogue of a remote as the daemon tells of it."""

from __future__ import annotations

from dataclasses import dataclass

from luxusb_cli.wire import Wire, flag, number, text, texts


@dataclass(frozen=True)
class CatalogStatus:
    """How up to date the catalogue is. Times are unix seconds, 0 without an update."""

    url: str
    """Of the remote, empty when none is configured."""
    updated: int
    checked: int
    made: int
    serial: int
    expires: int
    fingerprint: str
    previous: bool
    """Whether the newest edition cannot be read and the one before is in force."""
    problems: tuple[str, ...]
    migrated: tuple[str, ...]
    """What became of the files of an older LUXusb on this machine."""
    own: str
    """SHA-256 of the caller's own catalogue as the daemon has it, or empty."""
    feeds: int = 0
    """Feeds of makers that can be asked for newer releases."""
    feeds_asked: int = 0
    feeds_failed: tuple[str, ...] = ()
    """Ids of those that gave nothing then."""

    @classmethod
    def from_wire(cls, wire: Wire) -> CatalogStatus:
        """From the answer of GetCatalogStatus."""
        return cls(
            url=text(wire, "url"),
            updated=number(wire, "updated"),
            checked=number(wire, "checked"),
            made=number(wire, "made"),
            serial=number(wire, "serial"),
            expires=number(wire, "expires"),
            fingerprint=text(wire, "fingerprint"),
            previous=flag(wire, "previous"),
            problems=texts(wire, "problems"),
            migrated=texts(wire, "migrated"),
            own=text(wire, "own"),
            feeds=number(wire, "feeds"),
            feeds_asked=number(wire, "feeds_asked"),
            feeds_failed=texts(wire, "feeds_failed"),
        )


@dataclass(frozen=True)
class RemoteInfo:
    """The remote of the catalogue, as it is set."""

    url: str
    """Empty for none."""
    signature_url: str
    """Empty for that of the catalogue with .asc behind its path."""
    fingerprints: tuple[str, ...]
    """Of the keys whose signature counts."""
    origin: str
    """Where the address comes from: default, configured or set."""

    @classmethod
    def from_settings(cls, settings: Wire, origins: Wire) -> RemoteInfo:
        """From the answers of GetSettings."""
        return cls(
            text(settings, "catalog.update_url"),
            text(settings, "catalog.update_signature_url"),
            texts(settings, "catalog.update_fingerprints"),
            text(origins, "catalog.update_url"),
        )


@dataclass(frozen=True)
class UpdateResult:
    """What an update of the catalogue changed."""

    updated: bool
    serial: int
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    feeds_asked: int = 0
    feeds_changed: int = 0
    feeds_unchanged: int = 0
    feeds_failed: int = 0
    failed_feeds: tuple[str, ...] = ()
    """Their ids."""
    feed_problems: tuple[str, ...] = ()

    @classmethod
    def from_wire(cls, wire: Wire) -> UpdateResult:
        """From the Result of a job."""
        return cls(
            flag(wire, "updated"),
            number(wire, "serial"),
            texts(wire, "added"),
            texts(wire, "changed"),
            texts(wire, "removed"),
            number(wire, "feeds_asked"),
            number(wire, "feeds_changed"),
            number(wire, "feeds_unchanged"),
            number(wire, "feeds_failed"),
            texts(wire, "failed_feeds"),
            texts(wire, "feed_problems"),
        )
