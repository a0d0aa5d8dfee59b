"""Sizes, rates and times as people write them. Pure."""

from __future__ import annotations

import re
from fractions import Fraction

from luxusb_cli.i18n import _

MAX_SIZE = 2**64 - 1
"""What D-Bus type t holds."""

_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_FACTORS: dict[str, int] = {
    "": 1,
    "b": 1,
    **{
        suffix: 1024 ** (index + 1)
        for index, letter in enumerate("kmgtpe")
        for suffix in (letter, f"{letter}i", f"{letter}ib")
    },
    **{f"{letter}b": 1000 ** (index + 1) for index, letter in enumerate("kmgtpe")},
}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"([0-9]{1,9}) ?([smhdw]?)", re.ASCII)
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([a-z]*)", re.ASCII)


def parse_size(text: str) -> int:
    """Bytes of a size such as `4GiB`, `512M`, `1.5 GiB`, `8GB` or `4096`.

    K, M, G, T, P, E and KiB ... EiB are powers of 1024; kB, MB, GB ... are powers of 1000, as disks are sold. Case does
    not matter. A fraction of a byte is cut off.

    Raises:
        ValueError: not a size, or more than 64 bits hold; the text says what is expected.
    """
    match = _SIZE.fullmatch(text.strip().lower())
    if match is None or match[2] not in _FACTORS:
        raise ValueError(_("{text!r} is not a size; write it like 4GiB, 512M or 4096").format(text=text))
    size = int(Fraction(match[1]) * _FACTORS[match[2]])
    if size > MAX_SIZE:
        raise ValueError(_("{text!r} is more than {limit}").format(text=text, limit=format_exact(2**64)))
    return size


def parse_duration(text: str) -> int:
    """Seconds of a length of time such as `30d`, `12h`, `2w`, `45m`, `90s`; a number alone is days.

    Raises:
        ValueError: no length of time; the text says what is expected.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(_("{text!r} is no length of time; write it like 30d, 2w or 12h").format(text=text))
    return int(match[1]) * _SECONDS[match[2] or "d"]


def format_exact(size: int) -> str:
    """The shortest text with a binary suffix that `parse_size` turns into the same number: 4GiB, 1536MiB, 1000."""
    power = 0
    while power < len(_BINARY) - 1 and size and size % 1024 == 0:
        size //= 1024
        power += 1
    return f"{size}{_BINARY[power]}B" if power else str(size)


def format_size(size: int) -> str:
    """A size to read, to a tenth of its unit: `3.4 GiB`, `512 MiB`, `17 B`."""
    value = Fraction(size)
    power = 0
    while power < len(_BINARY) - 1 and round(value, 1) >= 1024:
        value /= 1024
        power += 1
    figure = f"{float(value):.1f}".removesuffix(".0")
    return f"{figure} {_BINARY[power]}B"


def format_rate(rate: int) -> str:
    """A rate in bytes per second to read."""
    return f"{format_size(rate)}/s"


def format_duration(seconds: int) -> str:
    """A length of time: `0:07`, `12:34`, `1:02:03`, `2d 03:04`."""
    minutes, second = divmod(max(0, seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d {hour:02}:{minute:02}"
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"
