"""What documents of feeds name: files, and what they say of them."""

from __future__ import annotations

import datetime
import email.utils
import re
from dataclasses import dataclass

from luxusbd.catalog.feeds.model import MAX_SIZE

_DIGITS = re.compile(r"[0-9]{1,15}")
_DATE = re.compile(r"(\d{4})[-._]?(\d\d)[-._]?(\d\d)(?:[T ].*)?", re.DOTALL | re.ASCII)
_SHORT_DATE = re.compile(r"(\d\d)(\d\d)(\d\d)", re.ASCII)
_HEX = {64: "sha256", 128: "sha512"}
_LOWER_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True)
class Found:
    """A file that a document names."""

    url: str
    """Empty where the document has no addresses."""
    name: str
    version: str = ""
    """As the document says it; empty where only the name does."""
    sha256: str = ""
    sha512: str = ""
    size: int = 0
    size_hint: int = 0
    date: str = ""
    sums_url: str = ""
    signature_url: str = ""


def whole(value: object) -> int:
    """A number of bytes, also where it is a text as in Fedora's releases; 0 for anything else."""
    if isinstance(value, str) and _DIGITS.fullmatch(value) and value.isascii():
        value = int(value)
    if type(value) is not int or not 0 < value <= MAX_SIZE:
        return 0
    return value


def hex_digest(value: object, algorithm: str) -> str:
    """A hash of the algorithm that the document's own field names, in lower case; empty for anything else."""
    if not isinstance(value, str) or len(value) > 128:
        return ""
    lower = value.lower()
    return lower if _HEX.get(len(lower)) == algorithm and _LOWER_HEX.fullmatch(lower) else ""


def tagged_digest(value: object) -> tuple[str, str]:
    """The SHA-256 and the SHA-512 of a text such as `sha256:abc...`; both empty for any other algorithm."""
    if not isinstance(value, str):
        return "", ""
    algorithm, _, digits = value[:200].partition(":")
    return (
        hex_digest(digits, "sha256") if algorithm == "sha256" else "",
        hex_digest(digits, "sha512") if algorithm == "sha512" else "",
    )


def date_of(value: object) -> str:
    """The day in a date as documents and names write it, as YYYY-MM-DD; empty when it is none of the calendar."""
    if not isinstance(value, str) or len(value) > 64:
        return ""
    text = value.strip()
    if found := _DATE.fullmatch(text):
        year, month, day = (int(part) for part in found.groups())
    elif found := _SHORT_DATE.fullmatch(text):
        year, month, day = 2000 + int(found[1]), int(found[2]), int(found[3])
    else:
        return _mail_date(text)
    try:
        return datetime.date(year, month, day).isoformat()
    except ValueError:
        return ""


def _mail_date(text: str) -> str:
    """RFC 822, as RSS has it; SourceForge writes UT for UTC."""
    try:
        parsed = email.utils.parsedate_tz(text)
        return datetime.date(*parsed[:3]).isoformat() if parsed is not None else ""
    except (ValueError, TypeError, OverflowError, IndexError):
        return ""
