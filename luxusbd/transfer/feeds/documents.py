"""From the bytes of a document to the files that it names, for each kind of document that feeds are made of."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import Any

from luxusbd.catalog.feeds.model import Feed, Rows, Strategy
from luxusbd.catalog.feeds.reach import leads_to
from luxusbd.errors import CatalogError, LuxusbError
from luxusbd.text import clean
from luxusbd.transfer.feeds.addresses import file_name, key_of
from luxusbd.transfer.feeds.flatyaml import parse_flat_yaml
from luxusbd.transfer.feeds.found import Found, date_of, hex_digest, tagged_digest, whole
from luxusbd.transfer.feeds.rss import parse_items
from luxusbd.transfer.proof import text_of
from luxusbd.transfer.sums import Sum, listed_sums, signed_part

MAX_ROWS = 20_000
MAX_LINKS = 20_000
# The bounds keep every attempt short, whatever stands in the page.
_HREF = re.compile(
    r"""\b(?:href|data-url)\s{0,4}=\s{0,4}(?:"([^"<>]{0,2000})"|'([^'<>]{0,2000})'|([^\s"'<>]{1,2000}))""",
    re.IGNORECASE | re.ASCII,
)
_PAGE = re.compile(rb"\s*(?:<!doctype html|<html)", re.IGNORECASE)
_BYTES_COMMENT = re.compile(r"(?m)^#[ \t]*([^\s:][^\r\n:]{0,254}):[ \t]*([0-9]{1,15})[ \t]*bytes[ \t]*$", re.ASCII)


def files_of(feed: Feed, data: bytes, url: str) -> tuple[Found, ...]:
    """The files that the document at `url` names.

    Raises:
        CatalogError: it is not of the kind that the feed has.
    """
    if feed.strategy is Strategy.JSON_API:
        assert feed.rows is not None
        return _rows(feed, feed.rows, _json(data), url)
    if feed.strategy is Strategy.YAML:
        assert feed.rows is not None
        _refuse_page(data)
        return _rows(feed, feed.rows, parse_flat_yaml(_utf8(data)), url)
    if feed.strategy is Strategy.SOURCEFORGE:
        return _items(feed, data, url)
    found = dict.fromkeys(leads_to(feed, url, reference.partition("#")[0]) for reference in links(data))
    return tuple(Found(link, name) for link in found if (name := file_name(link)))


def directories_of(feed: Feed, data: bytes, url: str) -> tuple[str, ...]:
    """Names of the directories that the listing at `url` links, which lie right below it."""
    found = []
    for reference in links(data):
        link = leads_to(feed, url, reference)
        name = link.removeprefix(url)
        if link != name and name.endswith("/") and name.count("/") == 1:
            found.append(name[:-1])
    return tuple(dict.fromkeys(found))


def links(data: bytes) -> Iterator[str]:
    """What the links of a page refer to.

    Raises:
        CatalogError: there are more than in any real one.
    """
    text = data.decode("utf-8", "replace")
    for number, found in enumerate(_HREF.finditer(text)):
        if number >= MAX_LINKS:
            raise CatalogError(f"a page with more than {MAX_LINKS} links")
        yield html.unescape(next(group for group in found.groups() if group is not None)).strip()


def sums_of(data: bytes, listed_as: str) -> tuple[Sum, ...]:
    """Everything that a list of hashes says, of which nobody has checked a signature.

    Raises:
        CatalogError: there is no hash in it that proves something.
    """
    _refuse_page(data)
    try:
        return listed_sums(signed_part(text_of(data)), listed_as)
    except LuxusbError as error:
        raise CatalogError(error.message) from error


def size_hints(data: bytes) -> dict[str, int]:
    """Bytes of files by the comments of a list of hashes. Rocky 9.8 has a wrong one beside a right hash."""
    return {found[1]: whole(found[2]) for found in _BYTES_COMMENT.finditer(text_of(data))}


def titles(data: bytes) -> tuple[tuple[str, str], ...]:
    """Title and day of each entry of an Atom document, as they stand there.

    Raises:
        CatalogError: it is none.
    """
    return tuple((item.title[:255], date_of(item.date)) for item in parse_items(data))


def _json(data: bytes) -> Any:
    _refuse_page(data)
    try:
        return json.loads(data.removeprefix(b"\xef\xbb\xbf").decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise CatalogError(f"not UTF-8 text: {error.reason} at byte {error.start}") from error
    except RecursionError as error:
        raise CatalogError("JSON nested deeper than any real feed") from error
    except ValueError as error:
        raise CatalogError(f"not valid JSON: {clean(str(error), 200)}") from error


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is no JSON number")


def _utf8(data: bytes) -> str:
    try:
        return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        raise CatalogError(f"not UTF-8 text: {error.reason} at byte {error.start}") from error


def _refuse_page(data: bytes) -> None:
    if _PAGE.match(data[:4096]):
        raise CatalogError("found a web page, which servers send instead of an error, or behind a login to the network")


def _items(feed: Feed, data: bytes, url: str) -> tuple[Found, ...]:
    found: dict[str, Found] = {}
    # SourceForge lists every file twice, with two addresses that mean the same one
    for item in parse_items(data):
        link = leads_to(feed, url, item.link)
        name = file_name(link)
        if link and name:
            found.setdefault(key_of(link), Found(link, name, size=whole(item.size), date=date_of(item.date)))
    return tuple(found.values())


def _rows(feed: Feed, rows: Rows, root: object, url: str) -> tuple[Found, ...]:
    found: dict[tuple[str, str], Found] = {}
    count = 0
    for path in rows.paths:
        for entry in _walk(root, path):
            count += 1
            if count > MAX_ROWS:
                raise CatalogError(f"a document with more than {MAX_ROWS} entries")
            file = _row(feed, rows, entry, url)
            if file is not None:
                found.setdefault((file.url, file.version), file)
    return tuple(found.values())


def _walk(value: object, path: tuple[str, ...]) -> Iterator[object]:
    if not path:
        yield value
    elif path[0] == "*":
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            for item in value:
                yield from _walk(item, path[1:])
    elif isinstance(value, dict) and path[0] in value:
        yield from _walk(value[path[0]], path[1:])


def _row(feed: Feed, rows: Rows, entry: object, url: str) -> Found | None:
    if not isinstance(entry, dict):
        return None
    if not all(pattern.fullmatch(_text(_at(entry, path))) for path, pattern in rows.where):
        return None
    values = {name: _at(entry, path) for name, path in rows.fields.items()}
    base = rows.base or url
    link = leads_to(feed, base, _text(values.get("url")))
    version = _text(values.get("version"))
    if not link and ("url" in rows.fields or not version):
        return None
    tagged = tagged_digest(values.get("digest"))
    return Found(
        url=link,
        name=file_name(link),
        version=version,
        sha256=hex_digest(values.get("sha256"), "sha256") or tagged[0],
        sha512=hex_digest(values.get("sha512"), "sha512") or tagged[1],
        size=whole(values.get("size")),
        date=date_of(values.get("date")),
        sums_url=leads_to(feed, base, _text(values.get("sums"))),
        signature_url=leads_to(feed, base, _text(values.get("signature"))),
    )


def _at(entry: object, path: tuple[str, ...]) -> object:
    for key in path:
        if not isinstance(entry, dict):
            return None
        entry = entry.get(key)
    return entry


def _text(value: object) -> str:
    """A text or a number as text; booleans as JSON writes them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) < 1 << 63:
        return str(value)
    return value if isinstance(value, str) and len(value) <= 4096 else ""
