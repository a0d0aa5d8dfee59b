"""Targets that read pictures and keys of strangers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress

from luxusbd.errors import MalformedImageError, NoLogoError
from luxusbd.transfer.openpgpkeys import primary_fingerprints
from luxusbd.transfer.picture import read_picture
from tests.fuzz.engine import Target
from tests.fuzz.mutate import mutate, mutate_text
from tests.harness.pictures import SVG, chunk, png

_SVG = (
    b"<script/>", b"<image/>", b"<style>", b"</style>", b"url(", b"url(#a)", b'href="#a"', b'xlink:href="http://x/"',
    b"<use/>", b"<g>", b"</g>", b"<clipPath>", b"<![CDATA[", b"]]>", b"<!DOCTYPE svg [", b'<!ENTITY a "b">', b"&a;",
    b"&#0;", b"<?x?>", b"<!--", b"-->", b"@", b"\\", b'xmlns=""', b"\xff", b"\0", b"IHDR", b"PLTE", b"tRNS", b"IDAT",
    b"IEND",
)  # fmt: skip


def _pictures() -> tuple[bytes, ...]:
    return (
        png(),
        png(1, 1, interlaced=True),
        png(further=chunk(b"tRNS", bytes(6)) + chunk(b"tEXt", b"a\0b")),
        SVG,
        b'<!DOCTYPE svg [<!ENTITY a "b">]>'
        + SVG.replace(b"<rect", b"<style>.a{fill:url(#g)}</style><g><use href='#b'/></g><rect"),
    )


def _mutate(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    return mutate_text(rng, data, corpus, _SVG) if b"<svg" in data else mutate(rng, data, corpus, ())


def _check_picture(data: bytes) -> None:
    with suppress(NoLogoError):
        found = read_picture(data)
        assert read_picture(found.data) == found
        assert b"<script" not in found.data
        assert b'href="http' not in found.data


def _keys() -> tuple[bytes, ...]:
    return (b"\x98\x33\x04" + bytes(50), b"\xc6\x33\x06" + bytes(50), b"\x99\x00\x33\x04" + bytes(50))


def _check_keys(data: bytes) -> None:
    with suppress(MalformedImageError):
        assert all(len(each) in (40, 64) for each in primary_fingerprints(data))


TARGETS = (
    Target("pictures", _pictures, _mutate, _check_picture, ("luxusbd/transfer/picture",)),
    Target("fingerprints", _keys, _mutate, _check_keys, ("luxusbd/transfer/openpgpkeys",)),
)
