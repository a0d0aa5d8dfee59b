"""`write-raw`, `restore`, `probe`, `eject`, `repair`, `persistence`, `mirrors`, `settings KEY=VALUE`."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest
from dbus_next.signature import Variant

from tests.cli import world
from tests.cli.conftest import Run, Spawn
from tests.cli.fake_daemon import FakeDaemon

CONSENT = ("--yes", "--device-id", world.USB_ID)
STICK_CONSENT = ("--yes", "--device-id", world.STICK_ID)
STRAY = "persist-0123456789abcdef"


def test_write_raw(luxusb: Run, daemon: FakeDaemon, iso: Path) -> None:
    digest = hashlib.sha256(iso.read_bytes()).hexdigest()
    result = luxusb("write-raw", iso, "--device", "sdb", *CONSENT)
    assert result.code == 0, result.err
    assert result.out.splitlines()[-1] == "Done: /dev/sdb is written and read back."
    assert '    partition 1, vfat "PHOTOS", 16 GiB' in result.out.splitlines()
    (planned,) = daemon.called("PlanStick")
    assert planned.body[:2] == [[world.USB], [f"image:{digest}"]]
    assert {key: value.value for key, value in planned.body[2].items()} == {"raw": True}
    assert daemon.called("WriteRaw")[0].body[0] == "token-1"
    assert daemon.called("ImportImage")[0].body[2]["keep_packed"].value is True
    lines = result.out.splitlines()
    first = lines.index("Written to it byte for byte will be:")
    assert lines[first + 3 : first + 5] == [
        "     unpacked from xz on the way: 4 GiB",
        "     of that the block map has 1 GiB written",
    ]


def test_what_write_raw_can_be_told(luxusb: Run, daemon: FakeDaemon, iso: Path) -> None:
    told = ("--unbootable", "--no-probe", "--allow-large")
    assert luxusb("write-raw", iso, "--device", "sdb", *told, *CONSENT).code == 0
    beside = iso.with_suffix(".bmap")
    beside.write_text("<bmap/>")
    assert luxusb("write-raw", iso, "--device", "sdb", *CONSENT).code == 0
    assert luxusb("write-raw", iso, "--no-bmap", "--device", "sdb", *CONSENT).code == 0
    beside.unlink()
    other = iso.with_name("other")
    other.write_text("<bmap/>")
    assert luxusb("write-raw", iso, "--bmap", other, "--device", "sdb", *CONSENT).code == 0
    assert luxusb("write-raw", iso, "--bmap", other, "--no-bmap", "--device", "sdb", *CONSENT).code == 2
    given = [{key: value.value for key, value in call.body[2].items()} for call in daemon.called("PlanStick")]
    assert given == [
        {"raw": True, "unbootable": True, "probe": False, "allow_large": True},
        {"raw": True, "bmap": 0},
        {"raw": True},
        {"raw": True, "bmap": 0},
    ]


@pytest.mark.parametrize(
    ("command", "member", "danger", "done"),
    [
        ("restore", "RestoreDisk", "Everything on it will be lost.", "/dev/sdb is a plain drive again."),
        ("probe", "ProbeCapacity", "What is on it comes back afterwards.", "/dev/sdb holds what it says."),
    ],
)
def test_restore_and_probe(luxusb: Run, daemon: FakeDaemon, command: str, member: str, danger: str, done: str) -> None:
    result = luxusb(command, "--device", "sdb", *CONSENT)
    assert result.code == 0, result.err
    assert result.out.splitlines()[0] == "/dev/sdb: Kingston DataTraveler, serial 001A, 16 GiB"
    assert danger in result.out
    assert result.out.splitlines()[-1] == done
    assert daemon.called(member)[0].body[0] == world.USB
    for arguments in (["--device", "sdb"], ["--device", "sdb", "--yes"], []):
        assert luxusb(command, *arguments).code == 2
    assert luxusb(command, "--device", "sdc", *CONSENT).code == 1
    assert len(daemon.called(member)) == 1


def test_a_probe_that_finds_a_counterfeit(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.probed = world.probed("wraps", 4 * world.GIB)
    result = luxusb("probe", "--device", "sdb", *CONSENT)
    assert result.code == 1
    assert [line.split() for line in result.out.splitlines()[-4:]] == [
        ["FROM", "SIZE", "STATE"],
        ["0", "B", "4", "GiB", "good"],
        ["4", "GiB", "12", "GiB", "has", "what", "was", "written", "elsewhere"],
        ["It", "reads", "20", "MiB/s", "and", "writes", "10", "MiB/s,", "one", "block", "after", "the", "other."],
    ]
    assert "/dev/sdb is counterfeit or broken" in result.err
    assert "It has 4 GiB and not 16 GiB: what is written past that overwrites what is before." in result.err
    failed = luxusb("probe", "--device", "sdb", "--json", *CONSENT)
    assert failed.code == 1
    assert failed.document["error"]["name"] == "org.luxusb.Error.DeviceCounterfeit"
    assert failed.document["job"]["result"]["capacity"] == 4 * world.GIB
    daemon.probed = world.probed("slow", 16 * world.GIB)
    assert "far slower" in luxusb("probe", "--device", "sdb", *CONSENT).out


def test_what_restore_and_probe_can_be_told(luxusb: Run, daemon: FakeDaemon) -> None:
    told = ("--filesystem", "fat32", "--label", "MUSIC", "--allow-large")
    assert luxusb("restore", "--device", "sdb", *told, *CONSENT).code == 0
    assert (
        luxusb("probe", "--full", "--device", "sdb", *CONSENT).out.splitlines()[2] == "  Everything on it will be lost."
    )
    assert luxusb("create", "ubuntu", "--no-probe", "--device", "sdb", *CONSENT).code == 0
    given = [
        {key: value.value for key, value in daemon.called(member)[0].body[place].items()}
        for member, place in (("RestoreDisk", 1), ("ProbeCapacity", 1), ("PlanStick", 2))
    ]
    assert given == [{"filesystem": "fat32", "label": "MUSIC", "allow_large": True}, {"mode": "full"}, {"probe": False}]


@pytest.mark.parametrize("command", ["restore", "probe", "write-raw"])
def test_consent_is_the_name_of_the_disk(spawn: Spawn, daemon: FakeDaemon, command: str) -> None:
    image = ["ubuntu"] if command == "write-raw" else []
    asking = spawn(command, *image, "--device", "sdb", terminal=True)
    asking.wait_for("Type sdb to ")
    asking.type("sdc\n")
    assert asking.finish() == 5
    assert daemon.jobs == {}


def test_an_engine_is_missing_before_anything_is_asked(spawn: Spawn, daemon: FakeDaemon) -> None:
    daemon.missing.add("RestoreDisk")
    asking = spawn("restore", "--device", "sdb", terminal=True)
    assert asking.finish() == 1
    assert "Type sdb" not in asking.output


def test_eject(luxusb: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    assert luxusb("eject", "--device", "sdb").out == "/dev/sdb can be unplugged.\n"
    assert world.USB not in daemon.devices
    assert luxusb("eject", "--image-file", tmp_path / "x").code == 2


def test_repair(luxusb: Run, daemon: FakeDaemon) -> None:
    assert luxusb("repair", "--device", "sdc").out.endswith("Nothing is wrong with /dev/sdc; it was not changed.\n")
    assert luxusb("repair", "--device", "sdb").code == 1
    assert [call.body[0] for call in daemon.called("RepairStick")] == [world.STICK, world.USB]


def test_repair_tells_what_it_found_and_what_is_lost(luxusb: Run, daemon: FakeDaemon) -> None:
    device = daemon.devices[world.STICK]
    device |= {"State": "damaged", "Damage": "both boot menus are incomplete; repair the stick"}
    shown = luxusb("devices").out
    assert "both boot menus are incomplete; repair the stick (luxusb repair)" in shown
    assert luxusb("contents", "--device", "sdc").out.startswith("both boot menus are incomplete")

    def lost(name: str, source: str, reason: str) -> dict[str, Variant]:
        texts = {"name": name, "title": name.title(), "sha256": world.SHA_A, "source": source, "reason": reason}
        return {**{key: Variant("s", value) for key, value in texts.items()}, "size": Variant("t", world.GIB)}

    found = {"area": "menu", "problem": "both menus\nwere incomplete", "done": "written anew"}
    daemon.repaired = {
        "sound": Variant("b", False),
        "findings": Variant("aa{sv}", [{key: Variant("s", value) for key, value in found.items()}]),
        "lost": Variant("aa{sv}", [lost("a.iso", "distro:alpha@1.0", "damaged"), lost("b.iso", "import", "gone")]),
        "filesystem_log": Variant("as", []),
        "images": Variant("as", ["c.iso"]),
        "free_bytes": Variant("t", 5),
    }
    lines = luxusb("repair", "--device", "sdc").out.splitlines()
    assert lines[-8:] == [
        "found, and what was done:",
        "  both menus were incomplete: written anew",
        "lost:",
        "  a.iso  A.Iso (1 GiB): damaged",
        "  b.iso  B.Iso (1 GiB): gone",
        "Add again: luxusb add --device /dev/sdc alpha@1.0",
        "Images of your own come back with `luxusb add` and their files.",
        "/dev/sdc is mended.",
    ]
    assert luxusb("repair", "--device", "sdc", "--json").document["job"]["result"]["lost"][1]["name"] == "b.iso"
    assert "started" in luxusb("repair", "--device", "sdc", "--no-wait").out


def test_persistence(luxusb: Run, daemon: FakeDaemon) -> None:
    assert luxusb("persistence", "arch.iso", "4GiB", "--device", "sdc").out.endswith(
        "arch.iso keeps changes in 4 GiB.\n"
    )
    assert luxusb("persistence", "arch.iso", "0", "--device", "sdc").code == 2
    gone = luxusb("persistence", "image:a1a1a1", "0", "--device", "sdc", *STICK_CONSENT)
    assert gone.out.endswith("debian.iso keeps no changes.\n")
    assert [call.body[:3] for call in daemon.called("SetPersistence")] == [
        [world.STICK, "arch.iso", 4 * world.GIB],
        [world.STICK, "debian.iso", 0],
    ]


def test_room_that_belongs_to_no_image(luxusb: Run, daemon: FakeDaemon) -> None:
    assert luxusb("persistence", "--device", "sdc").out == "No image on /dev/sdc keeps changes.\n"
    stick = daemon.devices[world.STICK]
    stick["StrayChanges"] = [{"name": Variant("s", STRAY), "size": Variant("t", 2 * world.GIB)}]
    stick["Images"][0]["persistence"] = Variant("t", world.GIB)
    note = "2 GiB of changes belong to no image (luxusb persistence)"
    assert note in luxusb("devices").out
    assert luxusb("contents", "--device", "sdc").out.startswith(f"{note}\n  {STRAY}  2 GiB\n")
    shown = luxusb("persistence", "--device", "sdc").out.splitlines()
    assert [line.split("  ")[0] for line in shown] == ["NAME", "debian.iso", STRAY]
    assert shown[2].endswith("(belongs to no image)")
    assert luxusb("persistence", "--device", "sdc", "--json").document["rooms"] == [
        {"name": "debian.iso", "size": world.GIB, "stray": False},
        {"name": STRAY, "size": 2 * world.GIB, "stray": True},
    ]
    assert luxusb("persistence", STRAY, "--device", "sdc").code == 2
    assert luxusb("persistence", STRAY, "0", "--device", "sdc").code == 2, "it asks before it removes anything"
    assert luxusb("persistence", STRAY, "1GiB", "--device", "sdc", "--yes").code != 0
    assert not daemon.called("SetPersistence")
    assert luxusb("persistence", STRAY, "0", "--device", "sdc", *STICK_CONSENT).out.endswith(f"{STRAY} is gone.\n")
    assert [call.body[:3] for call in daemon.called("SetPersistence")] == [[world.STICK, STRAY, 0]]


def test_mirrors(luxusb: Run, daemon: FakeDaemon) -> None:
    until = time.strftime("%Y-%m-%d %H:%M", time.localtime(world.BANNED_UNTIL)).split()
    assert [line.split() for line in luxusb("mirrors", "ubuntu").out.splitlines()] == [
        ["MIRROR", "COUNTRY", "RATE", "LATENCY", "SUCCESS", "STATE"],
        ["https://fast.example.org/a.iso", "DE", "(preferred)", "20", "MiB/s", "25", "ms", "98%", "ok"],
        ["https://new.example.org/a.iso", "-", "-", "-", "untried"],
        [
            "https://liar.example.org/a.iso",
            "US",
            "-",
            "-",
            "-",
            "banned",
            "until",
            *until[:1],
            until[1] + ":",
            "its",
            "bytes",
            "differed",
        ],
    ]
    assert "Did you mean ubuntu?" in luxusb("mirrors", "ubunut").err
    listed = luxusb("mirrors", "ubuntu@24.04", "--json").document["mirrors"]
    assert (listed[2]["state"], listed[2]["until"], listed[0]["preferred"]) == ("banned", world.BANNED_UNTIL, True)
    assert daemon.called("ListMirrors")[-1].body[0] == "ubuntu@24.04"


def test_a_race_shows_each_mirror(luxusb: Run, daemon: FakeDaemon) -> None:
    result = luxusb("mirrors", "ubuntu", "--race")
    assert result.code == 0
    assert len(daemon.called("RaceMirrors")) == 1
    assert "https://fast.example.org/a.iso" in result.out


def test_mirror_preferences(luxusb: Run, daemon: FakeDaemon) -> None:
    assert luxusb("mirrors", "ubuntu@24.04", "--pin", "https://x.example.org/", "--exclude", "us").code == 0
    assert luxusb("mirrors", "--country", "de,fr", "--country", "AT").out == "The preference is set.\n"
    assert luxusb("mirrors", "--country", "", "--unpin").code == 0
    assert luxusb("mirrors", "--auto", "--json").document == {"mirrors": []}
    told = [
        (call.body[0], {key: value.value for key, value in call.body[1].items()})
        for call in daemon.called("SetMirrorPreference")
    ]
    assert told == [
        ("ubuntu", {"mode": "pinned", "url": "https://x.example.org/", "exclude": ["US"]}),
        ("", {"prefer": ["DE", "FR", "AT"]}),
        ("", {"mode": "auto", "prefer": []}),
        ("", {"mode": "auto", "prefer": [], "exclude": []}),
    ]
    wrong = [
        *(["--race"], [], ["ubuntu", "--auto", "--country", "DE"], ["ubuntu", "--auto", "--unpin"]),
        ["ubuntu", "--unpin", "--pin", "https://x.example.org/"],
    ]
    for arguments in wrong:
        assert luxusb("mirrors", *arguments).code == 2
    assert len(daemon.called("SetMirrorPreference")) == len(told)


def test_settings_are_changed_with_their_types(luxusb: Run, daemon: FakeDaemon) -> None:
    changes = ["downloads.max_parallel=5", "devices.allow_loop=yes", "mirrors.exclude=AA, BB,"]
    result = luxusb("settings", *changes)
    assert result.code == 0, result.err
    assert result.out.splitlines()[1:] == [
        "devices.allow_loop      yes     set",
        "downloads.max_parallel  5       set",
        "mirrors.exclude         AA, BB  set",
        "Changed.",
    ]
    assert len(daemon.called("SetSettings")) == 1
    assert luxusb("settings", "mirrors.exclude=", "--json").document["settings"]["mirrors.exclude"] == []
    assert luxusb("settings", "downloads.max_parallel=5KiB").code == 0
    assert daemon.called("SetSettings")[-1].body[0]["downloads.max_parallel"].value == 5120


def test_one_setting_is_shown(luxusb: Run, daemon: FakeDaemon) -> None:
    assert luxusb("settings", "mirrors.exclude").out.splitlines()[1:] == ["mirrors.exclude  XX, YY  default"]
    assert daemon.called("SetSettings") == []


def test_settings_are_taken_back(luxusb: Run, daemon: FakeDaemon) -> None:
    assert luxusb("settings", "downloads.max_parallel=5", "devices.allow_loop=yes").code == 0
    result = luxusb("settings", "--reset", "downloads.max_parallel", "--json")
    assert result.document["settings"]["downloads.max_parallel"] == 3
    assert result.document["origins"]["devices.allow_loop"] == "set"
    assert luxusb("settings", "--reset").out.splitlines()[1] == "devices.allow_loop      no      default"
    assert [call.body[0] for call in daemon.called("ResetSettings")] == [["downloads.max_parallel"], []]
    refused = luxusb("settings", "--reset", "downloads.max_parallel=5")
    assert refused.code == 2
    assert "Leave out the values" in refused.err


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("downloads.max_paralel=5", "Did you mean downloads.max_parallel?"),
        ("downloads.max_parallel=many", "It is a whole number, or a size such as 5MiB."),
        ("downloads.max_parallel=-1", "It is a whole number, or a size such as 5MiB."),
        ("devices.allow_loop=perhaps", "It is yes or no."),
        ("downloads", "There is no setting downloads"),
        ("=5", "Give KEY=VALUE"),
    ],
)
def test_wrong_settings(luxusb: Run, daemon: FakeDaemon, change: str, text: str) -> None:
    result = luxusb("settings", change)
    assert result.code == 2
    assert text in result.err
    assert daemon.called("SetSettings") == []
