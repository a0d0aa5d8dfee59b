"""What a feed said, as JSON: between the transfer process and the core, and in the core's file of what feeds said.

Either is read as the words of a stranger: nothing that the feed's description does not allow comes out of it.
"""

from __future__ import annotations

import base64
import datetime
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from luxusbd.catalog.feeds.model import (
    MAX_CHOSEN,
    MAX_SIZE,
    Feed,
    FeedRelease,
    HashTrust,
    Outcome,
)
from luxusbd.catalog.feeds.reach import leads_to
from luxusbd.errors import InvalidArgumentError
from luxusbd.text import clean

MAX_PROBLEMS = 100
MAX_PROBLEM = 1000
MAX_VALIDATOR = 512
_LABEL = re.compile(r"[^/@\x00-\x1f\x7f]{0,64}")
_SHA256 = re.compile(r"([0-9a-f]{64})?")
_SHA512 = re.compile(r"([0-9a-f]{128})?")


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome as a JSON object; the keys are the names of its fields."""
    problems = [clean(problem, MAX_PROBLEM) for problem in outcome.problems[:MAX_PROBLEMS]]
    return {**asdict(outcome), "releases": [asdict(release) for release in outcome.releases], "problems": problems}


def outcome_from_json(value: object, feed: Feed) -> Outcome:
    """The outcome of `feed` in a JSON object.

    Raises:
        InvalidArgumentError: it is none, or none of this feed.
    """
    if not isinstance(value, Mapping) or value.get("feed") != feed.id:
        raise _nonsense()
    unchanged = value.get("unchanged")
    releases, problems = releases_from_json(value.get("releases"), feed), problems_from_json(value.get("problems"))
    if type(unchanged) is not bool or (unchanged and (releases or problems)):
        raise _nonsense()
    return Outcome(
        feed=feed.id,
        releases=releases,
        problems=problems,
        unchanged=unchanged,
        etag=validator_from_json(value.get("etag")),
        last_modified=validator_from_json(value.get("last_modified")),
    )


def releases_from_json(value: object, feed: Feed) -> tuple[FeedRelease, ...]:
    """Releases that `feed` may have told of; raises as `outcome_from_json`."""
    if not isinstance(value, list) or len(value) > MAX_CHOSEN:
        raise _nonsense()
    return tuple(_release(each, feed) for each in value)


def problems_from_json(value: object) -> tuple[str, ...]:
    """Lines about a feed; raises as `outcome_from_json`."""
    if not isinstance(value, list) or len(value) > MAX_PROBLEMS:
        raise _nonsense()
    return tuple(clean(_text(each), MAX_PROBLEM) for each in value)


def validator_from_json(value: object) -> str:
    """What goes back to a server as a header; raises as `outcome_from_json`."""
    text = _text(value)
    if len(text) > MAX_VALIDATOR or not text.isprintable():
        raise _nonsense()
    return text


def keys_to_json(keys: Mapping[str, bytes]) -> dict[str, str]:
    """Keys by fingerprint."""
    return {fingerprint: base64.b64encode(key).decode() for fingerprint, key in keys.items()}


def keys_from_json(value: object, wanted: frozenset[str]) -> Mapping[str, bytes]:
    """Keys by fingerprint, of those that are `wanted`; raises as `outcome_from_json`.

    That they are those keys is proven whenever one is used.
    """
    if not isinstance(value, Mapping) or not value.keys() <= wanted:
        raise _nonsense()
    try:
        return {name: base64.b64decode(_text(key), validate=True) for name, key in value.items()}
    except ValueError:
        raise _nonsense() from None


def _release(value: object, feed: Feed) -> FeedRelease:
    if not isinstance(value, Mapping):
        raise _nonsense()
    text = {key: _text(value.get(key)) for key in _TEXTS}
    size, hint = value.get("size"), value.get("size_hint")
    architectures = {image.architecture for image in feed.images}
    signed = text["trust"] == HashTrust.SIGNED
    if (
        text["distribution"] != feed.distribution
        or text["architecture"] not in architectures
        or not _LABEL.fullmatch(text["edition"])
        or not _LABEL.fullmatch(text["series"])
        or not text["version"]
        or not _LABEL.fullmatch(text["version"])
        or not _SHA256.fullmatch(text["sha256"])
        or not _SHA512.fullmatch(text["sha512"])
        or not (text["sha256"] or text["sha512"])
        or not all(_leads(feed, text[key], empty=key != "iso_url") for key in _ADDRESSES)
        or not _is_day(text["release_date"])
        or type(size) is not int
        or type(hint) is not int
        or not (0 <= size <= MAX_SIZE and 0 <= hint <= MAX_SIZE)
        or text["trust"] not in set(HashTrust)
        or signed != feed.has_signed_lists
        or (text["signed_by"] in feed.signing.keys) != signed
        or (not signed and text["signed_by"])
        or value.get("rolling") is not feed.rolling
    ):
        raise _nonsense()
    return FeedRelease(
        **{key: text[key] for key in _TEXTS if key != "trust"},
        size=size,
        size_hint=hint,
        trust=HashTrust(text["trust"]),
        rolling=feed.rolling,
    )


_ADDRESSES = ("iso_url", "sums_url", "signature_url", "metalink")
_TEXTS = (
    *_ADDRESSES, "distribution", "edition", "architecture", "version", "series", "sha256", "sha512", "release_date",
    "trust", "signed_by",
)  # fmt: skip


def _leads(feed: Feed, url: str, *, empty: bool) -> bool:
    return (empty and not url) or bool(url and leads_to(feed, "", url) == url)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _nonsense()
    return value


def _is_day(text: str) -> bool:
    try:
        return not text or datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _nonsense() -> InvalidArgumentError:
    return InvalidArgumentError("nonsense in what a feed said")
