"""Starts a child's real entry point as systemd does for a socket: `-m tests.children.unit SOCKET MODULE`.

The socket is inherited under the number that `SOCKET` says; it becomes descriptor 3, as systemd does it.
"""

from __future__ import annotations

import os
import runpy
import sys

from luxusbd.systemd import LISTEN_FDS_START


def main() -> None:
    number, module = int(sys.argv[1]), sys.argv[2]
    os.dup2(number, LISTEN_FDS_START, inheritable=True)
    if number != LISTEN_FDS_START:
        os.close(number)
    os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "connection"}
    sys.argv[1:] = []
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
