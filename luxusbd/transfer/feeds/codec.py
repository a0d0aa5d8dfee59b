"""What a feed said, as JSON between the transfer process and the core, which reads it as the words of a stranger."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from luxusbd.catalog.feeds.model import Feed, FeedRelease, HashTrust, Outcome, SignatureKind
from luxusbd.errors import InterruptedJobError
from luxusbd.text import clean
from luxusbd.transfer.feeds.addresses import leads_to
from luxusbd.transfer.feeds.choice import MAX_CHOSEN
from luxusbd.transfer.feeds.found import MAX_SIZE, date_of

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
        InterruptedJobError: it is none, or none of this feed.
    """
    if not isinstance(value, Mapping) or value.get("feed") != feed.id:
        raise _nonsense()
    releases, problems, unchanged = value.get("releases"), value.get("problems"), value.get("unchanged")
    if not isinstance(releases, list) or len(releases) > MAX_CHOSEN or type(unchanged) is not bool:
        raise _nonsense()
    if not isinstance(problems, list) or len(problems) > MAX_PROBLEMS or (unchanged and (releases or problems)):
        raise _nonsense()
    return Outcome(
        feed=feed.id,
        releases=tuple(_release(each, feed) for each in releases),
        problems=tuple(clean(_text(each), MAX_PROBLEM) for each in problems),
        unchanged=unchanged,
        etag=_validator(value.get("etag")),
        last_modified=_validator(value.get("last_modified")),
    )


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
        or (text["release_date"] and date_of(text["release_date"]) != text["release_date"])
        or type(size) is not int
        or type(hint) is not int
        or not (0 <= size <= MAX_SIZE and 0 <= hint <= MAX_SIZE)
        or text["trust"] not in set(HashTrust)
        or signed != (feed.signing.kind in (SignatureKind.DETACHED, SignatureKind.INLINE))
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


def _validator(value: object) -> str:
    text = _text(value)
    if len(text) > MAX_VALIDATOR or not text.isprintable():
        raise _nonsense()
    return text


def _nonsense() -> InterruptedJobError:
    return InterruptedJobError("the transfer process sent nonsense for a feed")
