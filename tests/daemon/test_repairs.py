"""Damaged sticks, shown as such and mended, through the whole service."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from luxusb_cli.calls import Work
from luxusb_cli.errors import DaemonError
from luxusb_cli.model import DeviceInfo

from luxusbd.stick import manifest
from tests.daemon import sticks
from tests.daemon.byhand import Hand
from tests.daemon.caller import Caller
from tests.daemon.conftest import Target
from tests.daemon.images import MIB, Images

ERROR = "org.luxusb.Error."
WANTED = ["distro:alpha", "distro:beta", "distro:large"]


async def repair(caller: Caller, device: str) -> Mapping[str, Any]:
    return (await caller.succeeded(await caller.client.work_on(device, Work.REPAIR))).result


def areas(result: Mapping[str, Any]) -> set[str]:
    return {item["area"] for item in result["findings"]}


def hashes(images: Images) -> dict[str, str]:
    return {f"{name}.iso": getattr(images, name).sha256 for name in ("alpha", "beta", "large")}


def write(target: Target, place: int, data: bytes) -> None:
    """Change the medium behind everybody's back."""
    path = Path(target.node or target.file)
    with path.open("r+b", buffering=0) as file:
        file.seek(place)
        file.write(data)
        os.fsync(file.fileno())
    flush(target)


def flush(target: Target) -> None:
    if target.node:
        subprocess.run(["blockdev", "--flushbufs", target.node], check=True, timeout=60)


def in_image(target: Target, image: Path) -> int:
    """Where a byte in the middle of an image lies on the medium."""
    flush(target)
    return target.file.read_bytes().index(image.read_bytes()[1_000_000:1_000_064])


async def shown(caller: Caller, target: Target) -> DeviceInfo:
    """The device as it is shown when it is plugged in anew; a file, when it is opened anew."""
    if not target.node:
        return await caller.client.device(await target.device(caller))
    subprocess.run(["udevadm", "trigger", "--action=change", "--settle", target.node], check=False, timeout=60)
    return await caller.disk(target.node)


async def test_a_sound_stick_is_left_alone(caller: Caller, target: Target, images: Images) -> None:
    device = await target.device(caller)
    await caller.created([device], WANTED)
    flush(target)
    before = hashlib.sha256(target.file.read_bytes()).hexdigest()
    result = await repair(caller, device)
    assert (result["sound"], result["findings"], result["lost"]) == (True, [], [])
    assert result["images"] == list(hashes(images))
    flush(target)
    assert hashlib.sha256(target.file.read_bytes()).hexdigest() == before
    device_now = await caller.client.device(device)
    assert (device_now.state, device_now.damage) == ("luxusb", "")


async def test_the_beginning_of_the_disk_is_gone(caller: Caller, target: Target, images: Images) -> None:
    device = await target.device(caller)
    await caller.created([device], WANTED)
    write(target, 0, bytes(MIB))
    result = await repair(caller, device)
    assert {"partition-table", "boot-files"} <= areas(result)
    assert (result["sound"], result["lost"]) == (False, [])
    flush(target)
    assert sticks.check(target.file) == hashes(images)
    assert (await caller.succeeded(await caller.client.verify(device))).result["ok"] is True
    assert (await repair(caller, device))["sound"] is True


async def test_damaged_and_missing_images_go_and_are_named(caller: Caller, target: Target, images: Images) -> None:
    device = await target.device(caller)
    await caller.created([device], WANTED)
    place = in_image(target, images.alpha.path)
    write(target, place, b"\0" * 16)
    hand = Hand(target)
    hand.delete("beta.iso")
    hand.rename("large.iso", "mine.iso")
    result = await repair(caller, device)
    lost = {item["name"]: item for item in result["lost"]}
    assert set(lost) == {"alpha.iso", "beta.iso"}
    assert (lost["alpha.iso"]["reason"], lost["alpha.iso"]["source"]) == ("its bytes are damaged", "distro:alpha@1.0")
    assert lost["beta.iso"]["reason"] == "its file is gone"
    flush(target)
    assert sticks.check(target.file) == {"mine.iso": images.large.sha256}
    assert sticks.files(target.file, "/iso") == {"mine.iso"}, "there is room again for a whole one"
    # what the result names is what makes the stick complete again
    await caller.succeeded(await caller.client.add_images(device, [item["source"] for item in result["lost"]]))
    flush(target)
    assert set(sticks.check(target.file)) == {"mine.iso", "alpha.iso", "beta.iso"}


async def test_what_was_replaced_by_hand_is_no_damage(
    caller: Caller, target: Target, images: Images, place: Path
) -> None:
    device = await target.device(caller)
    await caller.created([device], WANTED)
    hand = Hand(target)
    (place / "notes").write_text("buy milk\n")
    await hand.copy(images.memtest.path, "alpha.iso")
    await hand.copy(place / "notes", "beta.iso")
    await hand.copy(images.rescue.path, "new.iso")
    result = await repair(caller, device)
    assert [item["name"] for item in result["lost"]] == ["beta.iso"]
    assert "others now" in result["lost"][0]["reason"]
    assert [item["problem"] for item in result["findings"]][-1] == "alpha.iso was replaced by hand"
    flush(target)
    assert sticks.check(target.file) == {"alpha.iso": images.memtest.sha256, "large.iso": images.large.sha256}
    assert sticks.files(target.file, "/iso") == {"alpha.iso", "beta.iso", "large.iso", "new.iso"}


def no_manifest(target: Target) -> None:
    Hand(target).debugfs(f"rm {manifest.PATH}")


def nothing_but_images(target: Target) -> None:
    there = sticks.files(target.file, "/luxusb")
    Hand(target).debugfs(*(f"rm /luxusb/{name}" for name in sorted(there)), "rmdir /luxusb")


@pytest.mark.parametrize("inflict", [no_manifest, nothing_but_images])
async def test_a_lost_list_of_images_is_made_anew(
    caller: Caller, stick: Path, images: Images, inflict: Callable[[Target], None], place: Path
) -> None:
    target = Target(stick)
    await caller.created([await target.device(caller)], WANTED)
    (place / "notes").write_text("buy milk\n")
    await Hand(target).copy(place / "notes", "notes.txt")
    inflict(target)
    seen = await shown(caller, target)
    assert seen.state == "damaged"
    assert "no manifest" in seen.damage
    with pytest.raises(DaemonError) as refused:
        await caller.client.add_images(seen.path, ["distro:memtest"])
    assert refused.value.name == ERROR + "DeviceDamaged"
    assert "luxusb repair" in str(refused.value)
    result = await repair(caller, seen.path)
    assert areas(result) == {"manifest", "image"}, result
    assert sticks.check(stick) == hashes(images)
    entries = {image.name: (image.title, image.source) for image in sticks.contents(stick).manifest.images}
    assert entries["alpha.iso"] == ("Alpha 1.0", "distro:alpha@1.0"), "its hash is in the catalogue"
    now = await caller.client.device(seen.path)
    assert (now.state, now.damage, len(now.images)) == ("luxusb", "", 3)


async def test_directories_that_are_destroyed_cost_no_image(caller: Caller, stick: Path, images: Images) -> None:
    target = Target(stick)
    for path in ("/iso", "/luxusb", "/"):
        await caller.created([await target.device(caller)], WANTED)
        block = Hand(target).debugfs_says(f"blocks {path}").split()[0]
        write(target, sticks.data_partition(stick).start + int(block) * 4096, b"\xff" * 4096)
        seen = await shown(caller, target)
        assert (seen.state, "broken directory" in seen.damage) == ("damaged", True)
        result = await repair(caller, seen.path)
        assert result["filesystem_log"], path
        assert result["lost"] == []
        assert sticks.check(stick) == hashes(images)


async def test_a_create_that_was_cut_is_shown_and_completed(
    caller: Caller, daemon: Any, target: Target, images: Images
) -> None:
    from tests.daemon.daemon import WORKER

    device = await target.device(caller)
    for reference in WANTED:
        await caller.succeeded(await caller.client.download(reference))
    plan = await caller.plan([device], WANTED)
    path = await caller.client.create(plan.token)
    await caller.stage(path, "read-back")
    assert daemon.kill_children(WORKER)
    failed = await caller.failed(path)
    assert failed.error_name == ERROR + "Interrupted"
    now = await caller.client.device(device)
    assert now.state == "damaged", now
    assert "was not finished" in now.damage
    assert "luxusb repair" not in now.damage
    result = await repair(caller, device)
    kept, lost = set(result["images"]), {item["source"] for item in result["lost"]}
    assert len(kept) + len(lost) == len(WANTED)
    flush(target)
    assert set(sticks.check(target.file)) == kept
    if lost:
        await caller.succeeded(await caller.client.add_images(device, sorted(lost)))
        flush(target)
    assert sticks.check(target.file) == hashes(images)


async def test_what_is_no_stick(caller: Caller, stick: Path) -> None:
    with pytest.raises(DaemonError) as refused:
        await caller.client.work_on(await caller.target(stick), Work.REPAIR)
    assert refused.value.name == ERROR + "NotALuxusbStick"


@pytest.mark.root
@pytest.mark.parametrize("target", ["loop"], indirect=True)
async def test_a_medium_that_fails_is_called_dying(caller: Caller, target: Target, images: Images) -> None:
    device = await target.device(caller)
    await caller.created([device], ["distro:alpha", "distro:large"])
    end = in_image(target, images.large.path)
    # what lies behind the end of its file, a loop device answers with input/output errors
    size = target.file.stat().st_size
    os.truncate(target.file, end // 4096 * 4096)
    flush(target)
    try:
        failed = await caller.failed(await caller.client.work_on(device, Work.REPAIR))
    finally:
        os.truncate(target.file, size)
    assert failed.error_name == ERROR + "DeviceFailing", failed
    assert "dying" in failed.error_message
