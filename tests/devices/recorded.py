"""Builds the sysfs, proc and udev trees of machines that are not at hand, in the shape that Linux 6.x gives them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from luxusbd.devices.guard import GuardPolicy, judge
from luxusbd.devices.machine import read_machine
from luxusbd.devices.sysfs import Roots, read_disk
from luxusbd.errors import DeviceError

GIB = 1024**3
PCI = "pci0000:00/0000:00:14.0"


@dataclass
class Recorded:
    """One machine in a temporary directory."""

    root: Path

    def __post_init__(self) -> None:
        self._minor = 0
        self._seq = 0
        self._mounts: dict[int, list[str]] = {}
        self._swaps: list[str] = []
        for name in ("sys/block", "sys/devices/virtual/block", "proc/self/ns", "udev", "dev"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        (self.root / "proc/swaps").write_text("Filename\tType\tSize\tUsed\tPriority\n")
        self._process("self", "mnt:[1]")
        self._process("1", "mnt:[1]")

    @property
    def roots(self) -> Roots:
        return Roots(self.root / "sys", self.root / "proc", self.root / "udev", self.root / "dev")

    def usb(
        self,
        name: str,
        *,
        port: str = "1-2",
        lun: int = 0,
        removable: bool = True,
        vendor: str | None = "SanDisk",
        model: str | None = "Ultra",
        serial: str | None = "4C530001230101",
        size: int = 32 * GIB,
        parts: int = 1,
        ro: bool = False,
    ) -> Self:
        usb = f"{PCI}/usb1/{port}"
        scsi = f"{usb}/{port}:1.0/host6/target6:0:0/6:0:0:{lun}"
        for path, subsystem in ((f"{PCI}/usb1", "usb"), (usb, "usb"), (f"{usb}/{port}:1.0", "usb"), (scsi, "scsi")):
            self._subsystem(path, subsystem)
        self._attributes(usb, idVendor="0781", manufacturer=vendor, product=model, serial=serial)
        self._attributes(scsi, vendor=vendor, model=model)
        self._disk(name, scsi, size=size, removable=removable, ro=ro, parts=parts)
        return self

    def sata(self, name: str, *, parts: int = 2, removable: bool = False) -> Self:
        port = f"pci0000:00/0000:00:1f.2/ata{self._minor + 1}"
        scsi = f"{port}/host0/target0:0:0/0:0:0:0"
        self._subsystem(scsi, "scsi")
        self._attributes(scsi, vendor="ATA", model="Samsung SSD 870")
        self._disk(name, scsi, size=500 * GIB, removable=removable, parts=parts)
        return self

    def nvme(self, name: str = "nvme0n1", *, parts: int = 2) -> Self:
        place = "pci0000:00/0000:00:1d.0/0000:01:00.0/nvme/nvme0"
        self._subsystem(place, "nvme")
        self._attributes(place, model="WD Black", serial="21234")
        self._disk(name, place, size=1000 * GIB, parts=parts, infix="p", direct=True)
        return self

    def mmc(self, name: str = "mmcblk0", *, kind: str = "SD", serial: str | None = "0x1a2b3c4d") -> Self:
        card = "platform/soc/3f300000.mmc/mmc_host/mmc0/mmc0:aaaa"
        self._subsystem("platform/soc/3f300000.mmc/mmc_host/mmc0", "mmc_host")
        self._subsystem(card, "mmc")
        self._attributes(card, type=kind, name="SC32G", serial=serial)
        self._disk(name, card, size=32 * GIB, parts=1, infix="p")
        return self

    def emmc_boot_area(self, disk: str = "mmcblk0") -> Self:
        place = (self.root / "sys/block" / disk).resolve()
        self._disk(
            f"{disk}boot0", str(place.relative_to(self.root / "sys/devices")), size=4 << 20, parts=0, direct=True
        )
        return self

    def virtual(self, name: str, *, on: tuple[str, ...] = (), title: str = "", uuid: str = "", parts: int = 0) -> Self:
        self._disk(name, "virtual", size=10 * GIB, parts=parts)
        place = self.place(name)
        if title:
            self._attributes(str(place.relative_to(self.root / "sys/devices") / "dm"), name=title, uuid=uuid)
        for lower in on:
            (place / "slaves" / lower).symlink_to(self.place(lower))
            (self.place(lower) / "holders" / name).symlink_to(place)
        return self

    def loop(self, name: str, backing: str, *, size: int = GIB, ro: bool = False) -> Self:
        self._disk(name, "virtual", size=size if backing else 0, ro=ro, parts=0)
        if backing:
            self._attributes(f"virtual/block/{name}/loop", backing_file=backing)
        return self

    def pull(self, name: str) -> Self:
        (self.root / "sys/block" / name).unlink()
        return self

    def mount(
        self,
        point: str,
        on: str = "",
        *,
        fstype: str = "ext4",
        source: str = "",
        options: str = "rw",
        pid: int = 0,
        dev: str = "",
    ) -> Self:
        """`on` is a kernel name; without it the filesystem has the anonymous number `dev`."""
        number = dev or (self._text(self.place(on) / "dev") if on else "0:99")
        line = f"30 1 {number} / {point} rw,relatime shared:1 - {fstype} {source or '/dev/' + on} {options}"
        lines = self._mounts.setdefault(pid, [])
        lines.append(line)
        if pid:
            self._process(str(pid), f"mnt:[{pid + 100}]")
        for process in (str(pid),) if pid else ("self", "1"):
            (self.root / "proc" / process / "mountinfo").write_text("\n".join(lines) + "\n")
        return self

    def swap(self, path: str, kind: str = "partition") -> Self:
        with (self.root / "proc/swaps").open("a") as file:
            file.write(f"{path}\t\t\t\t{kind}\t100\t0\t-2\n")
        return self

    def filesystem_held(self, kind: str, name: str, *members: str) -> Self:
        place = self.root / "sys/fs" / kind / name
        place.mkdir(parents=True)
        for member in members:
            (place / "devices" / member).mkdir(parents=True)
        return self

    def pool_of_bcachefs(self, name: str, *members: str) -> Self:
        for number, member in enumerate(members):
            place = self.root / "sys/fs/bcachefs" / name / f"dev-{number}"
            place.mkdir(parents=True)
            (place / "block").symlink_to(self.place(member))
        return self

    def pool_of_zfs(self, name: str) -> Self:
        (self.root / "proc/spl/kstat/zfs" / name).mkdir(parents=True)
        (self.root / "proc/spl/kstat/zfs/dbgmsg").write_text("")
        return self

    def journal(self, name: str) -> Self:
        (self.root / "proc/fs/jbd2" / name).mkdir(parents=True)
        return self

    def registered_with_bcache(self, name: str, *, in_set: bool = False) -> Self:
        (self.place(name) / "bcache").mkdir()
        if in_set:
            (self.place(name) / "bcache/set").symlink_to("/sys/fs/bcache")
        return self

    def not_to_be_traced(self) -> Self:
        """As a service without CAP_SYS_PTRACE sees other processes: their tables alone."""
        for process in (self.root / "proc").iterdir():
            if process.name.isdigit():
                (process / "ns/mnt").unlink()
                (process / "root").unlink()
        return self

    def without_memory(self, pid: int) -> Self:
        """A thread of the kernel, or a process that has ended."""
        (self.root / "proc" / str(pid) / "statm").write_text("0 0 0 0 0 0 0\n")
        return self

    def resume(self, *, sysfs: str = "0:0", words: str = "quiet") -> Self:
        (self.root / "sys/power").mkdir()
        (self.root / "sys/power/resume").write_text(sysfs + "\n")
        (self.root / "proc/cmdline").write_text(f"BOOT_IMAGE=/vmlinuz {words}\n")
        return self

    def link(self, path: str, name: str) -> Self:
        place = self.root / "dev" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(self.root / "dev" / name)
        return self

    def holder_without_a_name(self, name: str, holder: str) -> Self:
        (self.place(name) / "holders" / holder).symlink_to("/nowhere")
        return self

    def number(self, name: str) -> str:
        return self._text(self.place(name) / "dev")

    def udev(self, name: str, **properties: str) -> Self:
        text = "I:1234\n" + "".join(f"E:{key}={value}\n" for key, value in properties.items())
        (self.root / "udev" / f"b{self._text(self.place(name) / 'dev')}").write_text(text)
        return self

    def attribute(self, name: str, **values: str) -> Self:
        for key, value in values.items():
            (self.place(name) / key).write_text(value + "\n")
        return self

    def place(self, name: str) -> Path:
        """The directory of a disk or partition."""
        for link in (self.root / "sys/block").iterdir():
            for found in (link.resolve(), link.resolve() / name):
                if found.name == name and (found / "dev").is_file():
                    return found
        raise AssertionError(name)

    def verdict(self, name: str, policy: GuardPolicy | None = None) -> DeviceError | None:
        return judge(read_disk(name, self.roots), read_machine(self.roots), policy or GuardPolicy())

    def _disk(
        self,
        name: str,
        parent: str,
        *,
        size: int,
        removable: bool = False,
        ro: bool = False,
        parts: int,
        infix: str = "",
        direct: bool = False,
    ) -> None:
        place = self.root / "sys/devices" / parent / (name if direct else f"block/{name}")
        self._seq += 1
        self._block(place, name, size, ro)
        (place / "removable").write_text(f"{int(removable)}\n")
        (place / "diskseq").write_text(f"{self._seq}\n")
        (place / "slaves").mkdir()
        if parent != "virtual":
            (place / "device").symlink_to(self.root / "sys/devices" / parent)
        for number in range(1, parts + 1):
            inner = place / f"{name}{infix}{number}"
            self._block(inner, inner.name, size // 4, ro)
            (inner / "partition").write_text(f"{number}\n")
            (inner / "start").write_text(f"{2048 * number}\n")
        (self.root / "sys/block" / name).symlink_to(os.path.relpath(place, self.root / "sys/block"))

    def _block(self, place: Path, name: str, size: int, ro: bool) -> None:
        (place / "holders").mkdir(parents=True)
        major = 7 if name.startswith("loop") else 11 if name.startswith("sr") else 259
        (place / "dev").write_text(f"{major}:{self._minor}\n")
        self._minor += 1
        (place / "size").write_text(f"{size // 512}\n")
        (place / "ro").write_text(f"{int(ro)}\n")
        (place / "uevent").write_text(f"DEVNAME={name.replace('!', '/')}\n")
        (place / "subsystem").symlink_to("/sys/class/block")

    def _subsystem(self, path: str, subsystem: str) -> None:
        place = self.root / "sys/devices" / path
        place.mkdir(parents=True, exist_ok=True)
        if not (place / "subsystem").is_symlink():
            (place / "subsystem").symlink_to(f"/sys/bus/{subsystem}")

    def _attributes(self, path: str, **values: str | None) -> None:
        place = self.root / "sys/devices" / path
        place.mkdir(parents=True, exist_ok=True)
        for key, value in values.items():
            if value is not None:
                (place / key).write_text(value + "\n")

    def _process(self, pid: str, namespace: str) -> None:
        place = self.root / "proc" / pid
        (place / "ns").mkdir(parents=True, exist_ok=True)
        if not (place / "ns/mnt").is_symlink():
            (place / "ns/mnt").symlink_to(namespace)
            (place / "root").symlink_to("/")
            (place / "comm").write_text(f"proc{pid}\n")
            (place / "mountinfo").write_text("")

    @staticmethod
    def _text(path: Path) -> str:
        return path.read_text().strip()
