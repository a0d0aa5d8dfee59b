"""The command as another process, on pipes or on a terminal of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0


class Spawned:
    """A process whose output is read while it runs."""

    def __init__(
        self, command: Sequence[str], environment: dict[str, str], *, terminal: bool, uid: int | None = None
    ) -> None:
        other: dict[str, Any] = {} if uid is None else {"user": uid, "group": uid, "extra_groups": [], "cwd": "/"}
        environment["PYTHONPATH"] = os.pathsep.join((str(ROOT), str(ROOT / "clients")))
        environment["PYTHONUNBUFFERED"] = "1"
        self.output = ""
        """Standard output; on a terminal everything that appears on it."""
        self.errors = ""
        self._terminal = terminal
        if terminal:
            self._reader, device = pty.openpty()
            fcntl.ioctl(device, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=device,
                stdout=device,
                stderr=device,
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                **other,
            )
            os.close(device)
            self._error_reader = -1
        else:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                **other,
            )
            assert self._process.stdout is not None
            assert self._process.stderr is not None
            self._reader = self._process.stdout.fileno()
            self._error_reader = self._process.stderr.fileno()

    def _read(self, deadline: float) -> bool:
        """Take what comes next; false at the end of the output."""
        ready, _, _ = select.select([self._reader], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"nothing came; so far: {self.output!r}"
        try:
            data = os.read(self._reader, 65536)
        except OSError:
            data = b""
        self.output += data.decode(errors="replace")
        return bool(data)

    def wait_for(self, text: str) -> None:
        """Read until `text` appears."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.output:
            assert self._read(deadline), f"it ended without {text!r}: {self.output!r} {self._rest_of_errors()!r}"

    def type(self, text: str) -> None:
        """Type on the terminal."""
        os.write(self._reader, text.encode())

    def interrupt(self) -> None:
        """Ctrl-C: from the keyboard on a terminal, as a signal elsewhere."""
        if self._terminal:
            self.type("\x03")
        else:
            self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End it as nothing can be caught."""
        self._process.kill()

    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self._reader)[3] & termios.ECHO)

    def wait_for_hidden_input(self) -> None:
        """Wait until the terminal does not show what is typed."""
        deadline = time.monotonic() + PATIENCE
        while self.echoes():
            assert time.monotonic() < deadline, f"the terminal shows what is typed; so far: {self.output!r}"
            time.sleep(0.01)

    def finish(self) -> int:
        """Read to the end; the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        self._rest_of_errors()
        return self._process.wait(PATIENCE)

    def _rest_of_errors(self) -> str:
        if self._error_reader >= 0:
            while data := os.read(self._error_reader, 65536):
                self.errors += data.decode(errors="replace")
        return self.errors

    def close(self) -> None:
        """End it, if it did not end by itself."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(PATIENCE)
        if self._terminal:
            os.close(self._reader)
        else:
            for stream in (self._process.stdout, self._process.stderr):
                if stream is not None:
                    stream.close()
