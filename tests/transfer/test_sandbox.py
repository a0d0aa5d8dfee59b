"""What is left of a process after it gave everything up; each case in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from luxusbd.resources import import_root

SHOW = """
import os, resource, sys
from luxusbd.children.sandbox import drop_privileges
{before}
drop_privileges()
for line in open("/proc/self/status"):
    if line.startswith(("Cap", "NoNewPrivs", "Umask")):
        print(line.strip())
print(*resource.getrlimit(resource.RLIMIT_CORE), *resource.getrlimit(resource.RLIMIT_NOFILE))
{after}
"""

NOTHING = [
    "Umask:\t0077",
    *(f"Cap{name}:\t{'0' * 16}" for name in ("Inh", "Prm", "Eff")),
]


def run(before: str = "", after: str = "") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", SHOW.format(before=before, after=after)],
        env={"PYTHONPATH": str(import_root()), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def limits(lines: list[str]) -> list[int]:
    return [int(word) for word in next(line for line in lines if line[0].isdigit()).split()]


@pytest.mark.root
def test_root_gives_everything_up() -> None:
    lines = run()
    assert set(NOTHING) <= set(lines)
    assert f"CapBnd:\t{'0' * 16}" in lines
    assert f"CapAmb:\t{'0' * 16}" in lines
    assert "NoNewPrivs:\t1" in lines
    core_soft, core_hard, files_soft, files_hard = limits(lines)
    assert (core_soft, core_hard) == (0, 0)
    assert files_soft == files_hard <= 4096


@pytest.mark.root
def test_root_gets_nothing_back_by_running_a_program() -> None:
    after = "sys.stdout.flush(); os.execvp('grep', ['grep', 'CapEff', '/proc/self/status'])"
    assert run(after=after)[-1] == f"CapEff:\t{'0' * 16}"


@pytest.mark.root
def test_root_loses_its_power_over_foreign_files() -> None:
    before = (
        "import tempfile; d = tempfile.mkdtemp(); p = d + '/x'; open(p, 'w').close();"
        "os.chown(p, 12345, 12345); os.chmod(p, 0o600)"
    )
    after = "\n".join(
        (
            "try:",
            "    open(p)",
            "except PermissionError:",
            "    print('refused')",
            "os.unlink(p); os.rmdir(d)",
            "open('/proc/self/status').close()",
        )
    )
    assert run(before, after)[-1] == "refused"


@pytest.mark.root
def test_any_other_user() -> None:
    lines = run(before="os.setgid(65534); os.setuid(65534)")
    assert set(NOTHING) <= set(lines)
    assert "NoNewPrivs:\t1" in lines


def test_twice_does_no_harm() -> None:
    lines = run(after="drop_privileges(); print('again')")
    assert lines[-1] == "again"
