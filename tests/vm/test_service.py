"""The service as an administrator gets it: activation, sticks that come and go, jobs across kills and resets."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from luxusbd.images.model import Firmware
from tests.harness.qemu import Machine
from tests.vm.conftest import MIB, empty_stick
from tests.vm.machine import Guest
from tests.vm.payload import BIG_SIZE

pytestmark = [pytest.mark.vm, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

MANAGER = "/org/luxusb/Manager org.luxusb.Manager"
THREE = "memtest86plus grub-rescue debian-mini"
ERROR = "org.luxusb.Error."


async def begun(guest: Guest, device: dict[str, Any], images: str) -> int:
    """Start a job that makes a stick; returns its number."""
    made = await guest.luxusb(
        f"create --yes --no-wait --device {device['node']} --device-id {device['id']} {images}", user="root"
    )
    return int(made["job"]["id"])


async def job(guest: Guest, number: int, user: str = "root") -> dict[str, Any]:
    jobs = (await guest.luxusb("jobs", user=user))["jobs"]
    return dict(next(one for one in jobs if one["id"] == number))


async def test_activation_by_a_first_busctl_call(guest: Guest) -> None:
    # other scenarios may have been first
    await guest.run("systemctl stop luxusbd", timeout=120)
    assert await _inactive(guest)
    said = await guest.run(
        f"busctl call org.luxusb.Manager {MANAGER} ListDistributions 'a{{sv}}' 0", user="carol", timeout=120
    )
    assert "memtest86plus" in said.stdout
    assert await _active(guest)
    assert (await guest.run("systemctl is-system-running", check=False)).stdout.strip() == "running"


async def test_each_part_has_its_own_rights(guest: Guest) -> None:
    said = await guest.run(
        "for unit in luxusbd luxusb-transfer; do pid=$(systemctl show -P MainPID $unit);"
        " grep -E '^(Uid|CapEff|NoNewPrivs|Seccomp):' /proc/$pid/status; done"
    )
    lines = [line.split() for line in said.stdout.splitlines()]
    core, transfer = lines[:4], lines[4:]
    assert (core[0][1], core[2][1], core[3][1]) == ("0", "1", "2")
    # CAP_CHOWN 0, CAP_DAC_OVERRIDE 1, CAP_FOWNER 3 (linux/capability.h) and nothing else
    assert int(core[1][1], 16) == 0b1011
    assert transfer[0][1] != "0"
    assert [words[1] for words in transfer[1:]] == ["0000000000000000", "1", "2"]


async def test_a_stick_plugged_by_qmp_appears_and_pulled_vanishes(guest: Guest, stick: Path) -> None:
    await guest.plug("one", stick, serial="LUX0001")
    device = await guest.device("LUX0001")
    assert (device["bus"], device["size"], device["blocked_reason"]) == ("usb", stick.stat().st_size, "")
    await guest.pull("one")
    await guest.until(lambda: guest.gone("LUX0001"))


async def test_create_with_three_images_from_an_http_server_then_the_stick_boots(guest: Guest, stick: Path) -> None:
    await guest.plug("boots", stick, serial="LUX0002")
    device = await guest.device("LUX0002")
    await guest.luxusb(
        f"create --yes --device {device['node']} --device-id {device['id']} --serial-console {THREE}",
        user="root",
        timeout=600,
    )
    assert (await guest.device("LUX0002"))["state"] == "luxusb"
    names = [image["name"] for image in (await guest.luxusb(f"contents --device {device['node']}"))["images"]]
    assert names == ["memtest86+x64.iso", "grub-rescue-cdrom.iso", "mini.iso"]
    await guest.pull("boots")
    async with Machine(Firmware.BIOS, disk=stick) as machine:
        await machine.expect("Memtest86", 120)


@pytest.mark.campaign
async def test_images_that_are_not_kept_pass_through_and_start(guest: Guest, stick: Path) -> None:
    await guest.luxusb("images --prune --yes", user="root", timeout=120)
    kept = [image["name"] for image in (await guest.luxusb("images", user="root"))["images"]]
    assert not {"memtest86+x64.iso", "mini.iso"} & set(kept)
    await guest.plug("passes", stick, serial="LUX0015")
    device = await guest.device("LUX0015")
    await guest.luxusb(
        f"create --yes --no-keep --device {device['node']} --device-id {device['id']} --serial-console {THREE}",
        user="root",
        timeout=600,
    )
    assert [image["name"] for image in (await guest.luxusb("images", user="root"))["images"]] == kept
    assert not (await guest.run("find /var/lib/luxusb/incoming -type f")).stdout
    checked = await guest.luxusb(f"verify --device {device['node']}", user="root", timeout=600)
    assert checked["job"]["result"]["ok"]
    await guest.pull("passes")
    async with Machine(Firmware.BIOS, disk=stick) as machine:
        await machine.expect("Memtest86", 120)


@pytest.mark.campaign
async def test_a_stick_of_ours_starts_the_service(guest: Guest, stick: Path, tmp_path: Path) -> None:
    """By udev alone: until the end of the wait nobody calls the service."""
    await guest.plug("ours", stick, serial="LUX0013")
    device = await guest.device("LUX0013")
    create = f"create --yes --device {device['node']} --device-id {device['id']} memtest86plus"
    await guest.luxusb(create, user="root", timeout=600)
    await guest.pull("ours")
    await guest.run("systemctl stop luxusbd", timeout=120)
    await guest.plug("theirs", empty_stick(tmp_path / "theirs"), serial="LUX0014")
    await guest.run("udevadm settle && sleep 5", timeout=120)
    assert await _inactive(guest), "an empty stick is no reason to start"
    await guest.plug("ours", stick, serial="LUX0013")
    await guest.until(lambda: _active(guest), timeout=120)
    assert (await guest.device("LUX0013", state="luxusb"))["bus"] == "usb"


async def test_no_user_writes_without_a_password(guest: Guest, stick: Path) -> None:
    await guest.plug("asked", stick, serial="LUX0003")
    device = await guest.device("LUX0003")
    for user in ("alice", "bob", "carol"):
        said = await guest.run(
            f"luxusb --json create --yes --device {device['node']} --device-id {device['id']} memtest86plus",
            user=user,
            check=False,
        )
        assert said.status == 3, said.output
        assert json.loads(said.stdout)["error"]["name"] in (
            ERROR + "NotAuthorized", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
            "org.freedesktop.DBus.Error.AccessDenied",
        )  # fmt: skip
    assert stick.read_bytes() == bytes(stick.stat().st_size)


@pytest.mark.campaign
async def test_another_user_cannot_pause_see_or_open_the_jobs_things(guest: Guest) -> None:
    number = int((await guest.luxusb("download big --no-wait"))["jobs"][0]["id"])
    assert (await job(guest, number, "alice"))["owner_uid"] == 1000
    for user in ("bob", "carol"):
        assert (await guest.luxusb("jobs", user=user))["jobs"] == []
        for command in ("pause", "cancel"):
            said = await guest.run(f"luxusb --json {command} {number}", user=user, check=False)
            assert said.status != 0
        path = f"/org/luxusb/jobs/_{number} org.freedesktop.DBus.Properties"
        said = await guest.run(f"busctl call org.luxusb.Manager {path} GetAll s org.luxusb.Job", user=user, check=False)
        assert "there is no object" in said.stderr
    # as good an image as the mirror's, and not the same bytes
    await guest.run("(cat /srv/mirror/grub-rescue-cdrom.iso; echo hers) >/tmp/hers.iso", user="alice")
    await guest.run("luxusb import --name hers.iso /tmp/hers.iso", user="alice", timeout=180)
    await guest.run("luxusb export hers.iso /tmp/copy.iso && cmp /tmp/hers.iso /tmp/copy.iso", user="alice")
    for user in ("bob", "carol"):
        assert all(image["name"] != "hers.iso" for image in (await guest.luxusb("images", user=user))["images"])
        said = await guest.run("luxusb --json export hers.iso /tmp/$USER.iso", user=user, check=False)
        assert json.loads(said.stdout)["error"]["name"] == ERROR + "ImageNotFound"
    assert (await job(guest, number, "alice"))["state"] in ("queued", "running", "succeeded")


@pytest.mark.campaign
async def test_a_core_killed_in_the_middle_comes_back_and_finishes(guest: Guest) -> None:
    await guest.run("luxusb delete --yes big.iso", check=False)
    number = int((await guest.luxusb("download big --no-wait"))["jobs"][0]["id"])
    await guest.until(lambda: _moved(guest, number))
    await guest.run("kill -9 $(systemctl show -P MainPID luxusbd)")
    await guest.run(f"luxusb watch {number}", user="alice", timeout=300)
    done = await job(guest, number, "alice")
    assert (done["state"], done["bytes_done"]) == ("succeeded", BIG_SIZE)
    assert done["resumed_bytes"] > 0


async def _moved(guest: Guest, number: int) -> bool:
    return int((await job(guest, number, "alice"))["bytes_done"]) > 8 * MIB


@pytest.mark.campaign
async def test_a_stick_pulled_in_the_middle_of_writing(guest: Guest, stick: Path) -> None:
    await guest.plug("pulled", stick, serial="LUX0004", rate=6 * MIB)
    number = await begun(guest, await guest.device("LUX0004"), "wide")

    async def writing() -> bool:
        now = await job(guest, number)
        assert now["state"] in ("queued", "running"), now
        return bool(now["stage"] == "write-image")

    await guest.until(writing, timeout=240)
    await guest.pull("pulled")
    began = time.monotonic()
    await guest.until(lambda: _failed(guest, number), timeout=30)
    failed = await job(guest, number)
    assert failed["error_name"] == ERROR + "DeviceNotFound", (failed, time.monotonic() - began)
    assert "went away during the job" in failed["error_message"]
    # the daemon is well, says what is wrong with the stick, and mends it
    await guest.plug("again", stick, serial="LUX0004")
    await guest.until(lambda: _is_damaged(guest))
    device = await guest.device("LUX0004")
    assert "was not finished" in device["damage"], device
    where = f"--device {device['node']}"
    repaired = (await guest.luxusb(f"repair {where}", user="root", timeout=300))["job"]["result"]
    assert repaired["sound"] is False
    assert [image["source"].partition("@")[0] for image in repaired["lost"]] == ["distro:wide"]
    mended = await guest.device("LUX0004")
    assert (mended["state"], mended["damage"]) == ("luxusb", "")
    await guest.luxusb(f"add {where} memtest86plus", user="root", timeout=300)
    assert (await guest.luxusb(f"verify {where}", user="root", timeout=300))["job"]["result"]["ok"] is True
    assert (await guest.luxusb(f"repair {where}", user="root", timeout=300))["job"]["result"]["sound"] is True


async def _is_damaged(guest: Guest) -> bool:
    return bool((await guest.device("LUX0004"))["state"] == "damaged")


async def _failed(guest: Guest, number: int) -> bool:
    return bool((await job(guest, number))["state"] == "failed")


@pytest.mark.campaign
async def test_eight_sticks_at_once(guest: Guest, tmp_path: Path) -> None:
    names = [f"LUX1{at:03}" for at in range(8)]
    files = [empty_stick(tmp_path / name, 64 * MIB) for name in names]
    await asyncio.gather(*(guest.plug(name, file, serial=name) for name, file in zip(names, files, strict=True)))
    for name in names:
        await guest.device(name)
    shown = [device["id"] for device in (await guest.luxusb("devices"))["devices"] if device["serial"] in names]
    assert len(set(shown)) == len(names)


@pytest.mark.campaign
async def test_two_sticks_that_look_the_same(guest: Guest, tmp_path: Path) -> None:
    for name in ("twin-a", "twin-b"):
        await guest.plug(name, empty_stick(tmp_path / name, 64 * MIB))

    async def both() -> bool:
        found = [device for device in (await guest.luxusb("devices"))["devices"] if device["bus"] == "usb"]
        return len({device["id"] for device in found}) == 2

    await guest.until(both)


async def test_a_read_only_stick_is_refused(guest: Guest, stick: Path) -> None:
    await guest.plug("locked", stick, serial="LUX0005", read_only=True)
    device = await guest.device("LUX0005")
    assert device["read_only"] is True
    assert device["blocked_reason"]
    said = await guest.run(
        f"luxusb --json create --yes --device {device['node']} --device-id {device['id']} memtest86plus", check=False
    )
    assert said.status == 1
    assert json.loads(said.stdout)["error"]["name"] == ERROR + "DeviceReadOnly"


@pytest.mark.campaign
@pytest.mark.parametrize("kind", ["vfat", "exfat"])
async def test_kernel_mounts_are_refused(guest: Guest, stick: Path, kind: str) -> None:
    await guest.plug("mounted", stick, serial="LUX0006")
    node = (await guest.device("LUX0006"))["node"]
    await guest.run(f"mkfs.{kind} {node} && mount -t {kind} {node} /mnt && echo kept > /mnt/letter && sync")
    try:
        await guest.until(lambda: _blocked(guest, "LUX0006"))
        device = await guest.device("LUX0006")
        assert "/mnt" in device["blocked_reason"]
        said = await guest.run(
            f"luxusb --json create --yes --device {node} --device-id {device['id']} memtest86plus", check=False
        )
        assert said.status == 1
        assert (await guest.run("cat /mnt/letter")).stdout == "kept\n"
    finally:
        await guest.run("umount /mnt")


async def _blocked(guest: Guest, serial: str) -> bool:
    return bool((await guest.device(serial))["blocked_reason"])


@pytest.mark.campaign
async def test_idle_exit_and_reactivation(guest: Guest) -> None:
    await guest.write("/etc/luxusb/luxusbd.toml", "[daemon]\nidle_exit = 5\n")
    try:
        await guest.run("systemctl restart luxusbd", timeout=120)
        before = (await guest.luxusb("jobs", user="alice"))["jobs"]
        await guest.until(lambda: _inactive(guest), timeout=120)
        assert (await guest.run("systemctl is-failed luxusbd", check=False)).stdout.strip() == "inactive"
        assert {one["id"] for one in (await guest.luxusb("jobs", user="alice"))["jobs"]} == {
            one["id"] for one in before
        }
    finally:
        await guest.run("rm /etc/luxusb/luxusbd.toml; systemctl restart luxusbd", timeout=120)


async def _inactive(guest: Guest) -> bool:
    return (await guest.run("systemctl is-active luxusbd", check=False)).stdout.strip() == "inactive"


@pytest.mark.campaign
async def test_the_watchdog_kills_a_stopped_core_and_jobs_go_on(guest: Guest) -> None:
    await guest.run("luxusb delete --yes big.iso", check=False)
    drop_in = "/run/systemd/system/luxusbd.service.d/watchdog.conf"
    await guest.write(drop_in, "[Service]\nWatchdogSec=15\n")
    await guest.run("systemctl daemon-reload && systemctl restart luxusbd", timeout=120)
    try:
        number = int((await guest.luxusb("download big --no-wait"))["jobs"][0]["id"])
        await guest.until(lambda: _moved(guest, number))
        pid = (await guest.run("systemctl show -P MainPID luxusbd")).stdout.strip()
        await guest.run(f"kill -STOP {pid}")
        await guest.until(lambda: _another(guest, pid), timeout=180)
        journal = (await guest.run("journalctl -u luxusbd --no-pager -n 200")).stdout
        assert "Watchdog timeout" in journal
        await guest.run(f"luxusb watch {number}", user="alice", timeout=300)
        done = await job(guest, number, "alice")
        assert done["state"] == "succeeded"
        assert done["resumed_bytes"] > 0
    finally:
        await guest.run(f"rm {drop_in}; systemctl daemon-reload")


async def _another(guest: Guest, pid: str) -> bool:
    state = (await guest.run("systemctl is-active luxusbd", check=False)).stdout.strip()
    now = (await guest.run("systemctl show -P MainPID luxusbd")).stdout.strip()
    return state == "active" and now not in ("0", pid)


@pytest.mark.campaign
async def test_a_reset_in_the_middle_and_the_download_goes_on_after_boot(guest: Guest) -> None:
    await guest.run("luxusb delete --yes big.iso", check=False)
    number = int((await guest.luxusb("download big --no-wait"))["jobs"][0]["id"])
    await guest.until(lambda: _moved(guest, number))
    await guest.run("sync")
    boot = (await guest.run("cat /proc/sys/kernel/random/boot_id")).stdout.strip()
    await guest.reset(boot)
    # nobody has called it
    await guest.until(lambda: _active(guest), timeout=120)
    await guest.run(f"luxusb watch {number}", user="alice", timeout=300)
    assert (await job(guest, number, "alice"))["state"] == "succeeded"


async def _active(guest: Guest) -> bool:
    return (await guest.run("systemctl is-active luxusbd", check=False)).stdout.strip() == "active"


@pytest.mark.campaign
async def test_the_machine_stays_awake_for_a_download(guest: Guest) -> None:
    """The unit may ask the real logind, and what is set outlives a restart."""
    await guest.run("luxusb delete --yes big.iso", check=False)
    await guest.luxusb("settings downloads.bandwidth=256KiB", user="root")
    number = int((await guest.luxusb("download big --no-wait"))["jobs"][0]["id"])
    await guest.until(lambda: _kept_awake(guest))
    await guest.run("systemctl restart luxusbd", timeout=120)
    found = await guest.luxusb("settings", user="root")
    assert (found["settings"]["downloads.bandwidth"], found["origins"]["downloads.bandwidth"]) == (256 * 1024, "set")
    await guest.until(lambda: _kept_awake(guest))
    await guest.luxusb("settings --reset", user="root")
    await guest.run(f"luxusb watch {number}", user="alice", timeout=300)
    assert (await job(guest, number, "alice"))["state"] == "succeeded"
    await guest.until(lambda: _may_sleep(guest))


async def _locks(guest: Guest) -> str:
    login = "org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager"
    return (await guest.run(f"busctl call {login} ListInhibitors")).stdout


async def _kept_awake(guest: Guest) -> bool:
    locks = await _locks(guest)
    return '"sleep:idle" "LUXusb"' in locks and '"delay"' in locks


async def _may_sleep(guest: Guest) -> bool:
    return "LUXusb" not in await _locks(guest)
