"""A catalogue document with its detached signature: is it by a key that may sign, and is it a catalogue at all?"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from luxusbd.catalog.model import Layer
from luxusbd.catalog.schema import read_document
from luxusbd.errors import InterruptedJobError
from luxusbd.transfer.openpgp import Wording, verify

_WORDING = Wording("the catalogue", "; the catalogue stays as it is")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FINGERPRINT = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")


@dataclass(frozen=True)
class Vouched:
    """Who signed a document."""

    sha256: str
    """Of the document."""
    fingerprint: str
    """Of the primary key, in full; one of those that may sign."""
    signing_key: str
    """Fingerprint of the key, often a subkey, that made the signature."""


async def vouch(document: bytes, signature: bytes, keys: bytes, pinned: frozenset[str], name: str) -> Vouched:
    """Check a signed catalogue; `name` is what errors about its content call it.

    Raises:
        VerificationError: the signature is not good, or not by one of `pinned`.
        CatalogError: it is signed, and no catalogue that this version can read.
        MalformedImageError: `keys` holds no key.
        ToolMissingError: gpgv is not installed.
    """
    signed = await verify(document, signature, keys, pinned=pinned, wording=_WORDING)
    read_document(signed.data, name, Layer.CACHE)
    return Vouched(hashlib.sha256(document).hexdigest(), signed.fingerprint, signed.signing_key)


def vouched_from_json(value: object) -> Vouched:
    """Read what a `Vouched` became as JSON, as the words of a stranger: who says it has read foreign bytes.

    Raises:
        InterruptedJobError: it is anything else.
    """
    if not isinstance(value, Mapping):
        raise _nonsense()
    sha256, fingerprint, signing_key = (value.get(key) for key in ("sha256", "fingerprint", "signing_key"))
    return Vouched(
        _matching(sha256, _SHA256), _matching(fingerprint, _FINGERPRINT), _matching(signing_key, _FINGERPRINT)
    )


def _matching(value: Any, regex: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not regex.fullmatch(value):
        raise _nonsense()
    return value


def _nonsense() -> InterruptedJobError:
    return InterruptedJobError("the process that checks signatures sent nonsense")
