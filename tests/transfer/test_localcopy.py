from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import random
import resource
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from luxusbd.errors import CancelledError, FailedError, InvalidArgumentError, LuxusbError, NotEnoughSpaceError
from luxusbd.transfer import diskio, localcopy
from luxusbd.transfer.diskio import free_space
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


def test_the_disk_has_most_of_a_copy_before_its_end(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a flush finds at the end is little, since nobody can end a process that waits for it."""
    monkeypatch.setattr(diskio, "FLUSH_STEP", 250_000)
    done: list[int] = []
    flushed: list[int] = []
    fdatasync = os.fdatasync

    def flush(fd: int) -> None:
        fdatasync(fd)
        flushed.append(done[-1] if done else 0)

    monkeypatch.setattr(os, "fdatasync", flush)
    assert files.copy(progress=lambda now, _total: done.append(now)) == RIGHT
    assert len(flushed) == SIZE // 300_000
    assert SIZE - flushed[-1] <= 400_000


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


@pytest.mark.parametrize("code", [errno.ENOTTY, errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.EPERM])
def test_without_clones(files: Files, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    asked: list[int] = []

    def refuse(_fd: int, request: int, _source: int) -> int:
        asked.append(request)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "ioctl", refuse)
    assert files.copy() == RIGHT
    assert files.copied == CONTENT
    assert asked == [localcopy.FICLONE]


def test_a_filesystem_that_says_itself_that_it_cannot_clone(files: Files) -> None:
    """The real refusals: of a file in memory, and of a file of another filesystem."""
    memory = os.memfd_create("source")
    try:
        os.write(memory, CONTENT)
        for source in (memory, files.source):
            with pytest.raises(OSError) as refused:
                fcntl.ioctl(memory if source is files.source else files.destination, localcopy.FICLONE, source)
            assert refused.value.errno in {errno.EXDEV, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL}
        done = copy_file(memory, files.destination, SIZE, lambda *_: None, lambda: False)
    finally:
        os.close(memory)
    assert (done, files.copied) == (RIGHT, CONTENT)


def test_a_disk_that_fails_while_cloning(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "ioctl", fail)
    with pytest.raises(FailedError, match="the disk failed"):
        files.copy()


def test_a_file_that_grew_before_it_was_cloned(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def clone(destination: int, _request: int, _source: int) -> int:
        os.pwrite(destination, CONTENT + b"more", 0)
        return 0

    monkeypatch.setattr(fcntl, "ioctl", clone)
    with pytest.raises(FailedError, match="is it still being written"):
        files.copy()


MAKERS = {
    "xfs": (["mkfs.xfs", "-q", "-f", "-m", "reflink=1"], 320),
    "btrfs": (["mkfs.btrfs", "-q", "-f"], 128),
}


@pytest.fixture(params=MAKERS)
def reflinking(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A mounted filesystem whose files can share blocks."""
    maker, mebibytes = MAKERS[request.param]
    image, place = tmp_path / "disk.img", tmp_path / "mounted"
    with image.open("wb") as file:
        file.truncate(mebibytes << 20)
    place.mkdir()
    subprocess.run([*maker, str(image)], check=True, capture_output=True, timeout=60)
    subprocess.run(["mount", "-t", request.param, "-o", "loop", str(image), str(place)], check=True, timeout=60)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True, timeout=60)


@pytest.mark.root
def test_clones(reflinking: Path) -> None:
    content = random.Random(1).randbytes((24 << 20) + 777)
    (reflinking / "source").write_bytes(content)
    os.sync()
    with (reflinking / "source").open("rb") as source, (reflinking / "destination").open("w+b") as destination:
        free = free_space(destination.fileno())
        done = copy_file(source.fileno(), destination.fileno(), len(content), lambda *_: None, lambda: False)
        assert free - free_space(destination.fileno()) < 2 << 20
    assert done == LocalFile(hashlib.sha256(content).hexdigest(), len(content), cloned=True)
    # two files, not two names of one: what happens to the source is of no interest any more
    with (reflinking / "source").open("r+b") as source:
        source.write(b"changed")
    assert (reflinking / "destination").read_bytes() == content
    assert (reflinking / "source").stat().st_nlink == 1
    assert (reflinking / "source").stat().st_ino != (reflinking / "destination").stat().st_ino


@pytest.mark.root
def test_a_clone_of_a_file_that_changes_meanwhile(reflinking: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stored is one state of the file, and its hash is the one that is told."""
    monkeypatch.setattr(localcopy, "STEP", 100_000)
    source, destination = reflinking / "source", reflinking / "destination"
    source.write_bytes(CONTENT)

    def progress(_done: int, _total: int) -> None:
        source.write_bytes(os.urandom(SIZE))

    with source.open("rb") as one, destination.open("w+b") as two:
        done = copy_file(one.fileno(), two.fileno(), SIZE, progress, lambda: False)
    assert (done.sha256, done.cloned) == (RIGHT.sha256, True)
    assert destination.read_bytes() == CONTENT
