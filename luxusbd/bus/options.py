"""The trailing `a{sv}` of every method: declared once, checked in one place, read with types."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from luxusbd.bus._lib import Variant
from luxusbd.errors import InvalidArgumentError

T = TypeVar("T")

TYPE_NAMES = {
    "b": "boolean (b)",
    "i": "32-bit integer (i)",
    "u": "unsigned 32-bit integer (u)",
    "t": "unsigned 64-bit integer (t)",
    "s": "string (s)",
    "as": "array of strings (as)",
    "a{st}": "dictionary of unsigned 64-bit integers (a{st})",
    "o": "object path (o)",
    "h": "file descriptor (h)",
}


@dataclass(frozen=True)
class Option(Generic[T]):
    """One key that a method understands.

    `minimum` and `maximum` bound a number, or the length of a string or of an array; `choices` lists all strings that
    are allowed. The value of a file descriptor is the descriptor itself, which lives as long as the call.
    """

    name: str
    signature: str
    default: T
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()

    def check(self, value: Any) -> None:
        """Raise `InvalidArgumentError` when a value of the right type is out of range."""
        if self.choices and value not in self.choices:
            near = _nearest(str(value), self.choices)
            raise InvalidArgumentError(
                f"the option {self.name} cannot be {_shown(str(value))}{near}; allowed: {', '.join(self.choices)}"
            )
        numeric = isinstance(value, int)
        size = value if numeric else len(value)
        if (self.minimum is not None and size < self.minimum) or (self.maximum is not None and size > self.maximum):
            low = "" if self.minimum is None else f"at least {self.minimum}"
            high = "" if self.maximum is None else f"at most {self.maximum}"
            bounds = " and ".join(part for part in (low, high) if part)
            what = "" if numeric else " long"
            raise InvalidArgumentError(f"the option {self.name} must be {bounds}{what}, not {size}")


NO_USER_INTERACTION = Option("no_user_interaction", "b", default=False)
"""Understood by every method: never ask the user to authenticate, fail instead."""


class Options:
    """The checked options of one call; `options[PRIORITY]` has the type that PRIORITY was declared with."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, option: Option[T]) -> T:
        return cast("T", self._values.get(option.name, option.default))

    def given(self, option: Option[Any]) -> bool:
        """Whether the caller said anything about it."""
        return option.name in self._values


def parse(declared: Sequence[Option[Any]], given: Mapping[str, Variant]) -> Options:
    """Check what a caller gave against what a method understands.

    Raises:
        InvalidArgumentError: an unknown key, a wrong type, or a value out of range; the text names the key, the nearest
            key that exists, and all that do.
    """
    known = {option.name: option for option in (*declared, NO_USER_INTERACTION)}
    values: dict[str, Any] = {}
    for name, variant in given.items():
        option = known.get(name)
        if option is None:
            raise InvalidArgumentError(
                f"there is no option {_shown(name)}{_nearest(name, tuple(known))}; allowed: {', '.join(known)}"
            )
        if variant.signature != option.signature:
            wanted = TYPE_NAMES.get(option.signature, option.signature)
            raise InvalidArgumentError(f"the option {name} must be a {wanted}, not of type {variant.signature}")
        value = tuple(variant.value) if option.signature == "as" else variant.value
        option.check(value)
        values[name] = value
    return Options(values)


def _nearest(name: str, allowed: Sequence[str]) -> str:
    near = difflib.get_close_matches(name[:100], allowed, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _shown(name: str) -> str:
    return repr(name if len(name) <= 60 else name[:57] + "...")
