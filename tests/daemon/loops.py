"""Loop devices."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tests.devices.loops import holds


def detach(node: str, place: Path) -> None:
    """Take a loop device over a file, or one below a directory, down, with the partitions that the daemon told of.

    Again does no harm: who has got the node since keeps it.
    """
    if not holds(node, place):
        return
    for argv in (["partx", "-d", node], ["losetup", "-d", node]):
        subprocess.run(argv, capture_output=True, check=False, timeout=30)
    # whoever looks at it just now holds it for that moment
    end = time.monotonic() + 30
    while holds(node, place):
        assert time.monotonic() < end, f"{node} is in use"
        time.sleep(0.01)
