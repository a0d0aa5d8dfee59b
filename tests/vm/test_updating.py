"""Newer releases onto a stick in a real port, which is pulled while they come."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from luxusbd.images.model import Firmware
from tests.harness.qemu import Machine
from tests.vm.conftest import MIB
from tests.vm.machine import Guest
from tests.vm.payload import SLOW, WIDE

pytestmark = [pytest.mark.vm, pytest.mark.campaign, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

SERIAL = "LUX0030"
CATALOGUES = "/etc/luxusb/distros.d"
NEWER = "wide-2.iso"
OLD, NEW = ["memtest86+x64.iso", "wide.iso"], ["memtest86+x64.iso", NEWER]


@pytest_asyncio.fixture(loop_scope="session")
async def newer(guest: Guest) -> AsyncIterator[None]:
    """There is a second version of one system, on the slow mirror alone; the first one is known once it is called."""
    await guest.run(f"cd /srv/mirror && (cat wide.iso; head -c {8 * MIB} /dev/urandom) >{NEWER}")
    listed = json.loads((await guest.run(f"cat {CATALOGUES}/test.json")).stdout)
    (system,) = [one for one in listed["distributions"] if one["id"] == WIDE]
    (release,) = system["releases"]
    sha256, size = (await guest.run(f"cd /srv/mirror && sha256sum {NEWER} && stat -c %s {NEWER}")).stdout.split()[::2]
    url = f"{SLOW.url}/{NEWER}"
    second = {**release, "version": "2", "sha256": sha256, "size": int(size), "size_mb": 1}
    system["releases"] = [{**second, "iso_url": url, "mirrors": [url]}]
    listed["distributions"] = [system]
    await guest.write(f"{CATALOGUES}/wide-2.json", json.dumps(listed))
    await guest.run("systemctl try-restart luxusbd", timeout=150)
    yield
    await guest.run(f"rm {CATALOGUES}/wide-2.json /srv/mirror/{NEWER}; systemctl try-restart luxusbd", timeout=150)


async def _names(guest: Guest, device: dict[str, Any]) -> list[str]:
    return [image["name"] for image in (await guest.luxusb(f"contents --device {device['node']}"))["images"]]


async def _jobs(guest: Guest) -> dict[int, dict[str, Any]]:
    return {int(job["id"]): job for job in (await guest.luxusb("jobs", user="root"))["jobs"]}


async def test_a_stick_pulled_while_a_newer_image_is_written_as_it_comes(
    guest: Guest, newer: None, stick: Path
) -> None:
    await guest.plug("updated", stick, serial=SERIAL)
    device = await guest.device(SERIAL)
    await guest.luxusb(
        f"create --yes --device {device['node']} --device-id {device['id']} --serial-console memtest86plus {WIDE}@1",
        user="root",
        timeout=600,
    )
    where = f"--device {device['node']}"
    number = int((await guest.luxusb(f"update --no-wait {where}", user="root"))["job"]["id"])

    async def job() -> dict[str, Any]:
        return (await _jobs(guest))[number]

    async def written() -> bool:
        """It is in the middle of both."""
        jobs = await _jobs(guest)
        now = jobs[number]
        assert now["state"] in ("queued", "running"), now
        for child in jobs.values():
            if child["parent"].endswith(f"/_{number}"):
                assert child["state"] in ("queued", "running"), "it has come before the stick was pulled"
                return bool(now["stage"] == "write-image" and child["bytes_done"] > 24 * MIB)
        return False

    async def failed() -> bool:
        return bool((await job())["state"] == "failed")

    await guest.until(written, timeout=240)
    await guest.pull("updated")
    await guest.until(failed)
    ended = await job()
    assert ended["error_name"] == "org.luxusb.Error.DeviceNotFound", ended
    await guest.plug("again", stick, serial=SERIAL)
    device = await guest.device(SERIAL)
    assert (device["state"], device["damage"]) == ("luxusb", ""), "nothing of the old has gone"
    where = f"--device {device['node']}"
    assert await _names(guest, device) == OLD
    assert (await guest.luxusb(f"verify {where}", user="root", timeout=300))["job"]["result"]["ok"] is True
    await guest.luxusb(f"update {where}", user="root", timeout=600)
    assert await _names(guest, await guest.device(SERIAL)) == NEW
    assert (await guest.luxusb(f"verify {where}", user="root", timeout=300))["job"]["result"]["ok"] is True
    assert (await guest.luxusb(f"repair {where}", user="root", timeout=300))["job"]["result"]["sound"] is True
    await guest.pull("again")
    async with Machine(Firmware.BIOS, disk=stick) as machine:
        await machine.expect("Memtest86", 120)
