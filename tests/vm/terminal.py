"""A command of the virtual machine on a terminal of its own, and what a person at it types."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from tests.vm.machine import Guest

_DRIVER = "/usr/local/lib/terminal.py"
_PROGRAM = """\
import json, os, pty, select, sys, time

order = json.load(sys.stdin)
pid, terminal = pty.fork()
if pid == 0:
    os.execvpe("/bin/bash", ["bash", "-c", order["command"]], {**os.environ, "TERM": "dumb"})
said, seen = "", 0
answers = order["answers"]
deadline = time.monotonic() + order["timeout"]
while True:
    ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
    if not ready:
        os.kill(pid, 9)
        break
    try:
        data = os.read(terminal, 65536)
    except OSError:  # nobody has the other side open any more
        data = b""
    if not data:
        break
    said += data.decode("utf-8", "replace")
    while answers and (at := said.find(answers[0][0], seen)) >= 0:
        seen = at + len(answers[0][0])
        # once it has asked, the agent turns the echo off and drops what was typed before that; nobody types that fast
        time.sleep(2)
        os.write(terminal, answers.pop(0)[1].encode() + b"\\n")
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(json.dumps({"status": status, "said": said, "unasked": [question for question, _ in answers]}))
"""


@dataclass(frozen=True)
class Session:
    """What appeared on the terminal."""

    status: int
    """Exit status of the command, -9 when it was ended because it took too long."""
    said: str
    """Everything, each run of white space a blank: where lines break depends on the width."""
    unasked: tuple[str, ...]
    """The questions that did not come."""


async def on_terminal(
    guest: Guest, command: str, answers: Sequence[tuple[str, str]] = (), *, user: str = "alice", timeout: float = 120.0
) -> Session:
    """Run a bash command on a terminal, and type an answer when a question appears, in this order.

    Raises:
        MachineError: the terminal could not be made.
    """
    if (await guest.run(f"test -e {_DRIVER}", check=False)).status != 0:
        await guest.write(_DRIVER, _PROGRAM)
    order = {"command": command, "answers": [list(pair) for pair in answers], "timeout": timeout}
    ran = await guest.run(
        f"exec python3 {shlex.quote(_DRIVER)}", user=user, timeout=timeout + 30, stdin=json.dumps(order)
    )
    ended = json.loads(ran.stdout)
    return Session(int(ended["status"]), " ".join(str(ended["said"]).split()), tuple(ended["unasked"]))
