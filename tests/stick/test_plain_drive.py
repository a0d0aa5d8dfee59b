"""A disk that is made a plain drive is one to everybody who reads it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from luxusbd.errors import InvalidArgumentError
from luxusbd.stick import wholedisk, writer
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import MIB, StickOperation, StickOptions
from tests.stick import helpers

GIB = 1024 * MIB
CHECKERS = {Kind.EXFAT: ("fsck.exfat", "-n"), Kind.FAT32: ("fsck.fat", "-n")}


def said(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


async def restored(path: Path, size: int, kind: Kind, label: str = "") -> dict[str, Any]:
    """Make a plain drive of a file that had a stick on it."""
    fd = helpers.empty_target(path, size)
    try:
        if size < GIB:
            await writer.execute(helpers.order(StickOperation.CREATE, fd, size=size), lambda _now: None)
        options = StickOptions(filesystem=kind.value, label=label) if label else StickOptions(filesystem=kind.value)
        order = helpers.order(StickOperation.RESTORE, fd, size=size, options=options)
        return dict(await writer.execute(order, lambda _now: None))
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("kind", "size", "table", "kind_of_partition"),
    [
        (Kind.FAT32, 200 * MIB, "dos", "c"),
        (Kind.EXFAT, 200 * MIB + 512, "dos", "7"),
        (Kind.EXFAT, 64 * GIB, "dos", "7"),
        (Kind.FAT32, 64 * GIB, "dos", "c"),
        (Kind.EXFAT, 3072 * GIB, "gpt", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"),
    ],
)
async def test_a_plain_drive(tmp_path: Path, kind: Kind, size: int, table: str, kind_of_partition: str) -> None:
    path = tmp_path / "disk.img"
    result = await restored(path, size, kind, "Music")
    label = "MUSIC" if kind is Kind.FAT32 else "Music"
    assert (result["filesystem"], result["label"]) == (kind.value, label)

    told = json.loads(said("sfdisk", "--json", path))["partitiontable"]
    (part,) = told["partitions"]
    assert (told["label"], part["type"], part["start"]) == (table, kind_of_partition, 2048)
    assert part["size"] % 2048 == 0
    assert size - 3 * MIB < (part["start"] + part["size"]) * 512 <= size
    assert part["size"] * 512 == result["size"]
    if table == "gpt":
        assert "No problems found" in said("sgdisk", "-v", path)

    place = ("-O", str(MIB), "-S", str(result["size"]))
    fields = dict(re.findall(r"^(\w+)=(.*)$", said("blkid", "-p", "-o", "export", *place, path), re.MULTILINE))
    assert fields["TYPE"] == {Kind.EXFAT: "exfat", Kind.FAT32: "vfat"}[kind]
    assert (fields["LABEL"], fields["UUID"]) == (label, result["uuid"])
    # nothing of the stick that it was is found any more
    assert said("wipefs", "--noheadings", "--output", "TYPE", path).split() in (["dos"], ["gpt", "gpt", "PMBR"])
    if size < GIB:
        partition = tmp_path / "partition"
        said("dd", f"if={path}", f"of={partition}", "bs=1M", "skip=1", f"count={result['size'] // MIB}", "status=none")
        said(*CHECKERS[kind], partition)
    if kind is Kind.FAT32 and size < GIB:
        letter = tmp_path / "letter"
        letter.write_text("hello")
        said("mcopy", "-i", f"{path}@@1M", letter, "::letter.txt")
        assert said("mtype", "-i", f"{path}@@1M", "::letter.txt") == "hello"


async def test_the_label_that_it_has_by_itself(tmp_path: Path) -> None:
    result = await restored(tmp_path / "disk.img", 200 * MIB, Kind.FAT32, wholedisk.LABEL)
    assert result["label"] == wholedisk.LABEL


@pytest.mark.parametrize("size", [20 * MIB, 3072 * GIB])
def test_what_fat32_cannot_be(size: int) -> None:
    wholedisk.check_plain(Kind.EXFAT, size)
    with pytest.raises(InvalidArgumentError, match="take exfat"):
        wholedisk.check_plain(Kind.FAT32, size)


@pytest.mark.root
@pytest.mark.parametrize("kind", [Kind.EXFAT, Kind.FAT32])
async def test_a_plain_drive_of_a_disk(tmp_path: Path, kind: Kind) -> None:
    """It is held by us alone meanwhile, also against the tools that we call."""
    path = tmp_path / "disk.img"
    os.close(helpers.empty_target(path, 200 * MIB))
    with helpers.loop_device(path) as node:
        fd = os.open(node, os.O_RDWR)
        try:
            options = StickOptions(filesystem=kind.value, label="MUSIC")
            order = helpers.order(StickOperation.RESTORE, fd, node=node, size=200 * MIB, options=options)
            await writer.execute(order, lambda _now: None)
        finally:
            os.close(fd)
        said(*CHECKERS[kind], f"{node}p1")
