"""Sticks of other programs, as `devices`, `contents` and `adopt` tell of them, in English and German."""

from __future__ import annotations

import pytest
from dbus_next.signature import Variant

from tests.cli import world
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon

REFUSAL = "this is a Ventoy stick, which is only looked at and never changed"
NOTE = "the old boot files start until the new ones are whole"
STICK_CONSENT = ("--yes", "--device-id", world.USB_ID)


@pytest.fixture
def german(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "de_DE.UTF-8")


def an_image(path: str) -> dict[str, Variant]:
    return {"path": Variant("s", path), "size": Variant("t", 3 * world.GIB), "volume_id": Variant("s", "DEBIAN 12")}


def plug(daemon: FakeDaemon, maker: str, name: str, *paths: str, refusal: str = "") -> None:
    """Let sdb be a stick of another program."""
    found = next(device for device in daemon.devices.values() if device["Id"] == world.USB_ID)
    found["Foreign"] = {
        "maker": Variant("s", maker),
        "name": Variant("s", name),
        "filesystem": Variant("s", "ext4"),
        "images": Variant("aa{sv}", [an_image(path) for path in paths]),
        "notes": Variant("as", [] if refusal else [NOTE]),
        "refusal": Variant("s", refusal),
    }


def ventoy(daemon: FakeDaemon) -> None:
    plug(daemon, "ventoy", "Ventoy", "/mine/alpha.iso", refusal=REFUSAL)


def old(daemon: FakeDaemon) -> None:
    plug(daemon, "luxusb-0.6.3", "LUXusb 0.6.3", "/isos/a/alpha.iso", "/isos/beta.iso")
    daemon.adopted = {
        "dry_run": Variant("b", True),
        "found": Variant("aa{sv}", [an_image("/isos/a/alpha.iso"), an_image("/isos/beta.iso")]),
        "notes": Variant("as", [NOTE]),
        "firmware": Variant("as", ["bios", "uefi"]),
        "warnings": Variant("as", []),
        "images": Variant("as", ["alpha.iso"]),
        "skipped": Variant("aa{sv}", [{"name": Variant("s", "beta.iso"), "reason": Variant("s", "no system")}]),
    }


def last(text: str, start: str) -> list[str]:
    """The lines from the last one that begins so."""
    lines = text.splitlines()
    return lines[max(number for number, line in enumerate(lines) if line.startswith(start)) :]


def test_a_ventoy_stick(luxusb: Run, daemon: FakeDaemon) -> None:
    ventoy(daemon)
    assert "Ventoy stick with 1 image" in luxusb("devices").out
    assert "luxusb adopt" not in luxusb("devices").out
    assert [line.split() for line in luxusb("contents", "--device", "sdb").out.splitlines()] == [
        ["Ventoy", "stick", "with", "1", "image"],
        REFUSAL.split(),
        ["PATH", "SIZE", "SYSTEM"],
        ["/mine/alpha.iso", "3", "GiB", "DEBIAN", "12"],
    ]
    document = luxusb("contents", "--device", "sdb", "--json").document
    assert (document["foreign"]["maker"], document["foreign"]["refusal"]) == ("ventoy", REFUSAL)
    assert [image["path"] for image in document["foreign"]["images"]] == ["/mine/alpha.iso"]
    shown = {device["id"]: device["foreign"] for device in luxusb("devices", "--json").document["devices"]}
    assert shown[world.USB_ID] == document["foreign"]
    assert [found for name, found in shown.items() if name != world.USB_ID and found is not None] == []


def test_a_ventoy_stick_in_german(german: None, luxusb: Run, daemon: FakeDaemon) -> None:
    ventoy(daemon)
    assert "Stick von Ventoy mit 1 Abbild" in luxusb("devices").out
    shown = luxusb("contents", "--device", "sdb").out.splitlines()
    assert (shown[0], shown[2].split()) == ("Stick von Ventoy mit 1 Abbild", ["PFAD", "GRÖSSE", "SYSTEM"])


def test_an_old_stick_is_shown_with_what_helps(luxusb: Run, daemon: FakeDaemon) -> None:
    old(daemon)
    assert "LUXusb 0.6.3 stick with 2 images (luxusb adopt)" in luxusb("devices").out
    shown = luxusb("contents", "--device", "sdb").out.splitlines()
    assert shown[:2] == ["LUXusb 0.6.3 stick with 2 images (luxusb adopt)", NOTE]


def test_a_dry_run_says_what_would_be_done(luxusb: Run, daemon: FakeDaemon) -> None:
    old(daemon)
    said = luxusb("adopt", "--device", "sdb", "--dry-run")
    assert said.code == 0
    assert last(said.out, "/dev/sdb: ")[1:] == [
        "  2 images stay:",
        "    /isos/a/alpha.iso  DEBIAN 12 (3 GiB)",
        "    /isos/beta.iso  DEBIAN 12 (3 GiB)",
        "  will start under: BIOS, UEFI",
        f"  {NOTE}",
    ]
    assert [call.body[1]["dry_run"].value for call in daemon.called("AdoptStick")] == [True]
    result = luxusb("adopt", "--device", "sdb", "--dry-run", "--json").document["job"]["result"]
    assert (result["dry_run"], result["firmware"], len(result["found"])) == (True, ["bios", "uefi"], 2)


def test_a_takeover_says_what_was_done(luxusb: Run, daemon: FakeDaemon) -> None:
    old(daemon)
    said = luxusb("adopt", "--device", "sdb", *STICK_CONSENT)
    assert said.code == 0
    assert last(said.out, "left as they are") == [
        "left as they are, without an entry:",
        "  beta.iso: no system",
        "/dev/sdb is taken over, with 1 image in its menu.",
    ]
    assert "dry_run" not in daemon.called("AdoptStick")[-1].body[1]
    document = luxusb("adopt", "--device", "sdb", *STICK_CONSENT, "--json").document
    assert document["job"]["result"]["images"] == ["alpha.iso"]


def test_a_takeover_in_german(german: None, luxusb: Run, daemon: FakeDaemon) -> None:
    old(daemon)
    plan = luxusb("adopt", "--device", "sdb", "--dry-run").out
    assert "  2 Abbilder bleiben:\n" in plan
    assert "  wird starten unter: BIOS, UEFI\n" in plan
    done = luxusb("adopt", "--device", "sdb", *STICK_CONSENT).out
    assert last(done, "bleiben, wie sie sind") == [
        "bleiben, wie sie sind, ohne Eintrag:",
        "  beta.iso: no system",
        "/dev/sdb ist übernommen, mit 1 Abbild im Menü.",
    ]


def test_nobody_is_asked_where_there_is_nobody(luxusb: Run, daemon: FakeDaemon) -> None:
    old(daemon)
    assert luxusb("adopt", "--device", "sdb").code != 0
    assert daemon.called("AdoptStick") == []
