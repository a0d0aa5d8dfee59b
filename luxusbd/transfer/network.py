"""How the network is reached: which proxy for which address, and whom beside the system's authorities to trust.

Nothing of it comes from the environment: a service has none that an administrator would think of.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from luxusbd.config import NetworkConfig
from luxusbd.errors import ConfigError, InvalidArgumentError

MAX_CA_FILE = 4 << 20
MAX_CREDENTIALS = 1024

_T = TypeVar("_T")


@dataclass(frozen=True)
class Proxy:
    """One proxy; without a password in its text form."""

    url: str
    """Scheme, host and port."""
    user: str = ""
    password: str = ""

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        # a value in a traceback or a log must not tell the password
        return f"Proxy({self.url})"


@dataclass(frozen=True)
class Network:
    """What the transfer process has to know to reach the network."""

    http: Proxy | None = None
    """For addresses with http."""
    https: Proxy | None = None
    """For addresses with https, through CONNECT (RFC 9110, section 9.3.6)."""
    direct: tuple[str, ...] = ()
    """Hosts, domains, addresses and networks that are reached without; * is all."""
    authorities: str = ""
    """PEM."""

    def proxy_for(self, scheme: str, host: str) -> Proxy | None:
        """The proxy through which an address is fetched, None for none."""
        proxy = self.https if scheme == "https" else self.http
        return None if proxy is None or _matches(host, self.direct) else proxy

    def tls(self) -> ssl.SSLContext:
        """What servers have to prove; building it reads the whole bundle of authorities."""
        context = ssl.create_default_context()
        if self.authorities:
            context.load_verify_locations(cadata=self.authorities)
        return context


def load(config: NetworkConfig) -> Network:
    """The network as the configuration says, with the files that it names.

    Raises:
        ConfigError: a file cannot be read, says nothing sensible, or lets others than root read a password.
    """
    credentials = _credentials(Path(config.proxy_credentials)) if config.proxy_credentials else ("", "")
    http, https = (
        _proxy(url, credentials) if url else None
        for url in (config.http_proxy or config.proxy, config.https_proxy or config.proxy)
    )
    authorities = _authorities(Path(config.ca_file)) if config.ca_file else ""
    return Network(http, https, config.no_proxy, authorities)


def to_json(network: Network) -> dict[str, Any]:
    """For the channel to the transfer process, which is a socket between us and it."""
    return {
        "http": _proxy_to_json(network.http),
        "https": _proxy_to_json(network.https),
        "direct": list(network.direct),
        "authorities": network.authorities,
    }


def from_json(value: Mapping[str, Any]) -> Network:
    """The reverse.

    Raises:
        InvalidArgumentError: a field is missing or of the wrong type.
    """
    direct = _typed(value.get("direct"), list)
    return Network(
        _proxy_from_json(value.get("http")),
        _proxy_from_json(value.get("https")),
        tuple(_typed(each, str) for each in direct),
        _typed(value.get("authorities"), str),
    )


def _proxy_to_json(proxy: Proxy | None) -> dict[str, str] | None:
    return {"url": proxy.url, "user": proxy.user, "password": proxy.password} if proxy else None


def _proxy_from_json(value: Any) -> Proxy | None:
    if value is None:
        return None
    found = _typed(value, dict)
    return Proxy(*(_typed(found.get(key), str) for key in ("url", "user", "password")))


def _typed(value: Any, kind: type[_T]) -> _T:
    if not isinstance(value, kind):
        raise InvalidArgumentError(f"`network` has something else where a {kind.__name__} has to be")
    return value


def _proxy(address: str, credentials: tuple[str, str]) -> Proxy:
    parts = urlsplit(address)
    own = (unquote(parts.username or ""), unquote(parts.password or ""))
    user, password = own if own[0] else credentials
    if ":" in user:
        raise ConfigError("network.proxy: a user name cannot have a colon in it (RFC 7617)")
    authority = parts.netloc.rpartition("@")[2]
    return Proxy(f"{parts.scheme}://{authority}", user, password)


def _credentials(path: Path) -> tuple[str, str]:
    where = f"network.proxy_credentials: {path}"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            mode = os.fstat(fd).st_mode
            text = file.read(MAX_CREDENTIALS + 1)
    except OSError as error:
        raise ConfigError(f"{where} cannot be read: {error.strerror}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"{where} can be read or written by others: chmod 600 {path}")
    # nothing of the file goes into a message
    try:
        line = text.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{where} is not UTF-8 text") from None
    user, colon, password = line.partition(":")
    if not user or not colon or not line.isprintable() or len(text) > MAX_CREDENTIALS:
        raise ConfigError(f"{where} has to be one line, user:password")
    return user, password


def _authorities(path: Path) -> str:
    where = f"network.ca_file: {path}"
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CA_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{where} cannot be read: {error.strerror}") from error
    if len(data) > MAX_CA_FILE:
        raise ConfigError(f"{where} is larger than {MAX_CA_FILE >> 20} MiB")
    try:
        text = data.decode()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ValueError, ssl.SSLError) as error:  # a ValueError for no text, and for no certificate in it
        raise ConfigError(f"{where} holds no certificate authorities in PEM") from error
    return text


def _matches(host: str, rules: Sequence[str]) -> bool:
    host = host.lower().rstrip(".")
    address = _address(host)
    for rule in rules:
        wanted = rule.strip().lower().strip("[]")
        if wanted == "*":
            return True
        if address is not None:
            try:
                network = ipaddress.ip_network(wanted, strict=False)
            except ValueError:
                continue
            if address.version == network.version and address in network:
                return True
        else:
            domain = wanted.removeprefix("*").lstrip(".").rstrip(".")
            if domain and (host == domain or host.endswith(f".{domain}")):
                return True
    return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
