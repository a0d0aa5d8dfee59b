"""The command itself against the real daemon: what a person sees, and what a program reads."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cli import schemas
from tests.harness.service import ROOT, environment

TIMEOUT = 90.0
ERROR = "org.luxusb.Error."


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Refusal:
    """How bad input is answered.

    Attributes:
        name: the D-Bus name of the error, without `org.luxusb.Error.` where that is its beginning.
        why: words that say what is wrong, and on what; in the text and in the JSON message.
        todo: words that say what to do; in the text.
        code: exit code of the command.
    """

    name: str
    why: Sequence[str]
    todo: Sequence[str]
    code: int = 1

    @property
    def full_name(self) -> str:
        return self.name if "." in self.name else ERROR + self.name


class Cli:
    """`luxusb` on the bus at `address`; `uid` runs it as another user."""

    def __init__(self, address: str, home: Path, uid: int | None = None) -> None:
        self.address = address
        self._home = home
        self._uid = uid
        self.settings: dict[str, str] = {}
        """Further variables of its environment."""

    async def start(self, *arguments: str | Path) -> asyncio.subprocess.Process:
        """Begin a command."""
        settings = {key: value for key, value in environment().items() if not key.startswith(("LC_", "LANG"))}
        settings |= {"DBUS_SYSTEM_BUS_ADDRESS": self.address, "LANG": "C.UTF-8"}
        settings |= {"XDG_CACHE_HOME": str(self._home), "XDG_CONFIG_HOME": str(self._home / "config")}
        other: dict[str, Any] = {}
        if self._uid is not None:
            other = {"user": self._uid, "group": self._uid, "extra_groups": []}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "luxusb_cli", *map(str, arguments)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=settings | {"PYTHONDONTWRITEBYTECODE": "1"} | self.settings,
            cwd=ROOT if self._uid is None else "/",
            **other,
        )

    async def run(self, *arguments: str | Path) -> Said:
        """Run a command to its end."""
        process = await self.start(*arguments)
        try:
            async with asyncio.timeout(TIMEOUT):
                out, err = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.communicate()
            raise AssertionError(f"luxusb {arguments} did not end") from None
        assert process.returncode is not None
        said = Said(process.returncode, out.decode(), err.decode())
        assert "Traceback" not in said.err, said.err
        return said

    async def text(self, *arguments: str | Path) -> str:
        """Standard output of a command that succeeds and complains of nothing."""
        said = await self.run(*arguments)
        assert (said.code, said.err) == (0, ""), f"{arguments}: {said}"
        return said.out

    async def json(self, *arguments: str | Path) -> Any:
        """The document of a command that succeeds; it fits its schema."""
        said = await self.run(*arguments, "--json")
        assert (said.code, said.err) == (0, ""), f"{arguments}: {said}"
        schemas.check_output([*map(str, arguments), "--json"], said.out)
        return json.loads(said.out)

    async def refused(self, refusal: Refusal, *arguments: str | Path) -> None:
        """The command is refused in this way, as text and as JSON."""
        check_text(await self.run(*arguments), refusal)
        check_json(await self.run(*arguments, "--json"), refusal, arguments)


def check_text(said: Said, refusal: Refusal) -> None:
    """A refusal as a person sees it: what, why and what to do, and nothing of a program's innards."""
    assert said.code == refusal.code, said
    head, *rest = said.err.splitlines()
    assert head.startswith("luxusb: "), said.err
    # one line of each kind; a long report may follow indented
    assert all(line.startswith("  ") for line in rest), said.err
    _has(said.err, [*refusal.why, *refusal.todo])
    for innards in ("Errno", "org.luxusb.Error", "Exception", "<class", "None"):
        assert innards not in said.err, said.err


def check_json(said: Said, refusal: Refusal, arguments: Sequence[str | Path]) -> None:
    """The same refusal as a program reads it."""
    assert (said.code, said.err) == (refusal.code, ""), said
    schemas.check_output([*map(str, arguments), "--json"], said.out)
    error = json.loads(said.out)["error"]
    assert error["name"] == refusal.full_name, error
    _has(error["message"], refusal.why)


def _has(text: str, words: Sequence[str]) -> None:
    missing = [word for word in words if word.lower() not in text.lower()]
    assert not missing, f"{missing} missing in: {text}"


def fingerprint(*paths: Path) -> dict[str, str]:
    """What lies in files and directories: the hash of every byte that is really there, by path."""
    found: dict[str, str] = {}
    for path in paths:
        entries = [path, *path.rglob("*")] if path.is_dir() else [path]
        for entry in entries:
            if entry.is_file():
                found[str(entry)] = _hash(entry)
            else:
                found[str(entry)] = "directory" if entry.is_dir() else "missing"
    return found


BLOCK = 65536


def _hash(path: Path) -> str:
    """Of all blocks that are not zeros: a sparse disk is read in no time, and where its holes are tells nothing."""
    running = hashlib.sha256()
    fd = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(fd).st_size
        running.update(f"{size}".encode())
        position = 0
        while position < size:
            try:
                position = os.lseek(fd, position, os.SEEK_DATA) // BLOCK * BLOCK
            except OSError:
                break  # nothing but a hole up to the end
            data = os.pread(fd, BLOCK, position)
            if data.strip(b"\0"):
                running.update(f" {position} ".encode())
                running.update(data)
            position += BLOCK
    finally:
        os.close(fd)
    return running.hexdigest()
