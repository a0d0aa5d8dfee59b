"""Writes small databases in MaxMind's format (the MaxMind DB file format specification, version 2.0)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Unsigned:
    """A number of a certain width, which readers insist on."""

    bits: int
    value: int


MARK = b"\xab\xcd\xefMaxMind.com"


def database(networks: Mapping[str, object]) -> bytes:
    """A database of 24-bit records for IPv6, with IPv4 under ::/96 as the format has it."""
    data = b""
    offsets: list[tuple[str, int]] = []
    for network, value in networks.items():
        offsets.append((network, len(data)))
        data += _encoded(value)
    nodes: list[list[tuple[str, int] | None]] = [[None, None]]
    for network, offset in offsets:
        parsed = ipaddress.ip_network(network)
        bits = f"{int(parsed.network_address):0128b}"
        length = parsed.prefixlen + (96 if parsed.version == 4 else 0)
        at = 0
        for bit in map(int, bits[: length - 1]):
            found = nodes[at][bit]
            if found is None:
                found = nodes[at][bit] = ("node", len(nodes))
                nodes.append([None, None])
            at = found[1]
        nodes[at][int(bits[length - 1])] = ("data", offset)
    count = len(nodes)
    tree = b"".join(_record(entry, count).to_bytes(3, "big") for node in nodes for entry in node)
    metadata: dict[str, Any] = {
        "binary_format_major_version": Unsigned(16, 2),
        "binary_format_minor_version": Unsigned(16, 0),
        "build_epoch": Unsigned(64, 1_700_000_000),
        "database_type": "Test-Country",
        "description": {"en": "for tests"},
        "ip_version": Unsigned(16, 6),
        "languages": ["en"],
        "node_count": Unsigned(32, count),
        "record_size": Unsigned(16, 24),
    }
    return tree + bytes(16) + data + MARK + _encoded(metadata)


def _record(entry: tuple[str, int] | None, count: int) -> int:
    if entry is None:
        return count
    kind, value = entry
    return value if kind == "node" else count + 16 + value


def _encoded(value: object) -> bytes:
    if isinstance(value, str):
        text = value.encode()
        return _control(2, len(text)) + text
    if isinstance(value, dict):
        return _control(7, len(value)) + b"".join(_encoded(key) + _encoded(item) for key, item in value.items())
    if isinstance(value, list):
        return _control(11, len(value)) + b"".join(map(_encoded, value))
    assert isinstance(value, Unsigned)
    raw = value.value.to_bytes((value.value.bit_length() + 7) // 8, "big")
    return _control({16: 5, 32: 6, 64: 9}[value.bits], len(raw)) + raw


def _control(kind: int, size: int) -> bytes:
    assert size < 285
    first, more = (size, b"") if size < 29 else (29, bytes([size - 29]))
    return bytes([kind << 5 | first]) + more if kind <= 7 else bytes([first, kind - 7]) + more
