"""The values of a download as JSON, for the channel between the core and the transfer child."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from luxusbd.errors import InvalidArgumentError
from luxusbd.transfer.model import (
    DIGESTS,
    Digest,
    DownloadProgress,
    DownloadRequest,
    DownloadResult,
    DownloadStage,
    PieceHashes,
    SourceHint,
    SourceShare,
    SourceState,
)
from luxusbd.transfer.shares import MAX_SOURCES

_T = TypeVar("_T", str, int)

MAX_REASON = 300
MAX_PIECES = 1 << 18
_HEX = re.compile(r"[0-9a-f]+")


def request_to_json(request: DownloadRequest) -> dict[str, Any]:
    """A request as a JSON object; the keys are the names of its fields."""
    return {**asdict(request), "urls": list(request.urls)}


def request_from_json(value: Mapping[str, Any]) -> DownloadRequest:
    """The request in a JSON object; keys that are no field of it are left alone.

    Raises:
        InvalidArgumentError: a field is missing or of the wrong type.
    """
    urls = value.get("urls")
    if not isinstance(urls, list):
        raise InvalidArgumentError("a download needs `urls`, a list of addresses")
    return DownloadRequest(
        urls=tuple(_typed(url, str, "urls") for url in urls),
        sha256=_typed(value.get("sha256"), str, "sha256"),
        size=_typed(value.get("size"), int, "size"),
        directory=_typed(value.get("directory"), str, "directory"),
        name=_typed(value.get("name"), str, "name"),
        bandwidth=_typed(value.get("bandwidth", 0), int, "bandwidth"),
        priority=_typed(value.get("priority", 0), int, "priority"),
        digests=digests_from_json(value.get("digests", [])),
        pieces=pieces_from_json(value.get("pieces")),
        also=tuple(_algorithm(each) for each in _list(value.get("also", []), "also")),
        older=tuple(_typed(each, int, "older") for each in _list(value.get("older", []), "older")),
        hints=tuple(_hint(each) for each in _objects(value.get("hints", []), "hints")),
        window=_typed(value.get("window", 0), int, "window"),
    )


def digests_from_json(value: Any) -> tuple[Digest, ...]:
    """Hashes of a file.

    Raises:
        InvalidArgumentError: they are none, or of no algorithm that is used here.
    """
    found = []
    for each in _objects(value, "digests"):
        algorithm, digest = _algorithm(each.get("algorithm")), _typed(each.get("value"), str, "digests")
        if len(digest) != DIGESTS[algorithm] or not _HEX.fullmatch(digest):
            raise InvalidArgumentError(f"{digest[:200]!r} is no {algorithm}: {DIGESTS[algorithm]} digits are needed")
        found.append(Digest(algorithm, digest))
    return tuple(found)


def _algorithm(value: Any) -> str:
    name = _typed(value, str, "digests")
    if name not in DIGESTS:
        raise InvalidArgumentError(f"{name[:40]!r} is none of the hashes {', '.join(DIGESTS)}")
    return name


def _list(value: Any, name: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise InvalidArgumentError(f"`{name}` of a download must be a list")
    return value


def pieces_from_json(value: Any) -> PieceHashes | None:
    """Hashes of pieces, or None.

    Raises:
        InvalidArgumentError: they are none.
    """
    if value is None:
        return None
    (found,) = _objects([value], "pieces")
    values = found.get("values")
    if not isinstance(values, list | tuple) or len(values) > MAX_PIECES:
        raise InvalidArgumentError("`pieces` of a download needs `values`, a list of hashes")
    length = _typed(found.get("length"), int, "pieces")
    if length <= 0:
        raise InvalidArgumentError("`pieces` of a download needs a positive length")
    algorithm = _typed(found.get("algorithm"), str, "pieces")
    return PieceHashes(algorithm, length, tuple(_typed(each, str, "pieces") for each in values))


def _hint(value: Mapping[str, Any]) -> SourceHint:
    return SourceHint(
        url=_typed(value.get("url"), str, "hints"),
        rate=max(0, _typed(value.get("rate", 0), int, "hints")),
        latency=_seconds(value.get("latency", 0.0), "hints"),
        success=min(1.0, _seconds(value.get("success", 1.0), "hints")),
    )


def _objects(value: Any, name: str) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(each, dict) for each in value):
        raise InvalidArgumentError(f"`{name}` of a download must hold objects")
    return tuple(value)


def progress_to_json(progress: DownloadProgress) -> dict[str, Any]:
    """A progress report as a JSON object; the keys are the names of its fields."""
    return {**asdict(progress), "stage": progress.stage.value, "sources": sources_to_json(progress.sources)}


def progress_from_json(value: Mapping[str, Any]) -> DownloadProgress:
    """The progress report in a JSON object.

    Raises:
        InvalidArgumentError: a field is missing, of the wrong type or unknown.
    """
    try:
        stage = DownloadStage(_typed(value.get("stage"), str, "stage"))
    except ValueError as error:
        raise InvalidArgumentError(f"no stage of a download: {value.get('stage')!r}") from error
    return DownloadProgress(
        stage=stage,
        bytes_done=_typed(value.get("bytes_done"), int, "bytes_done"),
        bytes_total=_typed(value.get("bytes_total"), int, "bytes_total"),
        resumed_bytes=_typed(value.get("resumed_bytes"), int, "resumed_bytes"),
        source=_typed(value.get("source"), str, "source"),
        note=_typed(value.get("note", ""), str, "note"),
        sources=sources_from_json(value.get("sources", [])),
        prefix=None if value.get("prefix") is None else _typed(value.get("prefix"), int, "prefix"),
        floor=_typed(value.get("floor", 0), int, "floor"),
        epoch=_typed(value.get("epoch", 0), int, "epoch"),
    )


def sources_to_json(sources: Sequence[SourceShare]) -> list[dict[str, Any]]:
    """What mirrors did, as a JSON list."""
    return [{**asdict(source), "state": source.state.value} for source in sources]


def sources_from_json(values: Any) -> tuple[SourceShare, ...]:
    """The mirrors of a progress report; at most as many as one may name.

    Raises:
        InvalidArgumentError: a field is missing or of the wrong type.
    """
    if not isinstance(values, list):
        raise InvalidArgumentError("`sources` of a download must be a list")
    try:
        return tuple(
            SourceShare(
                url=_typed(value.get("url"), str, "url"),
                host=_typed(value.get("host"), str, "host"),
                state=SourceState(_typed(value.get("state"), str, "state")),
                rate=max(0, _typed(value.get("rate"), int, "rate")),
                bytes_done=max(0, _typed(value.get("bytes_done"), int, "bytes_done")),
                measured=max(0, _typed(value.get("measured", 0), int, "measured")),
                latency=_seconds(value.get("latency", 0.0), "latency"),
                successes=max(0, _typed(value.get("successes", 0), int, "successes")),
                failures=max(0, _typed(value.get("failures", 0), int, "failures")),
                rests=_seconds(value.get("rests", 0.0), "rests"),
                reason=_typed(value.get("reason", ""), str, "reason")[:MAX_REASON],
            )
            for value in values[:MAX_SOURCES]
        )
    except (AttributeError, ValueError) as error:
        raise InvalidArgumentError("`sources` of a download does not hold mirrors") from error


def result_to_json(result: DownloadResult) -> dict[str, Any]:
    """A result as a JSON object; the keys are the names of its fields."""
    return asdict(result)


def result_from_json(value: Mapping[str, Any]) -> DownloadResult:
    """The result in a JSON object.

    Raises:
        InvalidArgumentError: a field is missing or of the wrong type.
    """
    return DownloadResult(
        path=_typed(value.get("path"), str, "path"),
        size=_typed(value.get("size"), int, "size"),
        sha256=_typed(value.get("sha256"), str, "sha256"),
        url=_typed(value.get("url"), str, "url"),
        resumed_bytes=_typed(value.get("resumed_bytes"), int, "resumed_bytes"),
        digests=digests_from_json(value.get("digests", [])),
    )


def _seconds(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise InvalidArgumentError(f"`{name}` of a download must be a number of seconds, not {value!r}")
    return float(value)


def _typed(value: Any, kind: type[_T], name: str) -> _T:
    # bool is an int to Python, and never a number to a caller
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InvalidArgumentError(f"`{name}` of a download must be of type {kind.__name__}, not {value!r}")
    return value
