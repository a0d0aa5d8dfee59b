"""Sticks with FAT32 and exFAT, through the daemon."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from luxusb_cli.calls import Work
from luxusb_cli.connection import Typed
from luxusb_cli.errors import DaemonError

from tests.daemon.caller import Caller
from tests.daemon.conftest import Target
from tests.daemon.images import MIB, Images, debian_live
from tests.daemon.sticks import contents, grub_file

ERROR = "org.luxusb.Error."
DATA = 130 * MIB
MTOOLS = {**os.environ, "MTOOLSRC": "/dev/null", "MTOOLS_SKIP_CHECK": "1", "LC_ALL": "C.UTF-8"}


def kind(name: str) -> Typed:
    return Typed("s", name)


async def test_fat32_from_plan_to_rescan(caller: Caller, target: Target, images: Images) -> None:
    device = await target.device(caller)
    made = await caller.created([device], ["distro:alpha"], filesystem=kind("fat32"), share=Typed("t", 16 * MIB))
    assert made.result["images"] == ["alpha.iso"]
    await caller.succeeded(await caller.client.add_images(device, ["distro:beta"]))
    with target.file.open("rb") as file:
        os.fsync(file.fileno())
    subprocess.run(
        ["mcopy", "-i", f"{target.file}@@{DATA}", images.memtest.path, "::/iso/By Hand.iso"], check=True, env=MTOOLS
    )
    subprocess.run(
        ["mcopy", "-i", f"{target.file}@@{DATA}", images.memtest.path, "::/iso/memtest.iso"], check=True, env=MTOOLS
    )
    result: Mapping[str, Any] = (await caller.succeeded(await caller.client.work_on(device, Work.RESCAN, {}))).result
    assert [item["name"] for item in result["added"]] == ["memtest.iso"]
    assert result["images"] == ["alpha.iso", "beta.iso", "memtest.iso"]
    assert (await caller.succeeded(await caller.client.verify(device))).result["ok"] is True
    await caller.succeeded(await caller.client.remove_images(device, ["memtest.iso"]))
    assert contents(target.file).damage == ""


async def test_what_exfat_cannot_start_is_refused_before_anything_is_erased(
    caller: Caller, target: Target, tmp_path: Path
) -> None:
    device = await target.device(caller)
    live = str((await caller.imported(debian_live(tmp_path))).result["image"])
    with pytest.raises(DaemonError, match=r"debian\.iso: .*not from exfat; choose ext4") as refused:
        await caller.plan([device], [live], filesystem=kind("exfat"))
    assert refused.value.name == ERROR + "NotBootable"
    made = await caller.created(
        [device], [live, "distro:alpha"], filesystem=kind("exfat"), companion=Typed("t", 32 * MIB)
    )
    assert made.result["images"] == ["debian.iso", "alpha.iso"]
    found = contents(target.file)
    assert found.damage == ""
    assert [image.partition.value for image in found.manifest.images] == ["companion", "data"]
    assert b"$companion" in (grub_file(target.file, "/luxusb/menu-a.cfg") or b"") + (
        grub_file(target.file, "/luxusb/menu-b.cfg") or b""
    )
    await caller.succeeded(await caller.client.add_images(device, ["distro:beta"]))
    assert (await caller.succeeded(await caller.client.verify(device))).result["ok"] is True
    repaired = (await caller.succeeded(await caller.client.work_on(device, Work.REPAIR, {}))).result
    assert repaired["sound"] is True
    await caller.succeeded(await caller.client.remove_images(device, ["debian.iso"]))
    assert [image.name for image in contents(target.file).manifest.images] == ["alpha.iso", "beta.iso"]

    # without a companion, an image is refused that is to be added, too
    await caller.created([device], ["distro:alpha"], filesystem=kind("exfat"))
    with pytest.raises(DaemonError, match=r"debian\.iso: .*not from exfat; leave it out") as refused:
        await caller.client.add_images(device, [live])
    assert refused.value.name == ERROR + "NotBootable"
