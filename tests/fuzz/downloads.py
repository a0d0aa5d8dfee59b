"""Targets of the transfer engine: what a crash or another program left beside a part, and what servers answer."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from multidict import CIMultiDict, CIMultiDictProxy

from luxusbd.transfer.answers import Answer, AnswerKind, Asked, SourceError, judge
from luxusbd.transfer.model import Digest
from luxusbd.transfer.partstate import PartState, PartStateError, SourceRecord, Validators, _crc, decode, encode
from luxusbd.transfer.segments import Span, SpanSet
from tests.fuzz.engine import Target
from tests.fuzz.mutate import mutate_text
from tests.fuzz.texts import mutate_json

_SIZE = 1000
_ASKED = (
    Asked(start=0, end=None, ranged=True, size=0, hash_known=True),
    Asked(start=0, end=None, ranged=False, size=_SIZE, hash_known=True),
    Asked(start=400, end=600, ranged=True, size=_SIZE, hash_known=True),
    Asked(start=400, end=None, ranged=True, size=0, hash_known=False),
)
_WORDS = (
    b"bytes 400-599/1000", b"bytes 400-599/*", b"bytes */1000", b"bytes=0-0", b"-1", b"99999999999999999999",
    b"chunked", b"gzip", b"identity", b"multipart/byteranges; boundary=x", b"text/html", b'W/"a"', b'"a',
    b"Retry-After: ", b"\n", b"Mon, 32 Jan 2024 99:00:00 GMT", b"Content-Range: ", b"Content-Length: ", b"206",
    b"416", b"200", b": ", b", ", b"\xc2\xb2", b"\xd9\xa1", b"1e3", b"0x10", b"+5", b"5 5", b"9" * 5000,
)  # fmt: skip


def _claims() -> PartState:
    source = Validators("https://a/f", '"e"', "Mon, 01 Jan 2024 10:00:00 GMT", _SIZE)
    done = SpanSet((Span(0, 400), Span(600, _SIZE)))
    return PartState(
        url="https://a/f",
        total_size=_SIZE,
        done=done,
        prefix_length=400,
        prefix_sha256="a" * 64,
        timestamp=datetime(2024, 1, 1, tzinfo=UTC),
        expected=Digest("sha256", "b" * 64),
        sources=(SourceRecord("https://a/f", source, done),),
    )


def _claims_corpus() -> tuple[bytes, ...]:
    sound = encode(_claims())
    return (sound, sound.replace(b'"format": 1', b'"format": 2'))


def _mutate_claims(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    out = mutate_json(rng, data, corpus)
    # a checksum that fits gets past the first look
    if rng.random() < 0.7:
        with suppress(ValueError, RecursionError):
            body = json.loads(out)
            if isinstance(body, dict):
                body.pop("crc32", None)
                return json.dumps({**body, "crc32": _crc(body)}).encode()
    return out


def _check_claims(data: bytes) -> None:
    with suppress(PartStateError):
        found = decode(data)
        assert found.prefix_length == found.done.prefix
        assert not found.total_size or found.done.end <= found.total_size
        for source in found.sources:
            assert not source.spans.subtract(found.done)
        assert decode(encode(found)).done == found.done


def _answers_corpus() -> tuple[bytes, ...]:
    return (
        b'206 Partial Content\nContent-Range: bytes 400-599/1000\nContent-Length: 200\nETag: "e"\n',
        b"200 OK\nContent-Length: 1000\nLast-Modified: Mon, 01 Jan 2024 10:00:00 GMT\nContent-Type: text/html\n",
        b"416 No\nContent-Range: bytes */400\n",
        b"503 Busy\nRetry-After: 120\n",
        b"206 Partial Content\nContent-Range: bytes 0-999/1000\nTransfer-Encoding: chunked\nContent-Encoding: gzip\n",
    )


def _mutate_answers(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    return mutate_text(rng, data, corpus, _WORDS)


def _check_answers(data: bytes) -> None:
    first, _, rest = data.decode("latin-1").partition("\n")
    number, _, reason = first.partition(" ")
    status = int(number) if number.isascii() and number.isdigit() and len(number) == 3 else 206
    fields = [(name, value.strip()) for name, _, value in (line.partition(":") for line in rest.split("\n")) if name]
    headers = CIMultiDictProxy(CIMultiDict(fields))
    for asked in _ASKED:
        answer, refused = _judged(status, reason, headers, asked)
        if refused is not None:
            assert refused.retry_after >= 0
            assert str(refused).isprintable()
        if answer is not None:
            assert answer.end is None or answer.end >= answer.start
            assert not asked.size or answer.total in (None, asked.size)
            assert answer.kind is not AnswerKind.PART or answer.start == asked.start


def _judged(
    status: int, reason: str, headers: CIMultiDictProxy[str], asked: Asked
) -> tuple[Answer | None, SourceError | None]:
    try:
        return judge(status, reason, headers, asked, "https://a/f"), None
    except SourceError as error:
        return None, error


TARGETS = (
    Target("part-claims", _claims_corpus, _mutate_claims, _check_claims, ("luxusbd/transfer/partstate",)),
    Target("answers", _answers_corpus, _mutate_answers, _check_answers, ("luxusbd/transfer/answers",)),
)
