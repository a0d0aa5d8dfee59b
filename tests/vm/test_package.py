"""The Debian packages on a machine that runs: an upgrade under running jobs, what removing and purging leave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness.deb import NEWER
from tests.vm.conftest import MIB
from tests.vm.machine import Guest
from tests.vm.payload import BIG_SIZE, NEWER_PACKAGES, PACKAGES
from tests.vm.test_service import begun, job

pytestmark = [pytest.mark.vm, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(3000)]

NAMES = "luxusbd luxusb-cli"
STATE = "/var/lib/luxusb /var/cache/luxusb /etc/luxusb"


async def version(guest: Guest) -> str:
    manager = "org.luxusb.Manager /org/luxusb/Manager org.luxusb.Manager"
    said = await guest.run(f"busctl get-property {manager} Version", timeout=120)
    return said.stdout.split('"')[1]


async def main_pid(guest: Guest) -> str:
    return (await guest.run("systemctl show -P MainPID luxusbd")).stdout.strip()


async def test_the_package_is_on_the_disk_as_it_was_built(guest: Guest) -> None:
    said = await guest.run(f"dpkg-query -W -f '${{db:Status-Abbrev}}' {NAMES}; dpkg --verify {NAMES}")
    assert said.output == "ii ii "
    # whoever starts it may not write there, and would compile it anew each time
    compiled = "test -e /usr/lib/luxusb/luxusbd/__pycache__ -a -e /usr/lib/luxusb/luxusb_cli/__pycache__"
    await guest.run(f'{compiled} && test "$(stat -c %U:%a /var/lib/luxusb/incoming)" = luxusb:700')
    enabled = await guest.run("systemctl is-enabled luxusb-resume.service luxusb-catalog-update.timer")
    assert enabled.stdout.split() == ["enabled", "enabled"]
    assert (await guest.run("systemctl is-active luxusb-catalog-update.timer")).stdout.strip() == "active"
    for page in ("luxusb.1", "luxusbd.8", "luxusbd.toml.5"):
        await guest.run(f"gzip -t /usr/share/man/man{page[-1]}/{page}.gz")


@pytest.mark.campaign
@pytest.mark.usefixtures("awake")
async def test_an_upgrade_of_the_package_under_a_download_and_a_stick(guest: Guest, stick: Path) -> None:
    await guest.plug("upgraded", stick, serial="LUX0040", rate=2 * MIB)
    writing = await begun(guest, await guest.device("LUX0040"), "wide")

    async def is_writing() -> bool:
        now = await job(guest, writing)
        assert now["state"] in ("queued", "running"), now
        return bool(now["stage"] == "write-image")

    await guest.until(is_writing, timeout=240)
    # for longer than the upgrade takes, however busy this machine is
    await guest.set_rate("upgraded", 256 * 1024)
    await guest.luxusb("settings downloads.bandwidth=256KiB", user="root")
    fetching = int((await guest.luxusb("download big --no-wait"))["jobs"][0]["id"])

    async def moved() -> bool:
        return int((await job(guest, fetching, "alice"))["bytes_done"]) > MIB

    await guest.until(moved, timeout=120)
    before, pid = await version(guest), await main_pid(guest)
    await guest.apt(f"install {NEWER_PACKAGES}/luxusbd_*.deb {NEWER_PACKAGES}/luxusb-cli_*.deb")

    # the stick is written by who began it, and nothing begins that the restart would cut
    assert (await version(guest), await main_pid(guest)) == (before, pid)
    assert (await job(guest, writing))["state"] == "running"
    said = await guest.run("luxusb --json import --name late.iso /srv/mirror/grub-rescue-cdrom.iso", check=False)
    assert json.loads(said.stdout)["error"]["name"] == "org.luxusb.Error.LimitExceeded", said.output
    await guest.set_rate("upgraded", 0)

    async def is_new() -> bool:
        return await main_pid(guest) not in ("0", pid)

    await guest.until(is_new, timeout=240)
    assert await version(guest) == NEWER
    written = await job(guest, writing)
    assert (written["state"], written["error_name"]) == ("succeeded", "")
    where = f"--device {(await guest.device('LUX0040', state='luxusb'))['node']}"
    assert (await guest.luxusb(f"verify {where}", user="root", timeout=300))["job"]["result"]["ok"] is True
    assert (await job(guest, fetching, "alice"))["state"] in ("queued", "running")
    await guest.luxusb("settings --reset", user="root")
    await guest.run(f"luxusb watch {fetching}", user="alice", timeout=300)
    fetched = await job(guest, fetching, "alice")
    assert (fetched["state"], fetched["bytes_done"]) == ("succeeded", BIG_SIZE)
    assert fetched["resumed_bytes"] > 0
    await guest.run("luxusb delete --yes big.iso", user="alice")


@pytest.mark.campaign
async def test_removing_the_package_keeps_what_is_there_and_purging_leaves_nothing(guest: Guest) -> None:
    await guest.luxusb("devices")
    known = (await guest.run(f"find {STATE} -printf '%p %U %m\\n' | sort")).stdout
    assert "/var/lib/luxusb/jobs.sqlite" in known
    await guest.apt(f"remove {NAMES}")
    left = await guest.run("ls /usr/lib/luxusb /usr/bin/luxusb; pgrep -u luxusb; pgrep -f luxusb-transfer", check=False)
    assert left.stdout == ""
    kept = (await guest.run(f"find {STATE} -printf '%p %U %m\\n' | sort; id luxusb >&2")).stdout
    assert set(known.splitlines()) - set(kept.splitlines()) <= {
        line for line in known.splitlines() if "jobs.sqlite-" in line or "/unfinished" in line
    }
    said = await guest.run("busctl list --activatable --no-legend; systemctl is-system-running", check=False)
    assert "org.luxusb" not in said.stdout
    assert said.stdout.split()[-1] == "running"

    await guest.apt(f"purge {NAMES}")
    found = await guest.run(
        "find / -xdev -iname '*luxusb*' -not -path '/srv/*' -not -path '/proc/*'"
        " -not -path '/var/lib/apt/*' -not -path '/var/cache/apt/*' -not -path '/home/*' -not -path '/root/*'"
        " -not -path '/tmp/*'; find /run/luxusb /run/systemd -iname '*luxusb*'",
        check=False,
    )
    assert found.stdout == ""
    assert (await guest.run("getent passwd luxusb; getent group luxusb", check=False)).stdout == ""
    assert (await guest.run(f"dpkg-query -W {NAMES}", check=False)).stdout == ""
    # for who comes next
    await guest.furnish()
    await guest.apt(f"install {PACKAGES}/luxusbd_*.deb {PACKAGES}/luxusb-cli_*.deb")
    assert (await guest.luxusb("distros memtest"))["distributions"]
