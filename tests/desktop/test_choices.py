"""What else can be chosen for a stick, room for changes on it, and sticks of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from luxusb_gtk.service import ServiceError

from tests.daemon.byhand import Hand
from tests.daemon.caller import Caller
from tests.daemon.conftest import Target
from tests.daemon.images import MIB, Images, debian_live
from tests.daemon.sticks import contents, names
from tests.desktop import hand
from tests.desktop.screen import turn, until
from tests.desktop.test_flow import ended
from tests.stick import oldsticks

ROOM = 31 * MIB
"""0.03 GiB, as the field rounds it."""


def says(window: Any, title: str) -> str:
    """What stands below the title of a row."""
    found = hand.row(window, title)
    return str(found.get_subtitle()) if found is not None else ""


def pictures(window: Any) -> list[Any]:
    """Those of what is on the disks in the list."""
    from luxusb_gtk.widgets.spacebar import Strip

    return [part for part in hand.parts(window.sticks.content) if isinstance(part, Strip)]


async def planned(window: Any) -> None:
    """Wait until the review shows the plan for what is chosen now."""
    await until(lambda: window.summary.erase.get_sensitive(), "the plan", lambda: hand.texts(window))


async def test_a_stick_with_room_for_changes(
    app: Any, caller: Caller, stick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gi.repository import Gio, Gtk

    window = app.window
    preferences = window.show_preferences()
    await hand.sees(preferences, "New sticks")
    preferences.new_sticks.room.set_value(0.04)
    await turn()
    preferences.close()
    window.add_file(Gio.File.new_for_path(str(debian_live(tmp_path))))
    await until(lambda: len(app.model.basket), "the image")
    await hand.tick(window, "Alpha")
    await hand.press(window, "Choose a stick")
    await caller.target(stick)
    await hand.tick(window, "Image file")
    bar: Any = window.sticks.bar
    await until(lambda: bar.space is not None and bar.space.exact, "the plan's figures")
    space = bar.space
    assert {part.kind for part in space.segments} >= {"overhead", "filesystem", "system", "persistence", "free"}
    assert [part.size for part in space.segments if part.kind == "persistence"] == [41 * MIB], "what is preferred"
    await hand.press(window, "Review")
    await planned(window)
    summary = window.summary
    debian = app.model.basket.choices[0].key
    assert list(summary.changes.fields) == [debian, "alpha"]
    summary.changes.expander.set_expanded(True)
    said = says(window, "Debian")
    assert "Starts under: " in said
    assert "keeps changes, 41 MiB" in said

    summary.changes.fields[debian].set_value(0.03)
    await until(lambda: "keeps changes, 31 MiB" in says(window, "Debian"), "the other room")
    summary.partitions.expander.set_expanded(True)
    summary.partitions.filesystem.list.set_selected(1)
    words = await hand.sees(window, "not from exfat")
    assert "debian.iso" in words
    assert not summary.bottom.get_visible()
    assert app.model.basket.choices[0].persistence == ROOM, "an error of the plan keeps the choices"
    summary.partitions.companion.set_value(0.02)
    await planned(window)
    assert {part.kind for part in summary.bar.space.segments} >= {"companion"}
    assert "companion partition" in says(window, "Debian")
    summary.partitions.share.set_value(0.02)
    summary.partitions.filesystem.list.set_selected(0)
    await until(lambda: any(part.kind == "share" for part in summary.bar.space.segments), "the partition for own files")
    await planned(window)

    ask = app.service.manager

    def refuse(method: str, parameters: Any, done: Any, failed: Any, **rest: Any) -> None:
        if method == "CreateStick":
            failed(ServiceError("org.luxusb.Error.NotAuthorizedDismissed", "nobody typed the password"))
        else:
            ask(method, parameters, done, failed, **rest)

    monkeypatch.setattr(app.service, "manager", refuse)
    await hand.press(window, "Erase Image file")
    await hand.answer("erase")
    await hand.sees(window, "Not authorised; nothing was changed")
    monkeypatch.setattr(app.service, "manager", ask)
    assert window.page == "summary"
    assert app.model.basket.choices[0].persistence == ROOM
    assert app.model.for_stick.share == 20 * MIB
    await hand.press(window, "Erase Image file")
    await hand.answer("erase")
    await ended(app, "create")
    made = contents(stick).manifest
    assert [image.kept.size if image.kept is not None else 0 for image in made.images] == [ROOM, 0]
    assert made.options.share == 20 * MIB
    assert app.model.for_stick.share == 0, "the next stick is another one"

    await hand.press(window, "Back")
    await hand.press(window, "Sticks")
    await hand.press(window, "What is on this stick")
    await hand.sees(window, "keeps changes, 31 MiB")
    await hand.press(window, "Another size…")
    field = await until(lambda: hand.dialog(), "the question")
    spin = next(part for part in hand.parts(field) if isinstance(part, Gtk.SpinButton))
    spin.set_value(0.02)
    await hand.answer("set")
    await ended(app, "persist")
    assert [image.persistence for image in await caller.client.contents(window.stick._path)] == [20 * MIB, 0]
    await hand.press(window, "Back")
    await hand.press(window, "Sticks")
    await hand.press(window, "What is on this stick")
    await hand.sees(window, "keeps changes, 20 MiB")
    Hand(Target(stick)).delete("debian.iso")
    await hand.press(window, "Look for them")
    await ended(app, "rescan")
    await hand.press(window, "Back")
    await hand.press(window, "Sticks")
    await hand.press(window, "What is on this stick")
    await hand.sees(window, "belongs to no image")
    await hand.press(window, "Remove LUXPERSIST")
    await hand.answer("lose")
    await until(lambda: sum(job.operation == "persist" for job in app.model.top_jobs()) == 2, "the second job")
    await ended(app, "persist")
    assert (await caller.client.device(window.stick._path)).stray_changes == ()


async def test_downloads_that_are_not_kept(app: Any, caller: Caller, images: Images, stick: Path) -> None:
    window = app.window
    await hand.tick(window, "Beta")
    await hand.press(window, "Choose a stick")
    await caller.target(stick)
    await hand.tick(window, "Image file")
    await hand.press(window, "Review")
    await planned(window)
    window.summary.partitions.keep.set_active(False)
    await hand.sees(window, "not kept on this machine")
    await planned(window)
    await hand.press(window, "Erase Image file")
    await hand.answer("erase")
    await ended(app, "create")
    assert names(stick) == ["beta.iso"]
    assert not await caller.client.images()
    assert app.model.for_stick.keep, "the next stick is another one"


async def test_sticks_of_other_programs(app: Any, caller: Caller, images: Images, place: Path) -> None:
    window = app.window
    window.go("sticks")
    data = oldsticks.fat32(place / "fat", {"mine/alpha.iso": images.alpha.path}, size=64 * MIB)
    ventoy = oldsticks.ventoy(place / "ventoy.img", data)
    before = ventoy.read_bytes()
    path = await caller.target(ventoy)
    await hand.sees(window, "Stick of Ventoy")
    assert len(pictures(window)) == 1
    window.manage(await until(lambda: app.model.devices.get(path), "the stick"))
    await hand.sees(window, "LUXusb adds nothing to it")
    assert hand.find_button(window, "Make it one…") is not None, "it can become a plain drive, as any disk can"
    await until(lambda: hand.row(window, "/mine/alpha.iso"), "its image")
    assert hand.find_button(window, "Take over") is None
    assert ventoy.read_bytes() == before
    await hand.press(window, "Back")

    copy = place / "alpha.iso"
    copy.write_bytes(b"boot code" + images.alpha.path.read_bytes()[9:])
    old = oldsticks.old(place / "old.img", {"alpha/alpha.iso": copy})
    before = old.read_bytes()
    path = await caller.target(old)
    window.manage(await until(lambda: app.model.devices.get(path), "the stick"))
    await hand.press(window, "Take over…")
    await hand.sees(window, "What will happen")
    await hand.sees(window, "One image stays")
    assert old.read_bytes() == before
    await hand.press(window, "Take over now")
    await hand.answer("take")
    await until(lambda: window.page == "progress", "the job")
    await ended(app, "adopt")
    assert names(old) == ["alpha.iso"]
    await until(lambda: app.model.devices[path].state == "luxusb", "the stick to be one of ours")
    window.go("sticks")
    await until(lambda: len(pictures(window)) == 2, "pictures of both")
