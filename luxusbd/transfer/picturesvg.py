"""SVG pictures of strangers, written anew from the shapes and colours that are on a list.

Left out is what adds nothing to a small logo or makes it dear to draw: texts, filters, masks, patterns, animation,
metadata of editors. Refused is what has no place in one, or without which it would not be whole: scripts, pictures
inside the picture, and whatever points out of the document. What is written has no document type and no entity.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.sax.saxutils import escape, quoteattr

from luxusbd.errors import NoLogoError
from luxusbd.text import clean
from luxusbd.transfer.foreignxml import read_xml

MAX_ELEMENTS = 20_000
MAX_DEPTH = 64
MAX_USES = 32
"""Elements that are drawn again by `use`: each may hold others, so that their number is the exponent of the work."""
MAX_ENTITIES = 64
MAX_ENTITY = 200
"""Characters of one; editors name namespaces with them."""

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"

_SHAPES = frozenset({"path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "use"})
_OTHERS = frozenset({"svg", "g", "defs", "symbol", "switch", "linearGradient", "radialGradient", "stop", "clipPath"})
_STYLE = "style"
_REFUSED = {"script": "a script", "image": "another picture inside", "feImage": "another picture inside"}
_REFERRING = frozenset({"use", "linearGradient", "radialGradient"})
_DROPPED = frozenset({"filter", "mask", "marker", "marker-start", "marker-mid", "marker-end", "base", "href"})
_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,40}")
_URL = re.compile(r"url\s*+\(\s*+(?!['\"]?#)", re.IGNORECASE)


def rewrite_svg(data: bytes, most: int) -> bytes:
    """The picture in an SVG document of at most `most` bytes, written anew in at most as many.

    Raises:
        NoLogoError: it is none, or one that is not shown; the text begins with a verb.
    """
    writer = _Writer(most)
    read_xml(data, writer, NoLogoError, entity=writer.entity)
    return writer.document()


class _Writer:
    """Is told of a document, and writes another."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: list[str] = []
        self._size = 0
        self._open: list[str] = []
        self._css = ""
        self._skipped = 0
        """How deep we are inside something that is left out."""
        self._elements = self._uses = self._entities = self._shapes = 0

    def document(self) -> bytes:
        if not self._shapes:
            raise NoLogoError("is an SVG in which nothing is drawn that is shown")
        return "".join(self._made).encode()

    def entity(self, name: str, parameter: int, value: str | None, *_elsewhere: object) -> None:
        """One that the document defines for itself: short, and made of no others, or it could grow without limit."""
        self._entities += 1
        bad = value is None or parameter or len(value) > MAX_ENTITY or "&" in value or "%" in value
        if bad or self._entities > MAX_ENTITIES:
            raise NoLogoError(f"defines the entity {clean(name, 40)!r}, which is not taken")

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._elements += 1
        if self._elements > MAX_ELEMENTS or len(self._open) + self._skipped >= MAX_DEPTH:
            raise NoLogoError("is an SVG of too many parts")
        namespace, _blank, local = name.rpartition(" ")
        if self._elements == 1 and (namespace, local) != (SVG, "svg"):
            raise NoLogoError("is no SVG; is it a web page?")
        if local in _REFUSED:
            raise NoLogoError(f"holds {_REFUSED[local]}, which no logo needs")
        styled = self._open[-1:] == [_STYLE]
        if self._skipped or styled or namespace != SVG or local not in _SHAPES | _OTHERS | {_STYLE}:
            self._skipped += 1
            return
        if local == "use":
            self._uses += 1
            if self._uses > MAX_USES:
                raise NoLogoError("is an SVG that draws too many parts again")
        self._shapes += local in _SHAPES
        within_clip = "clipPath" in self._open
        kept = [
            f" {key}={quoteattr(value)}"
            for key, value in (self._attribute(local, *each, bare=within_clip) for each in attributes.items())
            if key
        ]
        root = f' xmlns="{SVG}" xmlns:xlink="{XLINK}"' if not self._open else ""
        self._open.append(local)
        self._write(f"<{local}{root}{''.join(kept)}>")

    def end(self, _name: str) -> None:
        if self._skipped:
            self._skipped -= 1
            return
        if self._open[-1] == _STYLE:
            # as a whole: it may have come in pieces
            css, self._css = self._css, ""
            if "@" in css or "\\" in css:
                raise NoLogoError("has styles that may lead out of it")
            _check_urls(css)
            self._write(escape(css))
        self._write(f"</{self._open.pop()}>")

    def text(self, data: str) -> None:
        if not self._skipped and self._open[-1:] == [_STYLE] and len(self._css) < self._most:
            self._css += data

    def _attribute(self, element: str, name: str, value: str, *, bare: bool) -> tuple[str, str]:
        """Its name and value in what is written; no name for one that is left out.

        `bare`: without what leads elsewhere in the document, so that clips of clips cannot grow without limit.
        """
        namespace, _blank, local = name.rpartition(" ")
        if local == "href" and namespace in ("", XLINK) and element in _REFERRING:
            if not value.startswith("#"):
                raise NoLogoError("is made of parts that lie elsewhere")
            return "xlink:href", value
        if namespace or local in _DROPPED or local.lower().startswith("on") or not _ATTRIBUTE.fullmatch(local):
            return "", ""
        if bare and (local in ("class", "style", "clip-path") or "url" in value.lower()):
            return "", ""
        if "\\" in value:
            raise NoLogoError("has styles that may lead out of it")
        _check_urls(value)
        return local, value

    def _write(self, text: str) -> None:
        self._size += len(text.encode())
        if self._size > self._most:
            raise NoLogoError("is an SVG of too many parts")
        self._made.append(text)


def _check_urls(text: str) -> None:
    if _URL.search(text):
        raise NoLogoError("is made of parts that lie elsewhere")
