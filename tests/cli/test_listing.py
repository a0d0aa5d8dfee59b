"""Commands that only ask."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dbus_next.signature import Variant

from tests.cli import world
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon


def test_devices(luxusb: Run, daemon: FakeDaemon) -> None:
    result = luxusb("devices")
    assert result.code == 0
    header, *rows = result.out.splitlines()
    assert header.split() == ["NODE", "SIZE", "MODEL", "SERIAL", "BUS", "STATE", "ID", "NOTE"]
    assert [row.split()[0] for row in rows] == ["/dev/sda", "/dev/sdb", "/dev/sdc"]
    assert "The running system lives on this disk." in rows[0]
    assert "Kingston DataTraveler" in rows[1]
    assert "luxusb, 2 images" in rows[2]
    assert "9 GiB free" in rows[2]
    assert not any(row.endswith(" ") for row in rows)


def test_devices_json(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.do(lambda: daemon.devices[world.USB].update(CurrentJob="/org/luxusb/jobs/_3"))
    document = luxusb("devices", "--json").document
    assert [device["node"] for device in document["devices"]] == ["/dev/sda", "/dev/sdb", "/dev/sdc"]
    usb = document["devices"][1]
    assert usb["id"] == world.USB_ID
    assert usb["size"] == 16 * world.GIB
    assert usb["current_job"] == "/org/luxusb/jobs/_3"
    assert document["devices"][2]["images"][0]["sha256"] == world.SHA_A
    assert luxusb("--json", "devices").document == document


def test_no_device(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.do(daemon.devices.clear)
    assert luxusb("devices").out == "There is no disk. Plug a USB stick in.\n"
    assert luxusb("devices", "--json").document == {"devices": []}


def test_distros(luxusb: Run, daemon: FakeDaemon) -> None:
    lines = luxusb("distros").out.splitlines()
    assert [line.split()[0] for line in lines] == ["ID", "debian-live", "ubuntu", "sysrescue"]
    assert "3 GiB" in lines[1]
    assert "?" in lines[2]


def test_distros_search(luxusb: Run, daemon: FakeDaemon) -> None:
    found = luxusb("distros", "rescue", "--category", "rescue", "--architecture", "amd64", "--json").document
    assert [item["id"] for item in found["distributions"]] == ["sysrescue"]
    (call,) = daemon.called("ListDistributions")
    assert {key: value.value for key, value in call.body[0].items()} == {
        "text": "rescue",
        "category": "rescue",
        "architecture": "amd64",
    }
    assert luxusb("distros", "zzz").out == "Nothing fits zzz.\n"
    assert luxusb("distros", "zzz", "--json").document["suggestions"] == []


def test_every_filter_goes_to_the_daemon(luxusb: Run, daemon: FakeDaemon) -> None:
    filters = ["--family", "casper", "--secure-boot", "--fits", "sdb", "--hide-end-of-life", "--sort", "name"]
    assert luxusb("distros", "pop", "os", *filters).code == 0
    call = daemon.called("ListDistributions")[0]
    assert {key: (value.signature, value.value) for key, value in call.body[0].items()} == {
        "text": ("s", "pop os"),
        "family": ("s", "casper"),
        "secure_boot": ("b", True),
        "device": ("o", world.USB),
        "hide_end_of_life": ("b", True),
        "sort": ("s", "name"),
    }
    assert luxusb("distros", "--fits", "sdq").err.startswith("luxusb: There is no disk sdq\n")
    for wrong in (["--architecture", "amd46"], ["--sort", "size"]):
        assert luxusb("distros", *wrong).code == 2
    refused = luxusb("distros", "--category", "zzz")
    assert (refused.code, refused.out) == (2, "")
    assert "the option category cannot be zzz" in refused.err


def test_a_search_without_success_suggests(luxusb: Run, daemon: FakeDaemon) -> None:
    assert luxusb("distros", "ubunut").out == "Nothing fits ubunut. Did you mean ubuntu?\n"
    assert luxusb("distros", "debain", "live", "--json").document["suggestions"] == ["debian-live"]
    said = luxusb("distros", "ubuntu", "--category", "rescue")
    assert said.out == "Nothing fits ubuntu. Without the filters there would be ubuntu.\n"
    daemon.do(daemon.distros.clear)
    assert luxusb("distros").out == "The catalogue has nothing that fits.\n"
    assert luxusb("distros", "ubuntu").out == "Nothing fits ubuntu.\n"


def test_editions_are_grouped_and_what_has_ended_is_marked(luxusb: Run, daemon: FakeDaemon) -> None:
    def fill() -> None:
        editions = [world.release("2", name) for name in ("kde", "gnome", "xfce", "mate", "lxqt")]
        arm = world.release("2", "gnome") | {"architecture": Variant("s", "arm64")}
        old = world.release("1", "kde", end_of_life="2020-01-31")
        gone = world.release("7", end_of_life="2021-02-28")
        unsized = world.release("3", size=0) | {"fits": Variant("s", "unknown")}
        daemon.distros[:] = [
            world.distro("many", "Many", 1, "desktop", *editions, arm, old),
            world.distro("over", "Over", 2, "desktop", gone, world.release("6", end_of_life="2019-01-01")),
            world.distro("unsized", "Unsized", 3, "desktop", unsized),
        ]

    daemon.do(fill)
    header, many, over, unsized = luxusb("distros").out.splitlines()
    assert header.split() == ["ID", "NAME", "NEWEST", "EDITIONS", "SIZE", "TRUST", "CATEGORY", "NOTE"]
    assert "  2       kde, gnome, xfce, mate, +2  " in many
    assert many.endswith("desktop")
    assert over.endswith("desktop   end of life since 2021-02-28")
    assert unsized.endswith("whether it fits is not known")
    lines = luxusb("info", "many").out.splitlines()
    table = [line.split() for line in lines[lines.index("") + 1 :]]
    assert [line[0] for line in table] == [
        *("REFERENCE", "2", "many@2/gnome", "many@2/gnome", "many@2/kde", "many@2/lxqt", "many@2/mate", "many@2/xfce"),
        *("1", "many@1/kde"),
    ]
    assert [line[2] for line in table[2:4]] == ["amd64", "arm64"]
    assert " ".join(table[8]) == "1 end of life since 2020-01-31"
    assert "2020-01-31" in table[9]
    assert "family     debian-live" in lines
    unknown = luxusb("info", "unsized").out
    assert "SECURE BOOT" in unknown
    assert "not known" in unknown
    assert "END OF LIFE" not in unknown


def test_info(luxusb: Run, daemon: FakeDaemon) -> None:
    text = luxusb("info", "debian-live").out
    assert "Debian Live is a system." in text
    assert "debian-live@12.5/xfce" in text
    assert "signed by its maker" in text
    document = luxusb("info", "distro:debian-live", "--json").document["distribution"]
    assert document["releases"][0]["mirrors"] == [{"url": "https://example.org/a.iso", "country": "DE"}]


def test_info_of_an_unknown_distribution_suggests(luxusb: Run, daemon: FakeDaemon) -> None:
    result = luxusb("info", "ubunut")
    assert result.code == 1
    assert result.out == ""
    assert result.err.splitlines() == [
        "luxusb: Could not look up ubunut",
        "  why: The catalogue has no distribution ubunut.",
        "  what to do: Did you mean ubuntu? See the names with `luxusb distros`.",
    ]
    failed = luxusb("info", "ubunut", "--json")
    assert failed.code == 1
    assert failed.err == ""
    assert failed.document == {
        "error": {
            "name": "org.luxusb.Error.DistributionNotFound",
            "message": "The catalogue has no distribution ubunut.",
        }
    }


def test_images(luxusb: Run, daemon: FakeDaemon) -> None:
    lines = luxusb("images").out.splitlines()
    assert lines[1].startswith("image:a1a1a1a1a1a1  debian.iso  3 GiB")
    assert luxusb("images", "--json").document["images"][1]["reference"] == f"image:{world.SHA_B}"
    daemon.do(daemon.images.clear)
    assert "No image is stored" in luxusb("images").out


def test_inspect(luxusb: Run, daemon: FakeDaemon, iso: Path) -> None:
    text = luxusb("inspect", iso).out
    assert text.splitlines()[1:] == [
        "It starts from a file.",
        "",
        "System",
        "system            Debian GNU/Linux 12.5",
        "architecture      amd64",
        "family            debian",
        "recipe            debian-live, version 2",
        "memory            at least 512 MiB",
        "starts under      BIOS, UEFI with Secure Boot",
        "read from         ext4",
        "runs from memory  by an entry of its own",
        "keeps changes     in a file on the stick (ext4)",
        "",
        "File",
        "kind     ISO 9660 and UDF, names from Rock Ridge",
        "label    MY_LABEL",
        "UUID     2024-02-10-11-27-00-00",
        "size     500 B",
        "genuine  not checked; `--hash` compares it with the catalogue",
        "",
        "Entries",
        "  Live system (BIOS, UEFI)",
        "    kernel      /live/vmlinuz",
        "    initrd      /live/initrd.img",
        "    parameters  boot=live findiso=<path on the stick> root=<UUID of the stick>",
        "",
        "Secure Boot",
        "  Starts with the shim and GRUB of Debian.",
        "  /live/vmlinuz: signed by Debian Secure Boot Signer",
        "",
        "From a disc",
        "  BIOS: starts, without emulation",
        "",
        "Byte for byte on a stick",
        "  Made for it (hybrid): it has a partition table of its own.",
        "",
        "Partitions (MBR)",
        "NO  TYPE  FILESYSTEM  LABEL  START  SIZE",
        "1*  17    FAT32       ESP    1 MiB  4 MiB",
    ]
    assert luxusb("inspect", iso, "--json").document["image"]["size"] == 500


def test_inspect_with_hash(luxusb: Run, daemon: FakeDaemon, iso: Path) -> None:
    image = luxusb("inspect", iso, "--hash", "--json").document["image"]
    assert (image["sha256"], image["genuine"]) == (world.ISO_SHA, "Debian Live 12.5")
    lines = luxusb("inspect", iso, "--hash").out.splitlines()
    assert f"sha256   {world.ISO_SHA}" in lines
    assert "genuine  yes, this is Debian Live 12.5" in lines
    iso.write_bytes(b"another one")
    assert "genuine  not known: no release in the catalogue has this sha256" in luxusb("inspect", iso, "--hash").out


def test_inspect_explains_why_an_image_does_not_start(luxusb: Run, daemon: FakeDaemon, iso: Path) -> None:
    none = Variant("aa{sv}", [])
    daemon.inspected = {
        "bootable": Variant("b", False),
        "reason": Variant("s", "It is Windows."),
        "advice": Variant("s", "Write it raw."),
        "container": Variant("s", "disk"),
        "entries": none,
        "programs": none,
        "boot_records": none,
        "partitions": none,
    }
    lines = luxusb("inspect", iso).out.splitlines()
    assert lines[1:4] == ["It does not start from a file.", "  It is Windows.", "  Write it raw."]
    assert "kind     image of a whole disk, names from Rock Ridge" in lines
    assert lines[-1] == "genuine  not checked; `--hash` compares it with the catalogue"


def test_inspect_of_what_is_no_file(luxusb: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    empty = tmp_path / "empty.iso"
    empty.touch()
    pipe = tmp_path / "pipe.iso"
    os.mkfifo(pipe)
    for name, why in (
        (tmp_path / "gone.iso", "No such file or directory."),
        (tmp_path, "It is not a regular file."),
        (pipe, "It is not a regular file."),
        (empty, "The file is empty."),
    ):
        result = luxusb("inspect", name)
        assert result.code == 1
        assert f"  why: {why}" in result.err.splitlines()


@pytest.mark.parametrize("option", [["--device", "sdc"], ["--device", world.STICK], ["--device", world.STICK_ID]])
def test_contents(luxusb: Run, daemon: FakeDaemon, option: list[str]) -> None:
    lines = luxusb("contents", *option).out.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "debian.iso", "arch.iso"]
    document = luxusb("contents", *option, "--json").document
    assert [image["title"] for image in document["images"]] == ["Debian Live 12.5", "Arch Linux"]


def test_contents_of_an_image_file(luxusb: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    file = tmp_path / "stick.img"
    file.write_bytes(b"x" * 4096)
    assert len(luxusb("contents", "--image-file", file, "--json").document["images"]) == 2
    assert daemon.target_sizes == [(4096, 4096)]
    daemon.wait_for(lambda: not daemon.private, "the end of the image file's device")
    assert file.read_bytes() == b"x" * 4096
    gone = luxusb("contents", "--image-file", tmp_path / "gone.img")
    assert gone.code == 1
    assert "No such file" in gone.err
    assert not (tmp_path / "gone.img").exists()


def test_contents_of_a_foreign_disk(luxusb: Run, daemon: FakeDaemon) -> None:
    result = luxusb("contents", "--device", "/dev/sdb")
    assert result.code == 1
    assert "  why: /dev/sdb is not a LUXusb stick." in result.err


def test_an_unknown_disk_suggests(luxusb: Run, daemon: FakeDaemon) -> None:
    result = luxusb("contents", "--device", "/dev/sdd")
    assert result.code == 1
    assert result.err.splitlines() == [
        "luxusb: There is no disk /dev/sdd",
        "  why: The daemon knows these: /dev/sda, /dev/sdb, /dev/sdc.",
        "  what to do: Did you mean /dev/sdc, /dev/sdb or /dev/sda? See the disks with `luxusb devices`.",
    ]


def test_a_link_to_the_node_names_the_disk(luxusb: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    link = Path("/dev/shm") / f"luxusb-test-{os.getpid()}"
    link.symlink_to("/dev/sdc")
    try:
        assert luxusb("contents", "--device", link, "--json").code == 0
    finally:
        link.unlink()


def test_settings(luxusb: Run, daemon: FakeDaemon) -> None:
    assert luxusb("settings").out.splitlines() == [
        "SETTING                 VALUE   FROM",
        "devices.allow_loop      no      default",
        "downloads.max_parallel  3       default",
        "mirrors.exclude         XX, YY  default",
    ]
    assert luxusb("settings", "--json").document["settings"]["mirrors.exclude"] == ["XX", "YY"]


def test_version(luxusb: Run, daemon: FakeDaemon) -> None:
    result = luxusb("--version")
    assert result.code == 0
    assert result.out.splitlines()[1] == "luxusbd 9.9.9"
    document = luxusb("--version", "--json").document
    assert document["luxusbd"] == "9.9.9"
    assert "PlanStick" in document["features"]


def test_version_without_a_daemon(luxusb: Run) -> None:
    result = luxusb("--version")
    assert result.code == 0
    assert "not reached" in result.out
    assert luxusb("--version", "--json").document["luxusbd"] is None
