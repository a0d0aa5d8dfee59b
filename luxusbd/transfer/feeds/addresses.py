"""Addresses in feeds: filling in templates, and what stands in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote, urljoin, urlsplit

from luxusbd.errors import CatalogError

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
