"""`update`, and what the lists say of newer releases."""

from __future__ import annotations

from typing import Any

import pytest
from dbus_next.signature import Variant

from tests.cli import world
from tests.cli.conftest import Run, Spawn
from tests.cli.fake_daemon import FakeDaemon

STICK_CONSENT = ("--yes", "--device-id", world.STICK_ID)


def newer(name: str = "debian.iso", **changes: Any) -> dict[str, Variant]:
    values = {
        "name": name,
        "title": "Debian",
        "reference": "distro:debian@13.8",
        "from_version": "12.15",
        "to_version": "13.8",
        "size": 3 * world.GIB,
        "respin": False,
        "series_change": False,
        "end_of_life": "",
        "ended": False,
        "trust": "hash",
        "less_trust": False,
        **changes,
    }
    kinds = {str: "s", int: "t", bool: "b"}
    return {key: Variant(kinds[type(value)], value) for key, value in values.items()}


def result(*updates: dict[str, Variant], skipped: tuple[dict[str, Variant], ...] = ()) -> dict[str, Variant]:
    return {
        "updates": Variant("aa{sv}", list(updates)),
        "skipped": Variant("aa{sv}", list(skipped)),
        "bytes_needed": Variant("t", 6 * world.GIB),
        "bytes_needed_one_at_a_time": Variant("t", 3 * world.GIB),
        "bytes_needed_replacing": Variant("t", 0),
        "free_bytes": Variant("t", 4 * world.GIB),
    }


def asked(daemon: FakeDaemon) -> dict[str, Any]:
    return {key: value.value for key, value in daemon.called("UpdateStick")[-1].body[1].items()}


def test_nothing_is_newer(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.updated = result()
    for arguments in (["--check"], []):
        shown = luxusb("update", "--device", "sdc", *arguments)
        assert (shown.code, shown.out.splitlines()[-1]) == (0, "There is nothing newer for what is on /dev/sdc.")
    assert asked(daemon) == {}


def test_a_check_has_its_own_exit_code(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.updated = result(
        newer(series_change=True, ended=True, end_of_life="2026-06-10"),
        newer("arch\x1b.iso", from_version="1", to_version="1", respin=True, less_trust=True),
        skipped=(newer("other.iso", reason="it is less sure"),),
    )
    shown = luxusb("update", "--device", "sdc", "--check")
    assert shown.code == 6
    assert [" ".join(line.split()) for line in shown.out.splitlines()[-5:]] == [
        "NAME ON THE STICK NEWER SIZE NOTE",
        "debian.iso 12.15 13.8 3 GiB another series, no support since 2026-06-10",
        "arch.iso 1 1 3 GiB other bytes of the same version, less sure: hash",
        "other.iso was left alone: it is less sure",
        "Needed beside what is there: 6 GiB; one at a time: 3 GiB; free: 4 GiB.",
    ]
    assert asked(daemon) == {"check": True}
    document = luxusb("update", "--device", "sdc", "--check", "--json")
    assert document.code == 6
    assert document.document["job"]["result"]["updates"][0]["to_version"] == "13.8"


def test_an_update_and_its_options(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.updated = result(newer(new_name="debian-13.iso"))
    shown = luxusb("update", "--device", "sdc", "debian.iso", "--one-at-a-time", "--same-series", "--less-trust")
    assert (shown.code, shown.out.splitlines()[-1]) == (0, "1 image on /dev/sdc is new.")
    assert asked(daemon) == {
        "images": ["debian.iso"],
        "one_at_a_time": True,
        "same_series": True,
        "less_trust": True,
    }
    assert luxusb("update", "--device", "sdc", "--no-keep").code == 0
    assert asked(daemon) == {"keep_images": False}
    daemon.updated["kept_images"] = Variant("as", ["debian-13.iso"])
    shown = luxusb("update", "--device", "sdc", "--no-keep", "--check")
    assert "debian-13.iso: stays on this machine all the same; it cannot be checked otherwise.\n" in shown.out
    assert luxusb("update", "--device", "sdc", "--json").code == 0
    assert "started" in luxusb("update", "--device", "sdc", "--no-wait").out
    unknown = luxusb("update", "--device", "sdc", "debina.iso")
    assert unknown.code == 1
    assert "debian.iso" in unknown.err


def test_images_that_go_first_are_asked_about(luxusb: Run, spawn: Spawn, daemon: FakeDaemon) -> None:
    daemon.updated = result(newer())
    for arguments in ([], ["--yes"]):
        assert luxusb("update", "--device", "sdc", "--replace-first", *arguments).code == 2
    assert luxusb("update", "--device", "sdc", "--replace-first", "--yes", "--device-id", "another").code == 1
    assert daemon.called("UpdateStick") == []
    asking = spawn("update", "--device", "sdc", "--replace-first", terminal=True)
    asking.wait_for("Type sdc to replace images")
    assert "until these are written, the stick is" in " ".join(asking.output.split())
    asking.type("sdb\n")
    assert asking.finish() == 5
    assert daemon.called("UpdateStick") == []
    assert luxusb("update", "--device", "sdc", "--replace-first", *STICK_CONSENT).code == 0
    assert asked(daemon) == {"replace": True}
    # a check writes nothing
    assert luxusb("update", "--device", "sdc", "--replace-first", "--check").code == 6


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 newer release (luxusb update)"), (2, "2 newer releases (luxusb update)")]
)
def test_lists_tell_of_newer_releases(luxusb: Run, daemon: FakeDaemon, count: int, text: str) -> None:
    daemon.devices[world.STICK]["Updates"] = [newer(f"{number}.iso") for number in range(count)]
    assert text in luxusb("devices").out
    assert luxusb("contents", "--device", "sdc").out.startswith(text + "\n")
    shown = [device for device in luxusb("devices", "--json").document["devices"] if device["updates"]]
    assert [update["to_version"] for update in shown[0]["updates"]] == ["13.8"] * count
