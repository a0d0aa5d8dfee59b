"""Finds the one key that is pinned among OpenPGP keys from anywhere, by its full fingerprint.

Only the packets of that key reach gpgv. Whether its subkeys and its times hold is gpgv's judgement; what is read here
is where packets begin and end (RFC 9580, section 4.2) and the fingerprint of each primary key (section 5.5.4).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from luxusbd.errors import MalformedImageError
from luxusbd.transfer.openpgp import binary_keys

PUBLIC_KEY = 6
MAX_PACKETS = 100_000
"""Certificates of well-known keys carry thousands of signatures of others."""
MAX_PINNED = 1024 * 1024
"""Bytes of one key with all its signatures."""


def pinned_key(data: bytes, fingerprint: str) -> bytes | None:
    """The key whose primary key has this fingerprint, in binary; None when it is not among them.

    Args:
        data: OpenPGP public keys, binary or armored.
        fingerprint: 40 or 64 upper-case hex digits.

    Raises:
        MalformedImageError: `data` holds no OpenPGP keys, or they are damaged, or the key is larger than `MAX_PINNED`.
    """
    binary = binary_keys(data)
    if binary[8:12] == b"KBXf":
        raise MalformedImageError("the key is in a keybox of gpg; write it with: gpg --export --armor FINGERPRINT")
    found = b""
    own = False
    for tag, start, body, end in _packets(binary):
        if tag == PUBLIC_KEY:
            own = _fingerprint(binary[body:end]) == fingerprint
        if own:
            found += binary[start:end]
            if len(found) > MAX_PINNED:
                raise MalformedImageError(f"the key {fingerprint} has more than {MAX_PINNED // 1024} KiB")
    return found or None


def _packets(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Tag, start, start of the body and end of each packet."""
    position = 0
    for _number in range(MAX_PACKETS):
        if position >= len(data):
            return
        tag, body, length = _header(data, position)
        if body + length > len(data):
            raise _damaged("it ends in the middle of a packet")
        yield tag, position, body, body + length
        position = body + length
    raise _damaged(f"it has more than {MAX_PACKETS} packets")


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """Tag, start of the body and its length."""
    first = data[at]
    if not first & 0x80:
        raise _damaged("there is something else than a packet")
    if first & 0x40:
        tag, kind = first & 0x3F, data[at + 1 : at + 2]
        if not kind or 224 <= kind[0] < 255:
            raise _damaged("a packet has no length")
        if kind[0] < 192:
            return tag, at + 2, kind[0]
        if kind[0] < 224:
            low = _number(data, at + 2, 1)
            return tag, at + 3, (kind[0] - 192 << 8) + low + 192
        return tag, at + 6, _number(data, at + 2, 4)
    size = (1, 2, 4, 0)[first & 0x03]
    if not size:
        raise _damaged("a packet has no length")
    return first >> 2 & 0x0F, at + 1 + size, _number(data, at + 1, size)


def _number(data: bytes, at: int, size: int) -> int:
    field = data[at : at + size]
    if len(field) < size:
        raise _damaged("it ends in the middle of a packet")
    return int.from_bytes(field, "big")


def _fingerprint(body: bytes) -> str:
    version = body[0] if body else 0
    if version == 4:
        # RFC 9580 defines it by SHA-1; two keys of one fingerprint would need a second preimage
        if len(body) > 0xFFFF:
            return ""
        framed = b"\x99" + len(body).to_bytes(2, "big") + body
        return hashlib.sha1(framed, usedforsecurity=False).hexdigest().upper()
    if version == 6:
        return hashlib.sha256(b"\x9b" + len(body).to_bytes(4, "big") + body).hexdigest().upper()
    return ""


def _damaged(why: str) -> MalformedImageError:
    return MalformedImageError(f"the key file is damaged: {why}")
