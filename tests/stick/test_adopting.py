"""A stick of LUXusb 0.6.3 becomes one of today's, without a copy of its images and wherever that is cut."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.errors import NotSupportedError
from luxusbd.images import gpt as tables
from luxusbd.images.recognise import recognise
from luxusbd.stick import adoption, elsewhere, esp, gpt, isofiles, oldmenu, reader, writer
from luxusbd.stick.blockio import read_at
from luxusbd.stick.foreign import Maker
from luxusbd.stick.model import MIB, ManifestImage, PartitionRole, StickContents, StickOperation, StickOptions
from luxusbd.stick.oldmenu import OldMenu
from tests.stick import helpers, oldsticks

RESCUE = Path("/usr/lib/grub-rescue/grub-rescue-cdrom.iso")
MEMTEST = Path("/usr/lib/memtest86+/memtest86+x64.iso")


class CutError(Exception):
    """The power is gone."""


def found_in(fd: int, size: int) -> tuple[ManifestImage, ...]:
    """What the comparison finds, as the daemon's job has it."""
    filesystem = reader.open_stick(fd, size)
    images = []
    for name in sorted(filesystem.list("/iso")):
        file = isofiles.image_file(filesystem, name)
        file.check_for_grub()
        seen = recognise(file)
        sha256 = file.sha256(lambda _done, _total: None, lambda: False)
        images.append(
            helpers.image(name, name, sha256=sha256, size=file.size, added=2**32, entries=seen.entries, recipe="")
        )
    return tuple(images)


async def adopt(path: Path, after_step: Callable[[str], None] = lambda _name: None) -> dict[str, Any]:
    size = path.stat().st_size
    fd = os.open(path, os.O_RDWR)
    try:
        begin = helpers.order(StickOperation.ADOPT_BEGIN, fd, size=size)
        first = await writer.execute(begin, lambda _progress: None, after_step=after_step)
        order = helpers.order(StickOperation.ADOPT, fd, size=size, found=found_in(fd, size))
        return {**first, **await writer.execute(order, lambda _progress: None, after_step=after_step)}
    finally:
        os.close(fd)


def contents(path: Path) -> StickContents | None:
    with path.open("rb") as file:
        return reader.read_stick(file.fileno(), path.stat().st_size)


def check(path: Path, names: list[str]) -> None:
    """It is one of today's sticks, sound to our reader and to e2fsck, with these images whole."""
    found = contents(path)
    assert found is not None
    assert found.damage == ""
    assert found.unlisted == 0
    assert sorted(image.name for image in found.manifest.images) == names
    with path.open("rb") as file:
        size = path.stat().st_size
        assert elsewhere.look(file.fileno(), size) is None
        layout = gpt.stick_layout(tables.read(read_at(file.fileno()), size), size)  # type: ignore[arg-type]
        assert layout is not None
        part = layout.partition(PartitionRole.ESP)
        assert esp.serial_of(read_at(file.fileno())(part.start, 512)) == found.manifest.esp_serial
        start = layout.partition(PartitionRole.DATA).start
        for image in found.manifest.images:
            read = isofiles.image_file(reader.open_stick(file.fileno(), size), image.name)
            assert read.sha256(lambda _done, _total: None, lambda: False) == image.sha256
    said = subprocess.run(["e2fsck", "-f", "-n", f"{path}?offset={start}"], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return oldsticks.old(tmp_path / "old.img", {"rescue/rescue.iso": RESCUE, "memtest/My test (1).iso": MEMTEST})


async def test_an_old_stick_is_taken_over(old: Path) -> None:
    with old.open("rb") as file:
        seen = elsewhere.look(file.fileno(), oldsticks.SIZE)
    assert seen is not None
    assert (seen.maker, seen.refusal) == (Maker.OLD_LUXUSB, "")
    assert {image.path: image.size for image in seen.images} == {
        "/isos/rescue/rescue.iso": RESCUE.stat().st_size,
        "/isos/memtest/My test (1).iso": MEMTEST.stat().st_size,
    }
    assert any("start until the new ones are whole" in note for note in seen.notes)
    assert contents(old) is None
    result = await adopt(old)
    check(old, ["My-test-1.iso", "rescue.iso"])
    taken = contents(old)
    assert taken is not None
    assert "shim" in taken.manifest.sbat, "what later tells that newer computers refuse its loaders"
    # debugfs cannot be told of this name; the kernel can
    assert result["left"] == ["/isos/memtest/My test (1).iso"]
    assert result["names"]["/isos/memtest/My test (1).iso"] == "My-test-1.iso"
    with old.open("rb") as file:
        filesystem = reader.open_stick(file.fileno(), oldsticks.SIZE)
        assert filesystem.list("/isos") == ("memtest",)


async def test_wherever_it_is_cut_it_can_be_repeated(tmp_path: Path) -> None:
    original = oldsticks.old(tmp_path / "old.img", {"rescue/rescue.iso": RESCUE, "memtest.iso": MEMTEST})
    steps: list[str] = []
    whole = tmp_path / "whole.img"
    subprocess.run(["cp", "--sparse=always", original, whole], check=True)
    await adopt(whole, steps.append)
    check(whole, ["memtest.iso", "rescue.iso"])
    assert steps[-1] == "table"
    with whole.open("rb") as file:
        assert reader.open_stick(file.fileno(), oldsticks.SIZE).list("/isos") == ()
    before = steps.index("table-rows-named")
    for stop in ("images-named", "table-rows-added", "boot-files", "table-rows-named", "old-names-dropped"):
        assert stop in steps
        path = tmp_path / "cut.img"
        subprocess.run(["cp", "--sparse=always", original, path], check=True)

        def cut(name: str, stop: str = stop) -> None:
            if name == stop:
                raise CutError

        with pytest.raises(CutError):
            await adopt(path, cut)
        with path.open("rb") as file:
            seen = elsewhere.look(file.fileno(), oldsticks.SIZE)
            assert seen is not None, stop
            assert len(seen.images) == 2, stop
            if steps.index(stop) < before:
                # the old boot files find everything where it was
                file.seek(2 * MIB)
                assert oldsticks.OLD_MENU in file.read(40 * MIB)
        await adopt(path)
        check(path, ["memtest.iso", "rescue.iso"])


MENU = b"""# LUXusb Multiboot
set timeout="7"
set default=1
function help {
  echo "/isos/none.iso"
}
menuentry "Help" {
  help
}
submenu "Memory test" {
    menuentry "Normal" {
        set isofile="/isos/memtest/My test (1).iso"
        loopback loop "($root)$isofile"
    }
}
submenu 'Rescue' {
    menuentry "Normal" { loopback loop ($root)/isos/rescue/rescue.iso; }
}
"""


async def test_timeout_and_default_of_the_old_menu_are_kept(tmp_path: Path) -> None:
    files = {"memtest/My test (1).iso": MEMTEST, "rescue/rescue.iso": RESCUE}
    for number, default in ((1, b"2"), (2, b'"Rescue>0"')):
        menu = MENU.replace(b"default=1", b"default=" + default)
        path = oldsticks.old(tmp_path / f"{number}.img", files, menu=menu)
        await adopt(path)
        taken = contents(path)
        assert taken is not None
        assert taken.manifest.options.timeout == 7
        assert [image.name for image in taken.manifest.images] == ["rescue.iso", "My-test-1.iso"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (MENU.decode(), OldMenu(7, "/isos/memtest/My test (1).iso")),
        (MENU.decode().replace("default=1", "default=0"), OldMenu(7, "")),
        (MENU.decode().replace("default=1", "default=9"), OldMenu(7, "")),
        (MENU.decode().replace("default=1", "default='$saved'"), OldMenu(7, "")),
        ("timeout=-1\nset default='x\nmenuentry 'a' {\n}", OldMenu(-1, "")),
        ("set timeout=$x", OldMenu(None, "")),
        ("}\n}\n{\nset timeout=5\n", OldMenu(None, "")),
        ("", OldMenu(None, "")),
    ],
)
def test_what_an_old_menu_says(text: str, found: OldMenu) -> None:
    assert oldmenu.read(text) == found


@given(st.text(max_size=400) | st.lists(st.sampled_from(MENU.decode().splitlines())).map("\n".join))
def test_no_old_menu_is_an_error(text: str) -> None:
    found = oldmenu.read(text)
    assert found.image == "" or found.image in text


async def test_an_old_menu_that_cannot_be_read_is_no_hindrance(old: Path) -> None:
    with old.open("r+b") as file:
        file.seek(2 * MIB)
        file.write(bytes(512))
    await adopt(old)
    check(old, ["My-test-1.iso", "rescue.iso"])
    taken = contents(old)
    assert taken is not None
    assert taken.manifest.options.timeout == StickOptions().timeout


async def test_without_free_room_the_old_efi_partition_is_written_over(tmp_path: Path) -> None:
    path = oldsticks.old(tmp_path / "old.img", {"rescue.iso": RESCUE}, esp=140, gap=0)
    with path.open("rb") as file:
        seen = elsewhere.look(file.fileno(), oldsticks.SIZE)
    assert seen is not None
    assert any("does not start until it is adopted again" in note for note in seen.notes)
    await adopt(path)
    check(path, ["rescue.iso"])


async def test_a_stick_without_room_for_bios_is_given_it_elsewhere(tmp_path: Path) -> None:
    path = oldsticks.old(tmp_path / "old.img", {"rescue.iso": RESCUE}, bios=False)
    await adopt(path)
    check(path, ["rescue.iso"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"esp": 40, "gap": 0}, "neither its EFI partition nor the room"),
        ({"table": "dos"}, "keep its images with luxusb import FILE, and make the stick anew with luxusb create"),
        ({"features": "metadata_csum,metadata_csum_seed"}, "tune2fs -O ^metadata_csum_seed on partition 3"),
        ({"features": f"{oldsticks.FEATURES},inline_data"}, "features that GRUB cannot read"),
    ],
)
async def test_what_cannot_be_done_is_said(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    path = oldsticks.old(tmp_path / "old.img", {"rescue.iso": RESCUE}, **changes)
    before = path.read_bytes()
    with path.open("rb") as file:
        seen = elsewhere.look(file.fileno(), oldsticks.SIZE)
        with pytest.raises(NotSupportedError, match=re.escape(reason)):
            adoption.examine(read_at(file.fileno()), oldsticks.SIZE)
    assert seen is not None
    assert reason in seen.refusal
    with pytest.raises(NotSupportedError):
        await adopt(path)
    assert path.read_bytes() == before


def test_another_label_is_another_stick(tmp_path: Path) -> None:
    path = oldsticks.old(tmp_path / "old.img", {"rescue.iso": RESCUE}, label="MINE")
    with path.open("rb") as file:
        assert elsewhere.look(file.fileno(), oldsticks.SIZE) is None
