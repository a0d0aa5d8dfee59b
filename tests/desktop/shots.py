"""`make screenshots`: every page, light, dark and narrow, into docs/screenshots.

Not one of the tests, since it shows and judges nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.caller import Caller
from tests.desktop import hand
from tests.desktop.conftest import running
from tests.desktop.screen import turn, until

SHOTS = Path(__file__).resolve().parents[2] / "docs" / "screenshots"
SIZES = {"light": (820, 720), "dark": (820, 720), "narrow": (360, 720), "rtl": (820, 720)}


@pytest.fixture
def turned(screen: str, look: str) -> Iterator[None]:
    """Before the window is made: what is made before keeps its direction."""
    from gi.repository import Gtk

    if look == "rtl":
        Gtk.Widget.set_default_direction(Gtk.TextDirection.RTL)
    yield
    Gtk.Widget.set_default_direction(Gtk.TextDirection.LTR)


@pytest.mark.parametrize("look", list(SIZES))
async def test_show(turned: None, app: Any, caller: Caller, stick: Path, look: str, tmp_path: Path) -> None:
    from gi.repository import Adw

    window = app.window
    manager = Adw.StyleManager.get_default()
    manager.set_color_scheme(Adw.ColorScheme.FORCE_DARK if look == "dark" else Adw.ColorScheme.FORCE_LIGHT)
    window.set_default_size(*SIZES[look])
    SHOTS.mkdir(exist_ok=True)

    async def shoot(name: str) -> None:
        await turn()
        await hand.picture(window, SHOTS / f"{name}-{look}.png")

    await until(lambda: app.model.systems, "systems")
    for system in ("Alpha", "Beta"):
        await hand.tick(window, system)
    await shoot("systems")
    window.show_details(next(one for one in app.model.systems if one.id == "linuxmint"))
    await hand.sees(window, "not measured yet")
    await shoot("details")
    window.go("sticks")
    await caller.target(stick)
    await hand.tick(window, "Image file")
    await shoot("sticks")
    await hand.press(window, "Review")
    await hand.sees(window, "Will be written")
    await shoot("review")
    await hand.press(window, "Erase Image file")
    await hand.answer("erase")
    await until(lambda: any(job.state.finished for job in app.model.top_jobs()), "the stick")
    await shoot("progress")
    await hand.press(window, "Back")
    await hand.press(window, "Sticks")
    await hand.press(window, "What is on this stick")
    await shoot("stick")
    preferences = window.show_preferences()
    window.set_visible(False)
    preferences.set_transient_for(None)
    preferences.set_default_size(*SIZES[look])
    await hand.sees(preferences, "Kept on this machine")
    await hand.picture(preferences, SHOTS / f"preferences-{look}.png")
    preferences.close()
    async with running(f"unix:path={tmp_path}/nobody") as other:
        other.window.set_default_size(*SIZES[look])
        await hand.sees(other.window, "The service is not running")
        await hand.picture(other.window, SHOTS / f"no-service-{look}.png")
    manager.set_color_scheme(Adw.ColorScheme.DEFAULT)
