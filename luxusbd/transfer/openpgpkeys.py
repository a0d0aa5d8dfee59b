"""Which OpenPGP keys are in a file, without gpg: the fingerprints of their primary keys."""

from __future__ import annotations

import hashlib

from luxusbd.errors import MalformedImageError
from luxusbd.transfer.openpgp import binary_keys

MAX_KEYS = 16
_PRIMARY = 6
"""The tag of a packet with a primary public key (RFC 9580, section 5)."""


def primary_fingerprints(data: bytes) -> tuple[str, ...]:
    """Full fingerprints, 40 or 64 upper-case hex digits, in the order of the file (RFC 9580, section 5.5.4).

    Raises:
        MalformedImageError: there is no key in it, too many are, or it is damaged.
    """
    ring = binary_keys(data)
    if ring[8:12] == b"KBXf":
        raise MalformedImageError("the key file is a keybox of gpg; give what `gpg --export` writes")
    found: list[str] = []
    at = 0
    while at < len(ring):
        tag, body, at = _packet(ring, at)
        if tag == _PRIMARY:
            found.append(_fingerprint(body))
    if not 0 < len(found) <= MAX_KEYS:
        raise MalformedImageError(f"the key file holds {len(found)} keys; it has to be 1 to {MAX_KEYS}")
    return tuple(dict.fromkeys(found))


def _packet(ring: bytes, at: int) -> tuple[int, bytes, int]:
    """Tag and body of the packet at a place, and where the next one is (RFC 9580, section 4.2)."""
    head = ring[at]
    if not head & 0x80:
        raise _damaged()
    if head & 0x40:
        tag, first = head & 0x3F, _number(ring, at + 1, 1)
        if first < 192:
            length, start = first, at + 2
        elif first < 224:
            length, start = ((first - 192) << 8) + _number(ring, at + 2, 1) + 192, at + 3
        elif first == 255:
            length, start = _number(ring, at + 2, 4), at + 6
        else:
            raise _damaged()  # only data come in parts
    else:
        tag, octets = (head >> 2) & 0x0F, (1, 2, 4, 0)[head & 3]
        if not octets:
            raise _damaged()
        length, start = _number(ring, at + 1, octets), at + 1 + octets
    if start + length > len(ring):
        raise _damaged()
    return tag, ring[start : start + length], start + length


def _fingerprint(body: bytes) -> str:
    version = body[:1]
    if version == b"\x04":
        return hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False).hexdigest().upper()
    if version == b"\x06":
        return hashlib.sha256(b"\x9b" + len(body).to_bytes(4, "big") + body).hexdigest().upper()
    raise MalformedImageError("the key file holds a key of a version that is not known")


def _number(ring: bytes, at: int, octets: int) -> int:
    if at + octets > len(ring):
        raise _damaged()
    return int.from_bytes(ring[at : at + octets], "big")


def _damaged() -> MalformedImageError:
    return MalformedImageError("the key file is damaged")
