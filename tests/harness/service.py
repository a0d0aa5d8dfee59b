"""The embedded service as a caller meets it: a process that prints its bus address, and the `luxusb` command."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from luxusbd.process import find_program

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "DBUS_SYSTEM_BUS_ADDRESS="


class ServiceError(AssertionError):
    """The service or the command did not do what was asked; the text says what it printed."""


class Service:
    """`luxusbd --private` from its first line to its end; an async context manager.

    Args:
        directory: its private directory.
        catalogue: file for `--catalog`.
        log: where its standard error goes.
        timeout: seconds until the address has to be there.
    """

    def __init__(self, directory: Path, *, catalogue: Path | None, log: Path, timeout: float = 30.0) -> None:
        self.address = ""
        self._directory = directory
        self._catalogue = catalogue
        self._log = log
        self._timeout = timeout
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        arguments = [sys.executable, "-m", "luxusbd", "--private", str(self._directory)]
        if self._catalogue is not None:
            arguments += ["--catalog", str(self._catalogue)]
        with self._log.open("wb") as log:
            # SIGTERM when this program dies: the service then ends its own children.
            self._process = await asyncio.create_subprocess_exec(
                *(find_program("setpriv"), "--pdeathsig", "TERM", "--", *arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=environment(),
                start_new_session=True,
            )
        try:
            self.address = await self._read_address()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        clean = await self._stop()
        if kind is None and not clean:
            raise ServiceError(f"luxusbd did not end cleanly on SIGTERM\n{self.log_tail()}")

    @property
    def pid(self) -> int:
        """Process id of the core."""
        assert self._process is not None
        return self._process.pid

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        text = self._log.read_text("utf-8", "replace") if self._log.exists() else ""
        return f"--- last lines of {self._log} ---\n" + "\n".join(text.splitlines()[-lines:])

    async def show(self, *arguments: str, timeout: float = 60.0) -> None:
        """Run `luxusb` as a user does, its output going to the terminal.

        Raises:
            ServiceError: it failed, or did not end within `timeout` seconds.
        """
        await self._luxusb(arguments, timeout, capture=False)

    async def ask(self, *arguments: str, timeout: float = 60.0) -> Any:
        """Run `luxusb ... --json` and return its document.

        Raises:
            ServiceError: as in `show`, or what it printed is no JSON.
        """
        said = await self._luxusb((*arguments, "--json"), timeout, capture=True)
        try:
            return json.loads(said)
        except ValueError:
            raise ServiceError(f"luxusb {' '.join(arguments)} --json printed no JSON: {said[:500]!r}") from None

    async def _luxusb(self, arguments: Sequence[str], timeout: float, *, capture: bool) -> bytes:
        pipe = asyncio.subprocess.PIPE if capture else None
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "luxusb_cli", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            env={**environment(), "DBUS_SYSTEM_BUS_ADDRESS": self.address},
        )
        shown = f"luxusb {' '.join(arguments)}"
        try:
            async with asyncio.timeout(timeout):
                out, err = await process.communicate()
        except TimeoutError:
            raise ServiceError(f"{shown} did not end within {timeout:g} seconds\n{self.log_tail()}") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            said = ((err or b"") + (out or b"")).decode("utf-8", "replace").strip()
            raise ServiceError(f"{shown} failed with status {process.returncode}. {said}\n{self.log_tail()}")
        return out or b""

    async def _read_address(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(self._timeout):
                line = (await self._process.stdout.readline()).decode("utf-8", "replace").strip()
        except TimeoutError:
            raise ServiceError(f"luxusbd was not ready after {self._timeout:g} seconds\n{self.log_tail()}") from None
        if not line.startswith(PREFIX):
            raise ServiceError(f"luxusbd did not print its bus address, but {line!r}\n{self.log_tail()}")
        return line.removeprefix(PREFIX)

    async def _stop(self) -> bool:
        """End it; True when it ended by itself with status 0 after SIGTERM, with its whole process group gone."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(20):
                status = await self._process.wait()
        except TimeoutError:
            status = -1
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return status == 0
        await self._process.wait()
        return False


def environment() -> dict[str, str]:
    """This environment, with this checkout first among Python's modules."""
    path = [str(ROOT), str(ROOT / "clients"), *filter(None, [os.environ.get("PYTHONPATH", "")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
