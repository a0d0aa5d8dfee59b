"""What can be operated has a name, as a screen reader hears it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.daemon.caller import Caller
from tests.daemon.daemon import Daemon

ROOT = Path(__file__).resolve().parents[2]


async def test_everything_that_can_be_operated_has_a_name(
    screen: str, daemon: Daemon, caller: Caller, stick: Path
) -> None:
    await caller.target(stick)
    environment = {
        **os.environ,
        "DISPLAY": screen,
        "GTK_A11Y": "atspi",
        "DBUS_SYSTEM_BUS_ADDRESS": daemon.address,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'clients'}",
        "LC_ALL": "C.UTF-8",
    }
    reader = await asyncio.create_subprocess_exec(
        *("dbus-run-session", "--", sys.executable, "-m", "tests.desktop.reader"),
        env=environment,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await reader.communicate()
    assert reader.returncode == 0, error.decode()
    operated: list[list[str]] = json.loads(out.splitlines()[-1])
    assert [role for role, name in operated if not name] == [], operated
    names = [name for _role, name in operated]
    pages = ("Choose Alpha", "Search systems", "Category", "Back", "Release and edition", "Mirror", "Measure now")
    disks = ("Use Image file", "Find out", "Make it one…", "Write byte for byte…", "Write it all the same")
    for part in (*pages, *disks, "Companion partition in GiB", "Data filesystem"):
        assert any(name.startswith(part) for name in names), f"{part} is not in {names}"
