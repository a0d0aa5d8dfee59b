"""From the choice of systems to a stick that is done, and what can be done with it afterwards, by the app alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luxusb_cli.model import DeviceInfo
from luxusb_gtk.words import device_name

from tests.daemon.caller import Caller
from tests.daemon.images import Images
from tests.daemon.sticks import grub_images, names
from tests.desktop import hand
from tests.desktop.screen import until


async def make(app: Any, caller: Caller | None, stick: Path | DeviceInfo, *systems: str) -> None:
    """Make a stick of a file, which the caller opens, or of a disk."""
    window = app.window
    for system in systems:
        await hand.tick(window, system)
    await hand.press(window, "Choose a stick")
    if isinstance(stick, DeviceInfo):
        name = device_name(stick)
    else:
        assert caller is not None
        await caller.target(stick)
        name = "Image file"
    await hand.tick(window, name)
    await hand.press(window, "Review")
    await hand.sees(window, "Will be written")
    await hand.press(window, f"Erase {name}")
    await hand.answer("erase")
    await ended(app, "create")


async def ended(app: Any, operation: str) -> None:
    """Wait for a job of this operation, and for its end on the page of jobs."""

    def over() -> bool:
        jobs = [job for job in app.model.top_jobs() if job.operation == operation]
        return bool(jobs) and jobs[0].state.finished

    await until(over, f"the end of {operation}", lambda: hand.texts(app.window))
    job = next(job for job in app.model.top_jobs() if job.operation == operation)
    assert job.error_message == ""
    assert app.window.page == "progress"


async def test_a_stick_is_made_added_to_and_thinned(app: Any, caller: Caller, images: Images, stick: Path) -> None:
    await make(app, caller, stick, "Alpha", "Beta")
    window = app.window
    assert len(grub_images(stick)) == 2
    assert len(app.model.basket) == 0, "what was written is still chosen"
    await hand.press(window, "Back")
    await hand.tick(window, "Large")
    await hand.press(window, "Choose a stick")
    await hand.tick(window, "Image file")
    await hand.sees(window, "LUXusb stick with 2 systems")
    await hand.press(window, "Add to this stick")
    await ended(app, "add")
    assert len(names(stick)) == 3
    await hand.press(window, "Back")
    await hand.press(window, "Sticks")
    await hand.press(window, "What is on this stick")
    await hand.press(window, "Remove Beta")
    await hand.answer("remove")
    await ended(app, "remove")
    assert not any("beta" in name for name in names(stick))
    await hand.press(window, "Back")
    await hand.press(window, "Sticks")
    await hand.press(window, "What is on this stick")
    await hand.press(window, "Check now")
    await ended(app, "verify")
    await hand.press(window, "Back")
    await hand.press(window, "Sticks")
    await hand.press(window, "What is on this stick")
    await hand.press(window, "Find out")
    await ended(app, "probe")
    await hand.sees(window, "It holds what it says")


async def test_what_does_not_fit_cannot_be_written(app: Any, caller: Caller, stick: Path) -> None:
    window = app.window
    await hand.tick(window, "Alpha")
    await hand.tick(window, "Ubuntu Desktop")
    await hand.press(window, "Choose a stick")
    await caller.target(stick)
    await hand.tick(window, "Image file")
    await hand.sees(window, "no room for")
    await until(lambda: window.sticks.bar.space.exact, "the plan's figures")
    said = await hand.sees(window, "no room for")
    assert said.endswith("Ubuntu Desktop 26.04.1"), "the bar names what is too much, and not what fits"
    assert not hand.button(window, "Review").get_sensitive()


async def test_the_dialogue_can_be_left(app: Any, caller: Caller, stick: Path) -> None:
    window = app.window
    await hand.tick(window, "Alpha")
    await hand.press(window, "Choose a stick")
    await caller.target(stick)
    before = stick.read_bytes()
    await hand.tick(window, "Image file")
    await hand.press(window, "Review")
    await hand.press(window, "Erase Image file")
    await hand.answer("cancel")
    assert stick.read_bytes() == before
    assert app.model.basket.references == ["distro:alpha@1.0"]
    assert not app.model.jobs
