"""Reads a feed step by step: says what to fetch, takes the bytes, and in the end has releases. Nothing here waits."""

from __future__ import annotations

import datetime
from collections.abc import Generator

from luxusbd.catalog.feeds.model import Feed, Outcome
from luxusbd.errors import CatalogError, InternalError
from luxusbd.text import clean, size_text
from luxusbd.transfer.feeds.reading import reading
from luxusbd.transfer.feeds.requests import FITTING, Answer, Body, Checked, Fetch, Request, Same

MAX_STEPS = 200
MAX_BYTES = 64 * 1024 * 1024
"""All documents of one run together."""


class FeedRun:
    """One reading of a feed.

    Call `begin`, do what it asks for, give what came of it to `answer`, and go on until there is an `Outcome`.
    A failure that no answer stands for, such as a server that cannot be reached, ends it: drop the run.
    """

    def __init__(self, feed: Feed, today: datetime.date, etag: str = "", last_modified: str = "") -> None:
        self._feed = feed
        self._steps: Generator[Request, Answer, Outcome] = reading(feed, today, etag, last_modified)
        self._asked: Request | None = None
        self._count = 0
        self._bytes = 0

    def begin(self) -> Request | Outcome:
        """The first request.

        Raises:
            CatalogError: the feed's description leads nowhere.
        """
        if self._count:
            raise InternalError("a feed was begun twice")
        return self._go_on(None)

    def answer(self, answer: Answer) -> Request | Outcome:
        """Go on with what the last request brought.

        Raises:
            CatalogError: the feed is not what it has to be; one line that names the feed and the document.
        """
        asked = self._asked
        if asked is None or not isinstance(answer, FITTING[type(asked)]):
            raise InternalError(f"{type(answer).__name__} is no answer to {type(asked).__name__}")
        if isinstance(answer, Same) and not (isinstance(asked, Fetch) and (asked.etag or asked.last_modified)):
            raise self._fault(f"{asked.url}: said not to have changed, which nobody asked")
        if isinstance(answer, Body) and isinstance(asked, Fetch):
            self._bytes += len(answer.data)
            if len(answer.data) > asked.most:
                raise self._fault(f"{asked.url}: more than {size_text(asked.most)}: is it the right address?")
            if self._bytes > MAX_BYTES:
                raise self._fault(f"leads to more than {size_text(MAX_BYTES)} of documents")
        if isinstance(answer, Checked) and len(answer.data) > MAX_BYTES:
            raise self._fault("a signed text larger than what was sent")
        return self._go_on(answer)

    def _go_on(self, answer: Answer | None) -> Request | Outcome:
        self._asked = None
        self._count += 1
        if self._count > MAX_STEPS:
            raise self._fault(f"leads to more than {MAX_STEPS} documents")
        try:
            request = next(self._steps) if answer is None else self._steps.send(answer)
        except StopIteration as end:
            outcome = end.value
            assert isinstance(outcome, Outcome)
            return outcome
        except CatalogError as error:
            raise self._fault(error.message) from error
        self._asked = request
        return request

    def _fault(self, text: str) -> CatalogError:
        self._steps.close()
        return CatalogError(f"feed {self._feed.id}: {clean(text, 1000)}")
