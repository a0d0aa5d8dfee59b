"""What the core and the transfer process tell each other about words of makers and metalinks, as JSON.

The core reads the answers as the words of a stranger: the process has read foreign bytes.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from luxusbd.errors import InvalidArgumentError
from luxusbd.text import clean
from luxusbd.transfer.codec import digests_from_json, pieces_from_json
from luxusbd.transfer.model import Claim, Directions, MakersWord, MirrorUrl

MAX_REASON = 500
MAX_NAMES = 16
MAX_MIRRORS = 200
MAX_OLDER = 64
MAX_KEPT_KEY = 1024 * 1024
"""Bytes of a fetched key that are handed on to be kept."""
_FINGERPRINT = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")
_URL = re.compile(r"https?://[!-~]{1,2000}")
_COUNTRY = re.compile(r"([A-Z]{2})?")


def claim_to_json(claim: Claim) -> dict[str, Any]:
    """A claim as a JSON object; the keys are the names of its fields."""
    return asdict(claim)


def claim_from_json(value: Mapping[str, Any]) -> Claim:
    """The claim in a JSON object.

    Raises:
        InvalidArgumentError: a field is missing or of the wrong type.
    """
    names = value.get("names")
    if not isinstance(names, list | tuple) or not 1 <= len(names) <= MAX_NAMES:
        raise InvalidArgumentError("a claim needs `names`, a list of file names")
    return Claim(
        fingerprint=_matching(value, "fingerprint", _FINGERPRINT),
        names=tuple(_text({"name": name}, "name") for name in names),
        digests=digests_from_json(value.get("digests", [])),
        sums_url=_text(value, "sums_url"),
        signature_url=_text(value, "signature_url"),
        key_url=_text(value, "key_url"),
    )


def sizes_from_json(value: object, most: Sequence[int]) -> tuple[int, ...]:
    """How many bytes of each room were written; `most` has the sizes of the rooms.

    Raises:
        InvalidArgumentError: it says anything else.
    """
    sizes = value.get("sizes") if isinstance(value, dict) else None
    if not isinstance(sizes, list) or len(sizes) != len(most):
        raise InvalidArgumentError("`sizes` must be a list with one number for each room")
    for size, room in zip(sizes, most, strict=True):
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= room:
            raise InvalidArgumentError("`sizes` must say how much of each room was written")
    return tuple(sizes)


def word_to_json(word: MakersWord) -> dict[str, Any]:
    """A word as a JSON object; the keys are the names of its fields, the key in base64."""
    key = word.key if len(word.key) <= MAX_KEPT_KEY else b""
    return {**asdict(word), "key": base64.b64encode(key).decode("ascii")}


def word_from_json(value: object) -> MakersWord:
    """The word in a JSON object.

    Raises:
        InvalidArgumentError: it is none.
    """
    if not isinstance(value, dict):
        raise InvalidArgumentError("the word of a maker must be an object")
    signed = value.get("signed")
    if not isinstance(signed, bool):
        raise InvalidArgumentError("`signed` must be true or false")
    try:
        key = base64.b64decode(_text(value, "key"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgumentError(f"`key` is no base64: {error}") from error
    return MakersWord(
        signed=signed,
        reason=clean(_text(value, "reason"), MAX_REASON),
        fingerprint=_matching(value, "fingerprint", _FINGERPRINT) if signed else "",
        signing_key=_matching(value, "signing_key", _FINGERPRINT) if signed else "",
        digests=digests_from_json(value.get("digests", [])),
        unreachable=value.get("unreachable") is True,
        key=key,
    )


def directions_to_json(directions: Directions) -> dict[str, Any]:
    """Directions as a JSON object; the keys are the names of its fields."""
    return asdict(directions)


def directions_from_json(value: object) -> Directions:
    """The directions in a JSON object.

    Raises:
        InvalidArgumentError: they are none.
    """
    if not isinstance(value, dict):
        raise InvalidArgumentError("directions must be an object")
    mirrors, older = value.get("mirrors"), value.get("older")
    if not isinstance(mirrors, list) or len(mirrors) > MAX_MIRRORS:
        raise InvalidArgumentError("directions need `mirrors`, a list")
    if not isinstance(older, list) or len(older) > MAX_OLDER:
        raise InvalidArgumentError("directions need `older`, a list")
    return Directions(
        mirrors=tuple(_mirror(each) for each in mirrors),
        size=_size(value.get("size")),
        pieces=pieces_from_json(value.get("pieces")),
        older=tuple(_size(each) for each in older),
        note=clean(_text(value, "note"), MAX_REASON),
    )


def _mirror(value: object) -> MirrorUrl:
    if not isinstance(value, dict):
        raise InvalidArgumentError("a mirror must be an object")
    return MirrorUrl(_matching(value, "url", _URL), _matching(value, "country", _COUNTRY))


def _size(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise InvalidArgumentError(f"{value!r} is no number of bytes")
    return value


def _text(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key)
    if not isinstance(found, str):
        raise InvalidArgumentError(f"`{key}` must be a text, not {clean(repr(found), 60)}")
    return found


def _matching(value: Mapping[str, Any], key: str, regex: re.Pattern[str]) -> str:
    found = _text(value, key)
    if not regex.fullmatch(found):
        raise InvalidArgumentError(f"`{key}` is malformed: {clean(found, 60)}")
    return found
