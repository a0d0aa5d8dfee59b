"""Each method of the Manager and of a job, from the wire to the engine and back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from luxusbd.bus import render
from luxusbd.bus._lib import Variant
from luxusbd.catalog.model import Trust
from luxusbd.devices.model import DeviceIdentity
from luxusbd.images.model import Firmware
from luxusbd.jobs.views import ImageUpdate, PruneOptions, UpdateWishes
from luxusbd.stick.losses import Loss
from luxusbd.stick.model import MenuChange, MenuStyle, StickOptions, StrayRoom, Theme
from tests.bus.client import Client
from tests.bus.examples import SHA, job, view
from tests.bus.fake import FakeEngine
from tests.stick import helpers

DEVICE = "/org/luxusb/devices/usb_2dAcme_5fStick_2d1"
IDENTITY = DeviceIdentity("usb-Acme_Stick-1", 7, 8 << 30)
JOB = {"path": "/org/luxusb/jobs/_1", "interface": "org.luxusb.Job"}


async def test_download(client: Client, engine: FakeEngine) -> None:
    options = {"priority": Variant("i", -3), "bandwidth": Variant("t", 2**40)}
    assert await client.call("Download", "sa{sv}", "debian", options) == JOB["path"]
    assert engine.calls[-1][2:] == ("debian", -3, 2**40)
    shown = await client.get_all(**JOB)
    assert shown["OwnerUid"] == os.getuid()
    assert shown["Details"]["priority"] == -3
    assert shown["Details"]["log"] == ["1000 queued"]
    assert shown["Details"]["reference"] == "distro:debian"
    assert (shown["Parent"], shown["Devices"], shown["Progress"]) == ("/", [], -1.0)


async def test_images(client: Client, engine: FakeEngine, tmp_path: Path) -> None:
    file = tmp_path / "a.iso"
    file.write_bytes(b"content")
    with file.open("rb") as opened:
        path = await client.call(
            "ImportImage", "hsa{sv}", 0, "my.iso", {"sha256": Variant("s", SHA)}, fds=[opened.fileno()]
        )
        assert path == JOB["path"]
        report = await client.call("InspectImage", "ha{sv}", 0, {"sha256": Variant("s", SHA)}, fds=[opened.fileno()])
    assert engine.calls == [
        ("import_image", b"content", "my.iso", SHA, 0, None, None, None),
        ("inspect_image", b"content", False, SHA),
    ]
    assert report["system"] == "Debian \ufffd ? Live"
    assert report["firmware"] == ["bios", "uefi"]
    assert report["entries"] == [
        {
            "title": "Live",
            "method": "linux",
            "firmware": ["bios", "uefi"],
            "kernel": "/vmlinuz",
            "initrds": ["/initrd"],
            # what is known of the image is filled in, what is known of a stick alone is not
            "parameters": [
                "a={iso}",
                "u=2024-01-01-00-00-00-00",
                "l=DEBIAN",
                "2024-01-01-00-00-00-00{data_uuid}",
                "b= .",
            ],
            "signer": "",
        }
    ]
    assert report["partitions"] == [
        {
            "number": 1,
            "type": "83",
            "label": "\ufffdROOT",
            "filesystem": "ext4",
            "start": 1 << 20,
            "size": 5,
            "active": True,
        }
    ]
    assert report["boot_records"] == [
        {"platform": "bios", "emulation": "", "bootable": True, "start": 2048, "size": 512}
    ]
    assert report["programs"] == [{"path": "/vmlinuz", "architecture": "amd64", "signed": True, "signers": ["Debian"]}]
    assert (report["container"], report["partition_table"], report["names"]) == ("iso9660", "gpt", "rock-ridge")
    assert (report["recipe_version"], report["minimum_memory"]) == (3, 512 << 20)
    assert (report["toram"], report["persistence"]) == ("entry", "file")
    assert report["persistence_filesystems"] == ["ext4", "xfs"]
    assert [entry["signer"] for entry in report["entries"]] == [""]
    assert (report["sha256"], report["genuine"]) == (SHA, "Debian 12.5")
    with file.open("rb") as opened:
        plain = await client.call("InspectImage", "ha{sv}", 0, {}, fds=[opened.fileno()])
        assert (plain["sha256"], plain["genuine"]) == ("", "")
        for wrong in ("g" * 64, "ab"):
            options = {"sha256": Variant("s", wrong)}
            name, _text = await client.fails("InspectImage", "ha{sv}", 0, options, fds=[opened.fileno()])
            assert name == "org.luxusb.Error.InvalidArgument"
    (stored,) = await client.call("ListImages", "a{sv}", {})
    assert (stored["reference"], stored["trust"], stored["bootable"]) == (f"image:{SHA}", "hash", True)
    reply = await client.raw("OpenImage", "sa{sv}", f"image:{SHA}", {})
    (fd,) = reply.unix_fds
    with os.fdopen(fd, "rb") as image:
        assert image.read() == b"the image"
    reply = await client.raw("GetLogo", "sa{sv}", "debian", {})
    (fd,) = reply.unix_fds
    with os.fdopen(fd, "rb") as logo:
        assert logo.read() == b"the logo"
    name, _text = await client.fails("GetLogo", "sa{sv}", "debain", {})
    assert name == "org.luxusb.Error.DistributionNotFound"
    reply = await client.raw("GetProofs", "sa{sv}", "debian", {})
    assert reply.body == [0, 1, 2]
    said = []
    for fd in reply.unix_fds:
        with os.fdopen(fd, "rb") as opened:
            said.append(os.pread(opened.fileno(), 100, 0))
    assert said == [b"the list", b"", b"the key"]
    await client.call("DeleteImage", "sa{sv}", f"image:{SHA}", {})
    assert engine.calls[-1][2] == f"image:{SHA}"


async def test_what_stands_beside_an_image(client: Client, engine: FakeEngine, tmp_path: Path) -> None:
    files = []
    for name in ("image", "sums", "signature", "key"):
        (tmp_path / name).write_bytes(name.encode())
        files.append(os.open(tmp_path / name, os.O_RDONLY))
    try:
        # the order in the message is the caller's business
        options = {
            "key": Variant("h", 0),
            "signature": Variant("h", 1),
            "sums": Variant("h", 2),
            "size": Variant("t", 2**40),
            "sums_name": Variant("s", "x.iso"),
        }
        await client.call("ImportImage", "hsa{sv}", 3, "my.iso", options, fds=files[::-1])
        assert engine.calls == [("import_image", b"image", "my.iso", "", 2**40, b"sums", b"signature", b"key")]
        for wrong, said in (
            ({"sums": Variant("h", 2)}, "does not exist"),
            ({"sums": Variant("u", 1)}, "takes 1 file descriptor"),
            ({}, "takes 1 file descriptor"),
            ({"sums": Variant("h", 1), "key": Variant("h", 1)}, "takes 3 file descriptor"),
        ):
            name, text = await client.fails("ImportImage", "hsa{sv}", 0, "my.iso", wrong, fds=files[:2])
            assert (name, said in text) == ("org.freedesktop.DBus.Error.InvalidArgs", True), text
        for wrong in ({"nonsense": Variant("h", 1)}, {"sha256": Variant("h", 1)}):
            name, text = await client.fails("ImportImage", "hsa{sv}", 0, "my.iso", wrong, fds=files[:2])
            assert name == "org.luxusb.Error.InvalidArgument"
        name, text = await client.fails(
            "ImportImage", "hsa{sv}", 0, "my.iso", {"sums": Variant("s", "x")}, fds=files[:1]
        )
        assert "the option sums must be a file descriptor (h), not of type s" in text
        assert len(engine.calls) == 1
    finally:
        for fd in files:
            os.close(fd)


async def test_keeping_images(client: Client, engine: FakeEngine) -> None:
    (stored,) = await client.call("ListImages", "a{sv}", {})
    assert (stored["pinned"], stored["last_used"], "owners" in stored) == (False, 0, False)
    await client.call("PinImage", "sba{sv}", f"image:{SHA}", True, {})
    assert engine.calls[-1][2:] == (f"image:{SHA}", True)
    options = {
        "dry_run": Variant("b", True),
        "older_than": Variant("t", 60),
        "imports": Variant("b", True),
        "only": Variant("as", [SHA]),
    }
    (removed,) = await client.call("PruneImages", "a{sv}", options)
    assert engine.calls[-1][2] == PruneOptions(dry_run=True, older_than=60, imports=True, only=frozenset({SHA}))
    assert removed == {
        "kind": "image",
        "reference": f"image:{SHA}",
        "sha256": SHA,
        "name": "debian.iso",
        "size": 42,
        "last_used": 7,
    }


async def test_a_stick_from_plan_to_job(client: Client, engine: FakeEngine) -> None:
    options = {
        "timeout": Variant("u", 30),
        "serial_console": Variant("b", True),
        "theme": Variant("s", "none"),
        "remember": Variant("b", False),
        "language": Variant("s", "de"),
        "label": Variant("s", "MINE"),
        "allow_large": Variant("b", True),
    }
    plan: dict[str, Any] = await client.call("PlanStick", "aoasa{sv}", [DEVICE], ["distro:debian"], options)
    style = MenuStyle(Theme.NONE, remember=False, language="de")
    wanted = StickOptions(filesystem="ext4", label="MINE", timeout=30, serial_console=True, menu=style)
    assert engine.calls[-1] == ("plan_stick", (IDENTITY,), ("distro:debian",), wanted, True, {}, True)
    assert plan["devices"][0]["path"] == DEVICE
    assert plan["devices"][0]["lost"] == ["everything"]
    assert plan["layout"][0] == {"number": 1, "name": "LUXDATA", "type": "guid", "start": 1 << 20, "size": 7 << 30}
    assert plan["images"][0]["firmware"] == []
    assert await client.call("CreateStick", "sa{sv}", plan["token"], {}) == JOB["path"]
    assert (await client.get_all(**JOB))["Devices"] == [DEVICE]
    name, _text = await client.fails("CreateStick", "sa{sv}", plan["token"], {})
    assert name == "org.luxusb.Error.PlanExpired"
    dry = await client.call("PlanStick", "aoasa{sv}", [DEVICE], ["distro:debian"], {"dry_run": Variant("b", True)})
    assert (dry["token"], dry["devices"][0]["bytes_missing"]) == ("", 0)
    assert (dry["images"][0]["keeps"], dry["images"][0]["reckoned"]) == ("unknown", 42)


async def test_plans_are_bounded(client: Client) -> None:
    name, text = await client.fails("PlanStick", "aoasa{sv}", [DEVICE, DEVICE], [], {})
    assert name == "org.luxusb.Error.InvalidArgument"
    assert "named twice" in text
    name, text = await client.fails("PlanStick", "aoasa{sv}", [DEVICE], ["x"] * 257, {})
    assert name == "org.luxusb.Error.InvalidArgument"
    name, _text = await client.fails("PlanStick", "aoasa{sv}", ["/org/luxusb/devices/none"], [], {})
    assert name == "org.freedesktop.DBus.Error.UnknownObject"
    name, _text = await client.fails("PlanStick", "aoasa{sv}", ["/org/luxusb/Manager"], [], {})
    assert name == "org.freedesktop.DBus.Error.UnknownObject"


@pytest.mark.parametrize(
    ("member", "signature", "args"),
    [
        ("AddImages", "oasa{sv}", [["distro:debian"]]),
        ("RemoveImages", "oasa{sv}", [["debian.iso"]]),
        ("RefreshStick", "oa{sv}", []),
        ("VerifyStick", "oa{sv}", []),
        ("RescanStick", "oa{sv}", []),
        ("AdoptStick", "oa{sv}", []),
        ("UpdateStick", "oa{sv}", []),
    ],
)
async def test_jobs_on_a_stick(client: Client, member: str, signature: str, args: list[Any]) -> None:
    assert await client.call(member, signature, DEVICE, *args, {}) == JOB["path"]
    name, _text = await client.fails(member, signature, "/org/luxusb/devices/none", *args, {})
    assert name == "org.freedesktop.DBus.Error.UnknownObject"


async def test_a_rescan_takes_its_option(client: Client, engine: FakeEngine) -> None:
    await client.call("RescanStick", "oa{sv}", DEVICE, {"thorough": Variant("b", True)})
    assert engine.calls[-1] == ("rescan_stick", IDENTITY, True)


async def test_an_update_takes_its_options(client: Client, engine: FakeEngine) -> None:
    for flag, wishes in (
        ("check", UpdateWishes(check=True)),
        ("one_at_a_time", UpdateWishes(one_at_a_time=True)),
        ("same_series", UpdateWishes(same_series=True)),
        ("less_trust", UpdateWishes(less_trust=True)),
        ("replace", UpdateWishes(replace=True)),
    ):
        await client.call("UpdateStick", "oa{sv}", DEVICE, {flag: Variant("b", True)})
        assert engine.calls[-1] == ("update_stick", IDENTITY, wishes)
    await client.call("UpdateStick", "oa{sv}", DEVICE, {"keep_images": Variant("b", False)})
    assert engine.calls[-1] == ("update_stick", IDENTITY, UpdateWishes(keep=False))
    await client.call("UpdateStick", "oa{sv}", DEVICE, {"images": Variant("as", ["a.iso", "image:0"])})
    assert engine.calls[-1] == ("update_stick", IDENTITY, UpdateWishes(("a.iso", "image:0")))


async def test_a_refresh_changes_what_is_given(client: Client, engine: FakeEngine) -> None:
    look = {"theme": Variant("s", "none"), "remember": Variant("b", False), "timeout": Variant("u", 3)}
    await client.call("RefreshStick", "oa{sv}", DEVICE, look)
    assert engine.calls[-1] == ("refresh_stick", IDENTITY, (), MenuChange(3, Theme.NONE, remember=False))


async def test_certificates_come_as_descriptors(client: Client, engine: FakeEngine, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    with (tmp_path / "a").open("rb") as first, (tmp_path / "b").open("rb") as second:
        fds = [first.fileno(), second.fileno()]
        given = {"certificates": Variant("ah", [1, 0])}
        await client.call("RefreshStick", "oa{sv}", DEVICE, given, fds=fds)
        assert engine.calls[-1] == ("refresh_stick", IDENTITY, (b"b", b"a"), MenuChange())
        for wrong in ([0], [0, 1, 1], [0, 7]):
            given = {"certificates": Variant("ah", wrong)}
            name, _text = await client.fails("RefreshStick", "oa{sv}", DEVICE, given, fds=fds)
            assert name == "org.freedesktop.DBus.Error.InvalidArgs"
        many = {"certificates": Variant("ah", list(range(9)))}
        name, _text = await client.fails("RefreshStick", "oa{sv}", DEVICE, many, fds=fds[:1] * 9)
        assert name == "org.freedesktop.DBus.Error.AccessDenied"


async def test_what_is_on_a_stick(client: Client) -> None:
    (image,) = await client.call("ListStickImages", "oa{sv}", DEVICE, {})
    assert (image["name"], image["firmware"], image["added"]) == ("debian.iso", ["bios", "uefi"], 1)


def test_secure_boot_of_an_image_depends_on_the_shim_of_its_stick() -> None:
    entry = helpers.entry(
        firmware=frozenset({Firmware.BIOS, Firmware.UEFI, Firmware.UEFI_SECURE_BOOT}), signer="debian"
    )
    image = helpers.image(entries=(entry,))
    for shim, names in (("debian", ["bios", "uefi", "uefi-sb"]), ("ubuntu", ["bios", "uefi"]), ("", ["bios", "uefi"])):
        assert render.stick_image(image, shim)["firmware"] == render.strings(names)
    served = frozenset({Firmware.UEFI, Firmware.UEFI_ARM64})
    assert render.stick_image(image, "debian", served)["firmware"] == render.strings(["uefi"])


async def test_an_image_file_becomes_a_device_until_its_caller_goes(
    client: Client, engine: FakeEngine, address: str, tmp_path: Path
) -> None:
    other = await Client.connect(address)
    with (tmp_path / "stick.img").open("wb") as opened:
        path = await other.call("OpenImageTarget", "hta{sv}", 0, 1 << 30, {}, fds=[opened.fileno()])
    assert engine.calls[-1] == ("open_image_target", 1 << 30)
    assert path in await client.managed()
    await client.watch()
    await other.close()
    await client.until("InterfacesRemoved")
    assert path not in await client.managed()


async def test_jobs_are_listed_with_all_their_properties(client: Client, engine: FakeEngine) -> None:
    engine.put_job(job(1, os.getuid()))
    engine.put_job(job(2, os.getuid()))
    engine.put_job(job(3, 12345))
    mine = await client.call("ListJobs", "a{sv}", {"limit": Variant("u", 1), "unfinished": Variant("b", True)})
    assert [entry["path"] for entry in mine] == [JOB["path"]]
    assert engine.calls[-1] == ("list_jobs", os.getuid(), True, False)
    assert {key: value for key, value in mine[0].items() if key != "path"} == await client.get_all(**JOB)
    everybody = await client.call("ListJobs", "a{sv}", {"all_users": Variant("b", True)})
    assert [entry["OwnerUid"] for entry in everybody] == [os.getuid(), os.getuid(), 12345]


async def test_settings(client: Client) -> None:
    got = await client.raw("GetSettings", "a{sv}", {})
    types = {key: value.signature for key, value in got.body[0].items()}
    assert types == {"bus.idle": "t", "transfer.countries": "as", "daemon.private": "b", "catalog.url": "s"}


async def test_settings_tell_where_they_come_from(client: Client) -> None:
    (origins,) = (await client.raw("GetSettings", "a{sv}", {"origins": Variant("b", True)})).body
    assert {value.value for value in origins.values()} == {"default"}


async def test_settings_are_set_and_taken_back(client: Client, engine: FakeEngine) -> None:
    await client.call("SetSettings", "a{sv}", {"limits.jobs": Variant("u", 5), "downloads.resume": Variant("s", "ask")})
    await client.call("ResetSettings", "asa{sv}", ["limits.jobs"], {})
    await client.call("ResetSettings", "asa{sv}", [], {})
    assert engine.calls == [
        ("set_settings", {"limits.jobs": 5, "downloads.resume": "ask"}),
        ("reset_settings", ("limits.jobs",)),
        ("reset_settings", ()),
    ]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("paths.state_dir", "cannot be changed while the service runs"),
        ("devices.allow_loop", "write it into /etc/luxusb/luxusbd.toml"),
        ("authorization.backend", "restart luxusbd.service"),
        ("limits.jbos", "there is no setting 'limits.jbos'"),
    ],
)
async def test_settings_that_only_the_administrator_s_file_has(
    client: Client, engine: FakeEngine, key: str, said: str
) -> None:
    for member, signature, *args in (
        ("SetSettings", "a{sv}", {key: Variant("s", "x")}),
        ("ResetSettings", "asa{sv}", [key], {}),
    ):
        name, text = await client.fails(member, signature, *args)
        assert name == "org.luxusb.Error.InvalidArgument"
        assert said in text
    assert engine.calls == []


async def test_steering_a_job(client: Client, engine: FakeEngine) -> None:
    engine.put_job(job(1, os.getuid()))
    await client.call("Pause", "a{sv}", {}, **JOB)
    assert (await client.get_all(**JOB))["State"] == "paused"
    await client.call("Resume", "a{sv}", {}, **JOB)
    assert (await client.get_all(**JOB))["State"] == "queued"
    await client.call("Modify", "a{sv}", {"priority": Variant("i", 0)}, **JOB)
    await client.call("Cancel", "a{sv}", {"keep_partial": Variant("b", True)}, **JOB)
    assert engine.calls == [("modify_job", 1, 0, None), ("cancel_job", 1, True)]
    name, _text = await client.fails("Pause", "a{sv}", {}, **JOB)
    assert name == "org.luxusb.Error.WrongJobState"
    name, _text = await client.fails("Modify", "a{sv}", {"keep_partial": Variant("b", True)}, **JOB)
    assert name == "org.luxusb.Error.InvalidArgument"


async def test_the_device_shows_what_its_stick_holds(client: Client, engine: FakeEngine) -> None:
    stray = (StrayRoom("persist-0123456789abcdef", 1 << 33),)
    there = (Loss(1, "NTFS", "Windows", 1 << 30, None, "Windows"), Loss(2, "", "", 5, 3))
    engine.put_device(view("other", free_bytes=99, unlisted_images=3, damage="no menu", stray=stray, contents=there))
    shown = await client.get_all("/org/luxusb/devices/other", "org.luxusb.Device")
    assert shown["Images"] == [{"name": "debian.iso", "title": "Debian", "sha256": SHA, "size": 42}]
    assert (shown["UnlistedImages"], shown["Damage"]) == (3, "no menu")
    assert shown["Contents"] == [
        {"number": 1, "filesystem": "NTFS", "label": "Windows", "size": 1 << 30, "system": "Windows"},
        {"number": 2, "filesystem": "", "label": "", "size": 5, "system": "", "used": 3},
    ]
    assert shown["StrayChanges"] == [{"name": "persist-0123456789abcdef", "size": 1 << 33}]
    assert (shown["FreeBytes"], shown["DiskSeq"], shown["Updates"], shown["State"]) == (99, 7, [], "luxusb")


async def test_newer_releases_for_a_stick(client: Client, engine: FakeEngine) -> None:
    newer = ImageUpdate(
        "debian.iso",
        "Debian",
        "distro:debian@13",
        "12",
        "13",
        4 << 30,
        respin=False,
        series_change=True,
        end_of_life="2026-06-10",
        ended=True,
        trust=Trust.HASH,
        less_trust=True,
    )
    engine.put_device(view("other", updates=(newer,)))
    shown = await client.get_all("/org/luxusb/devices/other", "org.luxusb.Device")
    assert shown["Updates"] == [
        {
            "name": "debian.iso",
            "title": "Debian",
            "reference": "distro:debian@13",
            "from_version": "12",
            "to_version": "13",
            "size": 4 << 30,
            "respin": False,
            "series_change": True,
            "end_of_life": "2026-06-10",
            "ended": True,
            "trust": "hash",
            "less_trust": True,
        }
    ]
