"""FAT32 and exFAT in small files, and what the usual tools say of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from luxusbd.stick.clusterfsck import PROGRAMS
from luxusbd.stick.filesystem import Kind

UUID = "1A2B-3C4D"


def make(path: Path, kind: Kind, size: int, cluster: int) -> None:
    """An empty filesystem in a file of its own."""
    with path.open("wb") as file:
        file.truncate(size)
    if kind is Kind.FAT32:
        command = ["mkfs.fat", "-F", "32", "-s", str(cluster // 512), "-i", UUID.replace("-", ""), "-n", "LUXDATA"]
    else:
        command = ["mkfs.exfat", "-c", str(cluster), "-L", "LUXDATA"]
    subprocess.run([*command, path], check=True, capture_output=True)


def fsck(path: Path, kind: Kind) -> None:
    """The filesystem's own checker finds nothing."""
    done = subprocess.run([PROGRAMS[kind], "-n", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # fsck.exfat says 0 whatever it found and did not mend
    assert "ERROR" not in done.stdout + done.stderr, done.stdout + done.stderr
