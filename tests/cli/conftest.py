"""A private bus, the fake daemon on it, and the command: in this process, as another one, and on a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from luxusb_cli import app

from tests.cli import schemas
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.process import Spawned

_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:dir={directory}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
    <allow user="*"/>
  </policy>
</busconfig>
"""


@dataclass(frozen=True)
class Result:
    """What a run of the command left."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document it has to be."""
        return json.loads(self.out)


@contextlib.contextmanager
def private_bus(directory: Path) -> Iterator[str]:
    """A bus with its socket in `directory`; its address."""
    program = shutil.which("dbus-daemon")
    assert program is not None
    config = directory / "bus.conf"
    config.write_text(_CONFIG.format(directory=directory))
    command = [program, f"--config-file={config}", "--print-address=1", "--nofork", "--nopidfile"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def bus_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with private_bus(tmp_path_factory.mktemp("bus")) as address:
        yield address


@pytest.fixture
def environment(bus_address: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus_address)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def daemon(bus_address: str) -> Iterator[FakeDaemon]:
    fake = FakeDaemon(bus_address)
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def luxusb(environment: None, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def run(*arguments: str | Path) -> Result:
        capsys.readouterr()
        code = app.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        schemas.check_output([str(argument) for argument in arguments], captured.out)
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def spawn(environment: None) -> Iterator[Callable[..., Spawned]]:
    running: list[Spawned] = []

    def start(*arguments: str | Path, terminal: bool = False) -> Spawned:
        command = [sys.executable, "-m", "luxusb_cli", *(str(argument) for argument in arguments)]
        spawned = Spawned(command, dict(os.environ), terminal=terminal)
        running.append(spawned)
        return spawned

    yield start
    for spawned in running:
        spawned.close()


@pytest.fixture
def iso(tmp_path: Path) -> Path:
    file = tmp_path / "my.iso"
    file.write_bytes(b"CD001" * 100)
    return file


Run = Callable[..., Result]
Spawn = Callable[..., Spawned]
__all__: Sequence[str] = ("Result", "Run", "Spawn")
