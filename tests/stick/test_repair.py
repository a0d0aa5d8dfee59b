"""Sticks in image files that are damaged in every way, byte by byte, and mended."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from luxusbd.errors import DeviceDamagedError, DeviceNotLuxusbError
from luxusbd.stick import layout, making, manifest, menu, planned, sums, writer
from luxusbd.stick.blockio import read_at
from luxusbd.stick.isofiles import PARTIAL, PENDING
from luxusbd.stick.model import MIB, SourceImage, StickOperation, StickOptions
from tests.stick import helpers
from tests.stick.breaking import DATA, NAMES, SIZE, Stick


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Path, SourceImage]]]:
    place = tmp_path_factory.mktemp("sources")
    made = {}
    for number, name in enumerate(NAMES):
        path = helpers.random_file(place / name, 400_000 + 70_000 * number, number)
        made[name] = (path, helpers.source(path, name))
    yield made
    for _path, source in made.values():
        os.close(source.fd)


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory, sources: dict[str, tuple[Path, SourceImage]]) -> Path:
    path = tmp_path_factory.mktemp("master") / "stick.img"
    fd = helpers.empty_target(path, SIZE)
    order = helpers.order(
        StickOperation.CREATE,
        fd,
        size=SIZE,
        add=tuple(source for _path, source in sources.values()),
        options=StickOptions(timeout=7, serial_console=True, label="MINE"),
    )
    asyncio.run(writer.execute(order, lambda _progress: None))
    os.close(fd)
    return path


@pytest.fixture
def stick(tmp_path: Path, master: Path, sources: dict[str, tuple[Path, SourceImage]]) -> Iterator[Stick]:
    path = tmp_path / "stick.img"
    subprocess.run(["cp", "--sparse=always", master, path], check=True)
    made = Stick(
        path,
        os.open(path, os.O_RDWR),
        {name: source for name, (_path, source) in sources.items()},
        {name: path for name, (path, _source) in sources.items()},
    )
    yield made
    made.close()


def areas(result: dict[str, Any]) -> set[str]:
    return {item["area"] for item in result["findings"]}


async def test_a_sound_stick_is_not_written(stick: Stick) -> None:
    await stick.check(NAMES)


def the_first_mib(stick: Stick) -> None:
    stick.zero(0, MIB)


def both_headers_differ(stick: Stick) -> None:
    """As after a tool that wrote the first copy alone: the disk's GUID is another one."""
    import zlib

    header = bytearray(os.pread(stick.fd, 92, 512))
    header[56] ^= 0xFF
    header[16:20] = bytes(4)
    header[16:20] = zlib.crc32(header).to_bytes(4, "little")
    os.pwrite(stick.fd, header, 512)


def partial(stick: Stick) -> None:
    (stick.path.parent / "half").write_bytes(b"half of an image" * 1000)
    stick.debugfs("cd /iso", f"write {stick.path.parent}/half four.iso{PARTIAL}")
    (stick.path.parent / "names").write_text("four.iso\n")
    stick.debugfs("cd /luxusb", f"write {stick.path.parent}/names pending")


def both_menus(stick: Stick) -> None:
    stick.debugfs(f"rm {menu.MENU_A}", f"rm {menu.MENU_B}")


def newest_menu(stick: Stick) -> None:
    stick.break_file(menu.MENU_B)


def old_menu(stick: Stick) -> None:
    stick.break_file(menu.MENU_A)


def manifest_beside_its_copy(stick: Stick) -> None:
    data = stick.data().read_file(manifest.PATH, manifest.LIMIT)
    assert data is not None
    (stick.path.parent / "copy").write_bytes(data)
    stick.debugfs("cd /luxusb", f"write {stick.path.parent}/copy stick.json.new")
    stick.break_file(manifest.PATH)


def hash_of(name: str, stick: Stick) -> str:
    """Path of the list by which GRUB compares an image."""
    return sums.sums_path(stick.sources[name].image)


@dataclass(frozen=True)
class Damage:
    """One kind of damage, and where the repair finds it."""

    id: str
    inflict: Callable[[Stick], object]
    areas: set[str]
    shown: str = ""
    """What the device says of it; empty where only a look at all bytes finds it."""


DAMAGES = [
    Damage("first header", lambda stick: stick.zero(512, 512), {"partition-table"}, "first copy"),
    Damage("first rows", lambda stick: stick.flip(1024 + 128), {"partition-table"}, "first copy"),
    Damage("second header", lambda stick: stick.zero(SIZE - 512, 512), {"partition-table"}, "second copy"),
    Damage("second rows", lambda stick: stick.flip(SIZE - 33 * 512 + 40), {"partition-table"}, "second copy"),
    Damage("headers differ", both_headers_differ, {"partition-table"}, "differ"),
    Damage("protective MBR", lambda stick: stick.zero(446, 66), {"partition-table"}, "protective MBR"),
    Damage("first MiB", the_first_mib, {"partition-table", "boot-files"}, "first copy"),
    Damage("boot code", lambda stick: stick.zero(0, 440), {"boot-files"}),
    Damage("core image", lambda stick: stick.flip(MIB + 5000), {"boot-files"}),
    Damage("ESP", lambda stick: stick.zero(2 * MIB, MIB), {"boot-files"}),
    Damage("ESP's contents", lambda stick: stick.flip(2 * MIB + 700_000), {"boot-files"}),
    Damage("superblock", lambda stick: stick.zero(DATA + 1024, 1024), {"filesystem"}, "cannot be read"),
    Damage("descriptors", lambda stick: stick.flip(DATA + 4096 + 8), {"filesystem"}, "no manifest"),
    Damage("journal to replay", lambda stick: stick.debugfs("feature needs_recovery"), {"filesystem"}),
    Damage("errors noted", lambda stick: stick.debugfs("ssv state 2"), {"filesystem"}, "has errors"),
    Damage("counts", lambda stick: stick.debugfs("ssv free_blocks_count 7", "ssv state 0"), {"filesystem"}),
    Damage("/iso", lambda stick: stick.break_directory("/iso"), {"filesystem"}, "broken directory"),
    Damage("/luxusb", lambda stick: stick.break_directory("/luxusb"), {"filesystem"}, "broken directory"),
    Damage("root directory", lambda stick: stick.break_directory("/"), {"filesystem"}, "broken directory"),
    Damage("manifest beside its copy", manifest_beside_its_copy, {"manifest", "leftovers"}),
    Damage("both menus", both_menus, {"menu"}, "both boot menus"),
    Damage("newest menu", newest_menu, {"menu"}, "boot menu is older"),
    Damage("old menu", old_menu, {"menu"}),
    Damage("rotten hash", lambda stick: stick.break_file(hash_of("two.iso", stick)), {"menu"}),
    Damage("no hash", lambda stick: stick.debugfs(f"rm {hash_of('two.iso', stick)}"), {"menu"}),
    Damage("cut job", partial, {"leftovers"}),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.id)
async def test_damage_is_mended_without_losing_an_image(stick: Stick, damage: Damage) -> None:
    damage.inflict(stick)
    shown = stick.damage()
    assert damage.shown in shown
    assert bool(shown) == bool(damage.shown)
    result = await stick.repair()
    assert result.get("rebuild") is False, result
    assert damage.areas <= areas(result), result
    assert (result["lost"], sorted(result["images"])) == ([], sorted(NAMES))
    await stick.check(NAMES)
    contents = stick.look()
    assert contents is not None
    assert contents.manifest.options == StickOptions(timeout=7, serial_console=True, label="MINE")


async def test_an_image_file_that_grew(stick: Stick) -> None:
    os.truncate(stick.path, SIZE + 10 * MIB)
    assert "not at the end of the disk" in stick.damage()
    assert areas(await stick.repair()) == {"partition-table"}
    await stick.check(NAMES)


async def rebuilt(stick: Stick) -> dict[str, Any]:
    """What the daemon does for a stick without a list of images."""
    first = await stick.repair()
    assert first["rebuild"] is True
    names = [name for name in stick.data().list("/iso") if not name.endswith(PARTIAL)]
    found = tuple(dataclasses.replace(stick.sources[name].image, added=2**34) for name in names)
    second = await stick.do(StickOperation.REBUILD, found=found)
    assert second["rebuild"] is False
    return {**second, "findings": first["findings"] + second["findings"]}


@pytest.mark.parametrize(
    "inflict",
    [
        lambda stick: stick.break_file(manifest.PATH),
        lambda stick: stick.debugfs(f"rm {manifest.PATH}"),
        lambda stick: stick.debugfs(
            *(f"rm {path}" for path in (manifest.PATH, menu.MENU_A, menu.MENU_B)), "rm /luxusb"
        ),
    ],
    ids=["broken", "gone", "all gone"],
)
async def test_a_list_of_images_is_made_anew(stick: Stick, inflict: Callable[[Stick], None]) -> None:
    inflict(stick)
    partial(stick)
    assert stick.damage()
    result = await rebuilt(stick)
    assert "manifest" in areas(result)
    contents = stick.look()
    assert contents is not None
    assert contents.manifest.options.label == "MINE"
    await stick.check(tuple(result["images"]))
    assert set(result["images"]) == set(NAMES)


async def test_an_image_without_a_file_is_left_to_the_comparison(stick: Stick) -> None:
    stick.debugfs("rm /iso/two.iso")
    result = await stick.repair()
    assert result["images"] == list(NAMES)
    await stick.do(StickOperation.RESCAN, remove=("two.iso",))
    await stick.check(("one.iso", "three.iso"))


async def test_a_destroyed_filesystem_is_said_to_be_lost(tmp_path: Path, stick: Stick) -> None:
    small = tmp_path / "small.img"
    fd = helpers.empty_target(small)
    try:
        await writer.execute(helpers.order(StickOperation.CREATE, fd), lambda _progress: None)
        os.pwrite(fd, bytes(1024), DATA + 1024)
        before = small.read_bytes()
        with pytest.raises(DeviceDamagedError, match="create the stick again"):
            await writer.execute(helpers.order(StickOperation.REPAIR, fd), lambda _progress: None)
        assert small.read_bytes() == before
        # where nothing is left at all, an empty stick is made
        os.pwrite(fd, bytes(MIB), DATA)
        result = await writer.execute(helpers.order(StickOperation.REPAIR, fd), lambda _progress: None)
        assert (areas(result), result["images"]) == ({"filesystem"}, [])
        helpers.check_boots(small, {})
    finally:
        os.close(fd)


async def test_what_is_no_stick_or_a_newer_one_is_not_touched(stick: Stick) -> None:
    contents = stick.look()
    assert contents is not None
    text = manifest.encode(contents.manifest).replace(b'"format": 1', b'"format": 9')
    (stick.path.parent / "newer").write_bytes(text)
    stick.debugfs(f"rm {manifest.PATH}", "cd /luxusb", f"write {stick.path.parent}/newer stick.json")
    before = stick.digest()
    with pytest.raises(DeviceDamagedError, match="update luxusbd"):
        await stick.repair()
    assert stick.digest() == before
    stick.zero(512, 512)
    stick.zero(SIZE - 512, 512)
    before = stick.digest()
    with pytest.raises(DeviceNotLuxusbError):
        await stick.repair()
    assert stick.digest() == before


FULLY = ("table", "filesystem", "committed", "image-written two.iso")
"""Cuts after which the stick is also completed, and looked at in every way."""


@pytest.mark.timeout(400)
async def test_a_stick_that_was_cut_while_it_was_made(stick: Stick) -> None:
    """At every step it is shown as damaged; the repair makes it start, and keeps what was whole."""
    # the same images would lie in the same places, and what was there before would be as good as what is written
    os.ftruncate(stick.fd, 0)
    os.ftruncate(stick.fd, SIZE)
    snapshots = helpers.Snapshots(stick.path, stick.path.parent / "snapshots")
    sources = tuple(stick.sources.values())
    await stick.do(StickOperation.CREATE, add=sources, after_step=snapshots)
    kept: dict[str, int] = {}
    seen: set[str] = set()
    for step, path in snapshots.taken:
        cut = Stick(path, os.open(path, os.O_RDWR), stick.sources, stick.files)
        try:
            if not cut.damage():
                contents = cut.look()
                assert contents is not None
                assert [image.name for image in contents.manifest.images] == list(NAMES), step
            result = await cut.repair()
            assert result["rebuild"] is False, step
            images = tuple(result["images"])
            assert {item["name"] for item in result["lost"]} <= set(NAMES) - set(images), step
            kept[step] = max(len(images), kept.get(step, 0))
            assert cut.damage() == "", step
            assert helpers.check_boots(path, stick.files)[1] == set(images), step
            if step in FULLY and step not in seen:
                await cut.check(images)
                missing = tuple(source for name, source in cut.sources.items() if name not in images)
                await cut.do(StickOperation.ADD, add=missing)
                await cut.check((*images, *(source.image.name for source in missing)))
            seen.add(step)
        finally:
            cut.close()
    assert kept["table"] == kept["boot-files"] == kept["filesystem"] == 0
    assert [kept[f"image-written {name}"] for name in NAMES] == [1, 2, 3], "what was whole is kept"
    assert kept["images-read-back"] == kept["announced"] == kept["image-named two.iso"] == 3


async def test_an_image_that_was_only_half_written_is_named(stick: Stick) -> None:
    contents = stick.look()
    assert contents is not None
    coming = dataclasses.replace(stick.sources["two.iso"].image, name="four.iso", sha256="4" * 64)
    document = manifest.encode(dataclasses.replace(contents.manifest, images=(*contents.manifest.images, coming)))
    (stick.path.parent / "planned").write_bytes(document)
    stick.debugfs("cd /luxusb", f"write {stick.path.parent}/planned planned.json")
    partial(stick)
    assert "four.iso did not get onto it" in stick.damage()
    result = await stick.repair()
    assert [(item["name"], item["title"]) for item in result["lost"]] == [("four.iso", "One")]
    assert areas(result) == {"image", "leftovers"}
    await stick.check(NAMES)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "damage",
    [item for item in DAMAGES if item.id in ("first MiB", "superblock", "root directory", "both menus", "cut job")],
    ids=lambda damage: damage.id,
)
async def test_a_repair_that_was_cut_anywhere_can_be_done_again(stick: Stick, damage: Damage) -> None:
    damage.inflict(stick)
    snapshots = helpers.Snapshots(stick.path, stick.path.parent / "snapshots")
    await stick.repair(after_step=snapshots)
    assert snapshots.taken
    for step, path in snapshots.taken:
        cut = Stick(path, os.open(path, os.O_RDWR), stick.sources, stick.files)
        try:
            result = await cut.repair()
            assert (sorted(result["images"]), result["lost"]) == (sorted(NAMES), []), step
            assert cut.damage() == "", step
            assert helpers.check_boots(path, stick.files)[1] == set(NAMES), step
        finally:
            cut.close()


@pytest.mark.timeout(400)
async def test_noise_ends_in_a_sound_stick_or_in_an_error(stick: Stick) -> None:
    """Bytes flipped in all the metadata at once."""
    import random

    chance = random.Random(11)
    base = stick.path.read_bytes()
    mended = 0
    for _ in range(12):
        os.pwrite(stick.fd, base, 0)
        for start, span in ((512, 2000), (DATA + 1024, 1024), (DATA + 4096, 128), (DATA + 40_960, 40_000)):
            for _ in range(2):
                stick.flip(start + chance.randrange(span))
        try:
            result = await stick.repair()
            if result["rebuild"]:
                result = await rebuilt(stick)
        except (DeviceDamagedError, DeviceNotLuxusbError):
            continue
        mended += 1
        gone = tuple(image for image in result["images"] if image not in stick.data().list("/iso"))
        if gone:
            await stick.do(StickOperation.RESCAN, remove=gone)
        assert stick.damage() == ""
    assert mended


def test_the_mark_lies_behind_the_core_image(stick: Stick) -> None:
    from luxusbd.stick import bios

    made = layout.plan(SIZE, StickOptions())
    making.mark(stick.fd, made)
    assert making.is_marked(read_at(stick.fd), made)
    assert os.pread(stick.fd, 7, 2 * MIB - 512) == b"LUXUSB:"
    assert 2 * MIB - 512 >= MIB + bios.CORE_LIMIT
    making.unmark(stick.fd, made)
    assert not making.is_marked(read_at(stick.fd), made)
    assert planned.PATH not in (PENDING, manifest.PATH, manifest.NEW_PATH)
