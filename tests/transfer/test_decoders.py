"""Unpacking of streams: what comes out, however it is cut, and what is said of streams that are damaged or hostile."""

from __future__ import annotations

import bz2
import ctypes
import lzma
import random
import zlib

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from luxusbd.errors import LimitExceededError, MalformedImageError, ToolMissingError
from luxusbd.transfer import zstd as zstd_room
from luxusbd.transfer.decoders import PIECE, decoder_of
from luxusbd.transfer.packing import HEAD, Packing, names_in_sums, packing_of, unpacked_name
from tests.transfer.packs import STREAMS, pack, zstd

DATA = random.Random(3).randbytes(70_000) + bytes(200_000)
MEMBERS = (Packing.XZ, Packing.GZIP, Packing.BZIP2, Packing.ZSTD)


def unpack(packing: Packing, data: bytes, cut: int = 64 * 1024) -> bytes:
    decoder = decoder_of(packing)
    found = bytearray()
    for start in range(0, len(data), cut):
        for piece in decoder.feed(data[start : start + cut]):
            assert 0 < len(piece) <= PIECE
            found += piece
    decoder.end()
    return bytes(found)


@pytest.mark.parametrize("packing", STREAMS)
@pytest.mark.parametrize("cut", [1, 7, 1000, 1 << 20])
def test_round_trip(packing: Packing, cut: int) -> None:
    data = DATA[60_000:80_000]
    packed = pack(packing, data)
    assert packing_of(packed[:HEAD]) is packing
    assert unpack(packing, packed, cut) == data


@settings(max_examples=60)
@given(
    packing=st.sampled_from([Packing.XZ, Packing.LZMA, Packing.GZIP, Packing.BZIP2]),
    parts=st.lists(st.binary(max_size=300), min_size=1, max_size=4),
    cut=st.integers(1, 500),
)
def test_members_that_follow_each_other(packing: Packing, parts: list[bytes], cut: int) -> None:
    packed = b"".join(pack(packing, part) for part in parts)
    assert unpack(packing, packed, cut) == b"".join(parts)


def test_zstd_frames_that_follow_each_other() -> None:
    skippable = b"\x53\x2a\x4d\x18\x04\0\0\0xxxx"
    packed = skippable + zstd(b"one") + skippable + zstd(b"") + zstd(b"two") + skippable
    assert packing_of(packed[:HEAD]) is Packing.ZSTD
    for cut in (1, 5, 1000):
        assert unpack(Packing.ZSTD, packed, cut) == b"onetwo"


@pytest.mark.parametrize("packing", STREAMS)
def test_output_of_a_few_bytes_comes_in_pieces(packing: Packing) -> None:
    zeros = bytes(5 * PIECE + 1)
    packed = pack(packing, zeros)
    assert len(packed) < 100_000
    assert unpack(packing, packed, len(packed)) == zeros
    # an end that falls on the edge of a piece
    assert len(unpack(packing, pack(packing, bytes(2 * PIECE)))) == 2 * PIECE


@pytest.mark.parametrize("packing", STREAMS)
def test_cut_off_anywhere(packing: Packing) -> None:
    packed = pack(packing, DATA[69_000:71_000])
    for length in (*range(1, 40), *range(40, len(packed), 37), len(packed) - 1):
        with pytest.raises(MalformedImageError, match="ends too early"):
            unpack(packing, packed[:length])


@pytest.mark.parametrize("packing", MEMBERS)
def test_trailing_garbage(packing: Packing) -> None:
    packed = pack(packing, b"content")
    for garbage in (b"garbage", b"\0\0\0x", b"x"):
        with pytest.raises(MalformedImageError, match=r"follows the end|damaged|ends too early"):
            unpack(packing, packed + garbage)
        with pytest.raises(MalformedImageError, match=r"follows the end|damaged|ends too early"):
            unpack(packing, packed + garbage, 1)


def test_padding() -> None:
    for cut in (1, 1000):
        assert unpack(Packing.XZ, pack(Packing.XZ, b"a") + bytes(8) + pack(Packing.XZ, b"b") + bytes(4), cut) == b"ab"
        assert unpack(Packing.GZIP, pack(Packing.GZIP, b"a") + bytes(5), cut) == b"a"
        with pytest.raises(MalformedImageError, match="follows the end"):
            unpack(Packing.XZ, pack(Packing.XZ, b"a") + bytes(5) + pack(Packing.XZ, b"b"), cut)
        with pytest.raises(MalformedImageError, match="ends too early"):
            unpack(Packing.XZ, pack(Packing.XZ, b"a") + bytes(3), cut)


@settings(max_examples=200)
@given(packing=st.sampled_from(STREAMS), seed=st.integers(0, 2**32), cut=st.integers(1, 4000))
def test_damage_is_told_or_harmless(packing: Packing, seed: int, cut: int) -> None:
    """No damage ends in anything but an error for the user; where the format has a checksum it never goes unseen."""
    packed = bytearray(PACKED[packing])
    dice = random.Random(seed)
    place = dice.randrange(len(packed))
    packed[place] ^= 1 << dice.randrange(8)
    try:
        found = unpack(packing, bytes(packed), cut)
    except (MalformedImageError, LimitExceededError):
        pass
    else:
        assert found == DATA[60_000:90_000] or packing is Packing.LZMA


PACKED = {packing: pack(packing, DATA[60_000:90_000]) for packing in STREAMS}


@settings(max_examples=200)
@given(packing=st.sampled_from(STREAMS), rest=st.binary(max_size=200))
def test_noise_behind_a_magic_number(packing: Packing, rest: bytes) -> None:
    packed = PACKED[packing][:6] + rest
    assume(not packed.startswith(PACKED[packing][:20]))
    try:
        unpack(packing, packed)
    except (MalformedImageError, LimitExceededError):
        return
    assert packing in (Packing.LZMA, Packing.ZSTD)


def test_memory_of_xz_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 256 << 20}]
    packed = lzma.compress(b"small", lzma.FORMAT_XZ, filters=filters)
    with pytest.raises(LimitExceededError, match="more than 128 MiB of memory"):
        unpack(Packing.XZ, packed)
    old = lzma.compress(b"small", lzma.FORMAT_ALONE, filters=[{"id": lzma.FILTER_LZMA1, "dict_size": 512 << 20}])
    with pytest.raises(LimitExceededError, match="unpack it yourself"):
        unpack(Packing.LZMA, old)
    # what xz -9 makes is within the limit
    assert unpack(Packing.XZ, lzma.compress(b"small", preset=9)) == b"small"


def test_memory_of_zstd_is_bounded() -> None:
    with pytest.raises(LimitExceededError, match="more than 128 MiB of memory"):
        unpack(Packing.ZSTD, _window(30))
    assert unpack(Packing.ZSTD, _window(20)) == b""
    assert unpack(Packing.ZSTD, zstd(DATA, "--long=27")) == DATA


def _window(log: int) -> bytes:
    """A frame of one empty raw block with a window of 2^log bytes (RFC 8878, 3.1.1.1.2 and 3.1.1.2)."""
    return b"\x28\xb5\x2f\xfd" + bytes([0, (log - 10) << 3]) + b"\x01\0\0"


def test_zstd_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    zstd_room._library.cache_clear()
    with pytest.raises(ToolMissingError, match="install the package libzstd1"):
        decoder_of(Packing.ZSTD)
    monkeypatch.undo()
    zstd_room._library.cache_clear()


def test_memory_of_a_zstd_decoder_is_given_back() -> None:
    decoder = zstd_room.ZstdDecoder()
    list(decoder.feed(zstd(b"x")))
    assert decoder.close.alive
    decoder.close()
    assert not decoder.close.alive


def test_out_of_memory_is_no_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    class Starved:
        eof = False
        needs_input = True
        unused_data = b""

        def decompress(self, _data: bytes, _most: int) -> bytes:
            raise MemoryError

    monkeypatch.setattr(bz2, "BZ2Decompressor", Starved)
    with pytest.raises(LimitExceededError):
        unpack(Packing.BZIP2, b"BZh9")


@pytest.mark.parametrize(
    "head",
    [
        bytes(HEAD),
        b"CD001",
        b"",
        b"\x45\x52\x08\x00\x00\x00\x90\x90" + bytes(20),
        b"\x33\xed\xfa\x8e\xd5\xbc\x00\x7c",
        b"\xeb\x63\x90" + bytes(29),
        b"BZh9 is only a text",
        b"\x5d\0\0\0\x80" + b"\x01" * 8,
        zlib.compress(b"x"),
    ],
)
def test_what_is_not_compressed(head: bytes) -> None:
    assert packing_of(head) is None


def test_names() -> None:
    assert unpacked_name("a.iso.xz", Packing.XZ) == "a.iso"
    assert unpacked_name("A.IMG.GZ", Packing.GZIP) == "A.IMG"
    assert unpacked_name("a.iso.xz", Packing.GZIP) == "a.iso.xz"
    assert unpacked_name("a.iso", Packing.ZSTD) == "a.iso"
    assert unpacked_name(".xz", Packing.XZ) == ".xz"
    assert unpacked_name("a.xz", None) == "a.xz"
    assert names_in_sums("a.iso.zst") == ("a.iso.zst", "a.iso")
    assert names_in_sums("a.iso") == ("a.iso",)
