"""A key of one's own: made, its kernel signed, and enrolled with MokManager as a person does it at that computer."""

from __future__ import annotations

import asyncio
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.harness import grubmenu
from tests.harness.qemu import Key, Machine

NAME = "Kernels of LUXusb tests"
WAIT = 120.0
_LAST_LINE = "Remember to make sure it is a genuine key before Enrolling it"
"""Above every list of files."""
_LISTED = re.compile(r"^[^\x21-\x7e]*([\x21-\x7e]+)[^\x21-\x7e]*$", re.MULTILINE)
"""A name within its frame, which the firmware draws in the code of old terminals."""


@dataclass(frozen=True)
class Pair:
    """A private key and its certificate, both as PEM."""

    key: Path
    certificate: Path


def make_key(directory: Path) -> Pair:
    """A new pair."""
    pair = Pair(directory / "key.pem", directory / "certificate.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={NAME}/"),
            *("-keyout", pair.key, "-out", pair.certificate),
        ],
        check=True,
        capture_output=True,
    )
    return pair


def sign(kernel: bytes, pair: Pair, directory: Path) -> bytes:
    """The kernel with a signature by this key alone."""
    plain, signed = directory / "kernel", directory / "kernel.signed"
    plain.write_bytes(kernel)
    subprocess.run(["sbattach", "--remove", plain], check=True, capture_output=True)
    subprocess.run(
        ["sbsign", "--key", pair.key, "--cert", pair.certificate, "--output", signed, plain],
        check=True,
        capture_output=True,
    )
    return signed.read_bytes()


async def enrol(machine: Machine, file_name: str) -> None:
    """From the menu of the stick to the restart that MokManager ends with; the certificate lies on the stick's ESP."""
    await grubmenu.select(machine, "Tools")
    await grubmenu.start(machine)
    await grubmenu.wait_for_titles(machine, ["Enrol keys for Secure Boot"], WAIT)
    await grubmenu.select(machine, "Enrol keys for Secure Boot")
    await grubmenu.start(machine)
    await machine.expect("(?i)press any key to perform MOK management", WAIT)
    await machine.press(Key.ENTER)
    await _choose(machine, "Enroll key from disk", 1)
    # no other volume has a filesystem that this firmware reads
    for name in ("LUXESP", "EFI/", "certificates/", file_name):
        await _choose(machine, name)
    await _choose(machine, "Continue", 1)
    await _choose(machine, "Yes", 1)
    await _choose(machine, "Reboot", 0)


async def _choose(machine: Machine, text: str, below: int | None = None) -> None:
    """Take an entry of the list that shows `text`; None looks up how far below the first one it stands.

    MokManager marks the entry where it is by its colours alone, which a serial line does not tell.
    """
    await machine.expect(re.escape(text), WAIT)
    # the rest of the list is drawn after it
    await asyncio.sleep(2)
    steps = _place(machine.console_text, text) if below is None else below
    await machine.press(*([Key.DOWN] * steps), Key.ENTER)


def _place(console: str, name: str) -> int:
    """How many names stand above this one in the list of files that was drawn last."""
    listed = _LISTED.findall(console.rpartition(_LAST_LINE)[2])
    return listed.index(name)
