"""Targets that read what makers and mirrors publish about images: lists of hashes, keys, metalinks, block maps."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from contextlib import suppress

from luxusbd.errors import FailedError, InvalidArgumentError, MalformedImageError, VerificationError
from luxusbd.images import blockmap
from luxusbd.transfer.bmap import parse_bmap
from luxusbd.transfer.directions import MIN_PIECE, directions
from luxusbd.transfer.metalink import MAX_URLS, parse_metalink
from luxusbd.transfer.model import DIGESTS, Digest
from luxusbd.transfer.openpgp import CLEARSIGNED
from luxusbd.transfer.pinned import pinned_key
from luxusbd.transfer.proof import text_of
from luxusbd.transfer.sums import ALGORITHMS, all_sums, find_sums, signed_part
from tests.fuzz.engine import Target
from tests.fuzz.mutate import mutate, mutate_text

SHA256, SHA512 = "a1" * 32, "c3" * 64
NAME = "live.iso"
_SUMS = (
    b"\n", b"\r\n", b"\\", b" *", b"  ", b"\t", b"#", b"### SHA256SUMS:\n", b"# BLAKE2B HASH\n",
    b"BLAKE3 (live.iso) = ",
    b"SHA512/256 (", b") = ", b"(", b")", b"=", SHA256.encode(), SHA512.encode(), b"0" * 32, b"0" * 200, b"live.iso",
    b"/", b"../", b"\0", b"\xff", b"\xef\xbb\xbf", CLEARSIGNED, b"-----BEGIN PGP SIGNATURE-----", b"- - ", b"(" * 3000,
    b"a" * 5000, b" " * 5000, "\u2028".encode(), "\u0661".encode(),
)  # fmt: skip
_XML = (
    b"<", b">", b"/>", b"<file>", b"</file>", b"<url>", b"</url>", b"<hash>", b'type="sha-256"', b'piece="99999999"',
    b"<pieces", b"<!DOCTYPE a [", b"<!ENTITY a 'b'>", b"]>", b"&a;", b"&#0;", b"&#x10FFFF;", b"<![CDATA[", b"]]>",
    b"<!--", b"-->", b"<?xml", b'encoding="utf-16"', b"xmlns:", b'xmlns="urn:ietf:params:xml:ns:metalink"', b"\0",
    b"\xff\xfe", b"<a>" * 30, b"9" * 5000, b"-1", b"https://[::1", b"https://a:99999/", b"\xff", b'preference="100"',
)  # fmt: skip


_BMAP = (
    *_XML, b"<Range>", b"</Range>", b"<BlockMap>", b"<ImageSize>0</ImageSize>", b"<BlockSize>1</BlockSize>", b"0-0",
    b"-", b"9-1", b'chksum=""', b'version="1.2"', b"<BmapFileChecksum>00</BmapFileChecksum>", b"99999999999999999",
    b"<ChecksumType>md5</ChecksumType>", b"<Range>7</Range>" * 50,
)  # fmt: skip


def _sums_corpus() -> tuple[bytes, ...]:
    other = "b2" * 32
    gnu = f"{other} *other.iso\n{SHA256}  {NAME}\n"
    bsd = f"# {NAME}: 5 bytes\nSHA256 ({NAME}) = {SHA256}\nSHA512 ({NAME}) = {SHA512}\n"
    sectioned = f"### SHA256SUMS:\n{SHA256}  {NAME}\n\n### BLAKE3SUMS:\n{other}  {NAME}\n"
    framed = f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{bsd}-----BEGIN PGP SIGNATURE-----\n\niQ\n"
    return tuple(text.encode() for text in (gnu, bsd, sectioned, framed, SHA256, f"\\{SHA512}  a\\\\b\\n.iso\n"))


def _check_sums(data: bytes) -> None:
    text = signed_part(text_of(data))
    for listed_as in ("", "SHA512SUMS", "b2sums.txt"):
        with suppress(MalformedImageError, VerificationError):
            entries = all_sums(text, (NAME,), listed_as)
            assert entries
            for entry in entries:
                assert ALGORITHMS[entry.algorithm] == len(entry.digest)
                assert set(entry.digest) <= set("0123456789abcdef")
                # nothing is made up: the digits stand in the text
                assert entry.digest in text.lower()
            assert set(find_sums(text, (NAME,), listed_as)) <= set(entries)


def _metalink_corpus() -> tuple[bytes, ...]:
    pieces = "".join(f"<hash>{n:040x}</hash>" for n in range(2))
    v4 = (
        f'<?xml version="1.0"?><metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="{NAME}">'
        "<size>131072</size>"
        f'<hash type="sha-256">{SHA256}</hash><pieces length="65536" type="sha-1">{pieces}</pieces>'
        f'<url priority="1" location="de">https://a.example/{NAME}</url></file></metalink>'
    )
    v3 = (
        f'<metalink version="3.0" xmlns="http://www.metalinker.org/" xmlns:mm0="urn:m"><files><file name="{NAME}">'
        f'<size>5</size><verification><hash type="sha256">{SHA256}</hash></verification><mm0:alternates><mm0:alternate>'
        f'<size>4</size><verification><hash type="sha256">{"b2" * 32}</hash></verification></mm0:alternate>'
        f'</mm0:alternates><resources><url protocol="https" location="JP" preference="90">https://b.example/{NAME}</url>'
        "</resources></file></files></metalink>"
    )
    return v4.encode(), v3.encode()


def _check_metalink(data: bytes) -> None:
    with suppress(FailedError):
        found = parse_metalink(data)
        for file in found:
            assert len(file.urls) <= MAX_URLS
            assert all(url.url.startswith(("http://", "https://")) and url.url.isprintable() for url in file.urls)
            assert all(DIGESTS[digest.algorithm] == len(digest.value) for digest in file.digests)
        used = directions(found, NAME, (Digest("sha256", SHA256),), 0)
        if used.pieces is not None:
            assert used.pieces.length >= MIN_PIECE
            assert 0 <= used.pieces.length * len(used.pieces.values) - used.size < used.pieces.length


def _key(body: bytes) -> bytes:
    return b"\x99" + len(body).to_bytes(2, "big") + body


_BODY = b"\x04" + bytes(4) + b"\x16" + bytes(40)
_PINNED = hashlib.sha1(b"\x99" + len(_BODY).to_bytes(2, "big") + _BODY).hexdigest().upper()


def _keys_corpus() -> tuple[bytes, ...]:
    user, signature = b"\xb4\x03abc", b"\xc2\x05sigsi"
    mine = _key(_BODY) + user + signature
    other = _key(_BODY[:-1] + b"x") + user
    return mine, other + mine, mine + other, b"\xc6\xff\x00\x00\x00\x2e" + _BODY + user


def _check_keys(data: bytes) -> None:
    with suppress(MalformedImageError):
        found = pinned_key(data, _PINNED)
        if found is not None:
            assert found in data or b"BEGIN PGP" in data or data.count(_BODY) > 1
            assert pinned_key(found, _PINNED) == found


def _bmap_corpus() -> tuple[bytes, ...]:
    head = "<ImageSize>36000</ImageSize><BlockSize>4096</BlockSize><BlocksCount>9</BlocksCount>"
    rows = f'<Range chksum="{SHA256}">0-2</Range><Range chksum="{SHA256}"> 5 </Range>'
    new = (
        f"{head}<MappedBlocksCount>4</MappedBlocksCount><ChecksumType>sha256</ChecksumType><BlockMap>{rows}</BlockMap>"
    )
    old = f'{head}<BlockMap><Range sha1="{SHA256[:40]}">0</Range><Range>8</Range></BlockMap>'
    return (
        f'<bmap version="2.0">{new}</bmap>'.encode(),
        f'<?xml version="1.0"?><bmap version="1.3">{old}</bmap>'.encode(),
    )


def _check_bmap(data: bytes) -> None:
    with suppress(InvalidArgumentError):
        found = parse_bmap(data)
        assert 0 < found.mapped <= found.size
        assert blockmap.from_json(blockmap.to_json(found)) == found


def _mutate_bmap(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    return mutate_text(rng, data, corpus, _BMAP)


def _mutate_sums(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    return mutate_text(rng, data, corpus, _SUMS)


def _mutate_metalink(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    return mutate_text(rng, data, corpus, _XML)


def _mutate_keys(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    return mutate(rng, data, corpus, ())


TARGETS = (
    Target("sums", _sums_corpus, _mutate_sums, _check_sums, ("luxusbd/transfer/sums",)),
    Target(
        "metalink", _metalink_corpus, _mutate_metalink, _check_metalink, ("luxusbd/transfer/metalink", "directions")
    ),
    Target("bmap", _bmap_corpus, _mutate_bmap, _check_bmap, ("luxusbd/transfer/bmap", "luxusbd/images/blockmap")),
    Target("keys", _keys_corpus, _mutate_keys, _check_keys, ("luxusbd/transfer/pinned", "luxusbd/transfer/openpgp")),
)
