"""Who signed an EFI program: the names in its certificate table.

Nothing is verified, that is firmware's and shim's work: this tells a user whose key would have to be trusted.
Sources: the PE format (attribute certificate table), RFC 5652 (SignedData), RFC 5280 (certificates), X.690 (DER).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from luxusbd.text import clean

MAX_CERTIFICATES = 16
"""Certificates looked at in one signature, and signatures in one table."""
NAME_LIMIT = 100

_PKCS_SIGNED_DATA = 2
_SEQUENCE = 0x30
_SET = 0x31
_INTEGER = 0x02
_BITS = 0x03
_OID = 0x06
_CONTEXT_0 = 0xA0
_COMMON_NAME = bytes.fromhex("550403")
_ORGANISATION = bytes.fromhex("55040a")
_TEXTS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1E: "utf-16-be"}


class _BrokenError(Exception):
    """The bytes are no DER."""


@dataclass(frozen=True)
class _Item:
    tag: int
    raw: bytes
    """With its header."""
    body: bytes


def signers(table: bytes) -> tuple[str, ...]:
    """The subjects of the certificates that signed, in the order of the signatures; unreadable ones are left out."""
    found: list[str] = []
    offset = 0
    for _ in range(MAX_CERTIFICATES):
        if offset + 8 > len(table):
            break
        length, _revision, kind = struct.unpack_from("<IHH", table, offset)
        if length < 8 or offset + length > len(table):
            break
        if kind == _PKCS_SIGNED_DATA:
            # a name that cannot be read is not shown; that there is a signature is known without it
            with suppress(_BrokenError):
                found += _signers(table[offset + 8 : offset + length])
        offset += (length + 7) // 8 * 8
    return tuple(dict.fromkeys(name for name in found if name))


def subject_of(certificate: bytes) -> str | None:
    """The subject of an X.509 certificate in DER, empty when it cannot be read; None for anything else."""
    try:
        (outer,) = _children(certificate)
        tbs, algorithm, signature = _children(outer.body)
        fields = [item for item in _children(tbs.body) if item.tag != _CONTEXT_0]
        serial, inner, issuer, validity, subject, key = fields[:6]
        shape = [item.tag for item in (outer, tbs, algorithm, signature, serial, inner, issuer, validity, subject, key)]
        if shape != [_SEQUENCE, _SEQUENCE, _SEQUENCE, _BITS, _INTEGER, *[_SEQUENCE] * 5]:
            return None
        return _name(subject.body)
    except (_BrokenError, ValueError):
        return None


def _signers(data: bytes) -> Iterator[str]:
    content = _children(_one(data).body)
    signed = _children(_one(_at(content, 1).body).body)
    certificates = [item for part in signed if part.tag == _CONTEXT_0 for item in _children(part.body)]
    infos = next((part for part in reversed(signed) if part.tag == _SET), None)
    if infos is None:
        raise _BrokenError
    subjects = {}
    for certificate in certificates[:MAX_CERTIFICATES]:
        fields = _children(_at(_children(certificate.body), 0).body)
        if fields and fields[0].tag == _CONTEXT_0:
            fields = fields[1:]
        subjects[_at(fields, 0).body, _at(fields, 2).raw] = _name(_at(fields, 4).body)
    for info in _children(infos.body)[:MAX_CERTIFICATES]:
        issuer_and_serial = _children(_at(_children(info.body), 1).body)
        yield subjects.get((_at(issuer_and_serial, 1).body, _at(issuer_and_serial, 0).raw), "")


def _name(body: bytes) -> str:
    """The common name in a distinguished name, else its organisation."""
    found: dict[bytes, str] = {}
    for relative in _children(body):
        for attribute in _children(relative.body):
            kind, value = _at(_children(attribute.body), 0), _at(_children(attribute.body), 1)
            if kind.tag == _OID and value.tag in _TEXTS:
                found.setdefault(kind.body, value.body.decode(_TEXTS[value.tag], "replace"))
    return clean(found.get(_COMMON_NAME) or found.get(_ORGANISATION, ""), NAME_LIMIT)


def _at(items: list[_Item], index: int) -> _Item:
    if index >= len(items):
        raise _BrokenError
    return items[index]


def _one(data: bytes) -> _Item:
    return _at(_children(data, limit=1), 0)


def _children(data: bytes, limit: int = 256) -> list[_Item]:
    found: list[_Item] = []
    offset = 0
    while offset < len(data) and len(found) < limit:
        if offset + 2 > len(data):
            raise _BrokenError
        tag, length = data[offset], data[offset + 1]
        body = offset + 2
        if length & 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4 or body + count > len(data):
                raise _BrokenError
            length = int.from_bytes(data[body : body + count], "big")
            body += count
        if body + length > len(data):
            raise _BrokenError
        found.append(_Item(tag, data[offset : body + length], data[body : body + length]))
        offset = body + length
    return found
