"""Whole disks through the service: what they hold, plain drives, and switching off."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from luxusb_cli.calls import Work

from tests.daemon.caller import Caller
from tests.daemon.daemon import Daemon
from tests.daemon.images import MIB
from tests.stick.liars import Lie

pytestmark = pytest.mark.root

SIZE = 256 * MIB
REAL = 100 * MIB + 12288


@contextlib.contextmanager
def lying(place: Path, lie: Lie, size: int = SIZE, real: int = REAL) -> Iterator[Path]:
    """A file of `size` bytes that keeps only the first `real` of them."""
    disk, log, file = place / "disk", place / "log", place / "liar.img"
    for path in (log, file):
        path.write_bytes(b"")
    with disk.open("wb") as made:
        made.write(random.Random(1).randbytes(real))
        made.truncate(size)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.stick.fuseliar", disk, log, file, str(real), lie.value], stdin=subprocess.DEVNULL
    )
    try:
        while not os.path.ismount(file):
            assert server.poll() is None, "the FUSE server did not start"
            time.sleep(0.02)
        yield file
    finally:
        subprocess.run(["umount", "-l", file], check=True)
        server.wait(60)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()[:REAL]).hexdigest()


@pytest.mark.parametrize(
    ("lie", "verdict"), [(Lie.WRAPS, "wraps"), (Lie.DROPS, "loses"), (Lie.ERRORS, "ends")], ids=lambda value: str(value)
)
async def test_a_counterfeit_disk(
    daemon: Daemon, caller: Caller, place: Path, attach: Callable[[Path], str], lie: Lie, verdict: str
) -> None:
    with lying(place, lie) as file:
        node = attach(file)
        device = await caller.disk(node)
        before = digest(place / "disk")
        found = (await caller.succeeded(await caller.client.work_on(device.path, Work.PROBE))).result
        assert (found["verdict"], found["size"], found["capacity"]) == (verdict, SIZE, REAL)
        assert "counterfeit or broken" in str(found["message"])
        assert digest(place / "disk") == before
        # and it is not made a stick
        planned = await caller.plan([device.path], ["distro:alpha"])
        failed = await caller.failed(await caller.client.create(planned.token))
        assert failed.error_name == "org.luxusb.Error.DeviceCounterfeit", failed
        assert digest(place / "disk") == before
        subprocess.run(["losetup", "-d", node], check=True)
