"""One image byte for byte: from the choice to the bytes on the disk, and what is refused on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from luxusb_cli.model import DeviceInfo, JobState
from luxusb_gtk import rawwords
from luxusb_gtk.basket import MIB, Choice
from luxusb_gtk.stickplan import Figures, ImageFigures, raw_space_of

from tests.daemon.caller import Caller
from tests.daemon.conftest import STICK
from tests.daemon.images import Images, debian_live
from tests.daemon.test_raw import disk_image
from tests.desktop import hand
from tests.desktop.screen import turn, until
from tests.desktop.test_choices import says
from tests.desktop.test_flow import ended

OLD = b"\xa5" * (32 * MIB)
"""What was on the disk before, where the image goes."""


@pytest.fixture
def old(stick: Path) -> Path:
    """A disk that is no stick."""
    with stick.open("r+b") as file:
        file.write(OLD)
    return stick


def beginning(disk: Path) -> bytes:
    """What is there now."""
    with disk.open("rb") as file:
        return file.read(len(OLD))


async def add(app: Any, file: Path) -> None:
    """Add an image file and wait until it is chosen."""
    from gi.repository import Gio

    before = len(app.model.basket)
    app.window.add_file(Gio.File.new_for_path(str(file)))
    await until(lambda: len(app.model.basket) > before, "the image")


async def to_sticks(app: Any, caller: Caller, target: Path) -> None:
    """Go on with a target that is opened only now."""
    await hand.press(app.window, "Choose a stick")
    await caller.target(target)
    await hand.tick(app.window, "Image file")


async def test_from_the_choice_to_every_byte(app: Any, caller: Caller, old: Path, tmp_path: Path) -> None:
    window = app.window
    file = tmp_path / "appliance.img"
    file.write_bytes(disk_image())
    await add(app, file)
    await to_sticks(app, caller, old)
    assert "appliance.img" in await hand.sees(window, "cannot be started from a stick")
    assert "Alpine" in hand.button(window, "Write byte for byte…").get_tooltip_text()
    await hand.press(window, "Write byte for byte…")
    await hand.sees(window, "Will be written byte for byte")
    await until(lambda: window.page == "raw", "the page")
    assert says(window, "Starts").startswith("Made for it: the image of a disk")
    assert hand.row(window, "Write it all the same") is None, "there is nothing against it"
    space = window.raw.bar.space
    assert [(part.kind, part.size) for part in space.segments] == [
        ("system", len(disk_image())),
        ("free", STICK - len(disk_image())),
    ]
    await hand.press(window, "Erase Image file and write")
    assert "Everything on Image file (image file, 256 MiB) will be lost." in await hand.answer("cancel")
    assert beginning(old) == OLD
    assert not [job for job in app.model.top_jobs() if job.operation == "write-raw"]
    assert len(app.model.basket) == 1, "what was chosen stays chosen"
    await hand.press(window, "Erase Image file and write")
    await hand.answer("erase")
    await ended(app, "write-raw")
    assert beginning(old)[: len(disk_image())] == disk_image()
    assert len(app.model.basket) == 0
    await hand.sees(window, "Writing byte for byte: ")


async def test_a_disc_that_nothing_starts_has_to_be_meant(app: Any, caller: Caller, images: Images, old: Path) -> None:
    window = app.window
    await add(app, images.alpha.path)
    await to_sticks(app, caller, old)
    await hand.press(window, "Write byte for byte…")
    await hand.sees(window, "is no hybrid: written byte for byte to a stick, no computer starts it")
    assert not window.raw.bottom.get_visible()
    await hand.tick(window, "Write it all the same")
    await until(lambda: says(window, "Starts").startswith("No: the image of a disc"), "the plan")
    await hand.sees(window, "the image is no hybrid: no computer starts it from a stick")
    # who thinks better of it is back at the refusal
    await hand.tick(window, "Write it all the same")
    assert not window.raw.erase.get_sensitive()
    await hand.sees(window, "This cannot be written")
    await hand.tick(window, "Write it all the same")
    await hand.press(window, "Erase Image file and write")
    await hand.answer("erase")
    await ended(app, "write-raw")
    assert beginning(old)[: images.alpha.size] == images.alpha.path.read_bytes()
    await hand.press(window, "Back")
    await hand.tick(window, "Alpha")
    await hand.press(window, "Choose a stick")
    await hand.press(window, "Write byte for byte…")
    await hand.sees(window, "is no hybrid")
    assert not window.raw.all_the_same.get_active(), "it was meant for that one write"


async def test_what_is_seen_after_a_download_erases_nothing(app: Any, caller: Caller, old: Path) -> None:
    window = app.window
    await hand.tick(window, "Alpha")
    await to_sticks(app, caller, old)
    await hand.press(window, "Write byte for byte…")
    await until(lambda: says(window, "Starts").startswith("Known after the download"), "the plan")
    await hand.press(window, "Erase Image file and write")
    await hand.answer("erase")
    failed = await until(lambda: [job for job in app.model.top_jobs() if job.state is JobState.FAILED], "the refusal")
    assert [job.error_name for job in failed] == ["org.luxusb.Error.NotBootable"]
    assert beginning(old) == OLD


async def test_a_plan_that_expired_is_made_anew(app: Any, caller: Caller, old: Path) -> None:
    window = app.window
    await hand.tick(window, "Alpha")
    await to_sticks(app, caller, old)
    await hand.press(window, "Write byte for byte…")
    await hand.press(window, "Erase Image file and write")
    await hand.answer("cancel")
    window.raw.plan = replace(window.raw.plan, token="gone")
    window.raw.carry_out()
    assert "plan" in await hand.answer("close")
    assert len(app.model.basket) == 1
    await until(lambda: window.raw.erase.get_sensitive(), "the other plan")
    assert beginning(old) == OLD


async def test_a_disk_that_is_too_small(app: Any, caller: Caller, place: Path, tmp_path: Path) -> None:
    window = app.window
    file = tmp_path / "appliance.img"
    file.write_bytes(disk_image())
    small = place / "small.img"
    small.write_bytes(bytes(4 * MIB))
    await add(app, file)
    await to_sticks(app, caller, small)
    await hand.press(window, "Write byte for byte…")
    await hand.sees(window, "too much: there is no room for")
    assert not window.raw.erase.get_sensitive()


async def test_the_way_from_a_stick_that_cannot_be(app: Any, caller: Caller, stick: Path, tmp_path: Path) -> None:
    window = app.window
    await add(app, debian_live(tmp_path))
    await to_sticks(app, caller, stick)
    await hand.press(window, "Review")
    await until(lambda: window.summary.erase.get_sensitive(), "the plan")
    assert hand.row(window, "A stick of its own") is None
    window.summary.partitions.expander.set_expanded(True)
    window.summary.partitions.filesystem.list.set_selected(1)
    await hand.sees(window, "not from exfat")
    await hand.press(hand.row(window, "A stick of its own"), "Write byte for byte…")
    await until(lambda: window.page == "raw", "the page")
    await hand.sees(window, "is no hybrid")
    # several do not go together byte for byte, and the page says what does
    await hand.press(window, "Back")
    await until(lambda: window.page == "sticks", "the page")
    await hand.press(window, "Back")
    await hand.tick(window, "Beta")
    await hand.press(window, "Choose a stick")
    await hand.sees(window, "Chosen alone")
    assert hand.find_button(window, "Write byte for byte…") is None
    await hand.press(window, "Review")
    await hand.sees(window, "A stick of its own")
    assert hand.find_button(window, "Write byte for byte…") is None


async def test_one_disk_and_one_image_alone_are_offered_it(app: Any) -> None:
    window, model = app.window, app.model
    await until(lambda: model.systems, "systems")
    sticks = [
        DeviceInfo.from_wire(
            f"/org/luxusb/devices/{name}",
            {"Id": name, "DeviceNode": f"/dev/{name}", "Size": 8 << 30, "State": state, "CurrentJob": job},
        )
        for name, state, job in (("sda", "blank", ""), ("sdb", "luxusb", ""), ("sdc", "busy", "/org/luxusb/jobs/_1"))
    ]
    model.devices = {stick.path: stick for stick in sticks}
    model.emit("devices")
    window.go("sticks")
    for stick in sticks:
        window.sticks.selected = stick.path
        model.emit("devices")
        await turn()
        assert not window.sticks.raw.get_visible(), "nothing is chosen"
        model.choose(Choice("alpha", "distro:alpha", "Alpha", 5))
        await turn()
        assert window.sticks.raw.get_visible()
        assert window.sticks.raw.get_sensitive() == (not stick.current_job)
        model.choose(Choice("beta", "distro:beta", "Beta", 5))
        await turn()
        assert not window.sticks.raw.get_visible()
        model.clear()


@pytest.mark.parametrize(("needed", "missing"), [(0, 0), (5 * MIB, 0), (9 * MIB, 1 * MIB)])
def test_the_bar_of_a_disk_that_becomes_an_image(needed: int, missing: int) -> None:
    figures = Figures(8 * MIB, {}, 0, missing, (ImageFigures(needed, 0, "none", companion=False),))
    space = raw_space_of(figures, [Choice("a", "a", "A", 1)], needed, exact=True)
    assert space.unknown == (not needed)
    assert bool(space.too_much) == bool(missing)
    assert space.used == needed
    assert space.free == 8 * MIB - needed


def test_what_starts_is_said_for_every_word_of_a_plan() -> None:
    from luxusb_cli.plans import PlannedRaw

    from luxusbd.images.startable import Starts

    said = {word: rawwords.starts(PlannedRaw("", 0, word, 0)) for word in (*Starts, "unknown")}
    assert not set(said) & set(said.values())
    assert {word for word in said if rawwords.never(PlannedRaw("", 0, word, 0))} == {"optical", "nothing"}
