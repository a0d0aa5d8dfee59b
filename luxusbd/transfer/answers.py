"""What a server's status and headers are worth: pure judgement, before a single byte of the body is taken.

Rules: RFC 9110 sections 14 (ranges), 13.1.5 (If-Range), 15.3.7 (206), 15.5.17 (416) and 10.2.3 (Retry-After), read
with the distrust that real mirrors have earned.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from urllib.parse import urlsplit

from multidict import CIMultiDictProxy

from luxusbd.text import clean
from luxusbd.transfer.partstate import Validators

Headers = CIMultiDictProxy[str]

_CONTENT_RANGE = re.compile(r"bytes\s+(\d{1,19})-(\d{1,19})/(\d{1,19}|\*)\Z", re.IGNORECASE)
_UNSATISFIED = re.compile(r"bytes\s+\*/(\d{1,19})\Z", re.IGNORECASE)
_VALIDATOR = re.compile(r"[\x20-\x7e]{1,512}\Z")
_WEB_PAGES = ("text/html", "application/xhtml+xml")


class FailureKind(StrEnum):
    """What went wrong with one request, as far as it decides what to do next."""

    NO_NETWORK = "no-network"
    """Nothing was reached: refused, unreachable, no name service."""
    TRANSIENT = "transient"
    """Cut, reset, no answer, or a server's own error: later again."""
    SLOW = "slow"
    """It works, and another one may do better."""
    STALLED = "stalled"
    """It went silent in the middle."""
    BUSY = "busy"
    """It asks us to come back later."""
    ABSENT = "absent"
    """It does not have the file (yet)."""
    DENIED = "denied"
    """403: an address that expired, or a server that dislikes ranges."""
    NO_RANGE = "no-range"
    """It sends the whole file where a part was asked for."""
    CHANGED = "changed"
    """It holds another version than before."""
    WRONG_SIZE = "wrong-size"
    """Its file has another length."""
    BAD_ANSWER = "bad-answer"
    """It breaks the protocol."""
    CAPTIVE = "captive"
    """A web page in place of the file: a login page of the network, or an error page that calls itself a success."""
    UNUSABLE = "unusable"
    """It will answer the same way again, and that is of no use."""


_WEIGHT = {FailureKind.WRONG_SIZE: 2, FailureKind.BAD_ANSWER: 2}


class SourceError(Exception):
    """One request to one mirror failed; `str()` says what the mirror did, for the list that the user gets."""

    def __init__(self, kind: FailureKind, text: str, *, retry_after: float = 0.0, weight: int | None = None) -> None:
        super().__init__(text)
        self.kind = kind
        self.retry_after = retry_after
        """Seconds that the server asked us to wait, 0 when it did not say."""
        self.weight = _WEIGHT.get(kind, 1) if weight is None else weight
        """How heavily it counts against the mirror."""
        self.redirected = False
        """Whether the answer came from another address than the one asked."""


@dataclass(frozen=True)
class Asked:
    """A request for the bytes from `start` on."""

    start: int
    end: int | None
    """One past the last byte, None for all there are."""
    ranged: bool
    """Whether it carries a Range header; without one `start` only says what is needed."""
    size: int
    """Bytes of the whole file as far as known, 0 when not."""
    hash_known: bool
    if_range: Validators | None = None
    """The version that the bytes before `start` belong to."""
    unless: Validators | None = None
    """The version that is there already and need not be sent again (RFC 9110, section 13.1)."""
    fresh: bool = False
    """Whether caches on the way must not answer by themselves; for small files that change."""
    https_only: bool = False
    """Whether plain http is refused although the content is checked in another way."""


class AnswerKind(StrEnum):
    """What comes in the body."""

    PART = "part"
    WHOLE = "whole"
    COMPLETE = "complete"
    """Nothing: there are no bytes beyond those we have."""
    SAME = "same"
    """Nothing: the version that is there already is the newest."""


class Delimiter(StrEnum):
    """How the end of the body is known."""

    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"
    """By the connection's end alone, which looks the same when it breaks."""


@dataclass(frozen=True)
class Answer:
    """An acceptable answer. The body holds the bytes from `start` to `end` (None: not told) of a file of `total`."""

    kind: AnswerKind
    start: int
    end: int | None
    total: int | None
    validators: Validators
    delimiter: Delimiter


def judge(status: int, reason: str, headers: Headers, asked: Asked, final_url: str) -> Answer:
    """The answer, if it may be used for `asked`.

    Raises:
        SourceError: it may not, and why.
    """
    if status == 206:
        return _part(headers, asked, final_url)
    if status == 200:
        return _whole(headers, asked, final_url)
    if status == 416:
        return _unsatisfied(headers, asked, final_url)
    if status == 304 and asked.unless is not None:
        return Answer(AnswerKind.SAME, 0, 0, 0, _validators(headers, final_url, 0), Delimiter.LENGTH)
    said = f"answered {status} {''.join(filter(str.isprintable, reason))[:80]}".rstrip()
    if status in (429, 503):
        raise SourceError(FailureKind.BUSY, said, retry_after=retry_after(headers))
    if status in (404, 410):
        raise SourceError(FailureKind.ABSENT, said)
    if status == 403:
        raise SourceError(FailureKind.DENIED, said)
    if status == 407:
        raise SourceError(FailureKind.UNUSABLE, f"{said}: a proxy on the way wants a password")
    if status in (408, 425) or 500 <= status < 600:
        raise SourceError(FailureKind.TRANSIENT, said, retry_after=retry_after(headers))
    if 400 <= status < 500:
        raise SourceError(FailureKind.UNUSABLE, said)
    raise SourceError(FailureKind.BAD_ANSWER, f"{said}, which is no answer to a download")


class Change(StrEnum):
    """How two versions of one server's file compare."""

    SAME = "same"
    ETAG_ONLY = "etag-only"
    """Only the ETag differs: often each node of a cluster makes up its own."""
    DIFFERENT = "different"


def compare(old: Validators, new: Validators) -> Change:
    """Whether a server still holds the version it had; meaningless between two servers."""
    if old.total and new.total and old.total != new.total:
        return Change.DIFFERENT
    if old.etag and new.etag:
        if old.etag == new.etag:
            return Change.SAME
        same_date = bool(old.last_modified) and old.last_modified == new.last_modified
        return Change.ETAG_ONLY if same_date else Change.DIFFERENT
    if old.last_modified and new.last_modified and old.last_modified != new.last_modified:
        return Change.DIFFERENT
    return Change.SAME


def retry_after(headers: Headers, now: datetime | None = None) -> float:
    """Seconds from the header Retry-After, which holds a number or a date; 0 without a readable one."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def _part(headers: Headers, asked: Asked, final_url: str) -> Answer:
    _refuse_encoding(headers)
    if _content_type(headers) == "multipart/byteranges":
        raise SourceError(FailureKind.BAD_ANSWER, "sent several parts where one range was asked for")
    match = _CONTENT_RANGE.match(headers.get("Content-Range", "").strip())
    if match is None:
        raise SourceError(FailureKind.BAD_ANSWER, "sent a part without saying which (no valid Content-Range)")
    start, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    if total is None and not asked.size:
        raise SourceError(FailureKind.BAD_ANSWER, "sent a part and does not tell the size of the file")
    if total is not None:
        _refuse_size(total, asked)
    total = total or asked.size
    if not asked.ranged and asked.start > 0:
        raise SourceError(FailureKind.BAD_ANSWER, "sent a part where the whole file was asked for")
    wanted = asked.start
    if start != wanted or last < start or last >= total or (asked.end is not None and last >= asked.end):
        raise SourceError(FailureKind.BAD_ANSWER, f"sent the bytes {start} to {last}, asked for those from {wanted} on")
    length = _content_length(headers)
    if length is not None and length != last - start + 1:
        raise SourceError(FailureKind.BAD_ANSWER, f"announced {length} bytes for a range of {last - start + 1}")
    validators = _validators(headers, final_url, total)
    return Answer(AnswerKind.PART, start, last + 1, total, validators, _delimiter(headers))


def _whole(headers: Headers, asked: Asked, final_url: str) -> Answer:
    _refuse_encoding(headers)
    total = _content_length(headers)
    web_page = _content_type(headers) in _WEB_PAGES and not urlsplit(final_url).path.endswith((".html", ".htm"))
    if web_page and (total is None or total != asked.size):
        raise SourceError(FailureKind.CAPTIVE, "answered with a web page instead of the file")
    if total is not None:
        _refuse_size(total, asked)
    delimiter = _delimiter(headers)
    if delimiter is Delimiter.CLOSE and not asked.hash_known and not asked.size:
        raise SourceError(
            FailureKind.UNUSABLE, "does not tell the length of the file, and there is no checksum to find its end by"
        )
    return Answer(AnswerKind.WHOLE, 0, total, total, _validators(headers, final_url, total or 0), delimiter)


def _unsatisfied(headers: Headers, asked: Asked, final_url: str) -> Answer:
    match = _UNSATISFIED.match(headers.get("Content-Range", "").strip())
    if match is None:
        raise SourceError(FailureKind.BAD_ANSWER, "answered 416 without the size of the file")
    total = int(match[1])
    _refuse_size(total, asked)
    if total > asked.start:
        raise SourceError(FailureKind.BAD_ANSWER, f"refused the bytes from {asked.start} on of a file of {total} bytes")
    if total < asked.start:
        raise SourceError(FailureKind.CHANGED, f"its file has {total} bytes now, {asked.start} were there before")
    return Answer(AnswerKind.COMPLETE, total, total, total, _validators(headers, final_url, total), Delimiter.LENGTH)


def _refuse_size(total: int, asked: Asked) -> None:
    if asked.size and total != asked.size:
        raise SourceError(FailureKind.WRONG_SIZE, f"its file has {total} bytes, expected {asked.size}")


def _refuse_encoding(headers: Headers) -> None:
    codings = [one.strip().lower() for value in headers.getall("Content-Encoding", []) for one in value.split(",")]
    if any(coding not in ("", "identity") for coding in codings):
        raise SourceError(
            FailureKind.UNUSABLE, f"sends the file encoded as {clean(', '.join(codings), 80)}, which was not asked for"
        )


def _content_length(headers: Headers) -> int | None:
    if "Transfer-Encoding" in headers:
        return None  # RFC 9112 section 6.3: it overrides a Content-Length
    values = {value.strip() for value in headers.getall("Content-Length", [])}
    if not values:
        return None
    value = values.pop()
    if values or not (value.isascii() and value.isdigit() and len(value) < 20):
        raise SourceError(FailureKind.BAD_ANSWER, "sent contradicting or senseless Content-Length headers")
    return int(value)


def _delimiter(headers: Headers) -> Delimiter:
    if "chunked" in headers.get("Transfer-Encoding", "").lower():
        return Delimiter.CHUNKED
    return Delimiter.LENGTH if "Content-Length" in headers else Delimiter.CLOSE


def _content_type(headers: Headers) -> str:
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _validators(headers: Headers, final_url: str, total: int) -> Validators:
    def plain(name: str) -> str:
        value = headers.get(name, "").strip()
        return value if _VALIDATOR.match(value) else ""

    return Validators(final_url, plain("ETag"), plain("Last-Modified"), total)
