"""Whose bytes are in a partial file, of which version of a mirror's file they are, and how they were written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from luxusbd.transfer.partstate import SourceRecord, Validators
from luxusbd.transfer.segments import Span, SpanSet


class Origins:
    """The mirrors of one partial file, by the address that was asked for."""

    def __init__(self) -> None:
        self._records: dict[str, SourceRecord] = {}
        self._sums: list[tuple[Span, int]] = []

    @property
    def records(self) -> tuple[SourceRecord, ...]:
        """What is saved of them."""
        return tuple(self._records.values())

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses whose bytes are in the file, most bytes first."""
        having = [record for record in self._records.values() if record.spans]
        return tuple(record.url for record in sorted(having, key=lambda record: -record.spans.total))

    def spans(self) -> Mapping[str, SpanSet]:
        """Which bytes came from which address."""
        return {record.url: record.spans for record in self._records.values() if record.spans}

    def sums(self, written: SpanSet) -> list[tuple[Span, int]]:
        """CRC-32 of what was written in this run and is in the file still, batch by batch."""
        return [(span, crc) for span, crc in self._sums if written.covers(span)]

    def validators(self, url: str) -> Validators | None:
        """The version of the file from which the bytes of `url` came; None without such bytes."""
        record = self._records.get(url)
        return record.validators if record is not None and record.spans else None

    def set_validators(self, url: str, validators: Validators) -> None:
        """The bytes that `url` sends from now on are of this version."""
        record = self._records.get(url)
        self._records[url] = replace(record, validators=validators) if record else SourceRecord(url, validators)

    def wrote(self, url: str, spans: SpanSet, sums: Iterable[int]) -> None:
        """Bytes of `url` are in the file; `sums` are their CRC-32, if these are wanted."""
        record = self._records[url]
        there = record.spans
        for span in spans:
            there = there.add(span)
        self._sums.extend(zip(spans, sums, strict=False))
        self._records[url] = replace(record, spans=there)

    def withdraw(self, spans: SpanSet, left: SpanSet) -> None:
        """The bytes of `spans` are wrong; `left` is what the file has without them."""
        self._records = {
            url: replace(record, spans=record.spans.subtract(spans)) for url, record in self._records.items()
        }
        self._sums = self.sums(left)

    def take_over(self, records: Sequence[SourceRecord]) -> None:
        """What an earlier run saved of them."""
        self._records = {record.url: record for record in records}

    def forget(self, url: str) -> None:
        """Nothing is left of `url`, nor does it matter which version it had."""
        self._records.pop(url, None)

    def clear(self) -> None:
        """The file is empty."""
        self._records = {}
        self._sums = []
