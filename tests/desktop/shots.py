"""`make screenshots`: every page, light, dark and narrow, into docs/screenshots.

Not one of the tests, since it shows and judges nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from luxusb_cli.calls import Work
from luxusb_cli.connection import Typed
from luxusb_cli.model import DeviceInfo, DeviceShare, JobDetails, JobInfo, JobState, Loss
from luxusb_cli.results import StoredResult
from luxusb_gtk.basket import Choice

from tests.daemon.caller import Caller
from tests.daemon.conftest import STICK
from tests.daemon.images import Images, debian_live
from tests.daemon.test_raw import disk_image
from tests.desktop import hand
from tests.desktop.conftest import running
from tests.desktop.screen import turn, until
from tests.desktop.test_logos import shown, without_logos
from tests.harness.maker import Maker
from tests.harness.mirrors import Mirror
from tests.harness.mirrors import catalogue as catalogue_of
from tests.harness.tls import Authority
from tests.stick import oldsticks

CIRCLE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48">'
    '<circle cx="24" cy="24" r="{r}" fill="{colour}"/></svg>'
)
LOGOS = {
    "alpha": CIRCLE.format(r=22, colour="#a51d2d"),
    "beta": CIRCLE.format(r=14, colour="#f6f5f4"),
    "linuxmint": CIRCLE.format(r=18, colour="#26a269"),
}
"""Made up, a light one among them: those of the systems belong to others."""
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


@pytest.fixture
def settings(authority: Authority) -> str:
    """The daemon trusts the server of the logos."""
    return f'[network]\nca_file = "{authority.file}"\n'


@pytest.fixture
def fetching() -> str:
    """Logos are fetched here."""
    return ""


@pytest.fixture
def catalogue(images: Images, mirror: Mirror, maker: Maker, place: Path) -> Path:
    """The systems of the tests and the packaged ones, some of them with a logo."""
    document = catalogue_of([image.for_catalogue() for image in images.all], [mirror])
    document["distributions"] += without_logos()
    for system in document["distributions"]:
        if system["id"] in LOGOS:
            system["logo_url"] = maker.put(system["id"], LOGOS[system["id"]].encode())
    path = place / "catalogue.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("look", list(SIZES))
async def test_show(
    turned: None, app: Any, caller: Caller, images: Images, place: Path, stick: Path, look: str, tmp_path: Path
) -> None:
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
    await until(lambda: all(shown(window, system) for system in ("Alpha", "Beta")), "logos")
    await shoot("systems")
    window.show_details(next(one for one in app.model.systems if one.id == "linuxmint"))
    await hand.sees(window, "not measured yet")
    await until(lambda: window.details.logo.shows_logo, "the logo")
    await shoot("details")
    for iso in (debian_live(tmp_path), images.rescue.path):
        stored = StoredResult.from_wire((await caller.imported(iso)).result)
        app.model.choose(Choice(stored.image, stored.image, stored.name, stored.size))
    window.go("sticks")
    await caller.target(stick)
    await hand.tick(window, "Image file")
    await until(lambda: window.sticks.bar.space and window.sticks.bar.space.exact, "the plan's figures")
    await shoot("sticks")
    await hand.press(window, "Review")
    await hand.sees(window, "Will be written")
    await shoot("review")
    window.summary.partitions.expander.set_expanded(True)
    window.summary.changes.expander.set_expanded(True)
    window.summary.changes.fields[app.model.basket.choices[2].key].set_value(0.03)
    window.summary.partitions.share.set_value(0.02)
    await until(lambda: any(part.kind == "share" for part in window.summary.bar.space.segments), "the plan")
    await hand.scroll(window.summary, 1)
    await shoot("options")
    await hand.scroll(window.summary, 0)
    await hand.press(window, "Erase Image file")
    await hand.answer("erase")
    await until(lambda: any(job.state.finished for job in app.model.top_jobs()), "the stick")
    await shoot("progress")
    await hand.press(window, "Back")
    await hand.press(window, "Sticks")
    await hand.press(window, "What is on this stick")
    await hand.sees(window, "Room for changes")
    await shoot("stick")
    old = await caller.target(oldsticks.old(place / "old.img", {"alpha/alpha 1.0.iso": images.alpha.path}))
    window.manage(await until(lambda: app.model.devices.get(old), "the old stick"))
    await hand.press(window, "Take over…")
    await hand.sees(window, "What will happen")
    await shoot("take-over")
    app.model.clear()
    appliance = tmp_path / "appliance.img"
    appliance.write_bytes(disk_image())
    stored = StoredResult.from_wire((await caller.imported(appliance)).result)
    app.model.choose(Choice(stored.image, stored.image, stored.name, stored.size))
    other = place / "other.img"
    plain = await caller.target(other, STICK)
    await caller.succeeded(await caller.client.work_on(plain, Work.RESTORE, {"label": Typed("s", "HOLIDAY")}))
    window.review_raw(await until(lambda: app.model.devices.get(plain), "the plain drive"))
    await hand.sees(window, "Will be written byte for byte")
    await shoot("raw")
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


def _stick(name: str, node: str, gib: int, state: str = "blank") -> DeviceInfo:
    told = {
        "Id": name,
        "DeviceNode": node,
        "Vendor": name.split("_", maxsplit=1)[0],
        "Model": name.split("_")[1],
        "Bus": "usb",
    }
    return DeviceInfo.from_wire(f"/org/luxusb/devices/{name}", {**told, "Size": gib << 30, "State": state})


@pytest.mark.parametrize("look", list(SIZES))
async def test_show_a_disk(turned: None, app: Any, look: str) -> None:
    """A stick with somebody's files, and what can be chosen for it; made up, since nobody here has one."""
    from gi.repository import Adw

    window, model = app.window, app.model
    manager = Adw.StyleManager.get_default()
    manager.set_color_scheme(Adw.ColorScheme.FORCE_DARK if look == "dark" else Adw.ColorScheme.FORCE_LIGHT)
    window.set_default_size(*SIZES[look])
    await until(lambda: model.systems, "systems")
    parts = (
        Loss(1, "FAT32", "BOOT", 1 << 30, 200 << 20, ""),
        Loss(2, "NTFS", "HOLIDAY", 26 << 30, 11 << 30, ""),
    )
    disk = replace(_stick("Kingston_DataTraveler", "/dev/sdb", 29, "foreign"), contents=parts)
    model.devices = {disk.path: disk}
    model.emit("devices")
    window.manage(disk)
    await hand.sees(window, "HOLIDAY")
    await turn()
    await hand.picture(window, SHOTS / f"disk-{look}.png")
    manager.set_color_scheme(Adw.ColorScheme.DEFAULT)


@pytest.mark.parametrize("look", ["light", "narrow"])
async def test_show_several(app: Any, look: str) -> None:
    """Three sticks at once, of which one was pulled; made up, since nobody here has them."""
    from gi.repository import Adw

    window, model = app.window, app.model
    Adw.StyleManager.get_default().set_color_scheme(Adw.ColorScheme.FORCE_LIGHT)
    window.set_default_size(*SIZES[look])

    async def shoot(name: str) -> None:
        await turn()
        await hand.picture(window, SHOTS / f"{name}-{look}.png")

    await until(lambda: model.systems, "systems")
    sticks = [
        _stick("Kingston_DataTraveler", "/dev/sdb", 32),
        _stick("SanDisk_Ultra", "/dev/sdc", 32, "foreign"),
        _stick("Intenso_Rainbow", "/dev/sdd", 16),
    ]
    model.devices = {stick.path: stick for stick in sticks}
    model.emit("devices")
    window.go("sticks")
    await hand.press(window, "Several at once")
    await until(window.sticks.several.get_active, "the mode")
    for stick in sticks:
        await hand.tick(window, f"{stick.vendor} {stick.model}")
    await shoot("several-sticks")
    pulled = "/dev/sdc (Ultra) went away during the job; plug it in again and leave it in: the stick is not complete:"
    shares = [
        DeviceShare("Kingston", "/dev/sdb", "Kingston DataTraveler", JobState.SUCCEEDED, "menu", 9, 9, 0, "", ""),
        DeviceShare("SanDisk", "/dev/sdc", "SanDisk Ultra", JobState.FAILED, "write-image", 4, 9, 0, "", ""),
        DeviceShare(
            "Intenso",
            "/dev/sdd",
            "Intenso Rainbow",
            JobState.RUNNING,
            "read-back",
            *(6 << 30, 9 << 30),
            12 << 20,
            "",
            "",
        ),
    ]
    shares[1] = replace(shares[1], error_message=f"{pulled} create it again")
    details = JobDetails(title="Debian Live, Fedora on three sticks", devices=tuple(shares))
    told = {"Operation": "create", "State": "running", "Stage": "read-back", "Progress": 0.8, "Rate": 12 << 20}
    figures = {"BytesDone": 19 << 30, "BytesTotal": 22 << 30}
    job = replace(JobInfo.from_wire("/org/luxusb/jobs/_7", {**told, **figures}), details=details)
    model.jobs = {job.path: job}
    model.emit("jobs")
    window.go("progress")
    await shoot("several-progress")
    shares[2] = replace(shares[2], state=JobState.SUCCEEDED)
    model.jobs = {
        job.path: replace(job, state=JobState.FAILED, details=replace(details, devices=tuple(shares)), stage="")
    }
    model.emit("jobs")
    await shoot("several-end")
