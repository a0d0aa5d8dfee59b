"""Images that come in through a descriptor: files, pipes, sockets, compressed or not, honest or not."""

from __future__ import annotations

import hashlib
import io
import os
import random
import socket
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luxusbd.errors import (
    CancelledError,
    FailedError,
    InvalidArgumentError,
    LimitExceededError,
    LuxusbError,
    MalformedImageError,
    NotEnoughSpaceError,
    VerificationError,
)
from luxusbd.transfer import incoming
from luxusbd.transfer import receive as room
from luxusbd.transfer.importmodel import Content, Order, Received
from luxusbd.transfer.packing import Packing
from luxusbd.transfer.receive import receive
from tests.transfer.packs import STREAMS, pack, zipped

DATA = random.Random(11).randbytes(300_000) + bytes(500_000)
ANY = Order(0, 1 << 30, 0)


def content(data: bytes) -> Content:
    return Content(len(data), {"sha256": hashlib.sha256(data).hexdigest()})


@dataclass
class Place:
    directory: Path
    destination: int
    seen: list[tuple[int, int]] = field(default_factory=list)
    stop: Callable[[], bool] = lambda: False

    def take(self, source: int, order: Order = ANY) -> Received:
        return receive(source, self.destination, order, lambda *now: self.seen.append(now), lambda: self.stop())

    def take_file(self, data: bytes, order: Order = ANY) -> Received:
        path = self.directory / "source"
        path.write_bytes(data)
        with path.open("rb") as file:
            return self.take(file.fileno(), order)

    @property
    def stored(self) -> bytes:
        return (self.directory / "destination").read_bytes()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with (tmp_path / "destination").open("w+b") as destination:
        yield Place(tmp_path, destination.fileno())


@contextmanager
def piped(data: bytes, *, kind: str = "pipe", cut: int = 100_000) -> Iterator[int]:
    """The reading end of a pipe or socket into which a thread writes."""
    if kind == "pipe":
        read, write = os.pipe()
    else:
        one, two = socket.socketpair()
        read, write = one.detach(), two.detach()

    def run() -> None:
        try:
            for start in range(0, len(data), cut):
                rest = data[start : start + cut]
                while rest:
                    rest = rest[os.write(write, rest) :]
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            os.close(write)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield read
    finally:
        os.close(read)
        thread.join()


@pytest.mark.parametrize("kind", ["pipe", "socket"])
@pytest.mark.parametrize("size", [0, len(DATA)])
def test_a_stream(place: Place, kind: str, size: int) -> None:
    with piped(DATA, kind=kind) as source:
        got = place.take(source, Order(size, 1, 0, ("sha512",)))
    assert got.image.size == len(DATA)
    assert got.image.digests == {name: hashlib.new(name, DATA).hexdigest() for name in ("sha256", "sha512")}
    assert (got.packing, got.packed, got.cloned) == (None, None, False)
    assert place.stored == DATA
    assert place.seen[-1] == (len(DATA), size)
    assert place.seen == sorted(place.seen)


def test_a_fifo_waits_for_its_writer(place: Place) -> None:
    path = place.directory / "fifo"
    os.mkfifo(path)
    source = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    asked = threading.Event()

    def stop() -> bool:
        asked.set()
        return False

    def write() -> None:
        asked.wait()
        path.write_bytes(DATA)

    place.stop = stop
    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert place.take(source).image == content(DATA)
    finally:
        os.close(source)
        thread.join()


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_stream_of_another_size(place: Place, kind: str) -> None:
    with piped(DATA, kind=kind) as source, pytest.raises(MalformedImageError, match="ended after 800000 of 800001"):
        place.take(source, Order(len(DATA) + 1, 1, 0))
    with piped(DATA, kind=kind) as source, pytest.raises(VerificationError, match="more than the 799999 bytes"):
        place.take(source, Order(len(DATA) - 1, 1, 0))


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_nothing_comes(place: Place, kind: str) -> None:
    with piped(b"", kind=kind) as source, pytest.raises(MalformedImageError, match="nothing came"):
        place.take(source)


def test_a_silent_writer_can_be_stopped(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "STOP_INTERVAL", 5)
    read, write = os.pipe()
    os.write(write, b"a beginning, and then nothing any more")
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 10

    place.stop = stop
    try:
        with pytest.raises(CancelledError):
            place.take(read)
    finally:
        os.close(read)
        os.close(write)


def test_somebody_else_takes_the_bytes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that was readable and is empty a moment later: the thread must not hang in it."""
    read, write = os.pipe()
    os.write(write, b"x" * 100)
    original = incoming.Incoming._wait
    asked = 0

    def wait(self: incoming.Incoming) -> None:
        nonlocal asked
        original(self)
        asked += 1
        if asked == 1:
            assert os.read(read, 1000) == b"x" * 100
            os.write(write, b"y" * 50)
            assert os.read(read, 1000) == b"y" * 50
            os.close(write)

    monkeypatch.setattr(incoming.Incoming, "_wait", wait)
    try:
        with pytest.raises(MalformedImageError, match="nothing came"):
            place.take(read)
    finally:
        os.close(read)


def test_an_endless_pipe_stops_where_the_disk_has_to_stay_free(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    room_left = iter([10 << 30, 5 << 30, 1 << 20])
    monkeypatch.setattr(room, "SPACE_STEP", 100_000)
    monkeypatch.setattr(room, "free_space", lambda _fd: next(room_left))
    with piped(DATA) as source, pytest.raises(NotEnoughSpaceError, match="check that what comes has an end"):
        place.take(source, Order(0, 1, 1 << 20))


def test_a_hang_up_in_the_middle(place: Place) -> None:
    one, two = _connected()
    with one, two:
        two.sendall(b"x" * 1000)
        # close with a reset, as a crashed peer does
        two.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        two.close()
        with pytest.raises(LuxusbError):
            place.take(one.fileno(), Order(2000, 1, 0))


def _connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        two = socket.create_connection(server.getsockname())
        return server.accept()[0], two


def test_what_cannot_be_read_from(place: Place) -> None:
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    null = os.open("/dev/null", os.O_RDONLY)
    directory = os.open(place.directory, os.O_RDONLY)
    try:
        for fd in (one.fileno(), null, directory):
            with pytest.raises(InvalidArgumentError):
                place.take(fd)
    finally:
        os.close(null)
        os.close(directory)
        one.close()
        two.close()


def test_no_descriptor_is_left(place: Place) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    for kind in ("pipe", "socket"):
        with piped(DATA, kind=kind) as source:
            place.take(source)
        with piped(b"", kind=kind) as source, pytest.raises(MalformedImageError):
            place.take(source)
    place.take_file(pack(Packing.ZIP, DATA))
    assert set(Path("/proc/self/fd").iterdir()) == before


# Compressed


@pytest.mark.parametrize("packing", STREAMS)
@pytest.mark.parametrize("kind", ["file", "pipe", "socket"])
def test_compressed(place: Place, packing: Packing, kind: str) -> None:
    packed = pack(packing, DATA)
    if kind == "file":
        got = place.take_file(packed)
    else:
        with piped(packed, kind=kind) as source:
            got = place.take(source)
    assert got == Received(content(DATA), packing, content(packed))
    assert place.stored == DATA
    assert place.seen[-1] == (len(packed), len(packed) if kind == "file" else 0)


def test_compressed_with_a_size(place: Place) -> None:
    packed = pack(Packing.XZ, DATA)
    with piped(packed) as source:
        assert place.take(source, Order(len(packed), 1 << 30, 0)).image == content(DATA)
    with piped(packed) as source, pytest.raises(MalformedImageError, match="its writer stopped too early"):
        place.take(source, Order(len(packed) + 1, 1 << 30, 0))


@pytest.mark.parametrize("packing", [*STREAMS, Packing.ZIP])
def test_a_bomb(place: Place, packing: Packing) -> None:
    with pytest.raises(LimitExceededError, match=r"unpacks to more than 1\.0 MiB.*images\.max_unpacked"):
        place.take_file(pack(packing, bytes(40 << 20)), Order(0, 1 << 20, 0))
    assert len(place.stored) <= 1 << 20
    # exactly the limit is allowed
    assert place.take_file(pack(packing, bytes(1 << 20)), Order(0, 1 << 20, 0)).image.size == 1 << 20


@pytest.mark.parametrize("packing", STREAMS)
def test_a_cut_file(place: Place, packing: Packing) -> None:
    packed = pack(packing, DATA)
    with pytest.raises(MalformedImageError, match=f"the {packing} data ends too early"):
        place.take_file(packed[: len(packed) // 2])


def test_a_compressed_file_that_changes(place: Place) -> None:
    path = place.directory / "source"
    path.write_bytes(pack(Packing.GZIP, random.Random(1).randbytes(300_000)))
    done = False

    def stop() -> bool:
        nonlocal done
        if place.seen and not done:
            done = True
            times = path.stat()
            with path.open("r+b") as file:
                file.seek(5)
                file.write(b"x")
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        return False

    place.stop = stop
    with path.open("rb") as file, pytest.raises(FailedError, match="changed while it was read"):
        place.take(file.fileno())


# zip


def test_zip(place: Place) -> None:
    members = {"dir/": b"", "dir/My Image.ISO": DATA, "readme.txt": b"text", "__MACOSX/dir/._My Image.ISO": b"x"}
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        packed = zipped(members, method)
        got = place.take_file(packed)
        assert got == Received(content(DATA), Packing.ZIP, content(packed), "My Image.ISO")
        assert place.stored == DATA
        assert place.seen[-1][1] == len(packed)
    assert place.take_file(zipped({"disk.raw": DATA})).member == "disk.raw"


@pytest.mark.parametrize(
    ("packed", "text"),
    [
        (zipped({"a.iso": b"1", "b.img": b"2", "c": b"3"}), r"not clear .*: a\.iso, b\.img;"),
        (zipped({"a": b"1", "b": b"2"}), "not clear .*: a, b;"),
        (zipped({f"{number:02}.iso": b"1" for number in range(30)}), "09.iso and 20 more"),
        (zipped({"dir/": b""}), "holds no file"),
        (zipped({"a.iso": b"1"}, zipfile.ZIP_BZIP2), "method bzip2"),
        (zipped({"a.iso": b"1"}, zipfile.ZIP_LZMA), "method lzma"),
        (zipped({"a.iso": DATA})[:-30], "cannot be read"),
        (zipped({f"{number:060}.txt": b"" for number in range(20_000)}), "far more than an image"),
        (b"PK\x03\x04" + bytes(100), "cannot be read"),
    ],
)
def test_unclear_and_damaged_zips(place: Place, packed: bytes, text: str) -> None:
    with pytest.raises(MalformedImageError, match=text):
        place.take_file(packed)


def test_a_zip_with_a_wrong_checksum(place: Place) -> None:
    packed = bytearray(zipped({"a.iso": DATA}, zipfile.ZIP_STORED))
    packed[1000] ^= 1
    with pytest.raises(MalformedImageError, match=r"a\.iso in the zip archive is damaged: Bad CRC-32"):
        place.take_file(bytes(packed))


def test_an_encrypted_zip(place: Place) -> None:
    packed = bytearray(zipped({"a.iso": b"1"}))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.index(magic) + offset] |= 1
    with pytest.raises(MalformedImageError, match="is encrypted"):
        place.take_file(bytes(packed))


def test_a_zip_through_a_pipe(place: Place) -> None:
    with piped(zipped({"a.iso": DATA})) as source, pytest.raises(MalformedImageError, match="save it to a file"):
        place.take(source)


ZIPPED = zipped({"a.iso": DATA[280_000:320_000], "readme": b"text"})


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), tail=st.booleans())
def test_damaged_zips_end_in_an_error_or_in_the_image(place: Place, seed: int, tail: bool) -> None:
    dice = random.Random(seed)
    packed = bytearray(ZIPPED)
    for _ in range(dice.randint(1, 4)):
        packed[dice.randrange(len(packed) - 300 if tail else 0, len(packed))] = dice.randrange(256)
    try:
        got = place.take_file(bytes(packed))
    except (MalformedImageError, LimitExceededError):
        pass
    else:
        assert got.image.size == len(place.stored)
        assert got.image == content(place.stored)
        if got.packing is Packing.ZIP:
            assert got.image.digests["sha256"] in {
                content(data).digests["sha256"] for data in (DATA[280_000:320_000], b"text")
            }


def test_a_zip_in_memory_is_what_the_tests_believe() -> None:
    with zipfile.ZipFile(io.BytesIO(ZIPPED)) as archive:
        assert archive.namelist() == ["a.iso", "readme"]


def test_a_file_of_another_size_than_promised(place: Place) -> None:
    with pytest.raises(InvalidArgumentError, match="has 3 bytes, expected 4"):
        place.take_file(b"abc", Order(4, 1, 0))
