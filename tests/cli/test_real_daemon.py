"""The command and the service itself, on a bus of their own: what the fake daemon cannot show."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from luxusb_cli.units import format_size

from luxusbd.images.model import Firmware
from tests.cli import schemas
from tests.harness.images import RealImage
from tests.harness.mirrors import Mirror, write_catalogue
from tests.harness.service import Service, environment

MEMTEST = Path("/usr/lib/memtest86+/memtest86+x64.iso")
BOTH = frozenset({Firmware.BIOS, Firmware.UEFI})


def luxusb(service: Service, *arguments: str | Path, code: int = 0) -> str:
    """Standard output of the command."""
    command = [sys.executable, "-m", "luxusb_cli", *(str(argument) for argument in arguments)]
    found = environment() | {"DBUS_SYSTEM_BUS_ADDRESS": service.address}
    ended = subprocess.run(
        command, env=found, capture_output=True, text=True, check=False, timeout=90, stdin=subprocess.DEVNULL
    )
    assert ended.returncode == code, f"{arguments}: {ended.stdout}{ended.stderr}{service.log_tail()}"
    return ended.stdout


def document(service: Service, *arguments: str | Path, code: int = 0) -> Any:
    output = luxusb(service, *arguments, "--json", code=code)
    schemas.check_output([str(argument) for argument in arguments] + ["--json"], output)
    return json.loads(output)


async def test_the_common_commands(tmp_path: Path) -> None:
    memtest = RealImage("memtest", "Memtest86+", "Tests memory", "", "utility", "6.0", MEMTEST, BOTH)
    catalogue, stick = tmp_path / "catalogue.json", tmp_path / "stick.img"
    target = ("--image-file", stick)
    async with Mirror({MEMTEST.name: MEMTEST}) as mirror:
        write_catalogue(catalogue, [memtest], [mirror])
        async with Service(tmp_path / "state", catalogue=catalogue, log=tmp_path / "log") as service:

            def use() -> None:
                digest = memtest.sha256()
                version = document(service, "--version")
                assert version["luxusbd"] == version["luxusb"]
                assert "CreateStick" in version["features"]
                document(service, "devices")
                assert document(service, "distros", "memtest")["distributions"][0]["id"] == "memtest"
                (release,) = document(service, "info", "memtest")["distribution"]["releases"]
                assert (release["sha256"], release["size"]) == (digest, memtest.size)
                assert document(service, "inspect", MEMTEST)["image"]["bootable"] is True
                created = document(service, "create", *target, "--size", "256MiB", "memtest", "--yes")
                assert created["job"]["state"] == "succeeded"
                assert created["job"]["bytes_done"] == created["job"]["bytes_total"]
                assert document(service, "contents", *target)["images"][0]["sha256"] == digest
                assert document(service, "verify", *target)["job"]["result"]["ok"] is True
                assert document(service, "refresh", *target)["job"]["state"] == "succeeded"
                removed = document(service, "remove", *target, f"image:{digest[:8]}", "--yes")
                assert removed["job"]["state"] == "succeeded"
                assert document(service, "contents", *target)["images"] == []
                assert document(service, "images")["images"][0]["sha256"] == digest
                again = document(service, "import", MEMTEST)
                assert again["job"]["result"]["image"] == f"image:{digest}"
                states = {job["operation"]: job["state"] for job in document(service, "jobs")["jobs"]}
                assert states == dict.fromkeys(
                    ["create", "download", "verify", "refresh", "remove", "import"], "succeeded"
                )
                assert document(service, "settings")["settings"]["authorization.backend"] == "private"
                assert document(service, "delete", f"image:{digest}", "--yes") == {"deleted": f"image:{digest}"}
                plan = document(service, "plan", *target, "memtest")["plan"]
                assert plan["images"][0]["download"] is True
                failed = document(service, "download", "mentest", code=1)
                assert failed["error"]["name"] == "org.luxusb.Error.DistributionNotFound"

            await asyncio.to_thread(use)


async def test_lines_of_a_job_tell_its_states_in_order(tmp_path: Path) -> None:
    async with Service(tmp_path / "state", catalogue=None, log=tmp_path / "log") as service:
        output = await asyncio.to_thread(luxusb, service, "import", MEMTEST)
        lines = output.splitlines()
        assert len(lines) == len(set(lines))
        assert not any("queued" in line for line in lines[1:])
        size = format_size(MEMTEST.stat().st_size)
        assert lines[-3] == f"job 1 import {MEMTEST.name}: succeeded, {size} of {size}"
