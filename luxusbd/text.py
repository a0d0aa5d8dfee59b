"""Text from foreign sources, made fit to be shown and stored."""

from __future__ import annotations

import re
import unicodedata

_SPACES = re.compile(r"\s+")
_SIZE = re.compile(r"([0-9]{1,20})\s?([kmgtp]?)(i?)(b?)", re.ASCII | re.IGNORECASE)
_DIGITS = re.compile(r"([0-9]+)")
_ADDRESS = re.compile(r"""://[^\s"<>]*""")


def clean(text: str, limit: int) -> str:
    """One line of at most `limit` characters without control, format, surrogate and private characters.

    Directional formatting characters (Unicode category Cf) would let a volume label reorder the text around it.
    """
    kept = "".join(char for char in text[: limit * 4] if char.isspace() or unicodedata.category(char)[0] != "C")
    return _SPACES.sub(" ", kept).strip()[:limit].rstrip()


def without_secrets(text: str) -> str:
    """The text with `user:password@`, and what follows `?` or `#`, taken out of every address in it.

    Signed addresses carry their secret in the query (RFC 3986 section 3.4), and no part of it is known to be harmless.
    Other words stay as they are; a path cannot be told from a secret.
    """
    return _ADDRESS.sub(_bare, text)


def _bare(found: re.Match[str]) -> str:
    # one match for all of an address: a search that begins anew at every part of it would take quadratic time
    parts = []
    for part in found[0].split("://"):
        authority, slash, path = part.partition("/")
        parts.append(authority.rpartition("@")[2] + slash + path)
    address = "://".join(parts)
    bare = re.split("[?#]", address, maxsplit=1)[0]
    if bare == address:
        return address
    return bare + "?..." + address[len(address.rstrip(":;,)]'")) :]


def size_text(count: int) -> str:
    """A number of bytes for people, with binary units (IEC 80000-13) and exact below 1 KiB: `3.9 GiB`."""
    if count < 1024:
        return f"{count} bytes"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"


def parse_size(text: str) -> int:
    """Bytes of a whole number with a unit: `200GiB`, `512M`, `8GB` or `4096`.

    K, M, G, T, P and KiB ... PiB are powers of 1024; kB, MB, GB ... are powers of 1000, as disks are sold.

    Raises:
        ValueError: it is no size.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None or (found[3] and not found[2]):
        raise ValueError(f"{text!r} is no size; write it like 200GiB, 512M or 4096")
    base = 1000 if found[2] and found[4] and not found[3] else 1024
    power = " kmgtp".index(found[2].lower()) if found[2] else 0
    return int(found[1]) * int(base**power)


def exact_size(count: int) -> str:
    """The shortest text that `parse_size` turns into the same number: `256MiB`, `1000`."""
    power = 0
    while count and count % 1024 == 0 and power < 5:
        count //= 1024
        power += 1
    return f"{count}{'KMGTP'[power - 1]}iB" if power else str(count)


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Orders texts by the numbers in them: 6.1.0-18 after 6.1.0-9, and 24.04.1 after 24.04."""
    parts = _DIGITS.split(text)
    return tuple((1, int(part[:18]), "") if part.isdecimal() else (0, 0, part) for part in parts if part)
