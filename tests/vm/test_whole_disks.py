"""Sticks that lie, as the machine sees them on USB; plain drives, and sticks that are switched off."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.stick.fusedisk import RECORD
from tests.stick.liars import Lie
from tests.stick.lyingfile import lying
from tests.vm.conftest import MIB
from tests.vm.machine import Guest

pytestmark = [
    pytest.mark.vm,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(1200),
    pytest.mark.usefixtures("awake"),
]

SIZE, REAL = 512 * MIB, 100 * MIB + 12288
PATIENT = 600.0
"""Seconds: an emulated machine is slow, and the more so the more the one around it has to do."""


def digest(file: Path, size: int) -> str:
    with file.open("rb") as opened:
        return hashlib.sha256(opened.read(size)).hexdigest()


async def probed(guest: Guest, device: dict[str, Any], options: str = "") -> tuple[int, dict[str, Any]]:
    """Probe a disk; the exit status, and what was found."""
    said = await guest.run(
        f"luxusb --json probe --yes --device {device['node']} --device-id {device['id']} {options}",
        check=False,
        timeout=PATIENT,
    )
    return said.status, dict(json.loads(said.stdout)["job"]["result"])


async def refused(guest: Guest, device: dict[str, Any]) -> str:
    """Try to make a stick of it; the name of the error."""
    create = f"luxusb --json create --yes --device {device['node']} --device-id {device['id']} memtest86plus"
    said = await guest.run(create, check=False, timeout=PATIENT)
    assert said.status == 1, said.output
    return str(json.loads(said.stdout)["error"]["name"])


@pytest.mark.campaign
async def test_a_stick_that_wraps_is_found_out_and_keeps_what_it_has(guest: Guest, tmp_path: Path) -> None:
    with lying(tmp_path / "liar", Lie.WRAPS, SIZE, REAL) as file:
        before = digest(tmp_path / "liar/disk", REAL)
        await guest.plug("liar", file, serial="LUX5001")
        device = await guest.device("LUX5001", timeout=PATIENT)
        status, found = await probed(guest, device)
        assert (status, found["verdict"], found["size"], found["capacity"]) == (1, "wraps", SIZE, REAL)
        assert await refused(guest, device) == "org.luxusb.Error.DeviceCounterfeit"
        await guest.pull("liar")
        assert digest(tmp_path / "liar/disk", REAL) == before


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("lie", "verdict"), [(Lie.DROPS, "loses"), (Lie.ZEROS, "loses"), (Lie.ERRORS, "ends")], ids=str
)
async def test_a_stick_is_smaller_than_it_says(guest: Guest, tmp_path: Path, lie: Lie, verdict: str) -> None:
    with lying(tmp_path / "liar", lie, SIZE, REAL) as file:
        before = digest(tmp_path / "liar/disk", REAL)
        await guest.plug("liar", file, serial="LUX5002")
        device = await guest.device("LUX5002", timeout=PATIENT)
        status, found = await probed(guest, device)
        assert (status, found["verdict"], found["capacity"]) == (1, verdict, REAL)
        assert digest(tmp_path / "liar/disk", REAL) == before
        status, found = await probed(guest, device, "--full")
        assert (status, found["verdict"]) == (1, verdict)
        assert REAL - MIB < found["capacity"] <= REAL
        await guest.pull("liar")


@pytest.mark.campaign
async def test_a_stick_has_a_slow_part(guest: Guest, tmp_path: Path) -> None:
    with lying(tmp_path / "liar", Lie.NONE, SIZE, SIZE, slow=(300 * MIB, 340 * MIB)) as file:
        await guest.plug("liar", file, serial="LUX5003")
        status, found = await probed(guest, await guest.device("LUX5003", timeout=PATIENT))
        assert (status, found["verdict"], found["capacity"]) == (0, "slow", SIZE)
        # the kernel reads ahead in the file behind the disk, so that the block that is read next waits for that as well
        slow = [region for region in found["regions"] if region["state"] == "slow" and region["size"] > 4096]
        assert len(slow) == 1
        assert 290 * MIB < slow[0]["start"] < 310 * MIB
        await guest.pull("liar")


@pytest.mark.campaign
async def test_a_stick_is_pulled_out_while_it_is_probed(guest: Guest, tmp_path: Path) -> None:
    """It has no serial number and comes back in another port; what was on it comes back with the next probe."""
    with lying(tmp_path / "liar", Lie.NONE, SIZE, SIZE, pause=0.05) as file:
        whole = digest(tmp_path / "liar/disk", SIZE)
        await guest.plug("liar", file, port="3", serial="00000000")
        device = await guest.device("00000000", timeout=PATIENT)
        probe = f"luxusb --json probe --yes --device {device['node']} --device-id {device['id']}"
        number = json.loads((await guest.run(f"{probe} --no-wait", timeout=PATIENT)).stdout)["job"]["id"]

        async def marked() -> bool:
            return (tmp_path / "liar/writes").stat().st_size > 100 * RECORD.size

        await guest.until(marked, timeout=PATIENT)
        await guest.pull("liar")
        await guest.run(f"luxusb watch {number}", check=False, timeout=PATIENT)
        (failed,) = [job for job in (await guest.luxusb("jobs", user="root"))["jobs"] if job["id"] == number]
        assert (failed["state"], failed["error_name"]) == ("failed", "org.luxusb.Error.DeviceNotFound"), failed
        assert "probe the disk again, and it is put back first" in failed["error_message"]
        assert digest(tmp_path / "liar/disk", SIZE) != whole
        await guest.plug("liar", file, port="6", serial="00000000")
        again = await guest.device("00000000", timeout=PATIENT)
        assert again["id"] != device["id"]
        status, found = await probed(guest, again)
        assert status == 0
        assert found["verdict"] in ("genuine", "slow")
        await guest.pull("liar")
        assert digest(tmp_path / "liar/disk", SIZE) == whole


@pytest.mark.campaign
@pytest.mark.parametrize("kind", ["exfat", "fat32"])
async def test_a_stick_becomes_a_plain_drive(guest: Guest, stick: Path, kind: str) -> None:
    """Its owner mounts it as any other drive."""
    await guest.plug("plain", stick, serial="LUX5004")
    device = await guest.device("LUX5004", timeout=PATIENT)
    named = f"--yes --device {device['node']} --device-id {device['id']}"
    await guest.luxusb(f"create {named} memtest86plus", user="root", timeout=PATIENT)
    done = await guest.luxusb(f"restore {named} --filesystem {kind} --label MUSIC", user="root", timeout=PATIENT)
    assert done["job"]["result"]["label"] == "MUSIC"
    shown = await guest.device("LUX5004", "foreign", timeout=PATIENT)
    part = f"{shown['node']}1"
    listed = json.loads((await guest.run(f"udevadm settle; lsblk -J -o NAME,FSTYPE,LABEL {shown['node']}")).stdout)
    (only,) = listed["blockdevices"][0]["children"]
    assert (only["fstype"], only["label"]) == ({"exfat": "exfat", "fat32": "vfat"}[kind], "MUSIC")
    await guest.run(f"udisksctl mount -b {part} && echo la >/media/alice/MUSIC/song", user="alice")
    await guest.run(f"udisksctl unmount -b {part} && {'fsck.exfat' if kind == 'exfat' else 'fsck.fat'} -n {part}")


@pytest.mark.campaign
async def test_a_stick_is_switched_off_by_udisks(guest: Guest, stick: Path) -> None:
    """Not while somebody uses it."""
    await guest.plug("off", stick, serial="LUX5005")
    node = (await guest.device("LUX5005", timeout=PATIENT))["node"]
    await guest.run(f"mkfs.ext4 -q -F {node} && udevadm settle")
    await guest.run(f"udisksctl mount -b {node}", user="alice")
    where = (await guest.run(f"lsblk -nro MOUNTPOINT {node}")).stdout.strip()
    user = (await guest.run(f"sleep 600 <{where}/lost+found >/dev/null 2>&1 & echo $!")).stdout.strip()
    said = await guest.run(f"luxusb --json eject --device {node}", check=False, timeout=PATIENT)
    assert json.loads(said.stdout)["error"]["name"] == "org.luxusb.Error.DeviceMounted"
    await guest.run(f"kill {user}")
    await switched_off(guest, node)


@pytest.mark.campaign
async def test_a_stick_is_switched_off_without_udisks(guest: Guest, stick: Path) -> None:
    await guest.plug("off", stick, serial="LUX5005")
    node = (await guest.device("LUX5005", timeout=PATIENT))["node"]
    await guest.run("systemctl stop udisks2 && systemctl mask --runtime udisks2")
    try:
        await switched_off(guest, node)
    finally:
        await guest.run("systemctl unmask --runtime udisks2")


async def switched_off(guest: Guest, node: str) -> None:
    """Eject a disk: the kernel has no such one any more, or one without a medium, and the service shows none."""

    async def off() -> bool:
        said = await guest.run(f"cat /sys/block/{node.removeprefix('/dev/')}/size", check=False)
        return said.status != 0 or said.stdout.strip() == "0"

    await guest.luxusb(f"eject --device {node}", user="root", timeout=PATIENT)
    await guest.until(off, timeout=PATIENT)
    await guest.until(lambda: guest.gone("LUX5005"), timeout=PATIENT)
    await guest.pull("off")
