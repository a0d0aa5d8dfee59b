"""What the transfer process answers about imports, read as the words of a stranger: it reads foreign bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from luxusbd.errors import FailedError
from luxusbd.text import clean
from luxusbd.transfer.importmodel import ALGORITHMS, Content, Received
from luxusbd.transfer.packing import Packing
from luxusbd.transfer.proof import Proof
from luxusbd.transfer.sums import Sum

MAX_SUMS = 16
_DIGEST = re.compile(r"[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128}")
_FINGERPRINT = re.compile(r"([0-9A-F]{40}|[0-9A-F]{64})?")


def received_from_json(value: object) -> Received:
    """Read what a `Received` became as JSON.

    Raises:
        FailedError: it is anything else.
    """
    fields = _object(value)
    packing = fields.get("packing")
    if packing is not None and packing not in list(Packing):
        raise _nonsense("packing", packing)
    if (packing is None) != (fields.get("packed") is None):
        raise _nonsense("packed", fields.get("packed"))
    return Received(
        image=_content(fields.get("image")),
        packing=None if packing is None else Packing(packing),
        packed=None if packing is None else _content(fields.get("packed")),
        member=clean(_text(fields.get("member")), 255),
        cloned=fields.get("cloned") is True,
    )


def proof_from_json(value: object) -> Proof:
    """Read what a `Proof` became as JSON.

    Raises:
        FailedError: it is anything else.
    """
    fields = _object(value)
    sums = fields.get("sums")
    if not isinstance(sums, list) or not 1 <= len(sums) <= MAX_SUMS:
        raise _nonsense("sums", sums)
    return Proof(
        sums=tuple(_sum(_object(entry)) for entry in sums),
        fingerprint=_matching(fields.get("fingerprint"), _FINGERPRINT),
        signing_key=_matching(fields.get("signing_key"), _FINGERPRINT),
    )


def image_proof_from_json(value: object) -> Proof:
    """As `proof_from_json`, of an image that is signed itself.

    Raises:
        FailedError: as `proof_from_json`, or nobody signed.
    """
    fields = _object(value)
    fingerprint = _matching(fields.get("fingerprint"), _FINGERPRINT)
    if not fingerprint or fields.get("sums") != []:
        raise _nonsense("fingerprint", fingerprint)
    return Proof((), fingerprint, _matching(fields.get("signing_key"), _FINGERPRINT))


def _content(value: object) -> Content:
    fields = _object(value)
    size, digests = fields.get("size"), _object(fields.get("digests"))
    if type(size) is not int or not 0 < size < 1 << 63 or "sha256" not in digests or set(digests) - set(ALGORITHMS):
        raise _nonsense("content", value)
    return Content(size, {name: _matching(digest, _DIGEST) for name, digest in digests.items()})


def _sum(fields: Mapping[str, Any]) -> Sum:
    if fields.get("algorithm") not in ALGORITHMS:
        raise _nonsense("algorithm", fields.get("algorithm"))
    return Sum(
        name=clean(_text(fields.get("name")), 255),
        algorithm=str(fields["algorithm"]),
        digest=_matching(fields.get("digest"), _DIGEST),
    )


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _nonsense("answer", value)
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _nonsense("text", value)
    return value


def _matching(value: object, regex: re.Pattern[str]) -> str:
    text = _text(value)
    if not regex.fullmatch(text):
        raise _nonsense("text", text)
    return text


def _nonsense(what: str, value: object) -> FailedError:
    return FailedError(f"the transfer process sent nonsense for {what}: {clean(repr(value), 60)}")
