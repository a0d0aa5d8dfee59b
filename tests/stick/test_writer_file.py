"""Sticks in image files: no root, no loop device, no mount."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import Any

import pytest

from luxusbd.errors import (
    AlreadyExistsError,
    DeviceBusyError,
    DeviceChangedError,
    DeviceNotLuxusbError,
    ImageNotFoundError,
    InvalidArgumentError,
    LuxusbError,
    NotEnoughSpaceError,
    VerificationError,
)
from luxusbd.stick import layout, menu, reader, sums, writer
from luxusbd.stick.blockio import MediumReader
from luxusbd.stick.model import MIB, MenuChange, MenuStyle, StickOperation, StickOptions, Theme
from tests.stick import helpers
from tests.stick.bench import DATA, Bench


async def test_the_life_of_a_stick(bench: Bench) -> None:
    one, two = bench.source("one.iso"), bench.source("two.iso", 5 * MIB + 4095)
    made = await bench.do(StickOperation.CREATE, one, options=StickOptions(timeout=3, label="MINE"))
    assert made["images"] == ["one.iso"]
    assert made["firmware"] == ["bios", "uefi", "uefi-sb"]
    assert made["bytes_written"] > one.image.size
    contents = bench.look()
    assert contents.damage == ""
    assert contents.free_bytes == made["free_bytes"]
    assert contents.manifest.options == StickOptions(timeout=3, label="MINE")
    assert contents.manifest.images[0].added > 0
    text = subprocess.run(["sfdisk", "-V", bench.path], capture_output=True, text=True, check=False).stdout
    assert "No errors detected" in text

    added = await bench.do(StickOperation.ADD, two)
    assert added["images"] == ["one.iso", "two.iso"]
    assert added["generation"] > made["generation"]
    assert added["stick_id"] == made["stick_id"]
    verified = await bench.do(StickOperation.VERIFY)
    assert verified["ok"] is True
    assert [item["state"] for item in verified["images"]] == ["ok", "ok"]
    assert {item["what"] for item in verified["boot_files"]} == {
        "esp",
        "esp-rest",
        "bios-core",
        "bios-boot-code",
        "menu",
        "hash list",
    }

    removed = await bench.do(StickOperation.REMOVE, remove=("one.iso",))
    assert removed["images"] == ["two.iso"]
    assert removed["free_bytes"] > added["free_bytes"]
    refreshed = await bench.do(StickOperation.REFRESH)
    assert refreshed["images"] == ["two.iso"]
    assert refreshed["generation"] > removed["generation"]
    assert bench.look().manifest.options.timeout == 3
    assert bench.look().manifest.data_uuid == made["data_uuid"]
    assert (await bench.do(StickOperation.VERIFY))["ok"] is True
    bench.fsck()
    assert helpers.check_boots(bench.path, bench.files) == (refreshed["generation"], frozenset({"two.iso"}))


async def test_what_lies_on_the_stick_is_the_image(bench: Bench) -> None:
    big = bench.source("big.iso", 37 * MIB + 1)
    await bench.do(StickOperation.CREATE, big)
    done = subprocess.run(
        ["debugfs", "-R", f"dump /iso/big.iso {bench.directory}/out", f"{bench.path}?offset={DATA}"],
        check=True,
        capture_output=True,
    )
    assert (bench.directory / "out").read_bytes() == bench.files["big.iso"].read_bytes(), done.stderr


async def test_progress_rises_and_ends_at_its_total(bench: Bench) -> None:
    image = bench.source("one.iso", 33 * MIB)
    await bench.do(StickOperation.CREATE, image)
    done = [item.bytes_done for item in bench.progress]
    assert done == sorted(done)
    assert bench.progress[-1].bytes_done == bench.progress[-1].bytes_total
    stages = [item.stage for item in bench.progress]
    assert list(dict.fromkeys(stages)) == ["partition", "boot-files", "filesystem", "menu", "write-image", "read-back"]
    assert stages[-1] == "menu"
    assert len([item for item in bench.progress if item.stage == "write-image"]) >= 3


async def test_every_step_of_create_add_and_remove_leaves_a_stick_that_boots(bench: Bench) -> None:
    one, two, three = (bench.source(f"{name}.iso", 300_000) for name in ("one", "two", "three"))
    snapshots = helpers.Snapshots(bench.path, bench.directory / "snapshots")
    await bench.do(StickOperation.CREATE, one, after_step=snapshots)
    before_menu = ("table", "boot-files", "filesystem", "manifest-written", "manifest-named")
    first = next(index for index, (step, _path) in enumerate(snapshots.taken) if step not in before_menu)
    del snapshots.taken[:first]
    await bench.do(StickOperation.ADD, two, three, after_step=snapshots)
    await bench.do(StickOperation.REMOVE, remove=("one.iso", "three.iso"), after_step=snapshots)
    await bench.do(StickOperation.REFRESH, after_step=snapshots)
    assert len(snapshots.taken) > 35
    shown = [helpers.check_boots(path, bench.files)[1] for _step, path in snapshots.taken]
    assert list(dict.fromkeys(shown)) == [
        frozenset(),
        frozenset({"one.iso"}),
        frozenset({"one.iso", "two.iso", "three.iso"}),
        frozenset({"two.iso"}),
    ]


async def test_a_job_that_was_cut_anywhere_is_healed_by_the_next(bench: Bench) -> None:
    one, two, three = (bench.source(f"{name}.iso", 300_000) for name in ("one", "two", "three"))
    await bench.do(StickOperation.CREATE, one)
    snapshots = helpers.Snapshots(bench.path, bench.directory / "snapshots")
    await bench.do(StickOperation.ADD, two, after_step=snapshots)
    await bench.do(StickOperation.REMOVE, remove=("one.iso",), after_step=snapshots)
    for step, path in snapshots.taken:
        fd = os.open(path, os.O_RDWR)
        try:
            contents = reader.read_stick(fd, helpers.SIZE)
            assert contents is not None
            assert contents.damage == "", step
            shown = helpers.check_boots(path, bench.files)[1]
            assert shown == {image.name for image in contents.manifest.images}, step
            order = helpers.order(StickOperation.ADD, fd, add=(three,))
            result = await writer.execute(order, lambda _progress: None)
            assert "three.iso" in result["images"]
            contents = reader.read_stick(fd, helpers.SIZE)
            assert contents is not None
            assert contents.damage == "", step
            with MediumReader(fd) as medium:
                filesystem = reader.open_data(medium.read_at, layout.plan(helpers.SIZE, StickOptions()))
                assert set(filesystem.list("/iso")) == set(result["images"]), step
                assert "pending" not in filesystem.list("/luxusb")
        finally:
            os.close(fd)
        helpers.check_boots(path, bench.files)


async def test_a_wrong_hash_changes_nothing(bench: Bench) -> None:
    one = bench.source("one.iso")
    await bench.do(StickOperation.CREATE, one)
    before = bench.look()
    bad = bench.source("bad.iso", sha256="0" * 64)
    with pytest.raises(VerificationError, match="sha256"):
        await bench.do(StickOperation.ADD, bench.source("good.iso"), bad)
    assert bench.look() == before
    with MediumReader(bench.fd) as medium:
        assert reader.open_data(medium.read_at, layout.plan(helpers.SIZE, StickOptions())).list("/iso") == ("one.iso",)
    bench.fsck()


async def test_a_cancelled_job_leaves_nothing_behind(bench: Bench) -> None:
    await bench.do(StickOperation.CREATE, bench.source("one.iso"))
    before = bench.look()
    task = asyncio.current_task()
    assert task is not None

    def cancel(step: str) -> None:
        if step.startswith("image-written"):
            task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await bench.do(StickOperation.ADD, bench.source("two.iso", 20 * MIB), after_step=cancel)
    task.uncancel()
    assert bench.look() == before
    bench.fsck()


async def test_the_same_content_or_name_again(bench: Bench) -> None:
    one = bench.source("one.iso")
    await bench.do(StickOperation.CREATE, one)
    again = helpers.source(bench.files["one.iso"], "other.iso")
    bench.sources["again"] = again
    with pytest.raises(AlreadyExistsError, match=r"other\.iso is on the stick already, as one\.iso"):
        await bench.do(StickOperation.ADD, again)
    with pytest.raises(AlreadyExistsError):
        await bench.do(StickOperation.ADD, bench.source("ONE.iso"))
    twin = bench.sources["twin"] = helpers.source(bench.files["one.iso"], "y.iso")
    with pytest.raises(AlreadyExistsError, match="same content"):
        await bench.do(StickOperation.ADD, again, twin)


async def test_a_file_that_a_user_put_there_is_not_overwritten(bench: Bench) -> None:
    await bench.do(StickOperation.CREATE)
    subprocess.run(
        ["debugfs", "-w", "-f", "-", f"{bench.path}?offset={DATA}"],
        input="cd /iso\nwrite /etc/hostname mine.iso\n",
        text=True,
        check=True,
        capture_output=True,
    )
    with pytest.raises(AlreadyExistsError, match="does not belong"):
        await bench.do(StickOperation.ADD, bench.source("mine.iso"))


async def test_images_that_do_not_fit(bench: Bench) -> None:
    big = bench.source("big.iso", 64 * MIB)
    await bench.do(StickOperation.CREATE)
    with pytest.raises(NotEnoughSpaceError):
        await bench.do(StickOperation.ADD, big)
    written = os.pread(bench.fd, MIB, 0)
    with pytest.raises(NotEnoughSpaceError):
        await bench.do(StickOperation.CREATE, big)
    assert os.pread(bench.fd, MIB, 0) == written


async def test_a_plan_that_just_fits_really_fits(bench: Bench) -> None:
    capacity = layout.capacity(layout.plan(helpers.SIZE, StickOptions()))
    size = capacity - layout.RESERVE - 4 * 4096
    while layout.bytes_needed([size + 4096]) <= capacity:
        size += 4096
    image = bench.source("all.iso", size)
    assert layout.bytes_needed([size]) <= capacity < layout.bytes_needed([size + 4096])
    result = await bench.do(StickOperation.CREATE, image)
    assert 0 < result["free_bytes"] < 4 * MIB


async def test_damage_is_found_by_verify(bench: Bench) -> None:
    images = [bench.source(f"{name}.iso") for name in ("good", "bad", "gone", "short")]
    await bench.do(StickOperation.CREATE, *images)
    with MediumReader(bench.fd) as medium:
        filesystem = reader.open_data(medium.read_at, layout.plan(helpers.SIZE, StickOptions()))
        extent = filesystem.extents("/iso/bad.iso")[0]
        line = filesystem.extents(sums.sums_path(images[0].image))[0]
    os.pwrite(bench.fd, b"#", DATA + line.physical * 4096)
    place = DATA + extent.physical * 4096 + 1000
    os.pwrite(bench.fd, bytes([os.pread(bench.fd, 1, place)[0] ^ 1]), place)
    os.pwrite(bench.fd, b"\xff", 2 * MIB + 70000)
    subprocess.run(
        ["debugfs", "-w", "-f", "-", f"{bench.path}?offset={DATA}"],
        input="rm /iso/gone.iso\nsif /iso/short.iso size 77\n",
        text=True,
        check=True,
        capture_output=True,
    )
    result = await bench.do(StickOperation.VERIFY)
    assert result["ok"] is False
    assert [item["state"] for item in result["images"]] == ["ok", "corrupt", "missing", "wrong-size"]
    assert {item["what"]: item["state"] for item in result["boot_files"]} == {
        "esp": "corrupt",
        "esp-rest": "ok",
        "bios-core": "ok",
        "bios-boot-code": "ok",
        "menu": "ok",
        "hash list": "corrupt",
    }
    await bench.do(StickOperation.REFRESH)
    result = await bench.do(StickOperation.VERIFY)
    assert [item["what"] for item in result["boot_files"] if item["state"] != "ok"] == ["hash list"]
    await bench.do(StickOperation.REPAIR)
    result = await bench.do(StickOperation.VERIFY)
    assert {item["state"] for item in result["boot_files"]} == {"ok"}
    await bench.do(StickOperation.REMOVE, remove=("bad.iso", "gone.iso", "short.iso"))
    assert (await bench.do(StickOperation.VERIFY))["ok"] is True


@pytest.mark.parametrize(
    ("operation", "changes", "error"),
    [
        (StickOperation.ADD, {}, InvalidArgumentError),
        (StickOperation.REMOVE, {}, InvalidArgumentError),
        (StickOperation.REMOVE, {"remove": ("absent.iso",)}, ImageNotFoundError),
        (StickOperation.VERIFY, {"size": helpers.SIZE + 1}, DeviceChangedError),
        (StickOperation.VERIFY, {"node": "/dev/null"}, DeviceChangedError),
        (StickOperation.CREATE, {"options": StickOptions(timeout=99)}, InvalidArgumentError),
    ],
)
async def test_orders_that_are_wrong(
    bench: Bench, operation: StickOperation, changes: dict[str, Any], error: type[LuxusbError]
) -> None:
    await bench.do(StickOperation.CREATE)
    before = bench.look()
    with pytest.raises(error):
        await writer.execute(helpers.order(operation, bench.fd, **changes), lambda _progress: None)
    assert bench.look() == before


async def test_a_foreign_disk_is_no_stick(bench: Bench) -> None:
    for operation, changes in (
        (StickOperation.ADD, {"add": (bench.source("one.iso"),)}),
        (StickOperation.REMOVE, {"remove": ("one.iso",)}),
        (StickOperation.REFRESH, {}),
        (StickOperation.VERIFY, {}),
    ):
        with pytest.raises(DeviceNotLuxusbError):
            await writer.execute(helpers.order(operation, bench.fd, **changes), lambda _progress: None)


async def test_two_jobs_do_not_share_a_target(bench: Bench) -> None:
    import fcntl

    with bench.path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DeviceBusyError):
            await bench.do(StickOperation.CREATE)


async def test_what_grub_remembers_is_no_damage_and_stays(bench: Bench) -> None:
    await bench.do(StickOperation.CREATE, bench.source("good.iso"))
    start = 2 * MIB
    place = start + os.pread(bench.fd, 8 * MIB, start).index(b"# GRUB Environment Block\n#")
    noted = b"# GRUB Environment Block\nlux_last=image-1\n".ljust(1024, b"#")
    os.pwrite(bench.fd, noted, place)
    assert (await bench.do(StickOperation.VERIFY))["ok"] is True
    await bench.do(StickOperation.REFRESH)
    assert os.pread(bench.fd, 1024, place) == noted
    assert (await bench.do(StickOperation.VERIFY))["ok"] is True


async def test_a_refresh_changes_of_the_menu_what_it_is_told(bench: Bench) -> None:
    await bench.do(StickOperation.CREATE, bench.source("one.iso"))
    await bench.do(StickOperation.REFRESH, change=MenuChange(timeout=21, language="de"))
    options = bench.look().manifest.options
    assert (options.timeout, options.menu) == (21, MenuStyle(language="de"))
    text = helpers.grub_read(bench.path, menu.menu_path(bench.look().manifest.generation)) or b""
    assert b"set timeout=21" in text
    assert b"Werkzeuge" in text
    await bench.do(StickOperation.REFRESH, change=MenuChange(theme=Theme.NONE, remember=False))
    options = bench.look().manifest.options
    assert (options.timeout, options.menu) == (21, MenuStyle(Theme.NONE, remember=False, language="de"))
    with pytest.raises(InvalidArgumentError, match="the timeout is 31 s"):
        await bench.do(StickOperation.REFRESH, change=MenuChange(timeout=31))
    assert bench.look().damage == ""
    assert (await bench.do(StickOperation.VERIFY))["ok"] is True
    helpers.check_boots(bench.path, bench.files)
