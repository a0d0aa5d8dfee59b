"""Runs a program until the last process that came of it has ended: `python -S -E reaper.py PROGRAM ARGUMENT...`.

It is the subreaper of all it starts (prctl(2), PR_SET_CHILD_SUBREAPER): whoever loses its parent becomes its child, so
that nobody gets away by making a session of its own. On standard output it says `CORE <pid>` before the program's own
lines, and `ENDED <status>` when the program itself has ended. SIGTERM kills all that is left.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise SystemExit(f"no subreaper: {os.strerror(ctypes.get_errno())}")
    signal.signal(signal.SIGTERM, lambda _number, _frame: kill_all())
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    core = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
    say(f"CORE {core}")
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            return
        if pid == core:
            say(f"ENDED {os.waitstatus_to_exitcode(status)}")


def kill_all() -> None:
    """Every descendant, until there is none: a killed one may just have started another."""
    while pids := children(os.getpid()):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            while os.waitpid(-1, 0)[0]:
                continue
        except ChildProcessError:
            continue


def children(pid: int) -> list[int]:
    """Direct children by /proc; those of the killed become ours."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123 - pathlib is slow to import
        return [int(word) for word in file.read().split()]


def say(line: str) -> None:
    os.write(1, line.encode() + b"\n")


if __name__ == "__main__":
    main()
