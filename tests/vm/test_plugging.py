"""Disks that come, go and are exchanged while somebody watches them or a job has them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.vm.conftest import MIB, empty_stick
from tests.vm.machine import Guest

pytestmark = [
    pytest.mark.vm,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(1200),
    pytest.mark.usefixtures("awake"),
]

ERROR = "org.luxusb.Error."
MANAGER = "org.luxusb.Manager /org/luxusb/Manager org.luxusb.Manager"
SEEN = "/run/seen"
SLOWLY = "server {{ listen 127.0.0.1:{}; root /srv/mirror; limit_rate 1m; }}\n"
MIRRORS = "/etc/nginx/conf.d/mirrors.conf"
SMALL, LARGE = 256 * MIB, 320 * MIB
"""What fits a stick, and can be told from the other."""
NOUGHTS = "00000000"
"""What sticks have whose maker gave them no serial number; QEMU makes one up for each port where it is given none."""
PATIENT = 120.0
"""Seconds: a look at all disks takes long on a machine that is emulated and shared."""


@pytest_asyncio.fixture(loop_scope="session")
async def observer(guest: Guest) -> AsyncIterator[None]:
    """Somebody in the machine who writes down what udev and the service tell."""
    await guest.write("/run/observer.py", (Path(__file__).parent / "observer.py").read_text())
    await guest.run(f"systemd-run --quiet --collect --unit=observer python3 /run/observer.py {SEEN}")
    await guest.until(lambda: _noted(guest, "bus", "ready", ""), timeout=PATIENT)
    yield
    await guest.run(f"systemctl stop observer; rm -f {SEEN}", timeout=120)


async def notes(guest: Guest) -> list[dict[str, Any]]:
    """What the observer has written down."""
    return [json.loads(line) for line in (await guest.run(f"cat {SEEN}", check=False)).stdout.splitlines()]


async def _noted(guest: Guest, source: str, what: str, node: str) -> bool:
    return any((note["source"], note["what"], note["node"]) == (source, what, node) for note in await notes(guest))


async def _all(guest: Guest, of: set[tuple[str, str, str]], since: int) -> bool:
    return of <= {(note["source"], note["what"], note["node"]) for note in (await notes(guest))[since:]}


async def plan(guest: Guest, device: dict[str, Any], image: str = "memtest86plus") -> str:
    """Plan a stick; returns the plan's token."""
    said = await guest.run(
        f"busctl --json=short call {MANAGER} PlanStick 'aoasa{{sv}}' 1 {device['path']} 1 {image} 0", timeout=PATIENT
    )
    return str(json.loads(said.stdout)["data"][0]["token"]["data"])


async def refusal(guest: Guest, token: str) -> str:
    """Carry out a plan that must not be; returns what was said, by the call or by the job."""
    said = await guest.run(
        f"busctl --json=short call {MANAGER} CreateStick 'sa{{sv}}' {shlex.quote(token)} 0",
        check=False,
        timeout=PATIENT,
    )
    if said.status != 0:
        return said.stderr
    number = int(json.loads(said.stdout)["data"][0].rpartition("_")[2])
    await guest.until(lambda: _ended(guest, number), timeout=PATIENT)
    failed = await job(guest, number)
    assert failed["state"] == "failed", failed
    return str(failed["error_message"])


async def job(guest: Guest, number: int) -> dict[str, Any]:
    jobs = (await guest.luxusb("jobs", user="root"))["jobs"]
    return dict(next(one for one in jobs if one["id"] == number))


async def _ended(guest: Guest, number: int) -> bool:
    return (await job(guest, number))["state"] not in ("queued", "running")


def digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


async def begun(guest: Guest, device: dict[str, Any], image: str) -> int:
    """Start a job that makes a stick; returns its number."""
    made = await guest.luxusb(
        f"create --yes --no-wait --device {device['DeviceNode']} --device-id {device['Id']} {image}", user="root"
    )
    return int(made["job"]["id"])


@pytest.mark.campaign
async def test_how_soon_the_service_tells(guest: Guest, observer: None, tmp_path: Path) -> None:
    """Every stick that udev tells of is told of; prints how much later, which nothing is made to depend on."""
    for round_ in range(3):
        before = len(await notes(guest))
        await guest.plug("timed", empty_stick(tmp_path / "timed", 64 * MIB), serial=f"LUXTIM{round_}")
        node = (await guest.shown(f"LUXTIM{round_}", timeout=PATIENT))["DeviceNode"]
        await guest.pull("timed")
        wanted = {("bus", "added", node), ("bus", "removed", node), ("udev", "remove", node)}
        await guest.until(lambda of=wanted, since=before: _all(guest, of, since), timeout=PATIENT)  # type: ignore[misc]
    seen = await notes(guest)
    for theirs, ours in (("add", "added"), ("remove", "removed")):
        told = [note["time"] for note in seen if note["source"] == "udev" and note["what"] == theirs]
        shown = [note["time"] for note in seen if note["source"] == "bus" and note["what"] == ours]
        assert len(shown) == len(told) == 3, seen
        later = ", ".join(f"{at - before:.2f}" for before, at in zip(told, shown, strict=True))
        print(f"{ours} on the bus after udev's event: {later} seconds")


@pytest.mark.campaign
async def test_partitions_made_by_others_are_told(guest: Guest, observer: None, stick: Path) -> None:
    await guest.plug("split", stick, serial="LUXPART")
    node = (await guest.shown("LUXPART", lambda device: device["State"] == "blank", PATIENT))["DeviceNode"]
    for command, state in (
        (f"echo type=L | sfdisk -q {node}", "foreign"),
        (f"wipefs -qaf {node} && blockdev --rereadpt {node}", "blank"),
        (f"parted -s {node} mklabel gpt mkpart data 1MiB 32MiB", "foreign"),
    ):
        before = await _told(guest, node, state)
        await guest.run(command, timeout=120)
        await guest.until(lambda at=before, of=state: _more(guest, node, of, at), timeout=PATIENT)  # type: ignore[misc]


async def _told(guest: Guest, node: str, state: str) -> int:
    """How often the service has told that a device's state is this one now."""
    mine = [
        note for note in await notes(guest) if (note["source"], note["what"], note["node"]) == ("bus", "changed", node)
    ]
    return sum(note["properties"].get("State") == state for note in mine)


async def _more(guest: Guest, node: str, state: str, before: int) -> bool:
    return await _told(guest, node, state) > before


@pytest.mark.campaign
async def test_cards_come_go_and_are_exchanged(guest: Guest, observer: None, tmp_path: Path) -> None:
    small, large = empty_stick(tmp_path / "small", SMALL), empty_stick(tmp_path / "large", LARGE)
    await guest.plug_reader("reader", "LUXCARD")
    empty = await guest.shown("LUXCARD", timeout=PATIENT)
    assert (empty["Size"], empty["State"]) == (0, "blank")
    assert "no card in the reader" in empty["BlockedReason"]

    await guest.insert("reader", small)
    first = await guest.shown("LUXCARD", lambda device: not device["BlockedReason"], PATIENT)
    assert (first["Size"], first["Id"]) == (SMALL, empty["Id"])
    assert first["DiskSeq"] > empty["DiskSeq"]
    token = await plan(guest, first)

    await guest.eject("reader")
    await guest.shown("LUXCARD", lambda device: "no card in the reader" in device["BlockedReason"], PATIENT)
    await guest.insert("reader", large)
    second = await guest.shown("LUXCARD", lambda device: device["Size"] == LARGE, PATIENT)
    assert second["DiskSeq"] > first["DiskSeq"]
    assert "another disk or medium stands where" in await refusal(guest, token)

    token = await plan(guest, second)
    await guest.insert("reader", small)
    third = await guest.shown("LUXCARD", lambda device: device["Size"] == SMALL, PATIENT)
    assert third["DiskSeq"] > second["DiskSeq"]
    assert "another disk or medium stands where" in await refusal(guest, token)
    for card in (small, large):
        assert card.read_bytes() == bytes(card.stat().st_size)


@pytest.mark.campaign
async def test_an_exchange_that_nothing_announces(guest: Guest, tmp_path: Path) -> None:
    """The kernel polls readers because udev's rules tell it to; without that the opening finds it out."""
    cards = [empty_stick(tmp_path / name, SMALL) for name in ("one", "two")]
    await guest.plug_reader("reader", "LUXPOLL")
    await guest.insert("reader", cards[0])
    device = await guest.shown("LUXPOLL", lambda device: not device["BlockedReason"], PATIENT)
    parameter = "/sys/module/block/parameters/events_dfl_poll_msecs"
    assert (await guest.run(f"cat {parameter}")).stdout == "2000\n"
    await guest.run(f"echo 0 > {parameter}")
    try:
        token = await plan(guest, device)
        await guest.insert("reader", cards[1])
        # what udev's rules would have told within two seconds
        await asyncio.sleep(5)
        assert (await guest.shown("LUXPOLL"))["DiskSeq"] == device["DiskSeq"]
        said = await refusal(guest, token)
        assert "is not the disk any more that was chosen" in said or "another disk or medium stands where" in said
    finally:
        await guest.run(f"echo 2000 > {parameter}")
    for card in cards:
        assert card.read_bytes() == bytes(card.stat().st_size)


@pytest.mark.campaign
async def test_a_stick_replugged_while_it_is_written(guest: Guest, stick: Path, tmp_path: Path) -> None:
    """In its place comes one that looks the same in everything but what is on it."""
    await guest.plug("first", stick, serial="LUXTWICE", rate=6 * MIB)
    before = await guest.shown("LUXTWICE", timeout=PATIENT)
    number = await begun(guest, before, "wide")
    await guest.until(lambda: _at(guest, number, "write-image"), timeout=300)
    await guest.pull("first")
    other = empty_stick(tmp_path / "other")
    await guest.plug("second", other, serial="LUXTWICE")
    await guest.until(lambda: _ended(guest, number), timeout=PATIENT)
    failed = await job(guest, number)
    assert (failed["state"], failed["error_name"]) == ("failed", ERROR + "DeviceNotFound"), failed
    assert "went away during the job" in failed["error_message"]
    after = await guest.shown("LUXTWICE", lambda device: device["DiskSeq"] != before["DiskSeq"], PATIENT)
    assert (after["Id"], after["BlockedReason"], after["CurrentJob"]) == (before["Id"], "", "/")
    assert digest(other) == digest(empty_stick(tmp_path / "blank"))
    assert (await guest.run("ls /run/luxusb/owned")).stdout == ""
    await _made(guest, after)


async def _at(guest: Guest, number: int, stage: str) -> bool:
    now = await job(guest, number)
    assert now["state"] in ("queued", "running"), now
    return bool(now["stage"] == stage)


async def _made(guest: Guest, device: dict[str, Any]) -> None:
    await guest.luxusb(
        f"create --yes --device {device['DeviceNode']} --device-id {device['Id']} memtest86plus",
        user="root",
        timeout=600,
    )
    await guest.shown(device["Serial"], lambda now: now["State"] == "luxusb", PATIENT)


@pytest.mark.campaign
async def test_a_stick_replugged_while_its_images_are_fetched(guest: Guest, stick: Path, tmp_path: Path) -> None:
    mirrors = (await guest.run(f"cat {MIRRORS}")).stdout
    await guest.run("luxusb delete --yes wide.iso", check=False, timeout=120)
    await guest.write(MIRRORS, "".join(SLOWLY.format(port) for port in (8001, 8002)))
    await guest.run("systemctl reload nginx")
    try:
        await guest.plug("first", stick, serial="LUXFETCH")
        before = await guest.shown("LUXFETCH", timeout=PATIENT)
        number = await begun(guest, before, "wide")
        await guest.until(lambda: _at(guest, number, "download"), timeout=PATIENT)
        await guest.pull("first")
        other = empty_stick(tmp_path / "other")
        await guest.plug("second", other, serial="LUXFETCH")
        after = await guest.shown("LUXFETCH", lambda device: device["DiskSeq"] != before["DiskSeq"], PATIENT)
        assert (await job(guest, number))["state"] == "running"
    finally:
        await guest.write(MIRRORS, mirrors)
        await guest.run("systemctl reload nginx")
    await guest.until(lambda: _ended(guest, number), timeout=300)
    failed = await job(guest, number)
    assert (failed["state"], failed["error_name"]) == ("failed", ERROR + "DeviceChanged"), failed
    assert "another disk or medium stands where" in failed["error_message"]
    for file in (stick, other):
        assert digest(file) == digest(empty_stick(tmp_path / "blank"))
    await _made(guest, after)


@pytest.mark.campaign
async def test_twins_that_change_places(guest: Guest, tmp_path: Path) -> None:
    files = {name: empty_stick(tmp_path / name, SMALL) for name in ("left", "right")}
    await guest.plug("left", files["left"], serial=NOUGHTS, port="3")
    await guest.plug("right", files["right"], serial=NOUGHTS, port="4")
    await guest.until(lambda: _twins(guest, 2), timeout=PATIENT)
    before = await _usb(guest)
    tokens = [await plan(guest, device) for device in before]
    await guest.pull("left")
    await guest.pull("right")
    await guest.until(lambda: _twins(guest, 0), timeout=PATIENT)
    await guest.plug("left", files["left"], serial=NOUGHTS, port="4")
    await guest.plug("right", files["right"], serial=NOUGHTS, port="3")
    await guest.until(lambda: _twins(guest, 2), timeout=PATIENT)
    after = await _usb(guest)
    # they are known by their ports, and by the kernel's number of this plugging
    assert {device["Id"] for device in after} == {device["Id"] for device in before}
    assert not {device["DiskSeq"] for device in after} & {device["DiskSeq"] for device in before}
    for token in tokens:
        assert "another disk or medium stands where" in await refusal(guest, token)
    for file in files.values():
        assert file.read_bytes() == bytes(file.stat().st_size)


async def _usb(guest: Guest) -> list[dict[str, Any]]:
    return [device for device in await guest.devices() if device["Bus"] == "usb"]


async def _twins(guest: Guest, count: int) -> bool:
    return len(await _usb(guest)) == count


@pytest.mark.campaign
async def test_eight_sticks_in_a_hub(guest: Guest, tmp_path: Path) -> None:
    names = [f"LUXHUB{at}" for at in range(8)]
    await guest.plug_hub("hub", "5")
    try:
        for at, name in enumerate(names, 1):
            await guest.plug(name, empty_stick(tmp_path / name, 32 * MIB), serial=name, port=f"5.{at}")
        for name in names:
            await guest.shown(name, timeout=PATIENT)
        assert len({device["Id"] for device in await _usb(guest)}) == len(names)
        await guest.pull_all()
        await guest.until(lambda: _twins(guest, 0), timeout=PATIENT)
    finally:
        await guest.unplug_hub("hub")
