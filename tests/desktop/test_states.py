"""What the app shows while the daemon is away, while nothing is found, and when the user looks closer."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from tests.daemon.daemon import Daemon
from tests.daemon.images import Images
from tests.desktop import hand
from tests.desktop.conftest import running
from tests.desktop.screen import until

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


def test_what_desktops_read_is_valid() -> None:
    desktop = ROOT / "data/desktop"
    for command in (
        ["desktop-file-validate", str(desktop / "org.luxusb.Luxusb.desktop")],
        ["appstreamcli", "validate", "--no-net", str(desktop / "org.luxusb.Luxusb.metainfo.xml")],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
