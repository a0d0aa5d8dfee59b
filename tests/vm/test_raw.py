"""An image byte for byte to a whole stick."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.stick.boot import STARTED, boot, make_hybrid
from tests.vm.conftest import MIB, empty_stick
from tests.vm.machine import Guest

pytestmark = [
    pytest.mark.vm,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(1200),
    pytest.mark.usefixtures("awake"),
]
PATIENT = 300.0
"""Seconds: the service's own start and first look take long on a machine that is emulated and shared."""

_PACK = """
import lzma, shutil, sys
with lzma.open("/root/hybrid.iso.xz", "wb", preset=0) as packed:
    shutil.copyfileobj(sys.stdin.buffer, packed)
"""


async def test_raw_write_that_boots(guest: Guest, tmp_path: Path) -> None:
    """A compressed file goes through the service's own processes onto a stick, and that starts a machine."""
    hybrid = make_hybrid(tmp_path)
    await guest.plug("original", hybrid, serial="LUXORIGINAL", read_only=True)
    stick = empty_stick(tmp_path / "stick.img", 64 * MIB)
    await guest.plug("raw", stick, serial="LUXRAW")
    original = (await guest.shown("LUXORIGINAL", timeout=PATIENT))["DeviceNode"]
    device = await guest.shown("LUXRAW", lambda shown: shown["State"] == "blank", timeout=PATIENT)
    node = device["DeviceNode"]
    # a disc's image is of whole sectors, so that the stick with it ends where it does
    await guest.run(f"python3 -c '{_PACK}' < {original}", timeout=PATIENT)
    command = f"write-raw /root/hybrid.iso.xz --no-probe --yes --device {node} --device-id {device['Id']}"
    done = await guest.luxusb(command, user="root", timeout=2 * PATIENT)
    assert (done["plan"]["raw"]["packing"], done["plan"]["raw"]["starts"]) == ("xz", "hybrid")
    assert done["job"]["result"]["image_size"] == hybrid.stat().st_size
    # what is on it now is seen without plugging it in again, by the kernel and by the service
    rows = (await guest.run(f"lsblk -nro TYPE {node}")).stdout.split()
    assert rows.count("part") > 0
    assert (await guest.shown("LUXRAW", lambda shown: shown["State"] == "foreign", timeout=PATIENT))["Contents"]
    await guest.pull("raw")
    assert stick.read_bytes()[: hybrid.stat().st_size] == hybrid.read_bytes()
    await asyncio.to_thread(boot, stick, tmp_path, STARTED, uefi=False)
