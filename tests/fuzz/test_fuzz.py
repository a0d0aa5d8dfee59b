"""A slice of the fuzzing with a fixed seed, and that the fuzzer finds what there is to find."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from luxusbd.errors import MalformedImageError
from luxusbd.images import bounded, udf_records
from tests.fuzz import engine
from tests.fuzz.__main__ import TARGETS
from tests.fuzz.engine import Target, fuzz, save

RUNS = {"iso": 250, "udf": 250, "disk": 250, "ext4": 500, "fat32": 250, "exfat": 100}


@pytest.mark.parametrize("name", TARGETS)
def test_slice(name: str) -> None:
    failure = fuzz(TARGETS[name], RUNS.get(name, 1500), seed=1)
    assert failure is None, failure.describe()


def planted(data: bytes) -> None:
    if data[:1] == b"A" and len(data) > 3 and data[1] == 0xFF:
        raise KeyError("planted")


def flip(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    out = bytearray(data)
    out[rng.randrange(len(out))] = rng.choice((0, 0xFF))
    return bytes(out)


PLANTED = Target("planted", lambda: (b"AAAA",), flip, planted, ("tests/fuzz/test_fuzz",))


def test_a_defect_is_found_and_saved_and_the_seed_decides(tmp_path: Path) -> None:
    first, second = fuzz(PLANTED, 500, seed=3), fuzz(PLANTED, 500, seed=3)
    assert first is not None
    assert second is not None
    assert (first.run, first.data) == (second.run, second.data)
    assert "planted" in first.describe()
    saved = save(first, tmp_path / "new")
    with pytest.raises(KeyError, match="planted"):
        PLANTED.check(saved.read_bytes())


def test_work_without_end_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(data: bytes) -> None:
        for _ in range(1000):
            planted(b"")

    monkeypatch.setattr(engine, "MAX_LINES", 500)
    failure = fuzz(Target("endless", lambda: (b"x",), flip, endless, ("tests/fuzz/test_fuzz",)), 1, seed=1)
    assert failure is not None
    assert isinstance(failure.error, engine.TooMuchWorkError)


def test_reads_beyond_the_bound_are_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    def unbounded(self: bounded.BoundedReader, start: int, length: int) -> bytes:
        self.reads += 2 * bounded.MAX_READS
        raise MalformedImageError("broken")

    monkeypatch.setattr(bounded.BoundedReader, "read", unbounded)
    failure = fuzz(TARGETS["udf"], 1, seed=1)
    assert failure is not None
    assert isinstance(failure.error, engine.TooMuchWorkError)


def test_a_reader_that_trusts_a_length_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check taken out of the UDF reader has to be missed within the runs that it makes."""

    def careless(data: bytes) -> bytes:
        length = int.from_bytes(data[20:24], "little")
        return bytes(data[24 + index] for index in range(length))

    monkeypatch.setattr(udf_records, "parse_allocation_extent", careless)
    failure = fuzz(TARGETS["udf"], 1500, seed=1)
    assert failure is not None
    assert isinstance(failure.error, IndexError)
