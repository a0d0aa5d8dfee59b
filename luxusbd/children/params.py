"""Readers of what a request carries; whoever sent it is told what is wrong with it.

All of them raise InvalidArgumentError.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from luxusbd.children.protocol import Params
from luxusbd.errors import InvalidArgumentError


def integer(params: Params, key: str) -> int:
    """A whole number; true and false are none."""
    value = params.get(key)
    if type(value) is not int:
        raise InvalidArgumentError(f"`{key}` must be a whole number, not {value!r}")
    return value


def positive(params: Params, key: str) -> int:
    """A whole number from 1 on."""
    value = integer(params, key)
    if value < 1:
        raise InvalidArgumentError(f"`{key}` must be at least 1, not {value}")
    return value


def mapping(params: Params, key: str) -> Params:
    """An object."""
    value = params.get(key)
    if not isinstance(value, dict):
        raise InvalidArgumentError(f"`{key}` must be an object, not {value!r}")
    return value


def strings(params: Params, key: str) -> tuple[str, ...]:
    """A list of texts, not empty."""
    value = params.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise InvalidArgumentError(f"`{key}` must be a list of texts, not {value!r}")
    return tuple(value)


def text(params: Params, key: str) -> str:
    """A text, empty when there is none."""
    value = params.get(key, "")
    if not isinstance(value, str):
        raise InvalidArgumentError(f"`{key}` must be a text, not {value!r}")
    return value


def directory(params: Params, key: str) -> Path | None:
    """An absolute path, or None where nothing, or an empty text, is given."""
    value = params.get(key, "")
    if not isinstance(value, str) or (value and not value.startswith("/")):
        raise InvalidArgumentError(f"`{key}` must be an absolute path, not {value!r}")
    return Path(value) if value else None


def file_name(params: Params) -> str:
    """The name in `name`; whoever uses it checks what it may be."""
    name = params.get("name")
    if not isinstance(name, str):
        raise InvalidArgumentError("`name` must be the name of a file")
    return name


def day(params: Params, key: str) -> datetime.date:
    """A day, as YYYY-MM-DD."""
    try:
        return datetime.date.fromisoformat(params.get(key, ""))
    except (ValueError, TypeError):
        raise InvalidArgumentError(f"`{key}` must be a day such as 2026-10-01, not {params.get(key)!r}") from None


def descriptors(fds: Sequence[int], count: int) -> tuple[int, ...]:
    """Exactly `count` descriptors."""
    if len(fds) != count:
        raise InvalidArgumentError(f"{count} descriptors are needed, {len(fds)} came")
    return tuple(fds)
