"""Metalinks of both versions, and what of them is used."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.errors import FailedError
from luxusbd.transfer.directions import directions, find_directions
from luxusbd.transfer.metalink import MAX_ELEMENTS, MAX_METALINK, MAX_URLS, Alternate, MetaFile, parse_metalink
from luxusbd.transfer.model import Digest, MirrorUrl, PieceHashes
from luxusbd.transfer.small import SmallFiles
from luxusbd.transfer.source import default_session
from tests.harness.maker import Maker
from tests.harness.tls import Authority

A, B, C = "a1" * 32, "b2" * 32, "c3" * 64
PIECES = tuple(f"{n:040x}" for n in range(3))
V4 = f"""<?xml version="1.0" encoding="UTF-8"?>
<metalink xmlns="urn:ietf:params:xml:ns:metalink">
  <generator>a mirror brain</generator>
  <published>2026-01-02T03:04:05Z</published>
  <file name="dir/live.iso">
    <size>2500000</size>
    <hash type="md5">{"0" * 32}</hash>
    <hash type="sha-256">{A.upper()}</hash>
    <hash type="sha-512">{C}</hash>
    <pieces length="1048576" type="sha-1">
      <hash>{PIECES[0]}</hash><hash>{PIECES[1]}</hash>
      <hash>{PIECES[2]}</hash>
    </pieces>
    <url priority="3" location="de">http://de.example/live.iso</url>
    <url priority="1" location="US">https://us.example/live.iso</url>
    <url>https://somewhere.example/live.iso</url>
    <url priority="2" location="xyz">ftp://ftp.example/live.iso</url>
    <url priority="2">https://user:secret@bad.example/live.iso</url>
    <metaurl mediatype="torrent" priority="1">https://us.example/live.iso.torrent</metaurl>
  </file>
</metalink>
""".encode()
V3 = f"""<?xml version="1.0" encoding="utf-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/" xmlns:mm0="http://fedorahosted.org/mirrormanager">
 <files>
  <file name="live.iso">
   <mm0:timestamp>1700000000</mm0:timestamp>
   <size>2500000</size>
   <verification>
    <hash type="md5">{"0" * 32}</hash>
    <hash type="sha256">{A}</hash>
    <pieces type="sha1" length="1048576">
     <hash piece="2">{PIECES[2]}</hash><hash piece="0">{PIECES[0]}</hash><hash piece="1">{PIECES[1]}</hash>
    </pieces>
   </verification>
   <mm0:alternates>
    <mm0:alternate>
     <mm0:timestamp>1600000000</mm0:timestamp>
     <size>2400000</size>
     <verification><hash type="sha256">{B}</hash></verification>
    </mm0:alternate>
   </mm0:alternates>
   <resources maxconnections="1">
    <url protocol="rsync" type="rsync" location="JP" preference="100">rsync://jp.example/live.iso</url>
    <url protocol="http" type="http" location="DE" preference="90">http://de.example/live.iso</url>
    <url protocol="https" type="https" location="JP" preference="100">https://jp.example/live.iso</url>
   </resources>
  </file>
 </files>
</metalink>
""".encode()
KNOWN = (Digest("sha256", A),)


def test_version_4() -> None:
    assert parse_metalink(V4) == (
        MetaFile(
            name="dir/live.iso",
            size=2500000,
            digests=(Digest("sha256", A), Digest("sha512", C)),
            pieces=PieceHashes("sha1", 1048576, PIECES),
            urls=(
                MirrorUrl("https://us.example/live.iso", "US"),
                MirrorUrl("http://de.example/live.iso", "DE"),
                MirrorUrl("https://somewhere.example/live.iso", ""),
            ),
        ),
    )


def test_version_3_with_older_versions() -> None:
    (found,) = parse_metalink(V3)
    assert found.pieces == PieceHashes("sha1", 1048576, PIECES)
    assert (found.name, found.size, found.digests) == ("live.iso", 2500000, (Digest("sha256", A),))
    assert found.urls == (MirrorUrl("https://jp.example/live.iso", "JP"), MirrorUrl("http://de.example/live.iso", "DE"))
    assert found.alternates == (Alternate(2400000, (Digest("sha256", B),)),)


def test_without_a_namespace_as_some_recorders_write_it() -> None:
    plain = V3.replace(b' xmlns="http://www.metalinker.org/"', b"")
    assert parse_metalink(plain) == parse_metalink(V3)


@pytest.mark.parametrize(
    "change",
    [
        (b'length="1048576"', b'length="2000000"'),
        (b'length="1048576"', b'length="0"'),
        (b'length="1048576"', b'length="-1"'),
        (PIECES[1].encode(), b"zz" * 20),
        (PIECES[1].encode(), b"11" * 19),
        (b'type="sha-1"', b'type="sha-99"'),
    ],
)
def test_pieces_that_do_not_cover_the_file(change: tuple[bytes, bytes]) -> None:
    (found,) = parse_metalink(V4.replace(*change))
    assert found.pieces is None
    assert found.urls


def test_the_strongest_kind_of_pieces() -> None:
    longer = "".join(f"<hash>{n:064x}</hash>" for n in range(3)).encode()
    data = V4.replace(b"</pieces>", b'</pieces><pieces length="1048576" type="sha-256">' + longer + b"</pieces>")
    (found,) = parse_metalink(data)
    assert found.pieces is not None
    assert found.pieces.algorithm == "sha256"


BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE metalink [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="&b;"/></metalink>"""


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (BOMB, "has a document type"),
        (b'<!DOCTYPE metalink SYSTEM "file:///etc/passwd"><metalink/>', "has a document type"),
        (b"", "not valid XML"),
        (b"<html><body>404</body></html>", "it begins with html"),
        (b"<metalink><files>", "not valid XML"),
        (b"\x89PNG", "not valid XML"),
        (b'<?xml version="1.0" encoding="ebcdic-cp-fi"?><metalink/>', "no encoding|not valid XML"),
        (b"<metalink>" + b"<a/>" * MAX_ELEMENTS + b"</metalink>", "more elements"),
        (b"<metalink>" + b"<a>" * 20 + b"</a>" * 20 + b"</metalink>", "more elements, or deeper ones"),
        (b"<metalink><files>" + b"<file/>" * 1001 + b"</files></metalink>", "more than 1000 files"),
        (b" " * (MAX_METALINK + 1), "more than 8 MiB"),
    ],
)
def test_what_is_no_metalink(data: bytes, said: str) -> None:
    with pytest.raises(FailedError, match=said):
        parse_metalink(data)


def test_an_empty_metalink_names_nothing() -> None:
    assert parse_metalink(b"<metalink/>") == ()


def test_many_addresses() -> None:
    urls = "".join(f'<url priority="{n}">https://m{n}.example/x</url>' for n in range(300, 0, -1)).encode()
    data = b'<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="x">' + urls + b"</file></metalink>"
    (found,) = parse_metalink(data)
    assert [url.url for url in found.urls] == [f"https://m{n}.example/x" for n in range(1, MAX_URLS + 1)]


NAMES = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="\x7f"), min_size=1, max_size=20
)
HOSTS = st.from_regex(r"[a-z]{1,10}\.example", fullmatch=True)


@given(
    NAMES,
    st.integers(1, 1 << 40),
    st.integers(0, 2**256 - 1),
    st.dictionaries(HOSTS, st.tuples(st.integers(1, 999), st.sampled_from(["DE", "US", ""])), max_size=8),
)
def test_what_a_mirror_writes_is_read(name: str, size: int, digest: int, mirrors: dict[str, tuple[int, str]]) -> None:
    urls = "".join(
        f'<url priority="{rank}" location="{country}">https://{host}/a&amp;b?c=1</url>'
        for host, (rank, country) in mirrors.items()
    )
    text = (
        f'<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name={quoteattr(name)}><size>{size}</size>'
        f'<hash type="sha-256">{digest:064x}</hash><identity>{escape(name)}</identity>{urls}</file></metalink>'
    )
    (found,) = parse_metalink(text.encode())
    assert (found.name, found.size, found.digests) == (name, size, (Digest("sha256", f"{digest:064x}"),))
    ranked = sorted(mirrors.items(), key=lambda item: item[1][0])
    assert [(url.url, url.country) for url in found.urls] == [
        (f"https://{host}/a&b?c=1", country) for host, (_rank, country) in ranked
    ]


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    for text in (data, b"<metalink><files><file>" + data + b"</file></files></metalink>"):
        try:
            parse_metalink(text)
        except FailedError:
            continue


# What of it is used


def test_a_metalink_that_agrees() -> None:
    found = directions(parse_metalink(V3), "live.iso", KNOWN, 0)
    assert found.size == 2500000
    assert found.pieces == PieceHashes("sha1", 1048576, PIECES)
    assert found.older == (2400000,)
    assert [mirror.url for mirror in found.mirrors] == ["https://jp.example/live.iso", "http://de.example/live.iso"]
    assert directions(parse_metalink(V4), "live.iso", (Digest("sha512", C), *KNOWN), 2500000).pieces is not None


@pytest.mark.parametrize(
    ("data", "name", "known", "size", "said"),
    [
        (V4, "other.iso", KNOWN, 0, "names no files other.iso"),
        (V4, "live.iso", (Digest("sha256", B),), 0, "gives another hash of the file than the catalogue"),
        (V4, "live.iso", (Digest("sha256", A), Digest("sha512", "d4" * 64)), 0, "gives another hash"),
        (V3, "live.iso", (Digest("sha256", B),), 2400000, "newer version of the file, the catalogue is out of date"),
        (V4, "live.iso", KNOWN, 2500001, "gives the file 2500000 bytes, the catalogue 2500001"),
        (V4, "live.iso", (Digest("blake2b", C),), 1, "gives no hash of the file"),
    ],
)
def test_a_metalink_that_does_not_fit(data: bytes, name: str, known: tuple[Digest, ...], size: int, said: str) -> None:
    with pytest.raises(FailedError, match=said):
        directions(parse_metalink(data), name, known, size)


def test_pieces_without_the_hash_of_the_file_prove_nothing() -> None:
    found = directions(parse_metalink(V4), "live.iso", (Digest("blake2b", C),), 2500000)
    assert found.pieces is None
    assert found.mirrors


async def test_fetching(authority: Authority) -> None:
    async with Maker(authority.good) as maker, SmallFiles(lambda: default_session(authority.client)) as files:
        url = maker.put("live.iso.meta4", V4)
        assert (await find_directions(files, url, "live.iso", KNOWN, 0)).mirrors
        for address, said in ((maker.at("none"), "answered 404"), (maker.put("page", b"<html/>"), "begins with html")):
            found = await find_directions(files, address, "live.iso", KNOWN, 0)
            assert (found.mirrors, found.pieces, found.size) == ((), None, 0)
            assert said in found.note
