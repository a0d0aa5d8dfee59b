"""The one way in which this project runs another program."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luxusbd.errors import ToolFailedError, ToolMissingError

OUTPUT_LIMIT = 16 * 1024 * 1024
"""Bytes of standard output kept; more is a failure, so that a hostile input cannot fill the memory."""

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Package:
    """What brings a program, as the package managers of three families of distributions call it."""

    debian: str
    fedora: str = ""
    arch: str = ""

    def __str__(self) -> str:
        others = {self.fedora or self.debian: "Fedora", self.arch or self.debian: "Arch"}
        if (self.fedora or self.debian) == (self.arch or self.debian):
            others = {self.fedora or self.debian: "Fedora, Arch"}
        named = "; ".join(f"{names}: {package}" for package, names in others.items() if package != self.debian)
        return f"{self.debian} ({named})" if named else self.debian


_GRUB = Package("grub-common", "grub2-tools", "grub")

PACKAGES = {
    "mformat": Package("mtools"),
    "mcopy": Package("mtools"),
    "mmd": Package("mtools"),
    "mkfs.fat": Package("dosfstools"),
    "fsck.fat": Package("dosfstools"),
    "mkfs.exfat": Package("exfatprogs"),
    "fsck.exfat": Package("exfatprogs"),
    "mke2fs": Package("e2fsprogs"),
    "e2fsck": Package("e2fsprogs"),
    "debugfs": Package("e2fsprogs"),
    "sfdisk": Package("fdisk", "util-linux", "util-linux"),
    "wipefs": Package("util-linux"),
    "setpriv": Package("util-linux"),
    "prlimit": Package("util-linux"),
    "grub-mkimage": _GRUB,
    "grub-script-check": _GRUB,
    "dbus-daemon": Package("dbus-daemon", "dbus-daemon", "dbus"),
    "gpgv": Package("gpgv", "gnupg2", "gnupg"),
}
"""Which package brings a program, for the text of `ToolMissingError`."""


@dataclass(frozen=True)
class Completed:
    """What a program left behind."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: str


def find_program(name: str) -> str:
    """Absolute path of `name`, also where it sits in an sbin that the caller's PATH lacks.

    Raises:
        ToolMissingError: it is not installed; the text names the package.
    """
    path = _found(name)
    if path is None:
        package = PACKAGES.get(Path(name).name)
        hint = f"; install the package {package}" if package else ""
        raise ToolMissingError(f"the program {name} is not installed{hint}")
    return path


def require_programs(names: Sequence[str]) -> None:
    """Find out that programs are missing before anything begins that needs them.

    Raises:
        ToolMissingError: the text names all that are, with their packages.
    """
    missing = [name for name in names if _found(name) is None]
    if len(missing) == 1:
        find_program(missing[0])
    if missing:
        packages = dict.fromkeys(str(PACKAGES[name]) for name in missing if name in PACKAGES)
        plural = "s" if len(packages) > 1 else ""
        raise ToolMissingError(
            f"the programs {', '.join(missing)} are not installed; install the package{plural} {', '.join(packages)}"
        )


def _found(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":" + SEARCH_PATH)


async def run(
    argv: Sequence[str],
    *,
    stdin: bytes | None = None,
    timeout: float = 120.0,
    check: bool = True,
    pass_fds: Sequence[int] = (),
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
) -> Completed:
    """Run a program to its end without a shell, in its own process group, with `LC_ALL=C`.

    It dies with the caller however that ends: a tool that goes on alone would write to a disk that another job may
    have by then.

    Args:
        argv: program and arguments.
        stdin: bytes for its standard input; without them it reads /dev/null.
        timeout: seconds after which the whole process group is killed.
        check: raise on a non-zero exit status.
        pass_fds: descriptors the program inherits under the same numbers.
        env: variables added to the inherited environment.
        cwd: directory to run in.

    Raises:
        ToolMissingError: the program is not installed.
        ToolFailedError: it failed (with `check`), ran out of time, or printed more than `OUTPUT_LIMIT`.
        asyncio.CancelledError: after the process group was killed.
    """
    program = find_program(argv[0])
    process = await start(
        *(find_program("setpriv"), "--pdeathsig", "KILL", "--", program, *argv[1:]),
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C", "LANGUAGE": "C", **(env or {})},
        cwd=cwd,
        pass_fds=tuple(pass_fds),
        start_new_session=True,
        limit=OUTPUT_LIMIT,
    )
    ended = False
    try:
        async with asyncio.timeout(timeout):
            stdout, stderr = await _communicate(process, stdin)
        ended = True
    except TimeoutError:
        raise ToolFailedError(f"{_shown(argv)} did not end within {timeout:g} seconds") from None
    finally:
        if not ended:
            # the program itself may be gone while something that it started is not
            kill_group(process.pid)
            await _let_go(process)
    assert process.returncode is not None
    text = stderr.decode("utf-8", "replace").strip()
    if len(stdout) > OUTPUT_LIMIT:
        raise ToolFailedError(f"{_shown(argv)} printed more than {OUTPUT_LIMIT} bytes")
    if check and process.returncode != 0:
        said = text or stdout.decode("utf-8", "replace").strip() or "no message"
        raise ToolFailedError(f"{_shown(argv)} failed with status {process.returncode}: {said[-2000:]}")
    return Completed(tuple(argv), process.returncode, stdout, text)


async def start(*argv: str, **options: Any) -> asyncio.subprocess.Process:
    """`asyncio.create_subprocess_exec`, but a cancellation leaves no process behind.

    A program runs before asyncio returns it; whoever is cancelled in that moment has nothing yet that it could kill.
    """
    creating = asyncio.ensure_future(asyncio.create_subprocess_exec(*argv, **options))
    try:
        return await asyncio.shield(creating)
    except asyncio.CancelledError:
        process = await creating
        kill_group(process.pid)
        await _let_go(process)
        raise


def kill_group(pid: int) -> None:
    """SIGKILL to the process group led by `pid`; nothing happens when it is gone already."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


async def _communicate(process: asyncio.subprocess.Process, stdin: bytes | None) -> tuple[bytes, bytes]:
    assert process.stdout is not None
    assert process.stderr is not None

    async def feed() -> None:
        if process.stdin is None or stdin is None:
            return
        try:
            process.stdin.write(stdin)
            await process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            return  # the program ended without reading; its exit status tells the rest
        finally:
            process.stdin.close()

    async def drain(stream: asyncio.StreamReader, keep: int) -> bytes:
        kept = bytearray()
        while chunk := await stream.read(65536):
            if len(kept) <= keep:
                kept += chunk
        return bytes(kept)

    async with asyncio.TaskGroup() as group:
        group.create_task(feed())
        out = group.create_task(drain(process.stdout, OUTPUT_LIMIT))
        err = group.create_task(drain(process.stderr, 65536))
        group.create_task(process.wait())
    return out.result(), err.result()


async def _let_go(process: asyncio.subprocess.Process) -> None:
    """Reap a killed program and close its pipes."""
    try:
        async with asyncio.timeout(2.0):
            await process.communicate()
    except TimeoutError:
        # something left the process group and holds the pipes
        await process.wait()
    finally:
        # asyncio has no public way to close them, and does the closing in the loop's next rounds
        process._transport.close()  # type: ignore[attr-defined]
        for _ in range(3):
            await asyncio.sleep(0)


def _shown(argv: Sequence[str]) -> str:
    text = shlex.join(argv)
    return text if len(text) <= 200 else text[:197] + "..."
