"""What `.part.json` says: the claims about a partial file, as a value, and their text on the disk.

The keys url, total_size, downloaded_bytes, checksum_partial and timestamp are fixed; the others are this program's own.
Reading is strict: a text that is torn, zero-filled, of another program or of a newer format is refused as a whole, so
that it costs a second look at the bytes and never a wrong claim.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from luxusbd.transfer.model import DIGESTS, Digest
from luxusbd.transfer.segments import Span, SpanSet

FORMAT = 1
STATE_LIMIT = 4 * 1024 * 1024
"""Bytes of a `.part.json` that is still read; real ones hold a few hundred."""
ALGORITHM = "sha256"

_HEX = re.compile(r"[0-9a-f]{64}\Z")
_DIGITS = re.compile(r"[0-9a-f]+")
_MAX_OFFSET = 2**63 - 1


class PartStateError(ValueError):
    """The text is no state of ours; the message says what is wrong with it."""


@dataclass(frozen=True)
class Validators:
    """What one server said about the version of the file that it holds (RFC 9110 section 8.8)."""

    final_url: str
    """Where the redirects ended."""
    etag: str = ""
    last_modified: str = ""
    total: int = 0
    """Bytes of the whole file, 0 when it did not say."""

    @property
    def strong_etag(self) -> str:
        """The ETag if it may stand in If-Range: a weak one must not (RFC 9110 section 13.1.5)."""
        return self.etag if self.etag.startswith('"') and self.etag.endswith('"') and len(self.etag) > 2 else ""

    @property
    def identity(self) -> str:
        """The final address without query: signed addresses differ in it from one request to the next."""
        return self.final_url.partition("#")[0].partition("?")[0]


@dataclass(frozen=True)
class SourceRecord:
    """One mirror's part in the file."""

    url: str
    """As it was asked for, before redirects."""
    validators: Validators
    spans: SpanSet = field(default_factory=SpanSet)
    """The bytes that came from it."""


@dataclass(frozen=True)
class PartState:
    """Claims about a `.part`; every byte of `done` was on the disk before this was written."""

    url: str
    """Where the latest bytes came from; empty before the first."""
    total_size: int
    """0 while unknown."""
    done: SpanSet
    prefix_length: int
    """How much from byte 0 `prefix_sha256` covers."""
    prefix_sha256: str
    timestamp: datetime
    expected: Digest | None
    """What the whole file must hash to; None where nobody knows."""
    sources: tuple[SourceRecord, ...] = field(default=())

    @property
    def downloaded_bytes(self) -> int:
        """Synced bytes, in all ranges."""
        return self.done.total


def encode(state: PartState) -> bytes:
    """The text for the disk, with a CRC-32 over everything else in it."""
    body: dict[str, Any] = {
        "format": FORMAT,
        "url": state.url,
        "total_size": state.total_size,
        "downloaded_bytes": state.downloaded_bytes,
        "checksum_partial": {
            "algorithm": ALGORITHM,
            "length": state.prefix_length,
            "value": state.prefix_sha256,
        },
        "timestamp": state.timestamp.astimezone(UTC).isoformat(timespec="seconds"),
        "expected": {
            "algorithm": state.expected.algorithm if state.expected is not None else ALGORITHM,
            "value": state.expected.value if state.expected is not None else "",
        },
        "ranges": _spans_to_json(state.done),
        "sources": [
            {
                "url": source.url,
                "final_url": source.validators.final_url,
                "etag": source.validators.etag,
                "last_modified": source.validators.last_modified,
                "total": source.validators.total,
                "ranges": _spans_to_json(source.spans),
            }
            for source in state.sources
        ],
    }
    return json.dumps({**body, "crc32": _crc(body)}, indent=1).encode() + b"\n"


def decode(text: bytes) -> PartState:
    """The state in a text from the disk.

    Raises:
        PartStateError: it is empty, torn, zero-filled or not ours. Of a newer program's text only what can be proven
            is taken.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PartStateError(f"not JSON: {error}") from error
    body = _object(document)
    crc = body.pop("crc32", None)
    written_by = body.get("format")
    if type(written_by) is int and written_by > FORMAT:
        return _of_newer(body, written_by)
    if written_by != FORMAT:
        raise PartStateError(f"format {written_by!r}, this program knows {FORMAT}")
    if crc != _crc(body):
        raise PartStateError("its checksum does not fit")
    checksum = _object(body.get("checksum_partial"))
    if checksum.get("algorithm") != ALGORITHM:
        raise PartStateError("another hash than sha256")
    try:
        timestamp = datetime.fromisoformat(_text(body, "timestamp"))
    except ValueError as error:
        raise PartStateError(f"no time: {error}") from error
    if timestamp.tzinfo is None:
        raise PartStateError("a time without its zone")
    state = PartState(
        url=_text(body, "url"),
        total_size=_size(body, "total_size"),
        done=_spans_from_json(body.get("ranges")),
        prefix_length=_size(checksum, "length"),
        prefix_sha256=_text(checksum, "value"),
        timestamp=timestamp,
        expected=_expected(body.get("expected")),
        sources=_sources(body.get("sources")),
    )
    return _checked(state, _size(body, "downloaded_bytes"))


def _of_newer(body: dict[str, Any], written_by: int) -> PartState:
    """What a newer program wrote, as far as it proves itself: the bytes up to the first hole, which have a hash.

    Those keys are the ones that no format changes.
    """
    checksum = _object(body.get("checksum_partial"))
    if checksum.get("algorithm") != ALGORITHM:
        raise PartStateError(f"format {written_by}, this program knows {FORMAT}")
    try:
        expected = _expected(body.get("expected"))
    except PartStateError as error:
        raise PartStateError(f"format {written_by}, this program knows {FORMAT}: {error}") from error
    length = _size(checksum, "length")
    state = PartState(
        url=_text(body, "url"),
        total_size=_size(body, "total_size"),
        done=SpanSet((Span(0, length),)) if length else SpanSet(),
        prefix_length=length,
        prefix_sha256=_text(checksum, "value"),
        timestamp=datetime.now(UTC),
        expected=expected,
    )
    return _checked(state, length)


def _checked(state: PartState, downloaded: int) -> PartState:
    if downloaded != state.downloaded_bytes:
        raise PartStateError("downloaded_bytes does not fit the ranges")
    if not _HEX.match(state.prefix_sha256):
        raise PartStateError("no sha256")
    if state.prefix_length != state.done.prefix:
        raise PartStateError("checksum_partial does not cover the bytes up to the first hole")
    if state.total_size and state.done.end > state.total_size:
        raise PartStateError("bytes beyond the end of the file")
    lost = tuple(
        replace(source, spans=source.spans.subtract(source.spans.subtract(state.done))) for source in state.sources
    )
    return replace(state, sources=lost)


def _expected(value: Any) -> Digest | None:
    found = _object(value)
    algorithm, digest = found.get("algorithm"), _text(found, "value")
    if not isinstance(algorithm, str) or algorithm not in DIGESTS:
        raise PartStateError(f"another hash than {', '.join(DIGESTS)}")
    if algorithm == ALGORITHM and not digest:
        return None
    if len(digest) != DIGESTS[algorithm] or not _DIGITS.fullmatch(digest):
        raise PartStateError(f"no {algorithm}")
    return Digest(algorithm, digest)


def _sources(value: Any) -> tuple[SourceRecord, ...]:
    if not isinstance(value, list):
        raise PartStateError("no list of sources")
    records = []
    for item in value:
        one = _object(item)
        validators = Validators(
            _text(one, "final_url"), _text(one, "etag"), _text(one, "last_modified"), _size(one, "total")
        )
        records.append(SourceRecord(_text(one, "url"), validators, _spans_from_json(one.get("ranges"))))
    return tuple(records)


def _spans_to_json(spans: SpanSet) -> list[list[int]]:
    return [[span.start, span.end] for span in spans]


def _spans_from_json(value: Any) -> SpanSet:
    if not isinstance(value, list):
        raise PartStateError("no list of ranges")
    spans = []
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2 or not all(type(one) is int for one in pair):
            raise PartStateError(f"no range: {pair!r}")
        if pair[1] > _MAX_OFFSET:
            raise PartStateError(f"no place in a file: {pair[1]}")
        try:
            spans.append(Span(pair[0], pair[1]))
        except ValueError as error:
            raise PartStateError(str(error)) from error
    try:
        return SpanSet(tuple(spans))
    except ValueError as error:
        raise PartStateError(str(error)) from error


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PartStateError("no object where one belongs")
    return dict(value)


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str):
        raise PartStateError(f"{key} is no text")
    return value


def _size(body: dict[str, Any], key: str) -> int:
    value = body.get(key)
    if type(value) is not int or not 0 <= value <= _MAX_OFFSET:
        raise PartStateError(f"{key} is no size")
    return value


def _crc(body: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(body, sort_keys=True, separators=(",", ":")).encode())
