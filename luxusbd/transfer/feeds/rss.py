"""Reads RSS as SourceForge writes it, and the titles of an Atom document.

The XML is foreign, and what is kept of it is bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from luxusbd.errors import CatalogError
from luxusbd.text import clean
from luxusbd.transfer.foreignxml import read_xml

MAX_ELEMENTS = 200_000
MAX_DEPTH = 32
MAX_ITEMS = 20_000
MAX_TEXT = 4096


@dataclass(frozen=True)
class Item:
    """A file in an RSS document, or an entry in an Atom one."""

    title: str
    link: str = ""
    date: str = ""
    size: str = ""


def parse_items(data: bytes) -> tuple[Item, ...]:
    """The items, in the order in which they stand there.

    Raises:
        CatalogError: it is no RSS or Atom, has a document type, or is larger than any real one.
    """
    reader = _Reader()
    read_xml(data, reader, _fault)
    return tuple(reader.items)


def _fault(why: str) -> CatalogError:
    return CatalogError(f"the list of files {why}")


class _Reader:
    """Keeps the items, and of each what is asked for."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self._path: list[str] = []
        self._fields: dict[str, str] = {}
        self._text: list[str] = []
        self._length = 0
        self._count = 0

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        local = name.rpartition(" ")[2]
        if not self._path and local not in ("rss", "feed"):
            raise CatalogError(f"found XML that begins with {clean(local, 40)}, expected RSS or Atom")
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._path) >= MAX_DEPTH:
            raise CatalogError("XML with more elements, or deeper ones, than any real feed")
        self._path.append(local)
        self._text, self._length = [], 0
        if local in ("item", "entry"):
            self._fields = {}
        elif local == "content" and "filesize" in attributes:
            self._fields["size"] = attributes["filesize"][:32]
        elif local == "link" and "href" in attributes:
            self._fields.setdefault("link", attributes["href"][:MAX_TEXT])

    def text(self, data: str) -> None:
        self._length += len(data)
        if self._length <= MAX_TEXT:
            self._text.append(data)

    def end(self, _name: str) -> None:
        local = self._path.pop()
        text = "".join(self._text).strip()
        self._text = []
        if self._path and self._path[-1] in ("item", "entry") and text:
            if local in ("title", "link"):
                self._fields.setdefault(local, text)
            elif local in ("pubDate", "updated"):
                self._fields.setdefault("date", text)
        elif local in ("item", "entry"):
            if len(self.items) >= MAX_ITEMS:
                raise CatalogError(f"XML with more than {MAX_ITEMS} entries")
            fields = self._fields
            self.items.append(
                Item(fields.get("title", ""), fields.get("link", ""), fields.get("date", ""), fields.get("size", ""))
            )
