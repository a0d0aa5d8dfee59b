"""`.part` and `.part.json`: the text, the order on the disk, and that no text whatever leads to a wrong claim."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from luxusbd.errors import FailedError, NotEnoughSpaceError
from luxusbd.transfer import diskio
from luxusbd.transfer.model import Digest
from luxusbd.transfer.partfile import PartBusyError, PartFile
from luxusbd.transfer.partstate import PartState, PartStateError, SourceRecord, Validators, decode, encode
from luxusbd.transfer.segments import Span, SpanSet

CONTENT = bytes(range(256)) * 40
SIZE = len(CONTENT)


def state_of(done: SpanSet, *, total: int = SIZE) -> PartState:
    return PartState(
        url="https://mirror.example/a.iso",
        total_size=total,
        done=done,
        prefix_length=done.prefix,
        prefix_sha256=hashlib.sha256(CONTENT[: done.prefix]).hexdigest(),
        timestamp=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        expected=Digest("sha256", hashlib.sha256(CONTENT).hexdigest()),
        sources=(
            SourceRecord(
                "https://mirror.example/a.iso", Validators("https://cdn.example/a?x=1", '"e"', "", SIZE), done
            ),
        ),
    )


GOOD = state_of(SpanSet((Span(0, 5000),)))
TEXT = encode(GOOD)

names = st.text(st.characters(exclude_categories=()), max_size=20)
span_sets = st.lists(
    st.tuples(st.integers(0, 2**62), st.integers(1, 2**40)).map(lambda pair: Span(pair[0], pair[0] + pair[1])),
    max_size=5,
).map(SpanSet.of)


@given(span_sets, names, names, st.integers(0, 2**62))
def test_what_is_written_is_read_again(done: SpanSet, url: str, etag: str, total: int) -> None:
    source = SourceRecord(url, Validators(url, etag, etag, total), done)
    state = replace(state_of(done, total=0), url=url, sources=(source,))
    assert decode(encode(state)) == state


def test_keys_of_the_contract() -> None:
    document = json.loads(TEXT)
    assert document["url"] == GOOD.url
    assert document["total_size"] == SIZE
    assert document["downloaded_bytes"] == 5000
    assert document["checksum_partial"]["length"] == 5000
    assert document["timestamp"] == "2026-01-02T03:04:05+00:00"


@given(st.binary(max_size=200))
def test_no_bytes_are_taken_for_a_state(text: bytes) -> None:
    with pytest.raises(PartStateError):
        decode(text)


@given(st.integers(0, len(TEXT) - 2))
def test_a_torn_text_is_refused(length: int) -> None:
    with pytest.raises(PartStateError):
        decode(TEXT[:length])


@given(st.integers(0, len(TEXT) - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed_or_changes_nothing(place: int, change: int) -> None:
    spoiled = bytearray(TEXT)
    spoiled[place] ^= change
    with contextlib.suppress(PartStateError):
        assert decode(bytes(spoiled)) == GOOD


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(json.loads(TEXT))), json_values)
def test_no_value_of_any_key_crashes(key: str, value: Any) -> None:
    from luxusbd.transfer.partstate import _crc

    document = json.loads(TEXT)
    document.pop("crc32")
    document[key] = value
    try:
        document["crc32"] = _crc(document)
        state = decode(json.dumps(document).encode())
    except PartStateError:
        return
    assert state.done.end <= max(state.total_size, state.done.end if state.total_size == 0 else 0)
    assert state.prefix_length == state.done.prefix


def _wrong(**changes: Any) -> bytes:
    from luxusbd.transfer.partstate import _crc

    document = {**json.loads(TEXT), **changes}
    document.pop("crc32")
    document["crc32"] = _crc(document)
    return json.dumps(document).encode()


def test_of_a_newer_format_the_proven_bytes_are_kept() -> None:
    newer = json.loads(TEXT)
    newer |= {"format": 2, "crc32": "another sum", "ranges": "another shape", "sources": {}}
    found = decode(json.dumps(newer).encode())
    known = decode(TEXT)
    assert (found.prefix_length, found.prefix_sha256) == (known.prefix_length, known.prefix_sha256)
    assert found.done == known.done.before(known.prefix_length)
    assert (found.total_size, found.expected, found.sources) == (SIZE, known.expected, ())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "not JSON"),
        (b"\0" * 500, "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (_wrong(format=0), "format 0"),
        (_wrong(format=2, expected={"algorithm": "sha3", "value": ""}), "format 2"),
        (_wrong(downloaded_bytes=6000), "does not fit the ranges"),
        (_wrong(ranges=[[0, SIZE + 1]], downloaded_bytes=SIZE + 1), "does not cover"),
        (_wrong(total_size=10), "beyond the end"),
        (_wrong(ranges=[[0, 2**64]]), "no place in a file"),
        (_wrong(ranges=[[5, 1]]), "not a range"),
        (_wrong(ranges=[[0, 9], [3, 12]]), "overlap"),
        (_wrong(timestamp="yesterday"), "no time"),
        (_wrong(timestamp="2026-01-01T00:00:00"), "without its zone"),
        (_wrong(expected={"algorithm": "md5", "value": ""}), "another hash"),
        (_wrong(sources=None), "no list of sources"),
        (TEXT.replace(b"5000", b"5001"), "checksum does not fit"),
    ],
)
def test_why_a_text_is_refused(text: bytes, why: str) -> None:
    with pytest.raises(PartStateError, match=why):
        decode(text)


def saved_part(directory: Path) -> None:
    part = PartFile.open(str(directory), "x")
    os.pwrite(part.fd, CONTENT[:5000], 0)
    part.sync()
    part.save(state_of(SpanSet((Span(0, 3000),))))
    part.save(GOOD)
    part.close()


@settings(max_examples=60)
@given(st.binary(max_size=300), st.none() | st.binary(max_size=300), st.booleans())
@example(b"", b"", False)
@example(b"", None, False)
@example(TEXT, b"junk", True)
def test_any_bytes_in_the_state_files(text: bytes, older: bytes | None, spoil: bool) -> None:
    """They never crash it, never make it claim a wrong byte, and an undamaged older state saves the bytes."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
        directory = Path(name)
        saved_part(directory)
        (directory / "x.part.json").write_bytes(text)
        if older is not None:
            (directory / "x.part.json.bak").write_bytes(older)
        if spoil:
            (directory / "x.part").write_bytes(b"?" + CONTENT[1:5000])
        part = PartFile.open(name, "x")
        state, _reason = part.load()
        proven = part.prove(state, lambda: False) if state is not None else None
        part.close()
        if proven is not None:
            assert state is not None
            assert not spoil
            content = (directory / "x.part").read_bytes()
            assert all(content[one.start : one.end] == CONTENT[one.start : one.end] for one in state.done)
        if older is None and not spoil:
            assert state is not None
            assert proven is not None
            assert state.downloaded_bytes >= 3000


def test_order_of_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = PartFile.open(str(tmp_path), "x")
    part.save(state_of(SpanSet()))
    seen: list[str] = []

    def spy(name: str) -> None:
        original = getattr(os, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            seen.append(f"{name} {args[0]}" if isinstance(args[0], str) else name)
            return original(*args, **kwargs)

        monkeypatch.setattr(os, name, call)

    for name in ("fdatasync", "fsync", "rename", "link"):
        spy(name)
    part.sync()
    part.save(GOOD)
    monkeypatch.undo()
    part.close()
    assert seen == ["fdatasync", "fsync", "link x.part.json", "rename x.part.json.tmp", "fsync"]


def test_withdrawn_claims_leave_no_older_state(tmp_path: Path) -> None:
    saved_part(tmp_path)
    assert (tmp_path / "x.part.json.bak").exists()
    part = PartFile.open(str(tmp_path), "x")
    part.save(state_of(SpanSet((Span(0, 10),))), keep_old=False)
    part.close()
    assert not (tmp_path / "x.part.json.bak").exists()


def test_filesystem_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.EPERM, "not permitted")

    monkeypatch.setattr(os, "link", link)
    saved_part(tmp_path)
    assert decode((tmp_path / "x.part.json").read_bytes()) == GOOD
    assert not (tmp_path / "x.part.json.bak").exists()


def test_lock_holds_against_a_second_opener_and_goes_with_the_first(tmp_path: Path) -> None:
    first = PartFile.open(str(tmp_path), "x")
    with pytest.raises(PartBusyError):
        PartFile.open(str(tmp_path), "x")
    first.close()
    PartFile.open(str(tmp_path), "x").close()
    assert not list(tmp_path.iterdir())


def test_lock_on_a_file_that_was_renamed_meanwhile_is_not_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    original = fcntl.flock
    calls = 0

    def flock(fd: int, operation: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            # the one who held the lock finished between our open and our lock
            (tmp_path / "x.part").rename(tmp_path / "x")
        original(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    part = PartFile.open(str(tmp_path), "x")
    assert calls == 2
    assert os.path.samestat(os.fstat(part.fd), (tmp_path / "x.part").stat())
    part.close()


def _failing_fallocate(code: int) -> Callable[..., int]:
    def fallocate(*_args: object) -> int:
        ctypes.set_errno(code)
        return -1

    return fallocate


def test_space_is_set_aside(tmp_path: Path) -> None:
    part = PartFile.open(str(tmp_path), "x")
    part.make_room(1_000_000, 0)
    assert os.fstat(part.fd).st_size == 1_000_000
    assert diskio.allocated(part.fd) >= 1_000_000
    assert part.reserved
    part.clear()
    part.close()


def test_filesystem_that_cannot_set_space_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diskio, "_fallocate", _failing_fallocate(errno.EOPNOTSUPP))
    part = PartFile.open(str(tmp_path), "x")
    part.make_room(1_000_000, 0)
    assert os.fstat(part.fd).st_size == 1_000_000
    assert diskio.allocated(part.fd) < 100_000
    assert not part.reserved
    part.clear()
    part.close()


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (errno.ENOSPC, NotEnoughSpaceError, "976.6 KiB more are needed"),
        (errno.EDQUOT, NotEnoughSpaceError, "quota"),
        (errno.EIO, FailedError, "the disk failed"),
        (errno.EROFS, FailedError, "Read-only"),
    ],
)
def test_errors_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception], text: str
) -> None:
    monkeypatch.setattr(diskio, "_fallocate", _failing_fallocate(code))
    part = PartFile.open(str(tmp_path), "x")
    with pytest.raises(kind, match=text):
        part.make_room(1_000_000, 0)
    part.close()


@given(st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=9), st.integers(1, 7))
def test_writes_that_the_kernel_cuts_short(chunks: list[bytes], step: int) -> None:
    original = os.pwritev

    def short(fd: int, buffers: list[bytes], offset: int) -> int:
        return original(fd, [bytes(memoryview(b"".join(bytes(one) for one in buffers))[:step])], offset)

    with tempfile.TemporaryFile() as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwritev", short)
        whole = b"".join(chunks)
        assert diskio.write_all(file.fileno(), chunks, 3) == len(whole)
        assert os.pread(file.fileno(), 1000, 3) == whole


@given(st.binary(min_size=1, max_size=50), st.binary(min_size=1, max_size=50))
def test_first_difference(there: bytes, data: bytes) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(there)
        file.flush()
        at = diskio.first_difference(file.fileno(), data, 0)
    expected = next((n for n in range(len(data)) if there[n : n + 1] != data[n : n + 1]), None)
    assert at == expected
