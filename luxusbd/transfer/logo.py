"""A logo as it was fetched: a value, and its JSON for the channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from luxusbd.errors import InterruptedJobError
from luxusbd.transfer.pairmodel import MAX_VALIDATOR
from luxusbd.transfer.picture import MAX_PICTURE, PictureKind
from luxusbd.transfer.smallmodel import Version


@dataclass(frozen=True)
class Logo:
    """What came of asking for one."""

    kind: PictureKind | None
    """What it is; None when it is still the one at hand."""
    size: int
    """Bytes in the room that it was written to."""
    version: Version


def logo_to_json(logo: Logo) -> dict[str, Any]:
    """For `logo_from_json`."""
    return {"kind": logo.kind.value if logo.kind else "", "size": logo.size, **asdict(logo.version)}


def logo_from_json(value: object, known: Version) -> Logo:
    """Read what a `Logo` became as JSON, as the words of a stranger: who says it speaks to the network.

    Raises:
        InterruptedJobError: it is anything else than an answer to a question for another version than `known`.
    """
    if isinstance(value, Mapping):
        kind, size, etag, changed = (value.get(key) for key in ("kind", "size", "etag", "last_modified"))
        if (
            isinstance(kind, str)
            and (kind in set(PictureKind) or (not kind and known != Version()))
            and type(size) is int
            and 0 <= size <= MAX_PICTURE
            and isinstance(etag, str)
            and isinstance(changed, str)
            and max(len(etag), len(changed)) <= MAX_VALIDATOR
            and (etag + changed).isprintable()
        ):
            return Logo(PictureKind(kind) if kind else None, size, Version(etag, changed))
    raise InterruptedJobError("the transfer process sent nonsense for a logo")
