"""Addresses in feeds: filling in templates, and which addresses a feed may lead to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote, urljoin, urlsplit

from luxusbd.catalog.feeds.model import Feed
from luxusbd.errors import CatalogError

MAX_URL = 2000
MAX_NAME = 255
SOURCEFORGE = "sourceforge.net"
_FIELD = re.compile(r"\{([a-z_]+)\}")
_DOWNLOAD = "/download"


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put values where their names stand in braces.

    Raises:
        CatalogError: there is no such value.
    """

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise CatalogError(f"there is no {{{found[1]}}} to put into {template}")
        return values[found[1]]

    return _FIELD.sub(value, template)


def leads_to(feed: Feed, base: str, reference: str) -> str:
    """The absolute address of a reference in a document, when the feed may lead there; empty for anything else.

    A feed leads to https and to the hosts that its description names, so that a taken-over page cannot send this
    machine's requests to wherever it likes.
    """
    if not reference or len(reference) > MAX_URL or not reference.isascii() or not reference.isprintable():
        return ""
    try:
        url = urljoin(base, reference.strip())
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    if (
        parts.scheme != "https"
        or parts.username is not None
        or authority(parts.hostname, port) not in feed.hosts
        or parts.fragment
        or any(char in url for char in ' "<>\\^`{|}')
        or len(url) > MAX_URL
    ):
        return ""
    return url


def authority(host: str | None, port: int | None) -> str:
    """A host with its port, as `Feed.hosts` has it."""
    return (host or "") if port in (None, 443) else f"{host}:{port}"


def file_name(url: str) -> str:
    """The name of the file at an address; SourceForge puts another part behind it. Empty when it has none."""
    name = unquote(_path(_plain(url)).rpartition("/")[2])
    return name if len(name) <= MAX_NAME and name.isprintable() and "/" not in name else ""


def path_of(url: str) -> str:
    """The path of an address, without the slash in front."""
    return _path(url).removeprefix("/")


def beside(url: str, reference: str) -> str:
    """The address of a file that is named relative to another one."""
    plain = _plain(url)
    try:
        found = urljoin(plain, reference)
    except ValueError:
        return ""
    return found + _DOWNLOAD if plain != url and "://" not in reference else found


def key_of(url: str) -> str:
    """What two addresses of one file have in common."""
    return _plain(url)


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def _plain(url: str) -> str:
    if not url.endswith(_DOWNLOAD):
        return url
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return url
    return url.removesuffix(_DOWNLOAD) if host == SOURCEFORGE else url
