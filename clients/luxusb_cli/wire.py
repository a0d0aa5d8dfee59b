"""Readers for the dictionaries of the wire (a{sv} with its variants taken off).

A key that is missing takes its empty value, so that an older or newer daemon can be talked to; a value of another type
than the contract's is a `ProtocolError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from luxusb_cli.errors import LUXUSB, CliError
from luxusb_cli.i18n import _

Wire = Mapping[str, object]
T = TypeVar("T")


class ProtocolError(CliError):
    """The daemon's answer does not have the agreed shape."""

    def __init__(self, why: str) -> None:
        super().__init__(
            _("The daemon's answer was not understood"),
            why,
            _("Update luxusb and luxusbd to the same version."),
            name=LUXUSB + "Internal",
        )


def get(wire: Wire, key: str, kind: type[T], empty: T) -> T:
    """The value of `key`, which has to be a `kind`."""
    value = wire.get(key, empty)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ProtocolError(f"{key} is {type(value).__name__} in place of {kind.__name__}")
    return value


def text(wire: Wire, key: str) -> str:
    """A string."""
    return get(wire, key, str, "")


def number(wire: Wire, key: str) -> int:
    """An integer."""
    return get(wire, key, int, 0)


def flag(wire: Wire, key: str) -> bool:
    """A boolean."""
    return get(wire, key, bool, False)


def texts(wire: Wire, key: str) -> tuple[str, ...]:
    """An array of strings or object paths."""
    values = get(wire, key, list, [])
    if not all(isinstance(value, str) for value in values):
        raise ProtocolError(f"{key} holds something else than strings")
    return tuple(values)


def wires(value: object, where: str) -> list[Wire]:
    """An array of dictionaries."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ProtocolError(f"{where} is not a list of dictionaries")
    return value


def wire_of(value: object, where: str) -> Wire:
    """One dictionary."""
    if not isinstance(value, dict):
        raise ProtocolError(f"{where} is not a dictionary")
    return value
