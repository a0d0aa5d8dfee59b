from __future__ import annotations

import errno
import hashlib
import os
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from luxusbd.errors import CancelledError, FailedError, InvalidArgumentError, LuxusbError, NotEnoughSpaceError
from luxusbd.transfer import localcopy
from luxusbd.transfer.localcopy import LocalFile, copy_file, hash_file

CONTENT = bytes(range(256)) * 5000
SIZE = len(CONTENT)
RIGHT = LocalFile(hashlib.sha256(CONTENT).hexdigest(), SIZE)


@dataclass
class Files:
    directory: Path
    source: int
    destination: int

    def copy(
        self,
        size: int = SIZE,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> LocalFile:
        return copy_file(self.source, self.destination, size, progress, stop)

    @property
    def copied(self) -> bytes:
        return (self.directory / "destination").read_bytes()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    monkeypatch.setattr(localcopy, "STEP", 100_000)
    (tmp_path / "source").write_bytes(CONTENT)
    with (tmp_path / "source").open("rb") as source, (tmp_path / "destination").open("w+b") as destination:
        yield Files(tmp_path, source.fileno(), destination.fileno())


def test_copy(files: Files) -> None:
    seen: list[tuple[int, int]] = []
    assert files.copy(progress=lambda done, total: seen.append((done, total))) == RIGHT
    assert files.copied == CONTENT
    assert seen[-1] == (SIZE, SIZE)
    assert [done for done, _total in seen] == sorted(done for done, _total in seen)


def test_copy_over_something_longer(files: Files) -> None:
    os.pwrite(files.destination, b"x" * (SIZE + 999), 0)
    assert files.copy() == RIGHT
    assert files.copied == CONTENT


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_copy_without_the_kernel_s_help(files: Files, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_args: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "copy_file_range", refuse)
    assert files.copy() == RIGHT
    assert files.copied == CONTENT


def test_copy_where_the_kernel_says_nothing_is_there(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "copy_file_range", lambda *_args: 0)
    assert files.copy() == RIGHT


def test_short_copies_are_continued(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    original = os.copy_file_range
    monkeypatch.setattr(os, "copy_file_range", lambda a, b, size, i, j: original(a, b, min(size, 33_333), i, j))
    assert files.copy() == RIGHT


@pytest.mark.parametrize("offset", [-1, 1])
def test_another_size_than_promised(files: Files, offset: int) -> None:
    with pytest.raises(InvalidArgumentError, match=f"has {SIZE} bytes, expected {SIZE + offset}"):
        files.copy(SIZE + offset)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda path: os.truncate(path, 150_000), "became shorter"),
        (lambda path: path.open("ab").write(b"more"), "became longer"),
        (lambda path: os.utime(path, (1, 1)), "changed while it was read"),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_source_that_changes_meanwhile(files: Files, change: Callable[[Path], object], text: str) -> None:
    def progress(done: int, _total: int) -> None:
        if done == 100_000:
            change(files.directory / "source")

    with pytest.raises(FailedError, match=text):
        files.copy(progress=progress)


def test_stop(files: Files) -> None:
    answers = iter([False, False, True])
    seen: list[int] = []
    with pytest.raises(CancelledError):
        files.copy(progress=lambda done, _total: seen.append(done), stop=lambda: next(answers))
    assert seen == [100_000, 200_000]


def _error(call: Callable[[], object]) -> LuxusbError:
    with pytest.raises(LuxusbError) as caught:
        call()
    return caught.value


def test_only_regular_files(files: Files) -> None:
    null = os.open("/dev/null", os.O_RDWR)
    read, write = os.pipe()
    try:
        for fd in (null, read):
            error = _error(lambda fd=fd: copy_file(fd, files.destination, 0, lambda *_: None, lambda: False))  # type: ignore[misc]
            assert isinstance(error, InvalidArgumentError)
            error = _error(lambda fd=fd: hash_file(fd, lambda *_: None, lambda: False))  # type: ignore[misc]
            assert isinstance(error, InvalidArgumentError)
        error = _error(lambda: copy_file(files.source, null, SIZE, lambda *_: None, lambda: False))
        assert "the place to copy to is no regular file" in error.message
    finally:
        for fd in (null, read, write):
            os.close(fd)


def test_no_room(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(localcopy, "free_space", lambda _fd: SIZE - 2048)
    with pytest.raises(NotEnoughSpaceError, match=r"2\.0 KiB too little"):
        files.copy()
    assert files.copied == b""


def test_disk_full_in_the_middle(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "copy_file_range", full)
    with pytest.raises(NotEnoughSpaceError, match="the disk is full"):
        files.copy()


def test_file_size_limit_of_the_process(files: Files) -> None:
    # a real failure in the middle of a real copy: EFBIG from the kernel
    import signal

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, hard))
    try:
        with pytest.raises(FailedError, match="the disk failed while writing the copy"):
            files.copy()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)


def test_hash(files: Files) -> None:
    seen: list[int] = []
    assert hash_file(files.source, lambda done, _total: seen.append(done), lambda: False) == RIGHT
    assert seen[-1] == SIZE


def test_hash_of_an_empty_file(files: Files) -> None:
    assert hash_file(files.destination, lambda *_: None, lambda: False).size == 0
