"""The real transfer process, whose journal is a socket of the test: `python -m tests.children.journalled FD`.

The socket's path is in the environment. Beside its own requests it answers `say`, which logs what it is given.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from luxusbd import journal
from luxusbd.children import transfer_main
from luxusbd.children.protocol import Params

VARIABLE = "TEST_JOURNAL"


class Child(transfer_main.TransferChild):
    """The real one, with one request more."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._channel._handlers["say"] = say


async def say(params: Params, _fds: Sequence[int]) -> Any:
    """Log what is given; tell as whom."""
    logging.getLogger("said").log(int(params["level"]), "%s", params["text"])
    return {"uid": os.getuid(), "capabilities": status("CapEff"), "no_new_privs": status("NoNewPrivs")}


def status(key: str) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{key}:"))


if __name__ == "__main__":
    journal.SOCKET = Path(os.environ[VARIABLE])
    transfer_main.TransferChild = Child  # type: ignore[misc, assignment]
    transfer_main.main()
