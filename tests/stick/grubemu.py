"""Runs GRUB itself as a program of this system (package grub-emu) on a grub.cfg."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import time
from pathlib import Path

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def run(directory: Path, config: str, until: str, seconds: float = 60) -> str:
    """What GRUB shows for `config` up to the text `until`."""
    (directory / "grub.cfg").write_text(config)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        ["grub-emu", "-d", str(directory)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={**os.environ, "TERM": "vt100", "LINES": "50", "COLUMNS": "200"},
    )
    os.close(slave)
    shown = ""
    deadline = time.monotonic() + seconds
    try:
        while until not in shown and time.monotonic() < deadline:
            ready, _, _ = select.select([master], [], [], 1)
            if ready:
                try:
                    data = os.read(master, 65536)
                except OSError:
                    break
                shown += data.decode("utf-8", "replace")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(master)
    text = _ESCAPES.sub("", shown).replace("\r", "")
    assert until in text, text[-3000:]
    return text
