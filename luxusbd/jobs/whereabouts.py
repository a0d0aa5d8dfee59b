"""The country that this machine is in, from what it knows itself: no service of the network is asked.

The addresses of its own interfaces come from the kernel (rtnetlink(7)), since the core has no sockets for IP. A public
one among them is looked up in a local database of MaxMind's format, where the administrator has one. Behind an address
translation there is no public one, and then the configured country counts.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import struct
import time
from collections.abc import Callable, Iterable
from typing import Any

from luxusbd.config import MirrorsConfig
from luxusbd.countries import CODES

log = logging.getLogger(__name__)

AGAIN = 300.0
"""Seconds for which an answer counts: a laptop moves."""

# linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h
NLMSG_ERROR = 2
NLMSG_DONE = 3
RTM_NEWADDR = 20
RTM_GETADDR = 22
NLM_F_REQUEST = 0x1
NLM_F_DUMP = 0x300
IFA_ADDRESS = 1
IFA_LOCAL = 2
_HEADER = struct.Struct("=IHHII")
_ADDRESS = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_LENGTHS: dict[int, int] = {socket.AF_INET: 4, socket.AF_INET6: 16}
PATIENCE = 2.0

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Whereabouts:
    """Tells the country, and looks anew now and then."""

    def __init__(self, config: MirrorsConfig, addresses: Callable[[], Iterable[Address]] | None = None) -> None:
        """`addresses` are those of the machine; those of its interfaces unless tests bring others."""
        self._config = config
        self._addresses = addresses or own_addresses
        self._found = ""
        self._looked = float("-inf")
        self._complaint = ""

    async def country(self) -> str:
        """ISO 3166-1 alpha-2, or empty when it is not known."""
        if not self._config.country_database:
            return self._config.country
        if time.monotonic() - self._looked >= AGAIN:
            self._looked = time.monotonic()
            self._found = await asyncio.to_thread(self._look)
        return self._found or self._config.country

    def _look(self) -> str:
        path = self._config.country_database
        try:
            # optional: where it is missing, nothing but this is
            import maxminddb
        except ImportError:
            self._complain("mirrors.country_database needs the Python package maxminddb (python3-maxminddb)")
            return ""
        try:
            with maxminddb.open_database(path) as database:
                for address in sorted(set(self._addresses()), key=lambda one: (one.version, int(one))):
                    if address.is_global and not address.is_multicast:
                        country = _country_of(database.get(str(address)))
                        if country:
                            return country
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
            self._complain(f"mirrors.country_database: {path} cannot be used: {error}")
        return ""

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            self._complaint = text
            log.warning("%s; the country is not looked up", text)


def _country_of(record: Any) -> str:
    """The code in a record as MaxMind, DB-IP (both: country.iso_code) or IPinfo (country_code, country) make them."""
    if not isinstance(record, dict):
        return ""
    country = record.get("country")
    found = country.get("iso_code") if isinstance(country, dict) else record.get("country_code") or country
    return found if isinstance(found, str) and found in CODES else ""


def own_addresses() -> list[Address]:
    """The addresses of all interfaces.

    Raises:
        OSError: the kernel does not tell them.
    """
    found: list[Address] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(PATIENCE)
        kernel.bind((0, 0))
        request = _HEADER.pack(_HEADER.size + _ADDRESS.size, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 1, 0)
        kernel.send(request + _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
        while True:
            data, sender = kernel.recvfrom(1 << 16)
            if sender[0] != 0:
                continue  # any process may send to the socket, and port 0 is the kernel's alone
            for kind, message in _messages(data):
                if kind == NLMSG_DONE:
                    return found
                if kind == NLMSG_ERROR:
                    (code,) = struct.unpack_from("=i", message)
                    raise OSError(-code, "the addresses of this machine cannot be read")
                if kind == RTM_NEWADDR:
                    found += address_in(message)


def _messages(data: bytes) -> Iterable[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        length, kind = _HEADER.unpack_from(data)[:2]
        if length < _HEADER.size:
            return
        yield kind, data[_HEADER.size : length]
        data = data[(length + 3) & ~3 :]


def address_in(message: bytes) -> list[Address]:
    """The address in the body of a RTM_NEWADDR: its own one, not that of the other end of a tunnel."""
    if len(message) < _ADDRESS.size:
        return []
    wanted = _LENGTHS.get(message[0], 0)
    found: dict[int, bytes] = {}
    rest = message[_ADDRESS.size :]
    while len(rest) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(rest)
        if length < _ATTRIBUTE.size:
            break
        found[kind] = rest[_ATTRIBUTE.size : length]
        rest = rest[(length + 3) & ~3 :]
    own = found.get(IFA_LOCAL) or found.get(IFA_ADDRESS) or b""
    return [ipaddress.ip_address(own)] if wanted and len(own) == wanted else []
