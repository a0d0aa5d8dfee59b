"""What can be configured: every key, its type, its default and its meaning.

The dataclasses below are the one source: by them `configfile` reads the file and prints the documented default, and
they fill GetSettings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from luxusbd.text import exact_size

Value = bool | int | str | tuple[str, ...]


def _key(
    default: Any,
    doc: str,
    *,
    low: int | None = None,
    high: int | None = None,
    choices: tuple[str, ...] = (),
    path: bool = False,
    optional: bool = False,
    country: bool = False,
    runtime: bool = False,
    check: Callable[[str], str] | None = None,
) -> Any:
    """One key.

    `path`: has to be a whole path; `optional`: or may be empty; `country`: a code of ISO 3166-1; `runtime`: SetSettings
    may change it; `check`: gives what is wrong with a text, or nothing.
    """
    return field(
        default=default,
        metadata={
            "doc": doc,
            "low": low,
            "high": high,
            "choices": choices,
            "path": path or optional,
            "optional": optional,
            "country": country,
            "runtime": runtime,
            "check": check,
        },
    )


MAX_SIZE = 1 << 50


def _size(default: int, doc: str, *, low: int = 0, runtime: bool = False) -> Any:
    """A number of bytes, which the file may also give as a text with a unit."""
    return field(
        default=default,
        metadata={
            "doc": doc,
            "low": low,
            "high": MAX_SIZE,
            "choices": (),
            "unit": exact_size(MAX_SIZE),
            "runtime": runtime,
        },
    )


PROXY_SCHEMES = ("http", "https")


def _proxy_fault(value: str) -> str:
    """What is wrong with the address of a proxy, or nothing; the text does not hold its password."""
    try:
        address = urlsplit(value)
        port = address.port
    except ValueError as error:
        return f"is no address of a proxy ({error}); write it like http://proxy.example.org:3128"
    if address.scheme not in PROXY_SCHEMES:
        known = " and ".join(f"{scheme}://" for scheme in PROXY_SCHEMES)
        return (
            f"{address.scheme or 'an address without a scheme'} is no kind of proxy that can be used; supported are"
            f" {known}, as in http://proxy.example.org:3128"
        )
    if not address.hostname or port == 0 or address.path not in ("", "/") or address.query or address.fragment:
        return "has to name a host and a port and nothing behind them, as in http://proxy.example.org:3128"
    return ""


@dataclass(frozen=True)
class DaemonConfig:
    """Section [daemon]."""

    log_level: str = _key(
        "info", "How much is logged: debug, info, warning or error.", choices=("debug", "info", "warning", "error")
    )
    idle_exit: int = _key(
        300,
        "Seconds without a job and without a client after which the daemon ends; D-Bus starts it again. 0 never.",
        low=0,
        high=86400,
    )
    keep_finished: int = _key(300, "Seconds for which a finished job keeps its D-Bus object.", low=1, high=86400)
    inhibit_sleep: bool = _key(
        True,
        "Whether the machine is kept from sleeping while downloads run, and from shutting down too while a stick is"
        " written (systemd-logind).",
        runtime=True,
    )


@dataclass(frozen=True)
class PathsConfig:
    """Section [paths]."""

    state_dir: str = _key("/var/lib/luxusb", "Where jobs and the image store live.", path=True)
    download_dir: str = _key(
        "/var/lib/luxusb/incoming",
        "Where unfinished downloads live. It has to be on the filesystem of state_dir and belongs to transfer.user.",
        path=True,
    )
    cache_dir: str = _key("/var/cache/luxusb", "Where the updated catalogue and logos live.", path=True)
    catalog_dir: str = _key(
        "/etc/luxusb/distros.d", "Where the administrator's own catalogue files (*.json) live.", path=True
    )
    recipes_dir: str = _key(
        "/etc/luxusb/recipes.d",
        "Where the administrator's own boot recipes (*.json) live. The transfer process has to be able to read them.",
        path=True,
    )
    keys_dir: str = _key(
        "/etc/luxusb/keys.d",
        "Where the administrator's copies of makers' OpenPGP keys live, each named FINGERPRINT.asc.",
        path=True,
    )
    certificates_dir: str = _key(
        "/etc/luxusb/certificates.d",
        "Where the administrator's X.509 certificates live that every stick brings along for MokManager"
        " (*.cer, *.crt, *.der, *.pem).",
        path=True,
    )


@dataclass(frozen=True)
class AuthorizationConfig:
    """Section [authorization]."""

    backend: str = _key(
        "polkit",
        "Who decides what a caller may do: polkit, or private (the daemon's own uid may do all, others nothing).",
        choices=("polkit", "private"),
    )


@dataclass(frozen=True)
class LimitsConfig:
    """Section [limits]."""

    jobs: int = _key(64, "Jobs that may run or wait at once.", low=1, high=10000, runtime=True)
    jobs_per_uid: int = _key(
        8, "Jobs that may run or wait at once for one user; root is not limited.", low=1, high=10000, runtime=True
    )
    active_downloads: int = _key(3, "Downloads that run at once; the others wait.", low=1, high=32, runtime=True)
    active_sticks: int = _key(4, "Sticks that are written at once; the others wait.", low=1, high=64, runtime=True)


@dataclass(frozen=True)
class TransferConfig:
    """Section [transfer]."""

    user: str = _key(
        "luxusb",
        "The user without privileges as whom the process runs that reads from the network, from images and from foreign"
        " sticks. Empty: the daemon's own user, without capabilities.",
    )
    memory: int = _key(512, "MiB of memory that this process may use.", low=128, high=65536)


@dataclass(frozen=True)
class ImagesConfig:
    """Section [images]."""

    max_unpacked: int = _key(64, "GiB to which a compressed image may unpack while it is imported.", low=1, high=16384)
    quota: int = _size(
        0,
        'Bytes that images and unfinished downloads may take together, such as "200GiB". Images that can be downloaded'
        " again and were not used for longest make room for new ones. 0: as much as the filesystem holds.",
    )
    quota_per_user: int = _size(
        0,
        "Bytes that may count for one user: what he imported, what he pinned, and what he downloaded and nobody else"
        " asked for; root is not limited. 0: no limit.",
    )
    reserve: int = _size(256 * 1024 * 1024, "Bytes of the filesystem that images leave free.")
    clean_imports: bool = _key(
        False,
        "Whether imported images make room, too. They may be the only copy; without this they go only when a user says"
        " so.",
    )


@dataclass(frozen=True)
class DownloadsConfig:
    """Section [downloads]."""

    keep_partial: int = _key(
        14,
        "Days after which the bytes of a download go that failed, or was cancelled and kept. 0: not before their space"
        " is needed.",
        low=0,
        high=3650,
        runtime=True,
    )
    resume: str = _key(
        "auto",
        "What becomes of unfinished downloads when the daemon starts: auto, they go on by themselves; ask, they wait"
        " paused until somebody resumes them.",
        choices=("auto", "ask"),
        runtime=True,
    )
    before_erasing: bool = _key(
        False,
        "Whether all images of a new stick are downloaded and verified before the disk is erased, when the caller does"
        " not say. Else they are written while they come.",
        runtime=True,
    )
    window: int = _size(
        256 * 1024 * 1024,
        "Bytes that are here at a time of an image that the caller does not want to be kept on this machine. Of more,"
        " more mirrors bring parts at once.",
        low=16 * 1024 * 1024,
    )
    bandwidth: int = _size(0, "Bytes per second that all downloads may take together. 0: no limit.", runtime=True)
    connections_per_host: int = _key(
        2,
        "Connections to one mirror at once, of all downloads together. Many mirrors ban who takes more.",
        low=1,
        high=8,
    )
    connections: int = _key(16, "Connections to all mirrors at once.", low=1, high=128)


@dataclass(frozen=True)
class NetworkConfig:
    """Section [network]."""

    proxy: str = _key(
        "",
        "The proxy for everything that is fetched, such as http://proxy.example.org:3128. Empty: none.",
        check=_proxy_fault,
    )
    http_proxy: str = _key("", "Another proxy for http addresses. Empty: the same.", check=_proxy_fault)
    https_proxy: str = _key("", "Another proxy for https addresses. Empty: the same.", check=_proxy_fault)
    proxy_credentials: str = _key(
        "",
        "A file with one line, user:password, for the proxies; only root may be able to read it. Empty: none, or those"
        " in the address of the proxy.",
        optional=True,
    )
    no_proxy: tuple[str, ...] = _key(
        ("localhost", "127.0.0.0/8", "::1"),
        "What is reached without a proxy: hosts, domains (with all below them), addresses, networks, or * for all.",
    )
    ca_file: str = _key(
        "",
        "A file (PEM) with authorities that are trusted beside those of the system, such as that of a proxy which looks"
        " into TLS. Empty: none.",
        optional=True,
    )


@dataclass(frozen=True)
class MirrorsConfig:
    """Section [mirrors]."""

    prefer: tuple[str, ...] = _key(
        (),
        'Countries whose mirrors are asked first, such as ["DE", "AT"], unless a user prefers others for himself.',
        country=True,
    )
    exclude: tuple[str, ...] = _key(
        (),
        "Countries whose mirrors are not asked, unless a user excludes others for himself.",
        country=True,
    )
    country: str = _key(
        "",
        "The country that this machine is in; its mirrors are asked a little earlier. Empty: unknown.",
        country=True,
    )
    country_database: str = _key(
        "",
        "A database in MaxMind's format (.mmdb) that tells the country of a public address of this machine, where it"
        " has one; that comes before `country`. Nothing is asked of the network. Needs the Python package maxminddb."
        " Empty: none.",
        optional=True,
    )


@dataclass(frozen=True)
class DevicesConfig:
    """Section [devices]."""

    allow_loop: tuple[str, ...] = _key(
        (),
        "Loop devices that may be written, as shell patterns on their node or on the path of the file behind them."
        " For tests and image work.",
    )
    large_disk: int = _size(
        256 * 1024**3,
        "Bytes from which on a disk counts as large. Those, and disks on USB whose medium cannot be taken out (hard"
        " disks in a case), are erased only when the caller says that a large disk is meant. 0: none is large.",
    )
    probe: bool = _key(
        True,
        "Whether a disk is probed for counterfeit flash before it is erased, when the caller does not say. Loop"
        " devices, which are no flash, are not.",
        runtime=True,
    )


@dataclass(frozen=True)
class CatalogConfig:
    """Section [catalog]."""

    files: tuple[str, ...] = _key(
        (), "Further catalogue files, the last one wins. `--catalog FILE` adds to them.", path=True
    )
    migrate_from: tuple[str, ...] = _key(
        (
            "/usr/lib/python3*/*-packages/luxusb/data/distros",
            "/usr/local/lib/python3*/*-packages/luxusb/data/distros",
            "/opt/luxusb/luxusb/data/distros",
        ),
        "Directories in which LUXusb before 1.0 kept its list of systems, with * for any name. The first start that"
        " finds one takes over what the catalogue does not have; empty: none does.",
    )
    update_url: str = _key(
        "",
        "Address of a signed catalogue from which this one is kept up to date. Empty: it is not updated. Nobody serves"
        ' one for all yet; the address is meant to be "https://api.luxusb.org/v1/distributions".',
    )
    update_signature_url: str = _key(
        "", "Address of its detached OpenPGP signature. Empty: that of the catalogue with .asc behind its path."
    )
    update_key: str = _key(
        "", "File with the OpenPGP public key, or several, that may sign it. It must not lie in /home.", optional=True
    )
    update_fingerprints: tuple[str, ...] = _key(
        (), "Full fingerprints of those of its keys whose signature counts: 40 or 64 hex digits each."
    )
    update_feeds: bool = _key(
        True,
        "Whether the daily update (luxusb-catalog-update.timer) asks the makers of systems for newer releases, too.",
    )
    logos: bool = _key(
        True,
        "Whether the logos of systems are fetched from the addresses that the catalogue names, when a client asks.",
    )
    feed_files: tuple[str, ...] = _key(
        (),
        "Further files that describe feeds of makers, the last one wins; docs/catalogue.md says what stands in them.",
        path=True,
    )


@dataclass(frozen=True)
class VerificationConfig:
    """Section [verification]."""

    minimum_trust: str = _key(
        "none",
        "How sure it has to be that an image is what its maker published before it is downloaded or written to a stick:"
        " signed (by the maker's key, which the catalogue names), hash (the catalogue's or a given list's hash fits),"
        " tls-only, or none (users' own images, too).",
        choices=("none", "tls-only", "hash", "signed"),
    )


@dataclass(frozen=True)
class Config:
    """Everything that can be configured."""

    daemon: DaemonConfig = field(default_factory=DaemonConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)
    authorization: AuthorizationConfig = field(default_factory=AuthorizationConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    transfer: TransferConfig = field(default_factory=TransferConfig)
    images: ImagesConfig = field(default_factory=ImagesConfig)
    downloads: DownloadsConfig = field(default_factory=DownloadsConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    mirrors: MirrorsConfig = field(default_factory=MirrorsConfig)
    devices: DevicesConfig = field(default_factory=DevicesConfig)
    catalog: CatalogConfig = field(default_factory=CatalogConfig)
    verification: VerificationConfig = field(default_factory=VerificationConfig)

    def settings(self) -> dict[str, Value]:
        """All keys as `section.key` with the value in force."""
        found: dict[str, Value] = {}
        for section in fields(self):
            part = getattr(self, section.name)
            for key in fields(part):
                found[f"{section.name}.{key.name}"] = getattr(part, key.name)
        return found


def changeable() -> tuple[str, ...]:
    """The keys that may be changed while the daemon runs, as `section.key`."""
    config = Config()
    return tuple(
        f"{section.name}.{key.name}"
        for section in fields(config)
        for key in fields(getattr(config, section.name))
        if key.metadata["runtime"]
    )
