"""Sticks of other programs: one of LUXusb 0.6.3 is taken over, one of Ventoy is listed and left alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from luxusb_cli.calls import Work
from luxusb_cli.connection import Typed
from luxusb_cli.errors import DaemonError

from tests.daemon import sticks
from tests.daemon.caller import Caller
from tests.daemon.conftest import Target
from tests.daemon.images import MIB, Images
from tests.stick import oldsticks

ERROR = "org.luxusb.Error."


def whole(place: Path, image: Path) -> Path:
    """The same image, whose first block mke2fs does not make a hole; the system area of an ISO 9660 is free for use."""
    copy = place / image.name
    copy.write_bytes(b"boot code" + image.read_bytes()[9:])
    return copy


def sha256(place: Path, image: Path) -> str:
    return hashlib.sha256((place / image.name).read_bytes()).hexdigest()


@pytest.fixture(params=["file", pytest.param("loop", marks=pytest.mark.root)])
def old(request: pytest.FixtureRequest, place: Path, images: Images) -> Target:
    names = {"alpha/alpha 1.0.iso": images.alpha, "beta/beta.iso": images.beta, "dull.iso": images.dull}
    file = oldsticks.old(place / "old.img", {name: whole(place, image.path) for name, image in names.items()})
    attach: Callable[[Path], str] | None = request.getfixturevalue("attach") if request.param == "loop" else None
    return Target(file, attach(file) if attach is not None else "")


async def test_an_old_stick_is_taken_over(caller: Caller, old: Target, images: Images, place: Path) -> None:
    device = await old.device(caller)
    with pytest.raises(DaemonError, match="take it over first: luxusb adopt") as refused:
        await caller.client.add_images(device, ["distro:memtest"])
    assert refused.value.name == ERROR + "NotALuxusbStick"
    shown = (await caller.client.device(device)).foreign
    assert shown is not None
    assert (shown.maker, shown.refusal, len(shown.images)) == ("luxusb-0.6.3", "", 3)
    before = old.file.read_bytes() if not old.node else b""
    dry = await caller.succeeded(await caller.client.work_on(device, Work.ADOPT, {"dry_run": Typed("b", True)}))
    assert {item["path"] for item in dry.result["found"]} == {image.path for image in shown.images}  # type: ignore[attr-defined]
    assert not before or old.file.read_bytes() == before
    result = (await caller.succeeded(await caller.client.work_on(device, Work.ADOPT))).result
    assert sorted(result["images"]) == ["alpha-1.0.iso", "beta.iso"]  # type: ignore[call-overload]
    assert [item["name"] for item in result["skipped"]] == ["dull.iso"]  # type: ignore[attr-defined]
    assert sticks.check(old.file) == {
        "alpha-1.0.iso": sha256(place, images.alpha.path),
        "beta.iso": sha256(place, images.beta.path),
    }
    # the kernel can be told of every name; what is left of the old directory holds what others put there
    assert sticks.files(old.file, "/isos") == ({"alpha"} if not old.node else set())
    after = await caller.client.device(device)
    assert (after.state, after.foreign) == ("luxusb", None)
    # from here on it is a stick as all others
    await caller.succeeded(await caller.client.add_images(device, ["distro:memtest"]))
    assert (await caller.succeeded(await caller.client.verify(device))).result["ok"] is True
    with pytest.raises(DaemonError, match="nothing to take over"):
        await caller.client.work_on(device, Work.ADOPT)


async def test_a_ventoy_stick_is_left_alone(caller: Caller, place: Path, images: Images) -> None:
    data = oldsticks.fat32(place / "fat", {"mine/alpha.iso": images.alpha.path}, size=200 * MIB)
    file = oldsticks.ventoy(place / "ventoy.img", data)
    before = file.read_bytes()
    device = await caller.target(file)
    shown = await caller.client.device(device)
    assert shown.state == "foreign"
    assert shown.foreign is not None
    assert [image.path for image in shown.foreign.images] == ["/mine/alpha.iso"]
    for work in (Work.ADOPT, Work.REFRESH, Work.UPDATE, Work.RESCAN, Work.REPAIR, Work.VERIFY):
        with pytest.raises(DaemonError, match="this is a Ventoy stick"):
            await caller.client.work_on(device, work)
    for call in (caller.client.add_images, caller.client.remove_images):
        with pytest.raises(DaemonError, match="only looked at and never changed"):
            await call(device, ["distro:alpha"])
    plan = await caller.plan([device], ["distro:alpha"])
    assert plan.devices[0].lost[0] == "Ventoy stick with 1 image"
    assert {loss.system for loss in plan.devices[0].lost_details} == {"Ventoy"}
    assert file.read_bytes() == before
