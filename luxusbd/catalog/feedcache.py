"""What feeds said, on this machine's disk: one file, `feeds.json`, that is replaced as a whole.

What stands in it is judged as if the transfer process had said it just now: a file of somebody else cannot bring in
what the description of a feed does not allow. A record that was made by another description of its feed is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from luxusbd.catalog.feeds.codec import problems_from_json, releases_from_json, validator_from_json
from luxusbd.catalog.feeds.model import MAX_CHOSEN, Description, FeedRelease, Outcome
from luxusbd.durable import replace_file
from luxusbd.errors import CatalogError, InvalidArgumentError
from luxusbd.text import natural_key

VERSION = 1
MAX_FILE = 16 * 1024 * 1024


@dataclass(frozen=True)
class FeedRecord:
    """What is known of one feed. Times are unix seconds."""

    feed: str
    digest: str
    """Of the description by which it was read."""
    asked: int = 0
    answered: int = 0
    """When it last told of its releases, or that they are the same; 0 when it never did."""
    etag: str = ""
    last_modified: str = ""
    releases: tuple[FeedRelease, ...] = ()
    """The last ones that it told of."""
    problems: tuple[str, ...] = ()
    """What was wrong when it was last asked."""
    failed: bool = False
    """Whether nothing came of that: it could not be read, or nothing in it is genuine."""

    @classmethod
    def of(cls, description: Description) -> FeedRecord:
        """Of one that was never asked."""
        return cls(description.feed.id, description.digest)

    def line(self, problem: str) -> str:
        """A problem with the feed's name, which some have already."""
        head = f"feed {self.feed}: "
        return problem if problem.startswith(head) else head + problem

    def broken(self, problem: str, now: int) -> FeedRecord:
        """After it could not be read."""
        return replace(self, asked=now, problems=(self.line(problem),), failed=True)

    def told(self, outcome: Outcome, now: int) -> FeedRecord:
        """After it was read.

        What it does not tell of any more goes, unless something was wrong: then it may be just that. In no case does an
        older release take the place of a newer one.
        """
        if outcome.unchanged:
            return replace(self, asked=now, answered=now, problems=(), failed=False)
        known = {_kind(release): release for release in self.releases}
        found = {_kind(release): release for release in outcome.releases}
        problems = [self.line(problem) for problem in outcome.problems]
        for kind, release in known.items():
            told = found.get(kind)
            if told is not None and natural_key(told.version) < natural_key(release.version):
                problems.append(
                    self.line(f"tells of {told.version}, and told of {release.version} before, which stays")
                )
                found[kind] = release
            elif told is None and outcome.problems:
                found[kind] = release
        # with a problem the same document has to be read again, since what it leads to may be mended
        good = not problems
        failed = not outcome.releases and not good
        return replace(
            self,
            asked=now,
            answered=self.answered if failed else now,
            etag=outcome.etag if good else "",
            last_modified=outcome.last_modified if good else "",
            releases=tuple(found.values())[:MAX_CHOSEN],
            problems=tuple(problems),
            failed=failed,
        )


class FeedCache:
    """The file. All methods block."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, descriptions: Iterable[Description]) -> tuple[Mapping[str, FeedRecord], tuple[str, ...]]:
        """Records by the ids of their feeds, and a line about what cannot be used."""
        try:
            document = _document(self.path)
        except FileNotFoundError:
            return {}, ()
        except OSError as error:
            return {}, (f"{self.path}: {error.strerror}",)
        except CatalogError as error:
            return {}, (error.message,)
        records, problems = {}, []
        for description in descriptions:
            entry = document.get(description.feed.id)
            if entry is None:
                continue
            try:
                record = _record(entry, description)
            except InvalidArgumentError as error:
                problems.append(f"{self.path}: feed {description.feed.id}: {error.message}; it is not used")
                continue
            if record is not None:
                records[record.feed] = record
        return records, tuple(problems)

    def write(self, records: Iterable[FeedRecord]) -> None:
        """Replace all records.

        Raises:
            OSError: the disk refused; the old ones are still there.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self.path, to_bytes(records))


def to_bytes(records: Iterable[FeedRecord]) -> bytes:
    """Records as they lie in the file."""
    feeds = {record.feed: asdict(record) for record in records}
    return json.dumps({"version": VERSION, "feeds": feeds}, indent=1).encode() + b"\n"


def _document(path: Path) -> Mapping[str, Any]:
    with path.open("rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise CatalogError(f"{path}: larger than {MAX_FILE // 2**20} MiB; it is not used")
    try:
        document = json.loads(data)
        feeds = document["feeds"] if document["version"] == VERSION else None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CatalogError(f"{path}: holds no releases of feeds; it is not used ({type(error).__name__})") from error
    if not isinstance(feeds, Mapping):
        raise CatalogError(f"{path}: of another version; it is not used")
    return feeds


def _record(value: object, description: Description) -> FeedRecord | None:
    """A record in the file; None for one that another description made.

    Raises:
        InvalidArgumentError: it is none.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("digest"), str):
        raise InvalidArgumentError("is no record of a feed")
    if value["digest"] != description.digest:
        return None
    times = [value.get("asked"), value.get("answered")]
    if any(type(time) is not int or not 0 <= time < 1 << 53 for time in times):
        raise InvalidArgumentError("has no times")
    if type(value.get("failed")) is not bool:
        raise InvalidArgumentError("does not say how it went")
    problems: Sequence[str] = problems_from_json(value.get("problems"))
    return FeedRecord(
        feed=description.feed.id,
        digest=description.digest,
        asked=value["asked"],
        answered=value["answered"],
        etag=validator_from_json(value.get("etag")),
        last_modified=validator_from_json(value.get("last_modified")),
        releases=releases_from_json(value.get("releases"), description.feed),
        problems=tuple(problems),
        failed=value["failed"],
    )


def _kind(release: FeedRelease) -> tuple[str, str, str]:
    return release.edition, release.architecture, release.series
