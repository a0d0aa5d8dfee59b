"""The catalogue is kept up to date from a remote: by the timer's unit, by the timer, and not by a forger."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.vm.machine import Guest
from tests.vm.payload import EDITIONS, REMOTE

pytestmark = [pytest.mark.vm, pytest.mark.campaign, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

UNIT = "luxusb-catalog-update"
SERVED = "/srv/mirror/catalogue"
URL = "http://127.0.0.1:8001/catalogue/distros.json"


async def serve(guest: Guest, edition: str) -> None:
    """Let the machine's web server have this edition."""
    await guest.run(f"mkdir -p {SERVED} && cp {REMOTE}/{edition}/distros.json* {SERVED}/ && chmod -R a+rX {SERVED}")


async def start(guest: Guest) -> None:
    """Let the unit run to a good end."""
    said = await guest.run(f"systemctl start {UNIT}.service", timeout=180, check=False)
    if said.status != 0:
        everything = (await guest.run("journalctl -u 'luxusb*' -b -o short-monotonic --no-pager -n 80")).stdout
        raise AssertionError(f"{said.output}\n{everything}")


async def journal(guest: Guest) -> str:
    return (await guest.run(f"journalctl -u {UNIT}.service -o cat --no-pager")).stdout


async def listed(guest: Guest) -> set[str]:
    """Ids that come from the update."""
    found = (await guest.luxusb("distros"))["distributions"]
    return {entry["id"] for entry in found if entry["origin"] == "cache"}


async def status(guest: Guest) -> dict[str, Any]:
    return dict((await guest.luxusb("catalog status"))["status"])


async def test_without_a_remote_the_unit_does_nothing_and_does_not_fail(guest: Guest) -> None:
    await guest.write("/etc/luxusb/luxusbd.toml", "[catalog]\nupdate_feeds = false\n")
    await guest.run("systemctl restart luxusbd", timeout=120)
    await start(guest)
    assert (await guest.run(f"systemctl is-failed {UNIT}.service", check=False)).stdout.strip() == "inactive"
    assert "nothing is done: catalog.update_url in luxusbd.toml names no" in await journal(guest)
    assert (await guest.run("systemctl is-system-running", check=False)).stdout.strip() == "running"
    assert (await status(guest))["url"] == ""


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def configured(guest: Guest) -> AsyncIterator[Guest]:
    """The administrator names the remote and its key."""
    fingerprint = (await guest.run(f"cat {REMOTE}/fingerprint")).stdout
    await guest.run(f"cp {REMOTE}/first/distros.key /etc/luxusb/school.key")
    await guest.write(
        "/etc/luxusb/luxusbd.toml",
        # the makers are not there, in a guest without a way out
        f'[catalog]\nupdate_feeds = false\nupdate_url = "{URL}"\nupdate_key = "/etc/luxusb/school.key"\n'
        f'update_fingerprints = ["{fingerprint}"]\n',
    )
    await guest.run("systemctl restart luxusbd", timeout=120)
    yield guest


async def test_the_unit_fetches_the_catalogue(configured: Guest) -> None:
    guest = configured
    assert await listed(guest) == set()
    await serve(guest, "first")
    await start(guest)
    assert await listed(guest) == set(EDITIONS["first"])
    found = await status(guest)
    assert (found["url"], found["serial"], found["problems"]) == (URL, 1, [])
    assert found["updated"] > 0
    # the signature was looked at by a unit of its own, as a user of its own
    said = (await guest.run("journalctl -u 'luxusb-check@*' -o cat --no-pager")).stdout
    assert "checks one signed catalogue" in said
    await start(guest)
    assert (await status(guest))["checked"] >= found["checked"]


async def test_the_timer_does_it_by_itself(configured: Guest) -> None:
    guest = configured
    await serve(guest, "second")
    drop_in = f"/run/systemd/system/{UNIT}.timer.d/soon.conf"
    await guest.write(drop_in, "[Timer]\nOnCalendar=\nOnActiveSec=3s\nRandomizedDelaySec=0\nAccuracySec=100ms\n")
    await guest.run(f"systemctl daemon-reload && systemctl restart {UNIT}.timer", timeout=120)

    async def there() -> bool:
        return await listed(guest) == set(EDITIONS["second"])

    await guest.until(there, timeout=180)
    await guest.run(f"rm {drop_in} && systemctl daemon-reload && systemctl restart {UNIT}.timer", timeout=120)
    assert (await status(guest))["serial"] == 2


@pytest.mark.parametrize(
    ("edition", "reason"),
    [("forged", "which is not among the keys given"), ("first", "is older than the one in force (serial 1 < 2)")],
)
async def test_what_is_not_good_changes_nothing_and_is_told(configured: Guest, edition: str, reason: str) -> None:
    guest = configured
    await serve(guest, edition)
    said = await guest.run(f"systemctl start {UNIT}.service", timeout=180, check=False)
    assert said.status != 0
    assert (await guest.run(f"systemctl is-failed {UNIT}.service", check=False)).stdout.strip() == "failed"
    line = next(line for line in (await journal(guest)).splitlines() if reason in line)
    assert json.loads(line)["error"]["name"] == "org.luxusb.Error.VerificationFailed"
    assert reason in (await guest.run("journalctl -u luxusbd -p warning -o cat --no-pager")).stdout
    assert await listed(guest) == set(EDITIONS["second"])
    assert (await status(guest))["serial"] == 2
    await guest.run(f"systemctl reset-failed {UNIT}.service")


async def test_it_is_in_force_after_a_reset(configured: Guest) -> None:
    guest = configured
    await guest.run("sync")
    boot = (await guest.run("cat /proc/sys/kernel/random/boot_id")).stdout.strip()
    await guest.reset(boot)
    assert await listed(guest) == set(EDITIONS["second"])
