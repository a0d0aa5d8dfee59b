"""`plan`, `create`, `add`, `remove`, `refresh`, `verify`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from dbus_next.signature import Variant

from tests.cli import world
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon

MIB = 1024**2
CONSENT = ("--yes", "--device-id", world.USB_ID)


def test_plan_shows_disk_loss_images_and_firmware(luxusb: Run, daemon: FakeDaemon) -> None:
    result = luxusb("plan", "--device", "/dev/sdb", "ubuntu", f"image:{world.SHA_B}")
    assert result.code == 0, result.err
    assert result.out.splitlines() == [
        "/dev/sdb: Kingston DataTraveler, serial 001A, 16 GiB",
        f"  id {world.USB_ID}",
        "  will be erased, and with it:",
        '    partition 1, vfat "PHOTOS", 16 GiB',
        "  needs 4 GiB, leaves 11 GiB free",
        "On it will be, in the order of the menu:",
        "  1. The ubuntu system (ubuntu.iso, ?, to be downloaded, [signed])",
        "     warning: It needs 4 GiB of memory.",
        "  2. The arch.iso system (arch.iso, 3 GiB, BIOS, UEFI, [none])",
        "     warning: It needs 4 GiB of memory.",
        "Partitions:",
        "  1. BIOS boot 1 MiB",
        "  3. LUXDATA 1 MiB",
        "It starts under: BIOS, UEFI (without Secure Boot)",
        "Warning: GRUB is not signed on this host.",
    ]
    assert daemon.jobs == {}


def test_a_warning_of_an_image_is_told_once(luxusb: Run, daemon: FakeDaemon) -> None:
    warnings = ["arch.iso: It needs 4 GiB of memory.", "Something else."]
    daemon.plan_changes = {"warnings": Variant("as", warnings)}
    result = luxusb("plan", "--device", "/dev/sdb", f"image:{world.SHA_B}")
    assert result.out.count("It needs 4 GiB of memory.") == 1
    assert result.out.splitlines()[-1] == "Warning: Something else."


def test_plan_json_and_options(luxusb: Run, daemon: FakeDaemon) -> None:
    stick = [
        "--filesystem",
        "exfat",
        "--companion",
        "1GiB",
        "--share",
        "512MiB",
        "--label",
        "MINE",
        "--menu-timeout",
        "5",
        "--serial-console",
        "--theme",
        "none",
        "--forget",
        "--menu-language",
        "de",
        "--allow-large",
    ]
    document = luxusb("plan", "--device", world.USB_ID, "image:b2b2b2", *stick, "--json").document
    assert document["plan"]["token"] == "token-1"
    assert document["plan"]["devices"][0]["lost"] == ['partition 1, vfat "PHOTOS", 16 GiB']
    (lost,) = document["plan"]["devices"][0]["lost_details"]
    assert (lost["label"], lost["used"]) == ("PHOTOS", 3 * world.GIB)
    (call,) = daemon.called("PlanStick")
    assert call.body[:2] == [[world.USB], [f"image:{world.SHA_B}"]]
    assert {key: value.value for key, value in call.body[2].items()} == {
        "filesystem": "exfat",
        "companion": 1 << 30,
        "share": 512 << 20,
        "label": "MINE",
        "timeout": 5,
        "serial_console": True,
        "theme": "none",
        "remember": False,
        "language": "de",
        "allow_large": True,
    }


def test_plan_imports_local_files_first(luxusb: Run, daemon: FakeDaemon, iso: Path) -> None:
    digest = hashlib.sha256(iso.read_bytes()).hexdigest()
    result = luxusb("plan", "--device", "sdb", "debian-live", iso)
    assert result.code == 0, result.err
    assert daemon.called("PlanStick")[0].body[1] == ["distro:debian-live", f"image:{digest}"]


def test_plan_of_an_image_file_leaves_nothing_behind(luxusb: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    new, empty, full = tmp_path / "new.img", tmp_path / "empty.img", tmp_path / "full.img"
    empty.touch()
    full.write_bytes(b"x" * MIB)
    assert luxusb("plan", "--image-file", new, "--size", "4MiB", "ubuntu").code == 0
    assert luxusb("plan", "--image-file", empty, "--size", "4MiB", "ubuntu").code == 0
    assert luxusb("plan", "--image-file", full, "ubuntu").code == 0
    assert daemon.target_sizes == [(0, 4 * MIB), (0, 4 * MIB), (MIB, MIB)]
    assert not new.exists()
    assert empty.stat().st_size == 0
    assert full.read_bytes() == b"x" * MIB


def test_the_size_of_a_file_with_content_is_not_changed(luxusb: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    full = tmp_path / "full.img"
    full.write_bytes(b"x" * MIB)
    for command in ("plan", "create"):
        result = luxusb(command, "--image-file", full, "--size", "4KiB", "ubuntu", *(["--yes"] * (command == "create")))
        assert result.code == 2
        assert "is not changed in size" in result.err
    assert full.read_bytes() == b"x" * MIB
    assert daemon.target_sizes == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "ubuntu"],
        ["plan", "--device", "sdb"],
        ["plan", "--device", "sdb", "--image-file", "x", "ubuntu"],
        ["plan", "--device", "sdb", "--size", "4GiB", "ubuntu"],
        ["plan", "--image-file", "new.img", "ubuntu"],
        ["plan", "--image-file", "new.img", "--size", "big", "ubuntu"],
        ["create", "--image-file", "new.img", "--size", "4GiB", "--no-wait", "ubuntu"],
        ["create", "--device", "sdb", "ubuntu"],
        ["create", "--device", "sdb", "--yes", "ubuntu"],
        ["create", "--device", "sdb", "--yes", "ubuntu", "--json"],
        ["create", "--device", "sdb", "--menu-timeout", "31", "ubuntu"],
        ["remove", "--device", "sdc", "arch.iso"],
        ["remove", "--device", "sdc", "arch.iso", "--yes"],
        ["add", "ubuntu"],
        ["verify"],
        ["modify", "1"],
        ["pause", "x"],
        ["jobs", "--limit", "0"],
        ["download"],
        ["devics"],
        ["devices", "--jsn"],
    ],
)
def test_usage_errors_touch_nothing(
    luxusb: Run, daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = luxusb(*arguments)
    assert result.code == 2
    assert result.err.startswith("luxusb: ") or "--json" in arguments
    assert list(tmp_path.iterdir()) == []
    assert {call.member for call in daemon.calls} <= {"GetManagedObjects"}


def test_usage_errors_are_documents_with_json(luxusb: Run, daemon: FakeDaemon) -> None:
    result = luxusb("devics", "--json")
    assert (result.code, result.err) == (2, "")
    assert result.document == {
        "error": {
            "name": "org.luxusb.Client.Usage",
            "message": "There is no command devics. Did you mean devices?",
        }
    }


def test_create(luxusb: Run, daemon: FakeDaemon) -> None:
    result = luxusb("create", "--device", "/dev/sdb", "ubuntu", "image:a1a1a1", *CONSENT)
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert lines[0] == "/dev/sdb: Kingston DataTraveler, serial 001A, 16 GiB"
    assert lines[-1] == "Done: /dev/sdb is ready, written and read back."
    assert any(line.startswith("  job 2 download ubuntu: transfer") for line in lines)
    assert any(line.startswith("job 1 create a stick: read-back") for line in lines)
    assert [call.body[0] for call in daemon.called("CreateStick")] == ["token-1"]


def test_create_json(luxusb: Run, daemon: FakeDaemon) -> None:
    result = luxusb("create", "--device", "/dev/sdb", "ubuntu", *CONSENT, "--json")
    assert (result.code, result.err) == (0, "")
    assert result.document["job"]["state"] == "succeeded"
    assert result.document["plan"]["images"][0]["reference"] == "distro:ubuntu"


def test_create_hands_its_options_on(luxusb: Run, daemon: FakeDaemon) -> None:
    words = {
        "--filesystem exfat --companion 64MiB --share 1GiB": {
            "filesystem": "exfat", "companion": 64 * MIB, "share": world.GIB,
        },
        "--persistence ubuntu=2GiB --persistence-partition 1GiB": {
            "persistence": {"distro:ubuntu": 2 * world.GIB}, "persistence_partition": world.GIB,
        },
        "--label MINE --menu-timeout 7 --serial-console --theme none --forget --menu-language de": {
            "label": "MINE", "timeout": 7, "serial_console": True, "theme": "none", "remember": False, "language": "de",
        },
        "--allow-large --no-probe --download-first": {"allow_large": True, "probe": False, "download_first": True},
        "--probe --no-keep": {"probe": True, "keep_images": False},
    }  # fmt: skip
    for options, asked in words.items():
        result = luxusb("create", "--device", "/dev/sdb", "ubuntu", *options.split(), *CONSENT)
        assert result.code == 0, result.err
        assert {name: value.value for name, value in daemon.called("PlanStick")[-1].body[2].items()} == asked


def test_create_without_waiting(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.auto = False
    result = luxusb("create", "--device", "/dev/sdb", "ubuntu", *CONSENT, "--no-wait")
    assert result.code == 0
    assert result.out.endswith("Job 1 started: create a stick. Watch it with `luxusb watch 1`.\n")
    assert not daemon.jobs["/org/luxusb/jobs/_1"].finished


def test_create_on_another_disk_than_the_id_says(luxusb: Run, daemon: FakeDaemon) -> None:
    result = luxusb("create", "--device", "/dev/sdc", "ubuntu", *CONSENT)
    assert result.code == 1
    assert f"Its id is {world.STICK_ID}." in result.err
    assert daemon.called("CreateStick") == daemon.called("PlanStick") == []


def test_create_on_the_system_disk(luxusb: Run, daemon: FakeDaemon) -> None:
    result = luxusb("create", "--device", "sda", "ubuntu", "--yes", "--device-id", "ata-Samsung-1", "--json")
    assert result.code == 1
    assert result.document["error"]["name"] == "org.luxusb.Error.SystemDevice"


def test_a_large_disk_needs_a_word_more(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.devices[world.USB] |= {"Large": True, "Size": 2048 * world.GIB}
    row = next(line for line in luxusb("devices").out.splitlines() if "/dev/sdb" in line)
    assert "only with --allow-large" in row
    refused = luxusb("create", "--device", "sdb", "ubuntu", *CONSENT)
    assert (refused.code, daemon.called("CreateStick")) == (1, [])
    assert "a disk of 2.0 TiB" in refused.err
    assert "add --allow-large" in refused.err
    assert luxusb("create", "--device", "sdb", "ubuntu", "--allow-large", *CONSENT).code == 0


def test_create_on_two_disks(luxusb: Run, daemon: FakeDaemon) -> None:
    both = ("--device", "sdb", "--device", "sdc", "ubuntu", "--json", *CONSENT)
    assert luxusb("create", *both).code == 1
    assert luxusb("create", *both, "--device-id", world.STICK_ID).code == 0
    assert daemon.called("PlanStick")[-1].body[0] == [world.USB, world.STICK]


def test_create_an_image_file(luxusb: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    file = tmp_path / "stick.img"
    result = luxusb("create", "--image-file", file, "--size", "4MiB", "ubuntu")
    assert result.code == 0, result.err
    assert "  holds nothing that would be lost" in result.out.splitlines()
    assert file.stat().st_size == 4 * MIB
    (opened,), (created,) = daemon.called("OpenImageTarget"), daemon.called("CreateStick")
    assert opened.sender == created.sender
    daemon.wait_for(lambda: not daemon.private, "the end of the image file's device")


def test_create_in_an_image_file_with_content_needs_consent(luxusb: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    file = tmp_path / "stick.img"
    file.write_bytes(b"x" * MIB)
    assert luxusb("create", "--image-file", file, "ubuntu").code == 2
    assert daemon.called("OpenImageTarget") == []
    assert luxusb("create", "--image-file", file, "ubuntu", "--yes").code == 0


def test_a_refused_plan_takes_the_new_image_file_away(luxusb: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    file = tmp_path / "stick.img"
    daemon.errors["CreateStick"] = ("org.luxusb.Error.ToolMissing", "mkfs.ext4 is missing: install e2fsprogs.")
    assert luxusb("create", "--image-file", file, "--size", "4MiB", "ubuntu").code == 1
    assert luxusb("create", "--image-file", file, "--size", "4MiB", "nothing").code == 1
    assert not file.exists()


def test_a_failed_job_keeps_the_image_file(luxusb: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    file = tmp_path / "stick.img"
    daemon.fail_with = ("org.luxusb.Error.ToolFailed", "mke2fs: no.")
    result = luxusb("create", "--image-file", file, "--size", "4MiB", f"image:{world.SHA_A}", "--json")
    assert result.code == 1
    assert result.document["error"] == {"name": "org.luxusb.Error.ToolFailed", "message": "mke2fs: no."}
    assert result.document["job"]["state"] == "failed"
    assert file.exists()


def test_add(luxusb: Run, daemon: FakeDaemon, iso: Path) -> None:
    digest = hashlib.sha256(iso.read_bytes()).hexdigest()
    result = luxusb("add", "--device", "sdc", "ubuntu", iso)
    assert result.code == 0, result.err
    assert result.out.splitlines()[-1] == "Added to /dev/sdc."
    assert daemon.called("AddImages")[0].body[:2] == [world.STICK, ["distro:ubuntu", f"image:{digest}"]]
    assert luxusb("add", "--device", "sdc", "ubuntu", "--json").document["job"]["operation"] == "add"


def test_add_says_what_had_to_be_kept(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.added = {"kept_images": Variant("as", ["a.iso", "b\x1b.iso"])}
    daemon.devices[world.USB] |= {"State": "luxusb"}
    for disks in (("sdc",), ("sdc", "sdb")):
        devices = [word for disk in disks for word in ("--device", disk)]
        result = luxusb("add", *devices, "ubuntu", "--no-keep")
        assert result.code == 0, result.err
        assert (
            result.out.count("a.iso, b.iso: stays on this machine all the same; it cannot be checked otherwise.") == 1
        )


def test_add_to_an_image_file(luxusb: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    file = tmp_path / "stick.img"
    file.write_bytes(b"x" * MIB)
    assert luxusb("add", "--image-file", file, "ubuntu").code == 0
    assert luxusb("add", "--image-file", tmp_path / "gone.img", "ubuntu").code == 1


def test_remove(luxusb: Run, daemon: FakeDaemon) -> None:
    consent = ("--yes", "--device-id", world.STICK_ID)
    result = luxusb("remove", "--device", "sdc", "arch.iso", "image:a1a1a1", *consent)
    assert result.code == 0, result.err
    assert daemon.called("RemoveImages")[0].body[:2] == [world.STICK, ["arch.iso", "debian.iso"]]
    unknown = luxusb("remove", "--device", "sdc", "arhc.iso", *consent, "--json")
    assert unknown.code == 1
    assert unknown.document["error"]["name"] == "org.luxusb.Error.ImageNotFound"


def test_refresh(luxusb: Run, daemon: FakeDaemon) -> None:
    assert luxusb("refresh", "--device", "sdc").out.endswith("The boot files on /dev/sdc are new.\n")
    assert luxusb("refresh", "--device", "sdc", "--json").document["job"]["state"] == "succeeded"


def test_rescan(luxusb: Run, daemon: FakeDaemon) -> None:
    assert luxusb("rescan", "--device", "sdc").out.endswith("The menu of /dev/sdc fits what is on it.\n")
    assert daemon.called("RescanStick")[-1].body[-1] == {}

    def image(name: str, renamed_from: str = "") -> dict[str, Variant]:
        texts = {"name": name, "title": f"The {name}\x1b[31m", "renamed_from": renamed_from}
        return {"size": Variant("t", 3 << 30), **{key: Variant("s", value) for key, value in texts.items()}}

    def left(name: str, reason: str) -> dict[str, Variant]:
        return {"name": Variant("s", name), "reason": Variant("s", reason)}

    daemon.rescanned = {
        "images": Variant("as", ["a.iso", "b.iso"]),
        "added": Variant("aa{sv}", [image("a.iso"), image("b.iso", "old.iso")]),
        "changed": Variant("aa{sv}", [image("c.iso")]),
        "removed": Variant("as", ["gone.iso"]),
        "skipped": Variant("aa{sv}", [left("notes.txt", "it is no image"), left("", "and 3 more files")]),
        "unchanged": Variant("t", 0),
    }
    result = luxusb("rescan", "--device", "sdc", "--all")
    assert daemon.called("RescanStick")[-1].body[-1]["thorough"].value is True
    assert result.out.splitlines()[-11:] == [
        "new in the menu:",
        "  a.iso  The a.iso[31m (3 GiB)",
        "  b.iso  The b.iso[31m (3 GiB) was called old.iso",
        "changed, entry made anew:",
        "  c.iso  The c.iso[31m (3 GiB)",
        "out of the menu:",
        "  gone.iso",
        "left as they are, without an entry:",
        "  notes.txt: it is no image",
        "  and 3 more files",
        "The menu of /dev/sdc has 2 images now.",
    ]
    assert luxusb("rescan", "--device", "sdc", "--json").document["job"]["result"]["removed"] == ["gone.iso"]
    assert "job 4 started" in luxusb("rescan", "--device", "sdc", "--no-wait").out.lower()


def test_images_that_the_menu_does_not_show(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.devices[world.STICK]["UnlistedImages"] = 2
    assert "2 image files are not in its menu (luxusb rescan)" in luxusb("devices").out
    assert luxusb("contents", "--device", "sdc").out.startswith("2 image files are not in its menu (luxusb rescan)\n")
    assert luxusb("contents", "--device", "sdc", "--json").document["unlisted_images"] == 2


def test_verify(luxusb: Run, daemon: FakeDaemon) -> None:
    result = luxusb("verify", "--device", "sdc")
    assert result.code == 0
    assert result.out.splitlines()[-4:] == [
        "NAME        STATE",
        "debian.iso  good",
        "arch.iso    good",
        "/dev/sdc is sound.",
    ]
    document = luxusb("verify", "--device", "sdc", "--json").document
    assert document["job"]["result"]["ok"] is True
    assert document["job"]["result"]["images"][0]["state"] == "good"


def test_verify_of_a_damaged_stick(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.verify_ok = False
    result = luxusb("verify", "--device", "sdc")
    assert result.code == 1
    assert "damaged" in result.out
    assert result.err.startswith("luxusb: /dev/sdc is damaged\n")
    failed = luxusb("verify", "--device", "sdc", "--json")
    assert failed.code == 1
    assert failed.document["error"]["name"] == "org.luxusb.Error.VerificationFailed"
    assert failed.document["job"]["result"]["ok"] is False
