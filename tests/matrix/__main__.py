"""The program of `make boot-matrix`. What it makes lies in build/matrix; what was seen goes to data and docs."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time

from luxusbd.errors import LuxusbError
from tests.harness.qemu import MachineError
from tests.harness.service import ROOT, ServiceError
from tests.matrix import results, systems
from tests.matrix.cases import Result, rows
from tests.matrix.results import Record
from tests.matrix.run import Workplace, run
from tests.matrix.sticks import StickError

HERE = ROOT / "build" / "matrix"


def main() -> int:
    """Run the matrix; 0 when every row ended as expected."""
    parser = argparse.ArgumentParser(prog="make boot-matrix", description=__doc__)
    parser.add_argument("only", nargs="*", help="parts of names of images, firmware, filesystems; all rows without any")
    parser.add_argument("--page", action="store_true", help="only write the page anew from the results")
    arguments = parser.parse_args()
    if arguments.page:
        results.save(results.load())
        return 0
    began = time.monotonic()
    try:
        failed = asyncio.run(_matrix(arguments.only))
    except (ValueError, FileNotFoundError, RuntimeError, StickError, ServiceError, MachineError, LuxusbError) as error:
        print(f"boot-matrix: {error}", file=sys.stderr)
        return 1
    except (asyncio.CancelledError, KeyboardInterrupt):
        print("boot-matrix: ended by a signal; what was seen before is kept", file=sys.stderr)
        return 130
    print(f"{time.monotonic() - began:.0f} seconds; {failed or 'no'} row{'' if failed == 1 else 's'} failed")
    return 1 if failed else 0


async def _matrix(only: list[str]) -> int:
    """Run the chosen rows and write down what was seen after each; how many failed."""
    # make ends its children with SIGTERM: that has to stop the machine and the service as Ctrl-C does
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    chosen = [row for row in rows(only) if not row.system.fetched]
    _say(f"{len(chosen)} rows; making the images that are missing (the first time takes ten minutes)")
    images = await systems.make(frozenset(row.system.image for row in chosen), HERE / "images")
    seen: list[Record] = []

    def report(record: Record) -> None:
        seen.append(record)
        results.save(results.merge(results.load(), [record]))
        name = " / ".join(part for part in record.key if part)
        _say(f"[{len(seen)}/{len(chosen)}] {name}: {record.result} ({record.seconds} s): {record.evidence}")

    await run(chosen, images, Workplace(HERE, HERE / "consoles", _say, report))
    return sum(record.result == Result.FAILED for record in seen)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
