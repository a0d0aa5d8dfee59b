"""Sticks with FAT32 and exFAT as a kernel sees them that has drivers for both."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from luxusbd.stick import reader, writer
from luxusbd.stick.clusterfsck import PROGRAMS
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.model import MIB, StickOperation, StickOptions
from tests.stick import helpers
from tests.vm.machine import Guest

pytestmark = [pytest.mark.vm, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(1200)]

DRIVERS = {Kind.FAT32: "vfat", Kind.EXFAT: "exfat"}


@pytest.mark.parametrize("kind", DRIVERS)
async def test_a_user_mounts_the_stick_and_copies_to_it(guest: Guest, tmp_path: Path, kind: Kind) -> None:
    """The kernel reads what our writer wrote, and ours reads and changes what the kernel wrote."""
    path = tmp_path / "stick.img"
    fd = helpers.empty_target(path)
    names = [f"an image with a rather long name, no. {number}".replace(" ", "_").replace(",", "") for number in (1, 2)]
    sources = [
        helpers.source(helpers.random_file(tmp_path / f"source-{index}", 3 * MIB + index, index), f"{name}.iso")
        for index, name in enumerate(names)
    ]
    try:
        create = helpers.order(StickOperation.CREATE, fd, add=tuple(sources), options=StickOptions(filesystem=kind))
        await writer.execute(create, lambda _now: None)
        await guest.plug("filesystem", path, serial=f"LUXFS{DRIVERS[kind]}")
        node = (await guest.device(f"LUXFS{DRIVERS[kind]}"))["node"]
        said = await guest.run(f"{PROGRAMS[kind]} -n {node}3 && mount -t {DRIVERS[kind]} -o ro {node}3 /mnt")
        assert "error" not in said.stdout.lower()
        for source in sources:
            said = await guest.run(f"sha256sum /mnt/iso/{source.image.name}")
            assert said.stdout.split()[0] == source.image.sha256
        await guest.run(f"umount /mnt && mount -t {DRIVERS[kind]} {node}3 /mnt")
        await guest.run(
            f"cp /mnt/iso/{sources[0].image.name} '/mnt/iso/A copy (made by hand).iso'"
            f" && rm /mnt/iso/{sources[1].image.name}"
            " && for i in $(seq 60); do echo $i > /mnt/iso/note-number-$i.txt; done"
            f" && umount /mnt && {PROGRAMS[kind]} -n {node}3",
            timeout=120,
        )
        assert "exfat" not in (await guest.run("dmesg | grep -i 'exfat.*corrupt\\|fat.*error' || true")).stdout.lower()
        await guest.pull("filesystem")
        filesystem = reader.open_stick(fd, helpers.SIZE)
        copied = filesystem.read_file("/iso/A copy (made by hand).iso", 9 * MIB)
        assert copied is not None
        assert hashlib.sha256(copied).hexdigest() == sources[0].image.sha256
        assert filesystem.read_file("/iso/note-number-60.txt", 9) == b"60\n"
        remove = helpers.order(StickOperation.RESCAN, fd, remove=(sources[1].image.name,))
        await writer.execute(remove, lambda _now: None)
        await writer.execute(helpers.order(StickOperation.ADD, fd, add=(sources[1],)), lambda _now: None)
        assert (await writer.execute(helpers.order(StickOperation.VERIFY, fd), lambda _now: None))["ok"] is True
        assert (await writer.execute(helpers.order(StickOperation.REPAIR, fd), lambda _now: None))["findings"] == []
    finally:
        for source in sources:
            os.close(source.fd)
        os.close(fd)
