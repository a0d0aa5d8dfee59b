"""Who uses a mounted filesystem, by real processes on a real mount."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from luxusbd.devices.holders import Holder, find_holders
from tests.devices.loops import Loops

pytestmark = pytest.mark.root

USES = {
    "an open file": "file = open(sys.argv[1] + '/file')",
    "an open file that is deleted": "file = open(sys.argv[1] + '/file'); os.unlink(sys.argv[1] + '/file')",
    "an open directory": "fd = os.open(sys.argv[1], os.O_RDONLY)",
    "its current directory": "os.chdir(sys.argv[1])",
    "a mapped file": (
        "fd = os.open(sys.argv[1] + '/file', os.O_RDONLY); view = mmap.mmap(fd, 0, prot=mmap.PROT_READ); os.close(fd);"
        "[os.close(int(n)) for n in os.listdir('/proc/self/fd') if int(n) > 2 and os.path.exists('/proc/self/fd/' + n)]"
    ),
    "another root directory": "os.chroot(sys.argv[1]); os.chdir('/')",
    "a mount namespace of its own": "file = open(sys.argv[1] + '/file')",
}


@pytest.mark.parametrize("use", USES)
def test_a_process_is_found(loops: Loops, use: str) -> None:
    _node, part = loops.partitioned()
    point = loops.mount(part)
    (point / "file").write_bytes(b"x" * 4096)
    code = f"import mmap, os, sys\n{USES[use]}\nprint('ready', flush=True)\nsys.stdin.read()"
    before = ["unshare", "-m", "--propagation", "slave"] if use == "a mount namespace of its own" else []
    assert find_holders([part], [str(point)]) == ()
    process = subprocess.Popen(
        [*before, sys.executable, "-c", code, str(point)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        name = Path(f"/proc/{process.pid}/comm").read_text().strip()
        assert find_holders([part], [str(point)]) == (Holder(process.pid, name),)
    finally:
        process.communicate()
    assert find_holders([part], [str(point)]) == ()


def test_who_has_a_disk_open(loops: Loops) -> None:
    node = loops.attach()
    code = "import os, sys; fd = os.open(sys.argv[1], os.O_RDONLY | os.O_EXCL); print('ready', flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, node], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        assert [holder.pid for holder in find_holders([node], [])] == [process.pid]
    finally:
        process.communicate("\n")
    assert find_holders([node], []) == ()


def test_nobody_uses_what_is_not_there() -> None:
    assert find_holders(["/dev/luxusb-none"], ["/media/luxusb-none"]) == ()
    assert os.getpid() not in {holder.pid for holder in find_holders([], ["/"])}
