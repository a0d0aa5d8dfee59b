"""Jobs that are paused, that outlive the daemon, sticks that come and go, and what is set in the preferences."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from luxusb_cli.model import JobState

from luxusbd.transfer.openpgpkeys import primary_fingerprints
from tests.daemon.caller import Caller
from tests.daemon.daemon import Daemon
from tests.daemon.images import Images
from tests.daemon.loops import detach
from tests.daemon.sticks import names
from tests.desktop import hand
from tests.desktop.screen import turn, until
from tests.desktop.test_flow import make
from tests.harness.mirrors import Mirror, write_catalogue

MIB = 1024 * 1024
KEY_FILE = b"\xc6\x33\x06" + bytes(50)
"""A key of version 6 that nobody has."""


async def download(app: Any, system: str) -> None:
    """What the app does for a stick, without one."""
    from gi.repository import GLib

    app.service.manager("Download", GLib.Variant("(sa{sv})", (system, {})), lambda _answer: None, app.window.fail)
    app.window.go("progress")
    await hand.sees(app.window, "Downloading")


async def test_a_download_is_paused_and_resumed(app: Any, mirror: Mirror) -> None:
    window = app.window
    mirror.rate = 4 * MIB
    await download(app, "large")
    await hand.press(window, "Pause Large")
    await hand.sees(window, "paused")
    mirror.rate = 0
    await hand.press(window, "Resume Large")
    await hand.sees(window, "done")


async def test_what_was_loaded_is_kept_when_a_download_is_cancelled(app: Any, mirror: Mirror) -> None:
    window = app.window
    mirror.rate = 4 * MIB
    await download(app, "large")
    await until(lambda: any(job.bytes_done > MIB for job in app.model.jobs.values()), "some bytes")
    await hand.press(window, "Cancel Large")
    await hand.answer("keep")
    await hand.sees(window, "cancelled")
    mirror.rate = 0
    await download(app, "large")
    await hand.sees(window, "done")
    assert app.model.top_jobs()[0].resumed_bytes > 0


@pytest.mark.parametrize("settings", ['[downloads]\nresume = "ask"\n'])
async def test_what_was_not_finished_is_asked_about(app: Any, daemon: Daemon, mirror: Mirror) -> None:
    window = app.window
    mirror.rate = 4 * MIB
    await download(app, "large")
    await until(lambda: any(job.bytes_done > MIB for job in app.model.jobs.values()), "some bytes")
    await daemon.stop()
    await hand.sees(window, "The service is not running")
    await daemon.start()
    mirror.rate = 0
    await hand.answer("resume")
    await hand.sees(window, "done")
    job = app.model.top_jobs()[0]
    assert job.state is JobState.SUCCEEDED
    assert job.resumed_bytes > 0


@pytest.mark.root
async def test_sticks_come_and_go(app: Any, stick: Path, attach: Callable[[Path], str]) -> None:
    window = app.window
    window.go("sticks")
    node = attach(stick)
    await hand.sees(window, node)
    await until(lambda: app.model.devices.get(window.sticks.selected), "the only stick to be chosen")
    assert not hand.button(window, "Review").get_sensitive(), "nothing is chosen"
    detach(node, stick)
    await until(lambda: not any(node in label for label in hand.texts(window)), "the stick to vanish")


@pytest.mark.root
async def test_an_old_stick_is_updated(
    app: Any,
    daemon: Daemon,
    mirror: Mirror,
    catalogue: Path,
    images: Images,
    stick: Path,
    attach: Callable[[Path], str],
) -> None:
    window = app.window
    node = attach(stick)
    await until(lambda: any(device.node == node for device in app.model.devices.values()), "the stick")
    await make(app, None, next(device for device in app.model.devices.values() if device.node == node), "Alpha")
    assert any("alpha" in name for name in names(stick))
    newer = replace(images.beta.for_catalogue(), id="alpha", name="Alpha", version="2.0")
    write_catalogue(catalogue, [newer], [mirror])
    await daemon.stop()
    await daemon.start()
    await hand.sees(window, "Progress")
    await hand.press(window, "Back")
    await hand.press(window, "Sticks")
    await hand.sees(window, "One update")
    await hand.press(window, "What is on this stick")
    await hand.sees(window, "1.0 can become 2.0")
    await hand.press(window, "Update")
    await until(lambda: any(j.operation == "update" and j.state.finished for j in app.model.top_jobs()), "the update")
    assert names(stick) == [images.beta.path.name]


async def test_preferences(app: Any, caller: Caller, tmp_path: Path) -> None:
    from gi.repository import Gio

    window = app.window.show_preferences()
    await hand.sees(window, "Downloads at once")
    await until(lambda: window.at_once.get_value() == 3, "the settings")
    window.at_once.set_value(5)
    window.bandwidth.set_value(7)
    window.resume.set_active(False)
    wanted = {"limits.active_downloads": 5, "downloads.bandwidth": 7 * MIB, "downloads.resume": "ask"}
    found: dict[str, object] = {}
    for _ in range(500):
        await turn()
        settings = await caller.client.settings()
        found = {name: settings[name] for name in wanted}
        if found == wanted:
            break
    assert found == wanted

    # the address of the list needs a key, and what is wrong stands below it
    window.remote.address.set_text("http://school.example/list.json")
    window.remote.apply()
    assert "no https address" in await hand.sees(window, "https")
    window.remote.address.set_text("https://school.example/list.json")
    window.remote.apply()
    await hand.sees(window, "no key is known")
    assert window.remote.says.has_css_class("error")
    key = tmp_path / "school.key"
    key.write_text("no key")
    window.remote.choose_key(Gio.File.new_for_path(str(key)))
    await hand.sees(window, "holds no OpenPGP public key")
    key.write_bytes(KEY_FILE)
    window.remote.choose_key(Gio.File.new_for_path(str(key)))
    (fingerprint,) = primary_fingerprints(KEY_FILE)
    assert (await hand.sees(window, "Compare this")).endswith(fingerprint)
    assert not window.remote.says.has_css_class("error")
    settings = await caller.client.settings()
    assert settings["catalog.update_url"] == "https://school.example/list.json"
    assert settings["catalog.update_fingerprints"] == [fingerprint]
    await until(lambda: fingerprint in window.remote.signer.get_subtitle(), "who signs it")
    window.remote.address.set_text("")
    window.remote.apply()
    await hand.sees(window, "not kept up to date any more")
    assert (await caller.client.settings())["catalog.update_url"] == ""

    wrong = tmp_path / "own.json"
    wrong.write_text(json.dumps({"version": "2.0", "distributions": [{"id": "Not An Id"}]}))
    window.import_own(Gio.File.new_for_path(str(wrong)))
    said = await hand.sees(window, "own.json")
    assert "id" in said
    assert app.model.systems, "the list is still there"
    window.close()
