"""Which addresses a feed may lead to."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from luxusbd.catalog.feeds.model import Feed

MAX_URL = 2000


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
