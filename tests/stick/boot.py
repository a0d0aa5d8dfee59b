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
STARTED = "written raw and started by"
"""What `make_hybrid` writes to the serial port, before the name of GRUB's platform."""
_MENU = f"""
serial --unit=0 --speed=115200
terminal_output serial
echo "{STARTED} $grub_platform"
sleep 60
"""


def make_hybrid(place: Path) -> Path:
    """A disc that is a disk, too, made by grub-mkrescue, which starts under BIOS and UEFI, writes a line and waits."""
    (place / "tree/boot/grub").mkdir(parents=True)
    (place / "tree/boot/grub/grub.cfg").write_text(_MENU)
    modules = "--install-modules=normal serial terminal echo sleep part_gpt part_msdos iso9660 fat search"
    subprocess.run(
        ["grub-mkrescue", "--locales=", "--fonts=", "--themes=", modules, "-o", place / "hybrid.iso", place / "tree"],
        check=True,
        capture_output=True,
    )
    return place / "hybrid.iso"


def boot(stick: Path, work: Path, until: str, *, uefi: bool, secure: bool = False, seconds: float = 150) -> str:
    """What the serial console shows up to the text `until`; nothing is written to the stick.

    With `secure` the firmware enforces Secure Boot with Microsoft's keys.
    """
    log = work / "serial.log"
    log.write_bytes(b"")
    command = [
        "qemu-system-x86_64",
        "-accel",
        "tcg",
        "-machine",
        "q35,smm=on" if secure else "q35",
        "-m",
        "512",
        "-display",
        "none",
    ]
    command += ["-serial", f"file:{log}", "-nic", "none", "-monitor", "none", "-no-reboot"]
    if uefi:
        variables = work / "vars.fd"
        shutil.copy(_OVMF / ("OVMF_VARS_4M.ms.fd" if secure else "OVMF_VARS_4M.fd"), variables)
        code = _OVMF / ("OVMF_CODE_4M.secboot.fd" if secure else "OVMF_CODE_4M.fd")
        command += ["-global", "driver=cfi.pflash01,property=secure,value=on"] if secure else []
        command += ["-drive", f"if=pflash,format=raw,readonly=on,file={code}"]
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
