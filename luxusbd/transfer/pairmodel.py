"""A document with its detached signature, as it is asked for and as it came: values, and their JSON for the channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from luxusbd.errors import InterruptedJobError, InvalidArgumentError

MAX_VALIDATOR = 512
"""Characters of an ETag or a date; longer ones are not kept when they come."""


@dataclass(frozen=True)
class PairRequest:
    """What to fetch."""

    url: str
    signature_url: str
    most: int
    """Bytes of the document, at most."""
    most_signature: int
    etag: str = ""
    last_modified: str = ""
    """Of the document at hand, as its server called it; both empty to have it in any case."""

    @property
    def conditional(self) -> bool:
        """Whether the document need not be sent when it is the one at hand."""
        return bool(self.etag or self.last_modified)


@dataclass(frozen=True)
class Pair:
    """What was fetched. Sizes are bytes, 0 when the document is the one at hand."""

    changed: bool
    size: int = 0
    signature_size: int = 0
    etag: str = ""
    last_modified: str = ""


def pair_request_from_json(value: Mapping[str, Any]) -> PairRequest:
    """The request in a JSON object; other keys are left alone.

    Raises:
        InvalidArgumentError: a field is missing or of the wrong type.
    """
    texts = [value.get(key, "") for key in ("url", "signature_url", "etag", "last_modified")]
    numbers = [value.get(key) for key in ("most", "most_signature")]
    if not all(isinstance(text, str) for text in texts) or not all(type(number) is int for number in numbers):
        raise InvalidArgumentError("fetching a pair needs two addresses and two sizes")
    url, signature_url, etag, last_modified = map(str, texts)
    most, most_signature = (int(number or 0) for number in numbers)
    return PairRequest(url, signature_url, most, most_signature, etag, last_modified)


def pair_from_json(value: object, request: PairRequest) -> Pair:
    """Read what a `Pair` became as JSON, as the words of a stranger: who says it speaks to the network.

    Raises:
        InterruptedJobError: it is anything else than an answer to `request`.
    """
    if not isinstance(value, Mapping):
        raise InterruptedJobError("the transfer process sent nonsense for a pair")
    changed, size, signed = (value.get(key) for key in ("changed", "size", "signature_size"))
    etag, last_modified = value.get("etag"), value.get("last_modified")
    if (
        type(changed) is not bool
        or not (changed or request.conditional)
        or type(size) is not int
        or type(signed) is not int
        or not 0 <= size <= request.most
        or not 0 <= signed <= request.most_signature
        or not isinstance(etag, str)
        or not isinstance(last_modified, str)
        or max(len(etag), len(last_modified)) > MAX_VALIDATOR
        or not (etag + last_modified).isprintable()
    ):
        raise InterruptedJobError("the transfer process sent nonsense for a pair")
    return Pair(changed, size, signed, etag, last_modified)
