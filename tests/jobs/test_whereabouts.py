"""The country of this machine, from its own addresses and a local database."""

from __future__ import annotations

import ipaddress
import logging
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from luxusbd.config import MirrorsConfig
from luxusbd.jobs.whereabouts import Address, Whereabouts, address_in, own_addresses
from tests.jobs import mmdb

NETWORKS = {
    "1.2.3.0/24": {"country": {"iso_code": "DE"}},
    "2001:470::/32": {"country": {"iso_code": "AT"}},
    "8.0.0.0/8": {"country": {"iso_code": "U\0"}},
    "9.0.0.0/8": {"country_code": "NL"},
    "11.0.0.0/8": {"country": "FR"},
    "12.0.0.0/8": "text",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "country.mmdb"
    made.write_bytes(mmdb.database(NETWORKS))
    return made


def at(*texts: str, database: Path | str = "", country: str = "") -> Whereabouts:
    addresses: list[Address] = [ipaddress.ip_address(text) for text in texts]
    return Whereabouts(MirrorsConfig(country=country, country_database=str(database)), lambda: addresses)


@pytest.mark.parametrize(
    ("addresses", "country"),
    [
        (["127.0.0.1", "192.168.1.5", "fe80::1", "1.2.3.4"], "DE"),
        (["10.0.0.1", "2001:470::5"], "AT"),
        (["9.9.9.9"], "NL"),
        (["11.1.1.1"], "FR"),
        (["8.8.8.8", "9.9.9.9"], "NL"),  # nonsense is passed over
        (["12.1.1.1"], "CH"),
        (["10.0.0.1", "fd00::1"], "CH"),  # behind an address translation
        (["200.1.1.1"], "CH"),
        ([], "CH"),
    ],
)
async def test_a_public_address_tells_the_country(path: Path, addresses: list[str], country: str) -> None:
    assert await at(*addresses, database=path, country="CH").country() == country


async def test_without_a_database_the_configured_one_counts() -> None:
    assert await at("1.2.3.4", country="CH").country() == "CH"
    assert await at("1.2.3.4").country() == ""


@pytest.mark.parametrize("content", [None, b"", b"nonsense" * 100, "cut", "flipped"])
async def test_a_database_that_cannot_be_read_is_told_once(
    tmp_path: Path, path: Path, content: bytes | str | None, caplog: pytest.LogCaptureFixture
) -> None:
    good = path.read_bytes()
    other = tmp_path / "other.mmdb"
    if content is not None:
        made = {"cut": good[: len(good) // 2], "flipped": good.replace(b"node_count", b"node_c0unt")}
        other.write_bytes(made[content] if isinstance(content, str) else content)
    where = at("1.2.3.4", database=other, country="CH")
    with caplog.at_level(logging.WARNING):
        assert await where.country() == "CH"
        where._looked = float("-inf")
        assert await where.country() == "CH"
    assert [entry.message.startswith("mirrors.country_database") for entry in caplog.records] == [True]


async def test_any_bytes_are_a_country_or_none(tmp_path: Path, path: Path) -> None:
    """Every byte of a good database changed once: never more than a warning."""
    good = path.read_bytes()
    other = tmp_path / "other.mmdb"
    for position in range(len(good)):
        other.write_bytes(good[:position] + bytes([good[position] ^ 0xFF]) + good[position + 1 :])
        assert len(await at("1.2.3.4", "2001:470::5", database=other).country()) in (0, 2)


def test_the_kernel_tells_the_addresses() -> None:
    assert ipaddress.ip_address("127.0.0.1") in own_addresses()


def test_the_own_end_of_a_tunnel_is_taken() -> None:
    local, peer = bytes([1, 2, 3, 4]), bytes([5, 6, 7, 8])
    message = struct.pack("=BBBBI", 2, 32, 0, 0, 1) + struct.pack("=HH", 8, 1) + peer + struct.pack("=HH", 8, 2) + local
    assert address_in(message) == [ipaddress.ip_address("1.2.3.4")]
    assert address_in(message[:-8]) == [ipaddress.ip_address("5.6.7.8")]
    for cut in range(len(message)):
        assert len(address_in(message[:cut])) <= 1
    assert address_in(struct.pack("=BBBBI", 9, 0, 0, 0, 1) + message[8:]) == [], "another family"
    assert address_in(message[:8] + b"\0" * 20) == [], "attributes without length"


def test_the_package_is_needed_by_who_uses_it_alone(path: Path) -> None:
    program = f"""
import asyncio, ipaddress, sys
sys.modules["maxminddb"] = None
import luxusbd.jobs.engine
from luxusbd.config import MirrorsConfig
from luxusbd.jobs.whereabouts import Whereabouts
config = MirrorsConfig(country="CH", country_database={str(path)!r})
print(asyncio.run(Whereabouts(config, lambda: [ipaddress.ip_address("1.2.3.4")]).country()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "CH\n"
    assert "python3-maxminddb" in done.stderr
