"""A web of documents in memory, and the driver that feeds are read with here."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from luxusbd.catalog.feeds.definitions import packaged_feeds
from luxusbd.catalog.feeds.model import Feed, Outcome
from luxusbd.transfer.feeds.machine import FeedRun
from luxusbd.transfer.feeds.requests import Answer, Body, Check, Checked, Fetch, Gone, Measure, Refused, Size
from luxusbd.transfer.sums import signed_part

TODAY = datetime.date(2026, 11, 26)
SIGNED_BY = b"signed by "
"""Stands for a signature; the fingerprint follows."""

Page = bytes | str


def sha256(name: str) -> str:
    """The hash that a file of this name has here."""
    return hashlib.sha256(name.encode()).hexdigest()


def sha512(name: str) -> str:
    return hashlib.sha512(name.encode()).hexdigest()


def gnu(*names: str, mark: str = " ") -> str:
    return "".join(f"{sha256(name)} {mark}{name}\n" for name in names)


def gnu512(*names: str) -> str:
    return "".join(f"{sha512(name)}  {name}\n" for name in names)


def bsd(*names: str, size: int = 5) -> str:
    return "".join(f"# {name}: {size} bytes\nSHA256 ({name}) = {sha256(name)}\n" for name in names)


def framed(text: str, key: str) -> str:
    """A text with a signature around it, as far as this web is concerned."""
    return (
        f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{text}-----BEGIN PGP SIGNATURE-----\n\n"
        f"signed by {key}\n-----END PGP SIGNATURE-----\n"
    )


def listing(*names: str) -> str:
    """As Apache writes it."""
    rows = "".join(
        f'<tr><td><a href="{name}">{name}</a></td><td align="right">2026-10-01 10:00 </td></tr>\n' for name in names
    )
    return (
        '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">\n<html><head><title>Index of /</title></head><body>'
        f'<table><tr><th><a href="?C=N;O=D">Name</a></th></tr><tr><td><a href="/">Parent Directory</a></td></tr>\n'
        f"{rows}"
        "</table></body></html>\n"
    )


def rss(project: str, *paths: str, size: int = 700_000_000) -> str:
    """As SourceForge writes it: every file twice, a document of names with the media's namespace."""
    items = "".join(
        f"<item><title><![CDATA[{path}]]></title>"
        f"<link>https://sourceforge.net/projects/{project}/files{path}/download</link>"
        f"<guid>https://sourceforge.net/projects/{project}/files{path}/download</guid>"
        "<pubDate>Tue, 01 Sep 2026 10:11:12 UT</pubDate>"
        f'<media:content xmlns:media="http://video.search.yahoo.com/mrss/" type="application/x-iso9660-image" '
        f'url="https://sourceforge.net/projects/{project}/files{path}/download" filesize="{size}">'
        '<media:hash algo="md5">d41d8cd98f00b204e9800998ecf8427e</media:hash></media:content></item>\n'
        for path in paths
        for _twice in range(2)
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<rss xmlns:content="http://purl.org/rss/1.0/modules/content/" '
        f'version="2.0"><channel><title>{project}</title><link>https://sourceforge.net</link>{items}</channel></rss>\n'
    )


def atom(*titles: str) -> str:
    entries = "".join(
        f"<entry><id>tag:github.com,2008:{title}</id><updated>2026-08-20T01:02:03Z</updated>"
        f'<link rel="alternate" href="https://github.com/x/y/releases/tag/x"/><title>{title}</title></entry>\n'
        for title in titles
    )
    return (
        f'<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>Release notes</title>{entries}</feed>'
    )


@dataclass
class Web:
    """Answers requests from a table; what is not in it is gone."""

    pages: Mapping[str, Page]
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Other files have `size` bytes."""
    size: int | None = 1_000_000
    asked: list[str] = field(default_factory=list)

    def answer(self, request: object) -> Answer:
        if isinstance(request, Fetch):
            self.asked.append(request.url)
            page = self.pages.get(request.url)
            return Gone() if page is None else Body(page.encode() if isinstance(page, str) else page, '"e1"', "")
        if isinstance(request, Measure):
            self.asked.append("? " + request.url)
            size = self.sizes.get(request.url, self.size)
            return Gone() if size is None else Size(size)
        assert isinstance(request, Check)
        signature = request.signature if request.signature is not None else request.data
        _, found, key = signature.partition(SIGNED_BY)
        if not found:
            return Refused("there is no signature in it")
        if key.split()[0].decode() not in request.keys:
            return Refused("made by a key that is not among those given")
        data = request.data if request.signature is not None else signed_part(request.data.decode()).encode()
        return Checked(data, key.split()[0].decode())


def read(feed: Feed, web: Web, today: datetime.date = TODAY) -> Outcome:
    """Read a feed to its end."""
    run = FeedRun(feed, today)
    step = run.begin()
    while not isinstance(step, Outcome):
        step = run.answer(web.answer(step))
    return step


def feed_of(name: str) -> Feed:
    """A packaged feed."""
    return next(feed for feed in packaged_feeds() if feed.id == name)
