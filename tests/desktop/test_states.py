"""What the app shows while the daemon is away, while nothing is found, and when the user looks closer."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from luxusbd import process
from tests.daemon.conftest import CONFIG
from tests.daemon.daemon import Daemon
from tests.daemon.images import Images
from tests.desktop import hand
from tests.desktop.conftest import running
from tests.desktop.screen import until
from tests.desktop.test_jobs import download
from tests.harness.mirrors import Faults, Mirror
from tests.harness.service import environment

ROOT = Path(__file__).resolve().parents[2]


async def test_the_daemon_goes_and_comes_back(app: Any, daemon: Daemon) -> None:
    window = app.window
    await hand.tick(window, "Alpha")
    old = daemon.address
    await daemon.kill()
    await hand.sees(window, "The service is not running")
    await hand.sees(window, "systemctl start luxusbd")
    await daemon.start()
    assert daemon.address == old
    await hand.sees(window, "Choose systems")
    assert app.model.basket.references == ["distro:alpha@1.0"], "what was chosen is still chosen"


async def test_there_is_no_daemon(screen: str, tmp_path: Path) -> None:
    async with running(f"unix:path={tmp_path}/nobody") as app:
        await hand.sees(app.window, "The service is not running")
        await hand.press(app.window, "Try again")
        await hand.sees(app.window, "The service is not running")


async def test_search(app: Any) -> None:
    window = app.window
    await until(lambda: hand.row(window, "Alpha"), "systems")
    window.systems.search.set_text("kde PLASMA")
    await until(lambda: hand.row(window, "Alpha") is None, "the search")
    assert hand.row(window, "Fedora KDE Plasma Desktop") is not None
    window.systems.search.set_text("no such thing")
    await hand.sees(window, "Nothing found")
    window.systems.search.set_text("")
    await until(lambda: hand.row(window, "Alpha"), "all systems")


async def test_a_mirror_is_pinned_and_let_go(app: Any) -> None:
    window = app.window
    system = next(iter(await until(lambda: [one for one in app.model.systems if one.id == "alpha"], "systems")))
    window.show_details(system)
    await hand.sees(window, "not measured yet")
    window.details.source.set_selected(1)
    await hand.sees(window, "is asked alone")
    window.details.source.set_selected(0)
    await hand.sees(window, "not measured yet")
    await hand.press(window, "Measure now")
    await hand.sees(window, "works")


async def test_an_edition_is_chosen(app: Any) -> None:
    window = app.window
    system = next(iter(await until(lambda: [one for one in app.model.systems if one.id == "linuxmint"], "systems")))
    window.show_details(system)
    await hand.press(window, "Choose")
    first = await until(lambda: app.model.basket.references, "the choice")
    window.details.edition.set_selected(1)
    second = app.model.basket.references
    assert len(second) == 1
    assert first != second
    await hand.press(window, "Leave out")
    await until(lambda: not app.model.basket.references, "an empty choice")


async def test_an_image_file_is_added(app: Any, images: Images, tmp_path: Path) -> None:
    from gi.repository import Gio

    window = app.window
    window.add_file(Gio.File.new_for_path(str(images.beta.path)))
    await until(lambda: len(app.model.basket), "the image")
    assert app.model.basket.references[0].startswith("image:")
    wrong = tmp_path / "wrong.iso"
    wrong.write_text("no image")
    window.add_file(Gio.File.new_for_path(str(wrong)))
    await hand.answer("close")
    assert len(app.model.basket) == 1


READ = """
import luxusb_gtk
from gi.repository import Gdk, GLib, Gtk

Gtk.init()
loop = GLib.MainLoop()


def done(clipboard, result):
    try:
        print(clipboard.read_text_finish(result))
    finally:
        loop.quit()


Gdk.Display.get_default().get_clipboard().read_text_async(None, done)
loop.run()
"""


def on_clipboard() -> Any:
    """What the app has put there last; None before the first time."""
    from gi.repository import Gdk

    return Gdk.Display.get_default().get_clipboard().get_content()


async def pasted(before: Any) -> str:
    """What another program gets of what was copied since `before` was there."""
    await until(lambda: on_clipboard() not in (None, before), "something to be copied")
    reader = asyncio.ensure_future(process.run([sys.executable, "-c", READ], env=environment(), timeout=60))
    await until(reader.done, "what was copied")
    return reader.result().stdout.decode().rstrip("\n")


@pytest.fixture
async def alone(screen: str, place: Path, catalogue: Path, fetching: str) -> AsyncIterator[Any]:
    """The app before a daemon that has no network."""
    config = CONFIG.format(place=place) + fetching
    async with Daemon(place, catalogues=[catalogue], config=config, network=False) as daemon:
        async with running(daemon.address) as app:
            await until(lambda: app.window.states.get_visible_child_name() == "ready", "the daemon")
            yield app


@pytest.mark.root
async def test_there_is_no_network(alone: Any) -> None:
    window = alone.window
    await until(lambda: alone.model.systems, "systems, which are on this machine")
    await download(alone, "large")
    await hand.sees(window, "waiting for the network")
    await hand.sees(window, "goes on by itself as soon as there is a network")
    await hand.press(window, "Pause Large")
    await hand.sees(window, "paused")
    window.show_details(next(one for one in alone.model.systems if one.id == "alpha"))
    await hand.press(window, "Measure now")
    assert "127.0.0.1" in await hand.answer("close"), "each mirror is named with what was wrong"
    await hand.sees(window, "Measure now")


async def test_what_failed_can_be_copied(app: Any, mirror: Mirror) -> None:
    window = app.window
    mirror.faults = Faults(corrupt_at=1000)
    await download(app, "large")
    before = on_clipboard()
    await hand.press(window, "Copy details of Large")
    job = app.model.top_jobs()[0]
    said = await pasted(before)
    assert said.startswith(f"Downloading: Large 1.0\n{job.error_name}: ")
    assert said.endswith(job.error_message.splitlines()[-1])


async def test_a_call_that_failed_can_be_copied(app: Any) -> None:
    from gi.repository import GLib

    app.service.manager("Download", GLib.Variant("(sa{sv})", ("nothing", {})), lambda _answer: None, app.window.fail)
    before = on_clipboard()
    said = await hand.answer("copy")
    name, _colon, message = (await pasted(before)).partition(": ")
    assert name.startswith("org.luxusb.Error.")
    assert said.endswith(message)


def test_what_desktops_read_is_valid() -> None:
    desktop = ROOT / "data/desktop"
    for command in (
        ["desktop-file-validate", str(desktop / "org.luxusb.Luxusb.desktop")],
        ["appstreamcli", "validate", "--no-net", str(desktop / "org.luxusb.Luxusb.metainfo.xml")],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
