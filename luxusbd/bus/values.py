"""From Python values to D-Bus values: the one place that knows which type a value gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from luxusbd.bus._lib import Variant
from luxusbd.errors import InternalError


class ObjectPath(str):
    """A string that travels as an object path (o)."""

    __slots__ = ()


class Typed(NamedTuple):
    """A value whose type is said outright, where the rule of `variant` would choose another."""

    signature: str
    value: Any


def text(value: str) -> str:
    """A string that the bus accepts: no NUL and no lone surrogate, either of which makes it hang up on the sender.

    Names and titles come out of images and catalogues, so both can occur.
    """
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def variant(value: object) -> Variant:
    """The variant for a value as JSON knows it.

    str is s (or o), bool b, int t (x below zero), float d, a list of str as, a list of mappings aa{sv}, a mapping a{sv}
    without the keys whose value is None; an empty list is as, another list av.

    Raises:
        InternalError: a value has no D-Bus type.
    """
    if isinstance(value, Typed):
        return Variant(value.signature, convert(value.signature, value.value))
    signature = _signature(value)
    return Variant(signature, convert(signature, value))


def convert(signature: str, value: Any) -> Any:
    """A value of the complete type `signature`, in the shape that the library takes it.

    Raises:
        InternalError: the value does not have that type.
    """
    simple = _SIMPLE.get(signature)
    if simple is not None:
        kind, change = simple
        _expect(isinstance(value, kind) and (bool in kind or not isinstance(value, bool)), signature, value)
        return change(value)
    if signature == "v":
        return value if isinstance(value, Variant) else variant(value)
    if signature == "a{sv}":
        _expect(isinstance(value, Mapping), signature, value)
        return {text(key): convert("v", entry) for key, entry in value.items() if entry is not None}
    if signature.startswith("a{") and signature[2] in _SIMPLE:
        _expect(isinstance(value, Mapping), signature, value)
        inner = signature[3:-1]
        return {convert(signature[2], key): convert(inner, entry) for key, entry in value.items()}
    if signature.startswith("a") and not signature.startswith("a{"):
        _expect(isinstance(value, Sequence) and not isinstance(value, str | bytes), signature, value)
        return [convert(signature[1:], entry) for entry in value]
    raise InternalError(f"the type {signature} is not used on this bus")


def _expect(fits: bool, signature: str, value: object) -> None:
    if not fits:
        raise InternalError(f"{value!r:.200} is not of the D-Bus type {signature}")


def _signature(value: object) -> str:
    for kind, signature in (("o", ObjectPath), ("s", str), ("b", bool), ("d", float)):
        if isinstance(value, signature):
            return kind
    if isinstance(value, int):
        return "t" if value >= 0 else "x"
    if isinstance(value, Mapping):
        return "a{sv}"
    if isinstance(value, Sequence):
        if all(isinstance(entry, ObjectPath) for entry in value) and value:
            return "ao"
        if all(isinstance(entry, str) for entry in value):
            return "as"
        return "aa{sv}" if all(isinstance(entry, Mapping) for entry in value) else "av"
    raise InternalError(f"a {type(value).__name__} has no D-Bus type")


_SIMPLE: Mapping[str, tuple[tuple[type, ...], Callable[[Any], Any]]] = {
    "s": ((str,), text),
    "o": ((str,), str),
    "b": ((bool,), bool),
    "d": ((float, int), float),
    **dict.fromkeys("nqiuxth", ((int,), int)),
}
