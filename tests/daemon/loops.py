"""Loop devices."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path


def detach(node: str) -> None:
    """Take a loop device down, with the partitions that the daemon told the kernel of; again does no harm."""
    for argv in (["partx", "-d", node], ["losetup", "-d", node]):
        subprocess.run(argv, capture_output=True, check=False, timeout=30)
    # whoever looks at it just now holds it for that moment
    end = time.monotonic() + 30
    while Path("/sys/block", Path(node).name, "loop/backing_file").exists():
        assert time.monotonic() < end, f"{node} is in use"
        time.sleep(0.01)
