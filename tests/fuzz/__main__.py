"""The fuzzer's command line: `python -m tests.fuzz [TARGET...] --runs N --seed S`, or `--replay FILE TARGET`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.fuzz import clusters, downloads, feeds, images, pictures, published, texts
from tests.fuzz.engine import Target, fuzz, save

TARGETS: dict[str, Target] = {
    target.name: target
    for room in (images, clusters, texts, downloads, published, feeds, pictures)
    for target in room.TARGETS
}
FINDINGS = Path("build/fuzz")


def main() -> int:
    """Run the targets; 1 when one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all without any")
    parser.add_argument("--runs", type=int, default=20_000, help="inputs to try for each target")
    parser.add_argument("--seed", type=int, default=1, help="decides all of it")
    parser.add_argument("--replay", type=Path, help="run this input alone")
    given = parser.parse_args()
    unknown = [name for name in given.targets if name not in TARGETS]
    if unknown:
        parser.error(f"there is no target {unknown[0]}; there are {', '.join(TARGETS)}")
    failed = False
    for name in given.targets or TARGETS:
        target = TARGETS[name]
        if given.replay is not None:
            target.check(given.replay.read_bytes())
            continue
        failure = fuzz(target, given.runs, given.seed, lambda runs, size: _progress(runs, size))
        if failure is None:
            print(f"\r{name}: {given.runs} runs, nothing found\x1b[K")
            continue
        failed = True
        path = save(failure, FINDINGS)
        print(f"\r{name}: run {failure.run} with seed {given.seed} failed\x1b[K\n{failure.describe()}")
        print(f"again with: python -m tests.fuzz {name} --replay {path}")
    return int(failed)


def _progress(runs: int, size: int) -> None:
    if sys.stdout.isatty():
        print(f"\r{runs} runs, corpus of {size}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
