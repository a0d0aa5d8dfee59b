"""Pictures of strangers: what is kept of them, and what is refused."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.errors import NoLogoError
from luxusbd.transfer.picture import MAX_PICTURE, MAX_SIDE, Picture, PictureKind, _raw_size, read_picture
from luxusbd.transfer.picturesvg import MAX_DEPTH, MAX_ELEMENTS, MAX_USES
from tests.harness.pictures import SVG, chunk, png

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:e="urn:editor">'


def svg(inside: str, before: str = "") -> bytes:
    return f"{before}{HEAD}{inside}</svg>".encode()


def drawn(inside: str, before: str = "") -> str:
    """What is kept of a picture, without its first element."""
    found = read_picture(svg(inside, before))
    assert found.kind is PictureKind.SVG
    assert read_picture(found.data) == found, "what is written is read as itself"
    return found.data.decode().partition(">")[2].removesuffix("</svg>")


def test_a_png_keeps_its_pixels_alone() -> None:
    noise = chunk(b"tEXt", b"Comment\0hello") + chunk(b"iCCP", b"profile") + chunk(b"eXIf", b"camera")
    assert read_picture(png(further=noise, behind=b"appended")) == Picture(PictureKind.PNG, png())
    assert read_picture(png(1, 1, interlaced=True)).data == png(1, 1, interlaced=True)


def test_the_palette_and_what_is_clear_of_it() -> None:
    def made(*pieces: bytes) -> bytes:
        header = b"\0\0\0\x02\0\0\0\x01\x08\x03\0\0\0"
        front = [chunk(b"IHDR", header), *pieces]
        ending = [chunk(b"IDAT", zlib.compress(b"\0\0\1")), chunk(b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join([*front, *ending])

    good = made(chunk(b"PLTE", b"abcdef"), chunk(b"tRNS", b"\0"))
    assert read_picture(good).data == good
    assert read_picture(made(chunk(b"PLTE", b"abc"), chunk(b"tRNS", b"\0\0"))).data == made(chunk(b"PLTE", b"abc"))
    for wrong in (made(), made(chunk(b"PLTE", b"abcd")), made(chunk(b"PLTE", b"abc" * 257))):
        with pytest.raises(NoLogoError, match="palette"):
            read_picture(wrong)


def test_bytes_of_an_interlaced_picture() -> None:
    # 8 x 8, one byte a pixel: 1, 1, 2, 4, 8, 16 and 32 of them in 1, 1, 1, 2, 2, 4 and 4 lines
    assert _raw_size(8, 8, 8, interlaced=True) == 64 + 1 + 1 + 1 + 2 + 2 + 4 + 4
    assert _raw_size(8, 8, 8, interlaced=False) == 64 + 8
    assert _raw_size(1, 1, 1, interlaced=True) == 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is no picture"),
        (b"GIF89a", "is no picture"),
        (b"<!DOCTYPE html><html><body>Not found</body></html>", "is no SVG; is it a web page?"),
        (b"<html xmlns='http://www.w3.org/1999/xhtml'/>", "is no SVG"),
        (gzip.compress(SVG), "is compressed"),
        (b"x" * (MAX_PICTURE + 1), "has more than 1024 KiB"),
        (png()[:-3], "ends too early"),
        (png()[:60], "ends too early"),
        (png().replace(b"IDAT", b"IDAU"), "checksums"),
        (png(further=chunk(b"EVIL", b"")), "pieces that nobody knows"),
        (png(MAX_SIDE + 1, 1, pixels=b""), "at most 1024 x 1024"),
        (png(0, 1, pixels=b""), "at most 1024 x 1024"),
        (png(pixels=b"\0" * 100_000_00), "as many pixels"),
        (png(pixels=b"\0"), "as many pixels"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b""), "proper header"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"\0" * 13) * 2 + chunk(b"IEND", b""), "proper header"),
        (png().replace(png()[8:33], chunk(b"IHDR", b"\0\0\0\1\0\0\0\1\x07\2\0\0\0")), "does not exist"),
        (b"<svg", "is not valid XML"),
        (b"<?xml version='1.0' encoding='made-up'?><svg/>", "encoding"),
    ],
)
def test_what_is_no_picture(data: bytes, said: str) -> None:
    with pytest.raises(NoLogoError, match=said.replace("?", r"\?")):
        read_picture(data)


def test_an_svg_keeps_its_shapes_and_colours() -> None:
    inside = (
        '<defs><linearGradient id="a"><stop offset="0" stop-color="#fff"></stop></linearGradient></defs>'
        '<g transform="scale(2)"><path d="M0 0L1 1" fill="url(#a)" style="opacity:.5"></path></g>'
        '<use xlink:href="#b"></use>'
    )
    assert drawn(inside) == inside
    assert drawn('<use href="#b"/>') == '<use xlink:href="#b"></use>'
    assert drawn("<style>.a{fill:url(#g)}</style><path class='a'/>").startswith("<style>.a{fill:url(#g)}</style>")


def test_what_is_left_out() -> None:
    kept = "<path></path>"
    assert drawn("<metadata><e:who/></metadata><title>x</title><e:view><path/></e:view>" + kept) == kept
    assert drawn("<text>hello</text><filter id='f'><feBlend/></filter><mask><path/></mask><pattern/>" + kept) == kept
    assert drawn('<path onclick="evil()" filter="url(#f)" mask="url(#m)" e:label="x" href="http://x/"/>') == kept
    assert drawn("<switch><foreignObject><path/></foreignObject><path/></switch>") == f"<switch>{kept}</switch>"
    assert drawn("<style><path/>.a{}</style>" + kept) == "<style>.a{}</style>" + kept
    assert drawn("<!-- x --><?xml-stylesheet href='http://x/'?>" + kept) == kept
    clip = '<clipPath id="c"><rect class="a" style="x" clip-path="url(#d)" fill="url(#e)" width="1"/></clipPath>'
    assert drawn(clip + kept) == '<clipPath id="c"><rect width="1"></rect></clipPath>' + kept


def test_what_editors_write_in_front() -> None:
    doctype = '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/x.dtd" [<!ENTITY ns "urn:x">]>'
    assert drawn('<g xmlns:x="&ns;" id="&ns;"><path/></g>', doctype) == '<g id="urn:x"><path></path></g>'
    assert read_picture(b"\xef\xbb\xbf\n" + SVG.lstrip()).kind is PictureKind.SVG


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ("<script>evil()</script><path/>", "a script"),
        ("<g><e:x><script/></e:x></g><path/>", "a script"),
        ('<image href="data:image/png;base64,AA"/>', "another picture"),
        ('<use href="http://evil.example/x.svg#a"/>', "lie elsewhere"),
        ('<linearGradient xlink:href="file:///etc/passwd#a"/>', "lie elsewhere"),
        ('<path fill="url(http://evil.example/#a)"/>', "lie elsewhere"),
        ("<path style=\"fill: URL( 'http://evil.example/' )\"/>", "lie elsewhere"),
        ("<style>.a{fill:ur<!-- -->l(http://evil.example/)}</style><path/>", "lie elsewhere"),
        ("<style><![CDATA[.a{fill:u]]>rl(data:x)}</style><path/>", "lie elsewhere"),
        ("<style>@import 'http://evil.example/';</style><path/>", "may lead out"),
        (r"<style>.a{fill:\75rl(http://x)}</style><path/>", "may lead out"),
        (r'<path style="fill:\75rl(http://x)"/>', "may lead out"),
        ("<text>hello</text>", "nothing is drawn"),
        ('<use href="#a"/>' * (MAX_USES + 1), "again"),
        ("<g>" * MAX_DEPTH + "</g>" * MAX_DEPTH, "too many parts"),
        ("<title>" * MAX_DEPTH + "</title>" * MAX_DEPTH, "too many parts"),
        ("<g/>" * MAX_ELEMENTS, "too many parts"),
        (f'<path d="{">" * (MAX_PICTURE // 3)}"/>', "too many parts"),
    ],
)
def test_what_is_refused(inside: str, said: str) -> None:
    with pytest.raises(NoLogoError, match=said):
        read_picture(svg(inside))


@pytest.mark.parametrize(
    "entities",
    [
        '<!ENTITY a "ha"><!ENTITY b "&a;&a;">',
        '<!ENTITY a SYSTEM "file:///etc/passwd">',
        '<!ENTITY % a "x">',
        f'<!ENTITY a "{"x" * 201}">',
        "".join(f'<!ENTITY a{number} "x">' for number in range(65)),
    ],
)
def test_entities_that_are_not_taken(entities: str) -> None:
    with pytest.raises(NoLogoError, match="entity"):
        read_picture(svg("<path/>", f"<!DOCTYPE svg [{entities}]>"))


def test_short_entities_cannot_grow_without_limit() -> None:
    with pytest.raises(NoLogoError, match=r"too many parts|not valid XML"):
        read_picture(svg(f'<path d="{"&a;" * 20_000}"/>', f'<!DOCTYPE svg [<!ENTITY a "{"x" * 200}">]>'))


@given(st.sampled_from([png(), png(3, 2, interlaced=False), SVG]), st.data())
def test_damaged_pictures_are_refused_or_harmless(whole: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(whole) - 1))
    broken = whole[:at] + data.draw(st.binary(max_size=4)) + whole[at + data.draw(st.integers(0, 4)) :]
    try:
        found = read_picture(broken)
    except NoLogoError:
        return
    assert read_picture(found.data) == found
