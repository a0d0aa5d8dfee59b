"""Messages as bytes, also such as no library makes (D-Bus specification, "Marshaling (Wire Format)")."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tests.bus.raw import field, message

METHOD_CALL, METHOD_RETURN, ERROR, SIGNAL = 1, 2, 3, 4
_NUMBERS = {"y": "B", "b": "I", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d", "h": "I"}
_FIELDS = (("path", 1, "o"), ("interface", 2, "s"), ("member", 3, "s"), ("error", 4, "s"), ("reply", 5, "u"))


class V(NamedTuple):
    """A variant."""

    signature: str
    value: Any


def types(signature: str) -> Iterator[str]:
    """The complete types of a signature."""
    at = 0
    while at < len(signature):
        begin = at
        while signature[at] == "a":
            at += 1
        depth = 0
        while True:
            depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(signature[at], 0)
            at += 1
            if not depth:
                break
        yield signature[begin:at]


def alignment(kind: str) -> int:
    """Of the first byte of a value."""
    if kind[0] in "yvg":
        return 1
    return {"n": 2, "q": 2, "x": 8, "t": 8, "d": 8, "(": 8, "{": 8}.get(kind[0], 4)


def encode(signature: str, values: Sequence[Any]) -> bytes:
    """Values in little endian; a value that does not fit its type is the caller's fault."""
    out = bytearray()
    for kind, value in zip(types(signature), values, strict=True):
        _put(out, kind, value)
    return bytes(out)


def _put(out: bytearray, kind: str, value: Any) -> None:
    out += bytes(-len(out) % alignment(kind))
    if kind in _NUMBERS:
        out += struct.pack("<" + _NUMBERS[kind], value)
    elif kind in "so":
        data = value.encode("utf-8")
        out += struct.pack("<I", len(data)) + data + b"\0"
    elif kind == "g":
        out += bytes([len(value)]) + value.encode() + b"\0"
    elif kind == "v":
        _put(out, "g", value.signature)
        _put(out, value.signature, value.value)
    elif kind[0] == "a":
        out += bytes(4)
        start = len(out)
        out += bytes(-len(out) % alignment(kind[1:]))  # not counted
        begin = len(out)
        for entry in value.items() if isinstance(value, dict) else value:
            _put(out, kind[1:], entry)
        struct.pack_into("<I", out, start - 4, len(out) - begin)
    else:
        for inner, entry in zip(types(kind[1:-1]), value, strict=True):
            _put(out, inner, entry)


def build(
    kind: int, destination: str, *, flags: int = 0, signature: str = "", body: bytes = b"", fds: int = 0, **fields: Any
) -> bytes:
    """A message; of the header `path`, `interface`, `member`, `error`, `reply` and `serial` may be given."""
    header = [field(code, sort, fields[name]) for name, code, sort in _FIELDS if fields.get(name) is not None]
    if destination:
        header.append(field(6, "s", destination))
    if signature:
        header.append(field(8, "g", signature))
    if fds:
        header.append(field(9, "u", fds))
    return message(kind, flags, header, body, serial=fields.get("serial", 9))
