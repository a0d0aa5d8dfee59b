"""The app and the rest of the desktop: notifications, a window that is closed and opened again, the portal."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.caller import Caller
from tests.daemon.daemon import Daemon
from tests.daemon.images import Images
from tests.desktop import hand
from tests.desktop.conftest import running
from tests.desktop.screen import turn, until
from tests.desktop.session import Chooser, Notifications, chooser, notifications
from tests.desktop.test_jobs import download
from tests.harness.mirrors import Faults, Mirror
from tests.harness.service import environment

MIB = 1024 * 1024


@pytest.fixture
async def shown(screen: str) -> AsyncIterator[Notifications]:
    async with notifications() as desktop:
        yield desktop


@pytest.fixture
def left(app: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Filled when the app ends itself; its main loop is that of the tests."""
    ended: list[str] = []
    monkeypatch.setattr(app, "quit", lambda: ended.append("quit"), raising=False)
    return ended


async def test_the_window_is_closed_and_a_job_goes_on(
    shown: Notifications, app: Any, left: list[str], mirror: Mirror, images: Images
) -> None:
    mirror.rate = 4 * MIB
    await download(app, "large")
    app.window.close()
    await until(lambda: not app.window.get_visible(), "a hidden window")
    before = app.model.running_jobs()[0].bytes_done
    await until(lambda: app.model.running_jobs()[0].bytes_done > before, "the job to go on")
    assert not left
    mirror.rate = 0
    await until(lambda: shown.shown, "a notification")
    assert shown.shown == [("Finished", "Downloading: Large 1.0")]
    await until(lambda: left, "the end of an app without a window or a job")


async def test_a_job_that_fails_is_told_of(shown: Notifications, app: Any, left: list[str], mirror: Mirror) -> None:
    mirror.rate = 4 * MIB
    # from the start: how far it is cannot be told from how far it says it is
    mirror.faults = Faults(corrupt_at=8 * MIB)
    await download(app, "large")
    app.window.close()
    await until(lambda: any(job.bytes_done > MIB for job in app.model.jobs.values()), "some bytes")
    mirror.rate = 0
    await until(lambda: shown.shown, "a notification")
    ((title, body),) = shown.shown
    job = app.model.top_jobs()[0]
    assert title == "Failed"
    assert body.splitlines() == ["Downloading: Large 1.0", job.error_message.splitlines()[0]]
    shown.click()
    await until(lambda: app.window.get_visible(), "the window again")
    await hand.sees(app.window, job.error_message)
    assert app.window.page == "progress"


async def test_the_end_that_is_seen_is_not_told(shown: Notifications, app: Any) -> None:
    await until(app.window.is_active, "the keyboard's window")
    await download(app, "alpha")
    await hand.sees(app.window, "done")
    for _ in range(20):
        await turn()
    assert shown.shown == []


async def test_a_job_that_waits_for_the_user_does_not_keep_the_app(app: Any, left: list[str], mirror: Mirror) -> None:
    mirror.rate = 4 * MIB
    await download(app, "large")
    await hand.press(app.window, "Pause Large")
    await hand.sees(app.window, "paused")
    app.window.close()
    await until(lambda: left, "the end of the app")


async def test_started_again_it_shows_the_running_jobs(
    screen: str, daemon: Daemon, caller: Caller, mirror: Mirror, images: Images
) -> None:
    mirror.rate = 4 * MIB
    async with running(daemon.address, alone=True) as app:
        await hand.sees(app.window, "Choose systems")
        job = await caller.client.download("large")
        await until(lambda: app.model.running_jobs(), "the job")
        app.window.go("systems")
        app.window.close()
        await until(lambda: not app.window.get_visible(), "a hidden window")
        again = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "luxusb_gtk"),
            env={**environment(), "DBUS_SYSTEM_BUS_ADDRESS": daemon.address},
        )
        ended = asyncio.ensure_future(again.wait())
        await until(ended.done, "the second one to leave it to the first")
        assert ended.result() == 0
        await until(lambda: app.window.get_visible(), "the window again")
        assert app.window.page == "progress"
        await hand.sees(app.window, "Downloading: Large")
        mirror.rate = 0
        await caller.succeeded(job)


@pytest.mark.parametrize("settings", ['[downloads]\nresume = "ask"\n'])
async def test_the_question_after_a_restart_waits_for_the_window(
    app: Any, left: list[str], daemon: Daemon, mirror: Mirror
) -> None:
    from gi.repository import Adw, Gtk

    mirror.rate = 4 * MIB
    await download(app, "large")
    await until(lambda: any(job.bytes_done > MIB for job in app.model.jobs.values()), "some bytes")
    app.window.close()
    await daemon.stop()
    await daemon.start()
    await until(lambda: left, "the end of an app that waits for nothing")
    assert not [top for top in Gtk.Window.list_toplevels() if isinstance(top, Adw.MessageDialog) and top.get_mapped()]
    app.activate()
    assert "Large" in await hand.answer("later")
    assert app.window.page == "progress"


@pytest.fixture
async def portal(app: Any) -> AsyncIterator[Chooser]:
    async with chooser() as desktop:
        yield desktop


async def test_an_image_file_by_the_portal(app: Any, portal: Chooser, images: Images, tmp_path: Path) -> None:
    window = app.window
    await hand.press(window, "Add image file")
    await until(lambda: portal.asked, "the question")
    assert portal.asked[0]["title"] == "Add image file…"
    ((kind, patterns),) = portal.asked[0]["filters"]
    assert kind == "Images"
    assert [0, "*.iso"] in patterns
    assert not app.model.basket, "nothing was chosen in it"

    image = tmp_path / "an image & more.iso"
    os.link(images.beta.path, image)
    portal.files = [image.as_uri()]
    await hand.press(window, "Add image file")
    await hand.sees(window, "is chosen")
    assert app.model.basket.references == [images.beta.reference]

    wrong = tmp_path / "wrong.iso"
    wrong.write_text("no image")
    portal.files = [wrong.as_uri()]
    await hand.press(window, "Add image file")
    await hand.answer("close")
    assert app.model.basket.references == [images.beta.reference]
