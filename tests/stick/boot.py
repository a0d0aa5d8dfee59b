"""Boots an image file in QEMU and reads its serial console."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

_ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
_OVMF = Path("/usr/share/OVMF")


def boot(stick: Path, work: Path, until: str, *, uefi: bool, seconds: float = 150) -> str:
    """What the serial console shows up to the text `until`; nothing is written to the stick."""
    log = work / "serial.log"
    log.write_bytes(b"")
    command = ["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-m", "512", "-display", "none"]
    command += ["-serial", f"file:{log}", "-nic", "none", "-monitor", "none", "-no-reboot"]
    if uefi:
        variables = work / "vars.fd"
        shutil.copy(_OVMF / "OVMF_VARS_4M.fd", variables)
        command += ["-drive", f"if=pflash,format=raw,readonly=on,file={_OVMF / 'OVMF_CODE_4M.fd'}"]
        command += ["-drive", f"if=pflash,format=raw,file={variables}"]
    command += ["-device", "qemu-xhci", "-drive", f"if=none,id=stick,file={stick},format=raw,snapshot=on"]
    command += ["-device", "usb-storage,drive=stick,removable=on,bootindex=0"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + seconds
    text = ""
    try:
        while until not in text and time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
            text = _ESCAPES.sub(b"", log.read_bytes()).decode("utf-8", "replace").replace("\r", "")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert until in text, text[-3000:]
    return text
