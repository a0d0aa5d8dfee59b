"""`try`: the machine that it starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from luxusb_cli import machine

from tests.cli.conftest import Run, Spawn

BOOT_SECTOR = bytes.fromhex(
    # mov ax,0x0e00 | c for each character; int 10h; then halt
    "b8480ecd10b8490ecd10b80d0ecd10b80a0ecd10f4ebfd"
)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk that says HI."""
    file = tmp_path / "a,b.img"
    file.write_bytes(BOOT_SECTOR.ljust(510, b"\0") + b"\x55\xaa" + bytes(2**20))
    return file


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A QEMU that writes its arguments down."""
    program = tmp_path / "bin" / machine.PROGRAM
    program.parent.mkdir()
    log = tmp_path / "arguments"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{log}\nexit "${{QEMU_STATUS:-0}}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return log


def test_a_window(luxusb: Run, recorded: Path, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    result = luxusb("try", disk, "--memory", "1GiB")
    assert result.code == 0, result.err
    said = recorded.read_text().splitlines()
    escaped = str(disk).replace(",", ",,")
    assert f"if=none,id=stick,format=raw,snapshot=on,file={escaped}" in said
    assert said[said.index("-m") + 1] == "1024"
    assert said[said.index("-accel") + 1] == "tcg"
    assert "erms=off" in said[said.index("-cpu") + 1]
    assert "-nographic" not in said
    assert "pflash" not in " ".join(said)
    assert luxusb("try", disk, "--kvm").code == 0
    assert "kvm" in recorded.read_text().splitlines()


def test_uefi(luxusb: Run, recorded: Path, disk: Path) -> None:
    result = luxusb("try", disk, "--uefi", "--console")
    assert result.code == 0, result.err
    flash = [line for line in recorded.read_text().splitlines() if "if=pflash" in line]
    assert "OVMF_CODE" in flash[0]
    assert "readonly=on" in flash[0]
    assert "readonly" not in flash[1]
    assert "/usr/" not in flash[1]


def test_what_is_missing_is_named(
    luxusb: Run, recorded: Path, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "FIRMWARE", (tmp_path / "none.fd",))
    result = luxusb("try", disk, "--uefi", "--console")
    assert result.code == 1
    assert "Install the package ovmf" in result.err
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert "There is no screen for a window" in luxusb("try", disk).err
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = luxusb("try", disk, "--console")
    assert missing.code == 1
    assert "Install the package qemu-system-x86." in missing.err
    assert not recorded.exists()


@pytest.mark.parametrize(
    "arguments", [["nothing.img"], ["DISK", "--memory", "1MiB"], ["DISK", "--console", "--json"], ["/dev/null"], []]
)
def test_what_cannot_be_tried(luxusb: Run, recorded: Path, disk: Path, arguments: list[str]) -> None:
    filled = [str(disk) if word == "DISK" else word for word in arguments]
    assert luxusb("try", *filled, *(["--console"] if "--json" not in filled else [])).code in {1, 2}
    assert not recorded.exists()


def test_a_machine_that_fails(luxusb: Run, recorded: Path, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QEMU_STATUS", "3")
    result = luxusb("try", disk, "--console", "--kvm")
    assert result.code == 1
    assert "ended with status 3" in result.err
    assert "without --kvm" in result.err


def test_a_real_machine_on_this_terminal(spawn: Spawn, disk: Path) -> None:
    before = disk.read_bytes()
    command = spawn("try", disk, "--console", "--memory", "64MiB", terminal=True)
    command.wait_for("HI")
    command.type("\x01x")
    assert command.finish() == 0
    assert disk.read_bytes() == before
