"""Images that a user copied onto a stick by hand, renamed, replaced or deleted there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from luxusb_cli.calls import Work
from luxusb_cli.connection import Typed
from luxusb_cli.errors import DaemonError

from tests.daemon import sticks
from tests.daemon.byhand import Hand
from tests.daemon.caller import Caller
from tests.daemon.conftest import Target
from tests.daemon.images import MIB, Images

ERROR = "org.luxusb.Error."


async def rescan(caller: Caller, device: str, *, thorough: bool = False) -> Mapping[str, Any]:
    options = {"thorough": Typed("b", True)} if thorough else {}
    return (await caller.succeeded(await caller.client.work_on(device, Work.RESCAN, options))).result


def reasons(result: Mapping[str, Any]) -> dict[str, str]:
    return {item["name"]: item["reason"] for item in result["skipped"]}


async def test_files_that_come_and_go(caller: Caller, target: Target, images: Images, place: Path) -> None:
    device = await target.device(caller)
    await caller.created([device], ["distro:alpha", "distro:beta"])
    generation = sticks.grub_menu(target.file)[0]
    hand = Hand(target)
    (place / "cut.iso").write_bytes(images.large.path.read_bytes()[: 5 * MIB])
    (place / "notes").write_text("buy milk\n")
    (place / "empty").write_bytes(b"")
    await hand.copy(images.memtest.path, "memtest.iso")
    await hand.copy(images.rescue.path, "My own (1).iso")
    await hand.copy(images.large.path, ".hidden.iso")
    await hand.copy(images.dull.path, "dull.iso")
    await hand.copy(images.alpha.path, "twin.iso")
    await hand.copy(images.beta.path, "ALPHA.iso")
    await hand.copy(place / "cut.iso", "cut.iso")
    await hand.copy(place / "notes", "notes.txt")
    await hand.copy(place / "empty", "empty.iso")
    hand.make_directory("folder.iso")
    hand.delete("beta.iso")

    result = await rescan(caller, device)
    assert [item["name"] for item in result["added"]] == ["memtest.iso"]
    assert (result["changed"], result["removed"], result["unchanged"]) == ([], ["beta.iso"], 1)
    assert result["images"] == ["alpha.iso", "memtest.iso"]
    told = reasons(result)
    assert set(told) == {
        "My own (1).iso", ".hidden.iso", "dull.iso", "twin.iso", "ALPHA.iso", "cut.iso", "notes.txt", "empty.iso",
        "folder.iso",
    }  # fmt: skip
    assert "rename it, for example to My-own-1.iso" in told["My own (1).iso"]
    assert "rename it, for example to hidden.iso" in told[".hidden.iso"]
    assert "looks like a data disc" in told["dull.iso"]
    assert "the same bytes as alpha.iso" in told["twin.iso"]
    assert "differs from alpha.iso in upper and lower case only" in told["ALPHA.iso"]
    assert "truncated" in told["cut.iso"]
    assert "is a text, not an image" in told["notes.txt"]
    assert told["empty.iso"] == "it is empty"
    assert "is a directory" in told["folder.iso"]

    assert sticks.check(target.file) == {"alpha.iso": images.alpha.sha256, "memtest.iso": images.memtest.sha256}
    assert sticks.grub_menu(target.file)[0] > generation
    assert sticks.files(target.file, "/iso") == {*told, "alpha.iso", "memtest.iso"}, "no file may be touched"
    # its hash is in the catalogue: it is the genuine one, however it was called
    added = sticks.contents(target.file).manifest.images[1]
    assert (added.title, added.source) == ("Memtest 1.0", "distro:memtest@1.0")
    assert (await caller.succeeded(await caller.client.verify(device))).result["ok"] is True
    # what came in by hand can be removed as everything else
    await caller.succeeded(await caller.client.remove_images(device, ["memtest.iso"]))
    assert sticks.check(target.file) == {"alpha.iso": images.alpha.sha256}


async def test_files_that_changed(caller: Caller, target: Target, images: Images, place: Path) -> None:
    device = await target.device(caller)
    await caller.created([device], ["distro:alpha", "distro:beta", "distro:large"])
    hand = Hand(target)
    await hand.copy(images.memtest.path, "alpha.iso")
    await hand.copy(images.dull.path, "beta.iso")
    hand.rename("large.iso", "mine.iso")
    result = await rescan(caller, device)
    assert [item["name"] for item in result["changed"]] == ["alpha.iso"]
    assert result["changed"][0]["source"] == "distro:memtest@1.0"
    assert result["removed"] == ["beta.iso", "large.iso"]
    assert [(item["name"], item["renamed_from"]) for item in result["added"]] == [("mine.iso", "large.iso")]
    assert reasons(result)["beta.iso"].startswith("its bytes are others now: ")
    assert sticks.check(target.file) == {"alpha.iso": images.memtest.sha256, "mine.iso": images.large.sha256}
    assert sticks.contents(target.file).manifest.images[1].source == "distro:large@1.0"


async def test_a_stick_that_fits_its_menu_is_not_written(caller: Caller, target: Target, images: Images) -> None:
    device = await target.device(caller)
    await caller.created([device], ["distro:alpha", "distro:large"])
    generation = sticks.grub_menu(target.file)[0]
    job = await caller.succeeded(await caller.client.work_on(device, Work.RESCAN))
    assert (job.result["added"], job.result["unchanged"], job.bytes_total) == ([], 2, 0), "nothing has to be read"
    thorough = await caller.succeeded(await caller.client.work_on(device, Work.RESCAN, {"thorough": Typed("b", True)}))
    assert thorough.bytes_done == thorough.bytes_total == images.alpha.size + images.large.size
    assert sticks.grub_menu(target.file)[0] == generation


async def test_a_file_of_the_same_size_that_looks_untouched(caller: Caller, target: Target, images: Images) -> None:
    device = await target.device(caller)
    await caller.created([device], ["distro:alpha"])
    # behind the filesystem's back, as a bad medium or a machine with a wrong clock would: no time of change tells
    needle = images.alpha.path.read_bytes()[1_000_000:1_000_064]
    data = target.file.read_bytes()
    with target.file.open("r+b") as file:
        file.seek(data.index(needle))
        file.write(bytes([needle[0] ^ 1]))
    assert (await rescan(caller, device))["unchanged"] == 1
    result = await rescan(caller, device, thorough=True)
    assert [item["name"] for item in result["changed"]] == ["alpha.iso"]
    assert (await caller.succeeded(await caller.client.verify(device))).result["ok"] is True


async def test_the_device_says_that_a_rescan_would_help(caller: Caller, stick: Path, images: Images) -> None:
    await caller.created([await caller.target(stick)], ["distro:alpha"])
    hand = Hand(Target(stick))
    await hand.copy(images.memtest.path, "memtest.iso")
    await hand.copy(images.rescue.path, "rescue.iso")
    await hand.copy(Path("/etc/hostname"), "notes.txt")
    device = await caller.target(stick)
    assert (await caller.client.device(device)).unlisted_images == 2
    await rescan(caller, device)
    assert (await caller.client.device(device)).unlisted_images == 0
    hand.delete("alpha.iso")
    device = await caller.target(stick)
    shown = await caller.client.device(device)
    assert (shown.state, shown.unlisted_images) == ("damaged", 0)
    assert (await rescan(caller, device))["removed"] == ["alpha.iso"]
    assert (await caller.client.device(device)).state == "luxusb"


async def test_a_stick_that_was_pulled_while_mounted(caller: Caller, stick: Path, images: Images) -> None:
    device = await caller.target(stick)
    await caller.created([device], ["distro:alpha"])
    hand = Hand(Target(stick))
    await hand.copy(images.memtest.path, "memtest.iso")
    hand.leave_unclean()
    assert [item["name"] for item in (await rescan(caller, device))["added"]] == ["memtest.iso"]
    assert sticks.check(stick) == {"alpha.iso": images.alpha.sha256, "memtest.iso": images.memtest.sha256}


async def test_a_file_that_only_the_kernel_can_read(caller: Caller, stick: Path, images: Images) -> None:
    await caller.created([await caller.target(stick)], ["distro:beta"])
    Hand(Target(stick)).copy_with_holes(images.alpha.path, "alpha.iso")
    assert sticks.grub_file(stick, "/iso/alpha.iso") is None, "this GRUB reads what begins with a hole"
    device = await caller.target(stick)
    assert (await caller.client.device(device)).unlisted_images == 1
    result = await rescan(caller, device)
    assert (result["added"], result["images"]) == ([], ["beta.iso"])
    assert "cp --sparse=never" in reasons(result)["alpha.iso"]
    # the same done to a file that has an entry
    hand = Hand(Target(stick))
    hand.delete("beta.iso")
    hand.copy_with_holes(images.beta.path, "beta.iso")
    assert "beta.iso is corrupt" in (await caller.failed(await caller.client.verify(device))).error_message
    result = await rescan(caller, device, thorough=True)
    assert (result["removed"], result["images"]) == (["beta.iso"], [])


@pytest.mark.root
async def test_a_journal_that_holds_the_copied_file(caller: Caller, stick: Path, images: Images, place: Path) -> None:
    device = await caller.target(stick)
    await caller.created([device], ["distro:alpha"])
    pulled = Hand(Target(stick)).copied_and_pulled(images.memtest.path, "memtest.iso", place / "pulled.img")
    assert "memtest.iso" not in sticks.files(pulled, "/iso"), "only its journal may know of the file"
    result = await rescan(caller, await caller.target(pulled))
    assert [item["name"] for item in result["added"]] == ["memtest.iso"]
    assert sticks.check(pulled) == {"alpha.iso": images.alpha.sha256, "memtest.iso": images.memtest.sha256}


async def test_what_is_no_stick(caller: Caller, stick: Path) -> None:
    with pytest.raises(DaemonError) as refused:
        await caller.client.work_on(await caller.target(stick), Work.RESCAN)
    assert refused.value.name == ERROR + "NotALuxusbStick"


@pytest.mark.root
@pytest.mark.parametrize("target", ["loop"], indirect=True)
async def test_names_that_only_the_kernel_can_make(caller: Caller, target: Target, images: Images) -> None:
    device = await target.device(caller)
    await caller.created([device], ["distro:alpha"])
    hand = Hand(target)
    names = [
        "two\nlines.iso",
        'quote".iso',
        "$(reboot).iso",
        "\u202egpj.iso",
        "tschüß.iso",
        "x" * 251 + ".iso",
        "-x.iso",
    ]
    for name in names:
        await hand.copy(images.memtest.path, name)
    await hand.copy(images.memtest.path, b"\xff\xfe.iso".decode("utf-8", "surrogateescape"))
    result = await rescan(caller, device)
    assert result["added"] == []
    assert len(result["skipped"]) == len(names) + 1
    told = reasons(result)
    assert "two lines.iso" in told
    assert "gpj.iso" in told, "nothing in a name may turn the text around"
    assert all("rename it" in told[name] for name in ("tschüß.iso", "-x.iso", "$(reboot).iso"))
    assert sticks.check(target.file) == {"alpha.iso": images.alpha.sha256}
