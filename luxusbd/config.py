"""The configuration file, /etc/luxusb/luxusbd.toml: every key, its type, its default and its meaning.

The dataclasses below are the one source: they parse the file, print the documented default file and fill GetSettings.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

from luxusbd.countries import country_code
from luxusbd.errors import ConfigError
from luxusbd.text import exact_size, parse_size

DEFAULT_PATH = Path("/etc/luxusb/luxusbd.toml")

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


def _size(default: int, doc: str, *, runtime: bool = False) -> Any:
    """A number of bytes, which the file may also give as a text with a unit."""
    return field(
        default=default,
        metadata={
            "doc": doc,
            "low": 0,
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
    cache_dir: str = _key("/var/cache/luxusb", "Where the updated catalogue lives.", path=True)
    catalog_dir: str = _key(
        "/etc/luxusb/distros.d", "Where the administrator's own catalogue files (*.json) live.", path=True
    )
    keys_dir: str = _key(
        "/etc/luxusb/keys.d",
        "Where the administrator's copies of makers' OpenPGP keys live, each named FINGERPRINT.asc.",
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


@dataclass(frozen=True)
class CatalogConfig:
    """Section [catalog]."""

    files: tuple[str, ...] = _key(
        (), "Further catalogue files, the last one wins. `--catalog FILE` adds to them.", path=True
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


def changed(base: Config, values: Mapping[str, object], name: str) -> Config:
    """`base` with other values, by `section.key`; `name` stands in the error messages.

    Raises:
        ConfigError: as for `load`.
    """
    nested: dict[str, dict[str, object]] = {}
    for key, value in values.items():
        section, dot, rest = key.partition(".")
        if not dot:
            raise ConfigError(f"{name}: unknown key {_shown(key)}{_nearest(key, base.settings())}")
        nested.setdefault(section, {})[rest] = value
    return _over(base, nested, name)


def changeable() -> tuple[str, ...]:
    """The keys that may be changed while the daemon runs, as `section.key`."""
    config = Config()
    return tuple(
        f"{section.name}.{key.name}"
        for section in fields(config)
        for key in fields(getattr(config, section.name))
        if key.metadata["runtime"]
    )


def load(path: Path, base: Config | None = None) -> Config:
    """Read a TOML file over `base`.

    Raises:
        ConfigError: unreadable, not TOML, an unknown key (with the nearest valid name) or a wrong value.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    return parse(text, str(path), base or Config())


def parse(text: str, name: str, base: Config) -> Config:
    """Read TOML text over `base`; `name` stands in the error messages.

    Raises:
        ConfigError: as for `load`.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a ValueError too: of a number with thousands of digits
        raise ConfigError(f"{name}: is not valid TOML: {error}") from error
    return _over(base, document, name)


def _over(base: Config, document: Mapping[str, Any], name: str) -> Config:
    sections = {section.name: getattr(base, section.name) for section in fields(base)}
    for section_name, values in document.items():
        if section_name not in sections:
            raise ConfigError(f"{name}: unknown section [{section_name}]{_nearest(section_name, sections)}")
        if not isinstance(values, dict):
            raise ConfigError(f"{name}: {section_name} has to be a section: write [{section_name}]")
        sections[section_name] = _section(name, section_name, values, sections[section_name])
    return replace(base, **sections)


def document() -> str:
    """The default configuration file with every key and its meaning."""
    lines = ["# luxusbd.toml: the configuration of luxusbd. What is commented out here is the default.", ""]
    config = Config()
    for section in fields(config):
        lines += [f"[{section.name}]"]
        part = getattr(config, section.name)
        for key in fields(part):
            lines += [
                f"# {key.metadata['doc']}{_range(key.metadata)}",
                f"#{key.name} = {written(getattr(part, key.name), key.metadata)}",
            ]
        lines.append("")
    return "\n".join(lines)


def written(value: Value, metadata: Mapping[str, Any]) -> str:
    """A value as it stands in the file, sizes with their unit; `metadata` is that of the key's field."""
    if "unit" in metadata and isinstance(value, int) and value:
        return f'"{exact_size(value)}"'
    return _toml(value)


def highest(metadata: Mapping[str, Any]) -> str:
    """The largest value that a key takes, for people."""
    return str(metadata.get("unit", metadata["high"]))


def _section(name: str, section: str, values: Mapping[str, Any], base: Any) -> Any:
    known = {key.name: key for key in fields(base)}
    hints = get_type_hints(type(base))
    changed: dict[str, Value] = {}
    for key_name, value in values.items():
        where = f"{name}: {section}.{key_name}"
        if key_name not in known:
            raise ConfigError(f"{name}: unknown key {section}.{key_name}{_nearest(key_name, known)}")
        changed[key_name] = _value(where, value, hints[key_name], known[key_name].metadata)
    return replace(base, **changed)


def _value(where: str, value: Any, kind: Any, limits: Mapping[str, Any]) -> Value:
    if kind is bool:
        if isinstance(value, bool):
            return value
        raise ConfigError(f"{where}: has to be true or false, not {_shown(value)}")
    if kind is int and "unit" in limits and isinstance(value, str):
        try:
            value = parse_size(value)
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from error
    if kind is int:
        low, high = limits["low"], limits["high"]
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise ConfigError(f"{where}: has to be a whole number from {low} to {high}, not {_shown(value)}")
    if kind is str:
        choices = limits["choices"]
        if isinstance(value, str) and (not choices or value in choices):
            return _text(where, value, limits)
        expected = "one of " + ", ".join(choices) if choices else "a text in quotes"
        raise ConfigError(f"{where}: has to be {expected}, not {_shown(value)}")
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(_text(where, item, limits) for item in value)
    raise ConfigError(f'{where}: has to be a list of texts such as ["/dev/loop7"], not {_shown(value)}')


def _shown(value: object) -> str:
    """A value in a message; of a number with thousands of digits Python makes no text at all (sys.int_info)."""
    try:
        text = repr(value)
    except ValueError:
        return "a number that is too long"
    return text if len(text) <= 200 else text[:197] + "..."


def _text(where: str, value: str, limits: Mapping[str, Any]) -> str:
    if not value.isprintable():
        raise ConfigError(f"{where}: {value!r} has a character that cannot be shown; write it without")
    if limits.get("check") and value and (fault := limits["check"](value)):
        raise ConfigError(f"{where}: {fault}")
    if limits["country"] and value:
        try:
            return country_code(value)
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from error
    if limits["path"] and not value.startswith("/") and not (limits["optional"] and not value):
        # relative to what would depend on who starts the daemon
        raise ConfigError(f"{where}: has to be a whole path, which begins with /, not {value!r}")
    return value


def _nearest(word: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"


def _range(limits: Mapping[str, Any]) -> str:
    return f" ({limits['low']} to {highest(limits)})" if limits["low"] is not None else ""


def _toml(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{item}"' for item in value) + "]"
    return str(value) if isinstance(value, int) else f'"{value}"'
