"""Running programs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from luxusbd import process
from luxusbd.errors import ToolFailedError, ToolMissingError


async def test_output_and_input() -> None:
    done = await process.run(["cat"], stdin=b"a\x00b" * 100000)
    assert done.stdout == b"a\x00b" * 100000
    assert done.returncode == 0


async def test_the_language_is_c() -> None:
    done = await process.run(["sh", "-c", "echo $LC_ALL $EXTRA"], env={"EXTRA": "more"})
    assert done.stdout == b"C more\n"


async def test_failure_names_command_and_message() -> None:
    with pytest.raises(ToolFailedError, match=r"failed with status 3: broken"):
        await process.run(["sh", "-c", "echo broken >&2; exit 3"])
    assert (await process.run(["false"], check=False)).returncode == 1


async def test_missing_program_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "SEARCH_PATH", "/nonexistent")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ToolMissingError, match=r"mformat is not installed; install the package mtools"):
        await process.run(["mformat"])


async def test_timeout_kills_the_whole_group(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    with pytest.raises(ToolFailedError, match="did not end within"):
        await process.run(["sh", "-c", f"sleep 1000 & echo $! > {pidfile}; wait"], timeout=1.0)
    await _gone(int(pidfile.read_text()))


async def test_cancelling_kills_the_whole_group(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    task = asyncio.create_task(process.run(["sh", "-c", f"sleep 1000 & echo $! > {fifo}; wait"]))
    pid = int(await asyncio.to_thread(fifo.read_text))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _gone(pid)


async def test_endless_output_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "OUTPUT_LIMIT", 1000)
    with pytest.raises(ToolFailedError, match="printed more than 1000 bytes"):
        await process.run(["head", "-c", "5000", "/dev/zero"])


async def _gone(pid: int) -> None:
    """Killed processes stay in the table until init reaps them: a zombie is as good as gone."""
    for _ in range(500):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"process {pid} is still there")


async def test_cancelling_while_it_starts_leaves_nothing() -> None:
    before = _children()
    task = asyncio.create_task(process.run(["sh", "-c", "sleep 1000 & wait"]))
    while not (started := _children() - before):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for leader in started:
        assert _living_members(leader) == []


def _children() -> set[int]:
    own = os.getpid()
    return {int(child) for child in Path(f"/proc/{own}/task/{own}/children").read_text().split()}


def _living_members(group: int) -> list[str]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _parent, member_of = stat.read_text().rsplit(")", 1)[1].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(member_of) == group and state != "Z":
            found.append(stat.parent.name)
    return found


def test_all_missing_programs_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "SEARCH_PATH", "")
    monkeypatch.setenv("PATH", "")
    process.require_programs(())
    with pytest.raises(ToolMissingError, match=r"mcopy is not installed; install the package mtools$"):
        process.require_programs(["mcopy"])
    with pytest.raises(ToolMissingError) as caught:
        process.require_programs(["mmd", "mcopy", "sfdisk"])
    assert str(caught.value) == (
        "the programs mmd, mcopy, sfdisk are not installed; install the packages mtools,"
        " fdisk (Fedora, Arch: util-linux)"
    )


def test_packages_of_three_families() -> None:
    assert str(process.Package("a")) == "a"
    assert str(process.Package("a", "b", "b")) == "a (Fedora, Arch: b)"
    assert str(process.Package("a", "b", "c")) == "a (Fedora: b; Arch: c)"
    assert str(process.Package("a", "", "c")) == "a (Arch: c)"
