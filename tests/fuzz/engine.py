"""Runs a target over mutations of its corpus, and grows the corpus by what takes a new path.

New paths are told by the lines of the project that run, over `sys.settrace` of the target's own modules: slow, but it
needs nothing that is not there, so that only every `TRACED`th run pays for it. Everything is decided by the seed.
"""

from __future__ import annotations

import random
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

TRACED = 8
MAX_CORPUS = 400
MAX_LINES = 5_000_000
"""Lines of the target's modules that may run for one input, which is no larger than a few megabytes."""


class TooMuchWorkError(AssertionError):
    """A target did more work than its bound, counted in its own units."""


@dataclass(frozen=True)
class Target:
    """Something that reads foreign bytes."""

    name: str
    corpus: Callable[[], Sequence[bytes]]
    """Small sound inputs."""
    mutate: Callable[[random.Random, bytes, Sequence[bytes]], bytes]
    check: Callable[[bytes], None]
    """Reads the input; returns for sound ones and for those that are refused as they should be, raises for a defect."""
    modules: tuple[str, ...]
    """Parts of the paths of source files whose lines count as paths taken."""


@dataclass
class Failure:
    """An input that shows a defect."""

    target: str
    run: int
    data: bytes
    error: BaseException = field(repr=False)

    def describe(self) -> str:
        """The traceback and how to see it again."""
        return "".join(traceback.format_exception(self.error))


def fuzz(target: Target, runs: int, seed: int, report: Callable[[int, int], None] | None = None) -> Failure | None:
    """Run `target` so often, and return the first failure.

    Args:
        target: what to run.
        runs: how many inputs to try.
        seed: decides everything; the same seed does the same.
        report: gets the runs done and the size of the corpus now and then.
    """
    rng = random.Random(f"{target.name} {seed}")
    corpus = list(target.corpus())
    seen: set[tuple[CodeType, int]] = set()
    for data in corpus:
        failure = _try(target, data, -1, seen)
        if failure is not None:
            return failure
    for run in range(runs):
        # newer inputs got further, older ones are sound
        index = (
            rng.randrange(len(corpus)) if rng.random() < 0.5 else -1 - min(int(rng.expovariate(0.1)), len(corpus) - 1)
        )
        data = target.mutate(rng, corpus[index], corpus)
        traced = seen if run % TRACED == 0 else None
        before = len(seen)
        failure = _try(target, data, run, traced)
        if failure is not None:
            return failure
        if len(seen) > before:
            if len(corpus) >= MAX_CORPUS:
                corpus.pop(rng.randrange(len(corpus)))
            corpus.append(data)
        if report is not None and run % 1000 == 999:
            report(run + 1, len(corpus))
    return None


def save(failure: Failure, directory: Path) -> Path:
    """Write the input of a failure into a file."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{failure.target}-{failure.run}.bin"
    path.write_bytes(failure.data)
    return path


def _try(target: Target, data: bytes, run: int, seen: set[tuple[CodeType, int]] | None) -> Failure | None:
    previous = sys.gettrace()
    if seen is not None:
        sys.settrace(_tracer(target.modules, seen))
    try:
        target.check(data)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        return Failure(target.name, run, data, error)
    finally:
        if seen is not None:
            sys.settrace(previous)
    return None


def _tracer(modules: tuple[str, ...], seen: set[tuple[CodeType, int]]) -> Callable[[FrameType, str, Any], Any]:
    work = 0

    def lines(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal work
        if event == "line":
            seen.add((frame.f_code, frame.f_lineno))
            work += 1
            if work > MAX_LINES:
                raise TooMuchWorkError(f"more than {MAX_LINES} lines ran")
        return lines

    def calls(frame: FrameType, _event: str, _argument: Any) -> Any:
        return lines if any(part in frame.f_code.co_filename for part in modules) else None

    return calls
