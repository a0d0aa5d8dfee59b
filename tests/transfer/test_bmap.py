"""Block maps: what bmaptool writes, what it never would, and how a map divides an image."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.errors import InvalidArgumentError
from luxusbd.images import blockmap
from luxusbd.images.blockmap import segments
from luxusbd.images.model import BlockMap, MappedRange
from luxusbd.transfer import bmap
from luxusbd.transfer.bmap import parse_bmap

BLOCK = 4096
HASH = "ab" * 32


def document(
    *ranges: tuple[str, str],
    size: int = 10 * BLOCK - 100,
    version: str = "2.0",
    extra: str = "<ChecksumType> sha256 </ChecksumType>",
    block: int = BLOCK,
    attribute: str = "chksum",
) -> bytes:
    rows = "".join(f'<Range {attribute}="{digest}"> {text} </Range>' for text, digest in ranges)
    return (
        f'<?xml version="1.0" ?><!-- {"a comment. " * 100} --><bmap version="{version}"><ImageSize> {size} </ImageSize>'
        f"<BlockSize> {block} </BlockSize><BlocksCount> 10 </BlocksCount>{extra}<BlockMap>\n {rows}</BlockMap></bmap>"
    ).encode()


def sealed(data: bytes, algorithm: str = "sha256") -> bytes:
    """With the hash of itself, as bmaptool makes it: over the text with zeros in its place."""
    zeros = b"0" * hashlib.new(algorithm).digest_size * 2
    assert zeros in data
    return data.replace(zeros, hashlib.new(algorithm, data).hexdigest().encode())


def test_version_2() -> None:
    extra = (
        "<MappedBlocksCount> 5 </MappedBlocksCount><ChecksumType> sha256 </ChecksumType>"
        f"<BmapFileChecksum> {'0' * 64} </BmapFileChecksum>"
    )
    found = parse_bmap(sealed(document(("0-2", HASH), ("5", HASH), ("9", HASH), extra=extra)))
    assert found == BlockMap(
        10 * BLOCK - 100,
        (
            MappedRange(0, 3 * BLOCK, HASH),
            MappedRange(5 * BLOCK, 6 * BLOCK, HASH),
            # the last block of an image may be cut
            MappedRange(9 * BLOCK, 10 * BLOCK - 100, HASH),
        ),
        "sha256",
    )
    assert found.mapped == 5 * BLOCK - 100


def test_earlier_versions() -> None:
    sha1 = "cd" * 20
    extra = f"<BmapFileSHA1> {'0' * 40} </BmapFileSHA1>"
    found = parse_bmap(sealed(document(("0", sha1), version="1.3", extra=extra, attribute="sha1"), "sha1"))
    assert (found.algorithm, found.ranges) == ("sha1", (MappedRange(0, BLOCK, sha1),))
    plain = parse_bmap(document(("0-1", ""), version="1.2", extra=""))
    assert (plain.algorithm, plain.ranges) == ("", (MappedRange(0, 2 * BLOCK),))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no valid XML|is not valid XML"),
        (b"<bmap", "is not valid XML"),
        (b"<html/>", "begins with <html>"),
        (b'<!DOCTYPE bmap [<!ENTITY a "b">]><bmap version="2.0"/>', "document type"),
        (document(("0", HASH), version="3.0"), "has version 3.0"),
        (document(("0", HASH), size=0), "of an image of 0 bytes"),
        (document(("0", HASH), block=0), "blocks of 0 bytes"),
        (document(), "maps nothing"),
        (document(("1-2", HASH), ("2-3", HASH)), "out of order"),
        (document(("3-2", HASH)), "out of order"),
        (document(("10", HASH)), "out of order or beyond"),
        (document(("-1", HASH)), "has a range '-1'"),
        (document(("1 to 2", HASH)), "has a range"),
        (document(("0", "zz" * 32)), "a hash that is none"),
        (document(("0", HASH[:-2])), "a hash that is none"),
        (document(("0", HASH), extra="<ChecksumType>md4</ChecksumType>"), "kind md4"),
        (
            document(("0", HASH), extra="<ChecksumType>sha256</ChecksumType><MappedBlocksCount>2</MappedBlocksCount>"),
            "maps 1",
        ),
        (
            document(
                ("0", HASH), extra=f"<ChecksumType>sha256</ChecksumType><BmapFileChecksum>{HASH}</BmapFileChecksum>"
            ),
            "its own hash",
        ),
        (b'<bmap version="2.0">' + b"<a>" * 20, "nested too deeply"),
        (b'<bmap version="2.0"><a>' + b"x" * 300 + b"</a></bmap>", "too long"),
        (b" " * (bmap.MAX_BMAP + 1), "more than 8 MiB"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_what_is_no_map(data: bytes, why: str) -> None:
    with pytest.raises(InvalidArgumentError, match=why):
        parse_bmap(data)


def test_more_ranges_than_any_map_has() -> None:
    rows = b"".join(b"<Range>%d</Range>" % (2 * number) for number in range(blockmap.MAX_RANGES + 1))
    data = b'<bmap version="1.2"><ImageSize>9999999999</ImageSize><BlockSize>4096</BlockSize><BlockMap>'
    with pytest.raises(InvalidArgumentError, match="more than 32768 ranges"):
        parse_bmap(data + rows + b"</BlockMap></bmap>")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_bmap(data)


@st.composite
def maps(draw: st.DrawFn) -> BlockMap:
    size = draw(st.integers(1, 5000))
    edges = sorted(draw(st.sets(st.integers(0, size), min_size=2, max_size=12)))
    ranges = tuple(MappedRange(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False))
    return BlockMap(size, ranges)


@given(maps(), st.sampled_from([1, 16, 64, 512]), st.sampled_from([64, 512, 1024, 8192]))
def test_a_map_divides_an_image(found: BlockMap, align: int, chunk: int) -> None:
    """Every mapped byte is written once, and what is written besides lies within one unit of the device of one."""
    chunk = max(chunk, align)
    wanted = {place for each in found.ranges for place in range(each.start, each.end)}
    written: list[int] = []
    for start in range(0, found.size, chunk):
        end = min(start + chunk, found.size)
        last = -1
        for low, high in segments(found.ranges, start, end, align):
            assert start <= low < high <= end
            assert low > last, "what touches is one"
            assert low % align == 0
            assert high % align == 0 or high == end
            written.extend(range(low, high))
            last = high
    assert len(set(written)) == len(written)
    assert wanted <= set(written)
    assert {place // align for place in written} == {place // align for place in wanted}


@given(maps())
def test_maps_cross_between_processes(found: BlockMap) -> None:
    assert blockmap.from_json(blockmap.to_json(found)) == found


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {"ranges": []},
        {"size": True, "algorithm": "", "ranges": [[0, 1, ""]]},
        {"size": 5, "algorithm": "", "ranges": [[0, 6, ""]]},
        {"size": 5, "algorithm": "", "ranges": [[0, "1", ""]]},
        {"size": 5, "algorithm": "md5", "ranges": [[0, 1, ""]]},
        {"size": 5, "algorithm": "", "ranges": [[0, 1, HASH]]},
    ],
)
def test_nonsense_from_another_process(document: object) -> None:
    with pytest.raises(InvalidArgumentError):
        blockmap.from_json(document)
