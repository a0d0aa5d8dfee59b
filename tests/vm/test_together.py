"""A class set of sticks: eight made by one command, of which one is pulled in the middle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.vm.conftest import MIB, empty_stick
from tests.vm.machine import Guest
from tests.vm.test_plugging import NOUGHTS, job

pytestmark = [
    pytest.mark.vm,
    # with eight workers on an emulated processor it takes minutes
    pytest.mark.campaign,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(2400),
    pytest.mark.usefixtures("awake"),
]

STICK = 256 * MIB
PATIENCE = 600.0
"""Seconds. Not in a hub: the emulated one is of USB 1, and eight sticks in it would take an hour."""
PULLED = 3


async def test_eight_at_once_with_one_pulled(guest: Guest, tmp_path: Path) -> None:
    """Two of them have the serial number of sticks that have none, and are told apart by their ports."""
    for at in range(8):
        # the one that is pulled is slow, so that it is in the middle of it then
        await guest.plug(
            f"many{at}",
            empty_stick(tmp_path / f"many{at}", STICK),
            serial=NOUGHTS if at > 5 else f"LUXMANY{at}",
            rate=MIB // 4 if at == PULLED else 0,
            port=str(at + 1),
        )
    await guest.until(lambda: _ready(guest, 8, "blank"), timeout=PATIENCE)
    devices = await _usb(guest)
    assert len({device["Id"] for device in devices}) == 8
    victim = next(device for device in devices if device["Serial"] == f"LUXMANY{PULLED}")
    names = " ".join(f"--device {device['Id']} --device-id {device['Id']}" for device in devices)
    made = await guest.luxusb(f"create --yes --no-wait {names} memtest86plus", user="root", timeout=PATIENCE)
    number = int(made["job"]["id"])
    await guest.until(lambda: _writing(guest, number, victim), timeout=900)
    await guest.pull(f"many{PULLED}")
    await guest.until(lambda: _over(guest, number), timeout=1200)
    await _check(guest, number, victim)
    assert sum(device["State"] == "luxusb" for device in await _usb(guest)) == 7

    # the pulled one alone, under the name that the error has
    await guest.plug(f"many{PULLED}", tmp_path / f"many{PULLED}", serial=f"LUXMANY{PULLED}", port=str(PULLED + 1))
    await guest.shown(f"LUXMANY{PULLED}", timeout=PATIENCE)
    await guest.luxusb(
        f"create --yes --device {victim['Id']} --device-id {victim['Id']} memtest86plus",
        user="root",
        timeout=900,
    )
    await guest.until(lambda: _ready(guest, 8, "luxusb"), timeout=PATIENCE)
    checked = await guest.run(
        f"luxusb --json verify {' '.join('--device ' + device['Id'] for device in devices)}", timeout=1200
    )
    assert checked.stdout.count('"state": "succeeded"') == 8, checked.stdout


async def _check(guest: Guest, number: int, victim: Mapping[str, Any]) -> None:
    ended = await job(guest, number)
    wanted = ("failed", "org.luxusb.Error.PartlyFailed")
    assert (ended["state"], ended["error_name"]) == wanted, ended["error_message"]
    states = {share["id"]: share["state"] for share in ended["result"]["devices"]}
    assert states.pop(victim["Id"]) == "failed", ended["error_message"]
    assert set(states.values()) == {"succeeded"}, ended["error_message"]
    (failed,) = [share for share in ended["result"]["devices"] if share["state"] == "failed"]
    assert failed["error_name"] == "org.luxusb.Error.DeviceNotFound"
    assert "plug it in again" in failed["error_message"]


async def _usb(guest: Guest) -> list[dict[str, Any]]:
    return [device for device in await guest.devices() if device["Bus"] == "usb"]


async def _ready(guest: Guest, count: int, state: str) -> bool:
    return bool(sum(device["State"] == state and not device["BlockedReason"] for device in await _usb(guest)) == count)


async def _writing(guest: Guest, number: int, victim: Mapping[str, Any]) -> bool:
    now = await job(guest, number)
    assert now["state"] in ("queued", "running"), now["error_message"]
    share = next((share for share in now["details"]["devices"] if share["id"] == victim["Id"]), None)
    if share is None or share["stage"] in ("", "probe"):
        return False
    assert share["state"] == "running", f"it was {share['state']} before it was pulled: {now['details']}"
    return True


async def _over(guest: Guest, number: int) -> bool:
    return (await job(guest, number))["state"] not in ("queued", "running")
