"""`make demo` from nothing: the whole path, and what its user reads at the end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.boot
@pytest.mark.timeout(1500)
def test_the_demo_makes_and_boots_a_stick_and_reuses_it() -> None:
    first = _demo("--fresh")
    assert "Booting the stick 5 times" in first
    second = _demo()
    assert "Booting the stick" not in second
    for run in (first, second):
        for title in ("Memtest86+", "GRUB Rescue", "Debian Installer"):
            assert title in run


def _demo(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.demo", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1400,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout
