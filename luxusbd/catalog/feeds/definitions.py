"""Reads the descriptions of feeds (`data/feeds.json` and the administrator's).

The format is enforced by `data/schemas/feeds.schema.json`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from luxusbd import resources
from luxusbd.catalog.feeds.model import Description, Feed, ImagePattern, Listing, Rows, SignatureKind, Signing, Strategy
from luxusbd.errors import CatalogError

MAX_FILE = 1024 * 1024
_FIELD = re.compile(r"\{([a-z_]+)\}")
_BEHIND_NAME = frozenset({"file", "stem", "path", "version", "edition"})
"""What can be put into an address once the name of a file is known, beside the groups of its pattern."""

_NO_ROWS = Rows((), {})


def parse_descriptions(data: bytes, name: str) -> tuple[Description, ...]:
    """Check and read a file of descriptions; `name` is what errors call it.

    Raises:
        CatalogError: it breaks the schema, or a template needs what its pattern does not find.
    """
    if len(data) > MAX_FILE:
        raise CatalogError(f"{name}: larger than {MAX_FILE} bytes")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CatalogError(f"{name}: not valid JSON: {error}") from error
    from jsonschema.exceptions import best_match

    fault = best_match(_validator().iter_errors(document))
    if fault is not None:
        expected = fault.schema.get("description") if isinstance(fault.schema, dict) else None
        detail = f"expected {expected}; {fault.message}" if expected else fault.message
        raise CatalogError(f"{name}: {fault.json_path}: {detail[:300]}")
    assert isinstance(document, dict)
    feeds: dict[str, Description] = {}
    for index, entry in enumerate(document["feeds"]):
        at = f"{name}: $.feeds[{index}]"
        try:
            feed = _feed(entry)
        except re.error as error:
            raise CatalogError(f"{at}: a pattern is malformed: {error}") from error
        except ValueError as error:
            raise CatalogError(f"{at}: an address is malformed: {error}") from error
        for problem in _problems(feed):
            raise CatalogError(f"{at}: {problem}")
        if feed.id in feeds:
            raise CatalogError(f"{at}.id: found {feed.id!r} again, expected an id that no other feed has")
        digest = hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()
        feeds[feed.id] = Description(feed, entry, digest)
    return tuple(feeds.values())


def parse_feeds(data: bytes, name: str) -> tuple[Feed, ...]:
    """The same, without the texts; raises as `parse_descriptions`."""
    return tuple(each.feed for each in parse_descriptions(data, name))


def parse_feed(entry: object, name: str) -> Feed:
    """Check and read one description, as it stands in `feeds` of a file. Raises as `parse_descriptions`."""
    return parse_feeds(json.dumps({"version": 1, "feeds": [entry]}).encode(), name)[0]


@cache
def packaged_descriptions() -> tuple[Description, ...]:
    """The feeds that come with this version.

    Raises:
        CatalogError: the file cannot be read or is malformed.
    """
    return read_feeds(resources.data("feeds.json"))


def packaged_feeds() -> tuple[Feed, ...]:
    """The same, without the texts; raises as `packaged_descriptions`."""
    return tuple(each.feed for each in packaged_descriptions())


def read_feeds(path: Path) -> tuple[Description, ...]:
    """Read a file of descriptions.

    Raises:
        CatalogError: it cannot be read or is malformed.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise CatalogError(f"{path}: {error.strerror}") from error
    return parse_descriptions(data, str(path))


def all_descriptions(files: Sequence[Path]) -> tuple[tuple[Description, ...], tuple[str, ...]]:
    """The packaged feeds and those of `files`, later ones win by id; and a line about each file that is no use."""
    feeds: dict[str, Description] = {}
    problems: list[str] = []
    ways: list[Callable[[], tuple[Description, ...]]] = [packaged_descriptions]
    ways += [partial(read_feeds, path) for path in files]
    for read in ways:
        try:
            feeds.update({each.feed.id: each for each in read()})
        except CatalogError as error:
            problems += error.message.splitlines()
    return tuple(feeds.values()), tuple(problems)


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(resources.data("schemas", "feeds.schema.json").read_text("utf-8")))


def _feed(entry: Mapping[str, Any]) -> Feed:
    strategy = Strategy(entry["strategy"])
    images = tuple(_image(image) for image in entry["images"])
    url = entry.get("url", "")
    title = entry.get("version_title", "")
    addresses = [
        url,
        entry.get("version_url", ""),
        entry.get("sums", ""),
        entry.get("metalink", ""),
        *(image.address for image in images),
    ]
    rows = entry.get("rows")
    if rows is not None:
        addresses.append(rows.get("base", ""))
    return Feed(
        id=entry["id"],
        distribution=entry.get("distribution", entry["id"]),
        strategy=strategy,
        url=url,
        images=images,
        directories=tuple(re.compile(pattern) for pattern in entry.get("directories", ())),
        below=entry.get("below", ""),
        listing=Listing(entry.get("listing", "links")),
        sums=entry.get("sums", ""),
        signing=_signing(entry.get("signature", {})),
        metalink=entry.get("metalink", ""),
        rows=_rows(rows) if rows is not None else None,
        hosts=frozenset([*_hosts(addresses), *entry.get("hosts", ())]),
        probe=tuple(entry.get("probe", ())),
        version_url=entry.get("version_url", ""),
        version_title=re.compile(title) if title else None,
        keep=int(entry.get("keep", 1)),
        rolling=entry.get("rolling", False),
    )


def _image(image: Mapping[str, Any]) -> ImagePattern:
    return ImagePattern(
        file=re.compile(image["file"]),
        architecture=image["architecture"],
        edition=image.get("edition", ""),
        version=image.get("version", "{version}"),
        series=image.get("series", ""),
        address=image.get("address", ""),
    )


def _signing(signature: Mapping[str, Any]) -> Signing:
    return Signing(
        SignatureKind(signature.get("kind", "none")), signature.get("address", ""), frozenset(signature.get("keys", ()))
    )


def _rows(rows: Mapping[str, Any]) -> Rows:
    return Rows(
        paths=tuple(tuple(path) for path in rows["paths"]),
        fields={key: tuple(path) for key, path in rows["fields"].items()},
        where=tuple((tuple(item["field"]), re.compile(item["is"])) for item in rows.get("where", ())),
        base=rows.get("base", ""),
    )


def _hosts(addresses: list[str]) -> Iterator[str]:
    for address in addresses:
        parts = urlsplit(address) if "://" in address else None
        if parts is not None and parts.hostname:
            yield parts.hostname if parts.port in (None, 443) else f"{parts.hostname}:{parts.port}"


def _problems(feed: Feed) -> Iterator[str]:
    """What a JSON Schema cannot say."""
    if feed.strategy is not Strategy.STABLE_SYMLINK and not feed.url:
        yield "found no url, expected one for this strategy"
    if feed.strategy is Strategy.STABLE_SYMLINK and not (feed.sums and all(image.address for image in feed.images)):
        yield "found an image without address, or no sums, expected both for stable_symlink"
    if (feed.rows is not None) != (feed.strategy in (Strategy.JSON_API, Strategy.YAML)):
        yield "found rows for a strategy without, or none for one with them"
    if feed.strategy is Strategy.DIRECTORY_INDEX and feed.listing is Listing.SUMS and not feed.sums:
        yield "found no sums, expected the list that names the files"
    if feed.strategy is Strategy.DIRECTORY_INDEX and not feed.url.endswith("/"):
        yield "found a url without / at its end, expected a directory"
    if bool(feed.version_url) != (feed.version_title is not None):
        yield "found one of version_url and version_title, expected both or none"
    if feed.version_title is not None and "version" not in feed.version_title.groupindex:
        yield "version_title has no group version"
    kind, keys = feed.signing.kind, feed.signing.keys
    if (kind is not SignatureKind.NONE) and not keys:
        yield "found a signature without keys, expected the fingerprints that may sign"
    if kind in (SignatureKind.DETACHED, SignatureKind.INLINE) and not feed.sums:
        yield "found a signature of a list of hashes, and no sums"
    if kind is SignatureKind.IMAGE and not feed.signing.address and "signature" not in (feed.rows or _NO_ROWS).fields:
        yield "found a signature of images without address, and no entry tells of one"
    for image in feed.images:
        yield from _image_problems(feed, image)


def _image_problems(feed: Feed, image: ImagePattern) -> Iterator[str]:
    groups = frozenset(image.file.groupindex)
    told = bool(feed.version_url) or (feed.rows is not None and "version" in feed.rows.fields)
    if "version" not in groups and not told and image.version == "{version}":
        yield f"{image.file.pattern}: has no group version, and nothing else tells of it"
    usable = groups | {"version"}
    for template in (image.edition, image.version, image.series):
        yield from (f"{template}: the pattern has no group {name}" for name in _names(template) - usable)
    listed = feed.strategy is Strategy.DIRECTORY_INDEX and feed.listing is Listing.SUMS
    known = frozenset({"directory"}) if listed else groups | _BEHIND_NAME
    if feed.strategy is Strategy.STABLE_SYMLINK:
        known = frozenset({"file", "stem"})
    yield from (f"{feed.sums}: nothing tells what {{{name}}} is" for name in _names(feed.sums) - known)
    behind = groups | _BEHIND_NAME if feed.signing.kind is SignatureKind.IMAGE else known | {"sums"}
    yield from (
        f"{feed.signing.address}: nothing tells what {{{name}}} is" for name in _names(feed.signing.address) - behind
    )
    yield from (
        f"{feed.metalink}: nothing tells what {{{name}}} is" for name in _names(feed.metalink) - groups - _BEHIND_NAME
    )
    placed = {"probe"} if feed.strategy is Strategy.STABLE_SYMLINK else {"version"}
    yield from (f"{image.address}: nothing tells what {{{name}}} is" for name in _names(image.address) - placed)


def _names(template: str) -> frozenset[str]:
    return frozenset(_FIELD.findall(template))
