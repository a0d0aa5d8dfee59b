"""An X server without a screen, and the main loop of GTK inside the one of asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

SIZE = "1280x1024x24"
SESSION_BUS = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:dir={directory}</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""
PATIENCE = 30.0
"""Seconds for something that comes by itself."""


@contextlib.contextmanager
def display() -> Iterator[str]:
    """A display of its own, named in the environment from now on; GTK opens it when it is imported afterwards.

    It has a session bus that starts nothing. What would read the user's own settings is switched off.
    """
    reader, writer = os.pipe()
    with tempfile.TemporaryDirectory(prefix="lux-home-") as home:
        # one that begins anew when its last client leaves turns away who comes in that moment
        server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(writer), "-screen", "0", SIZE, "-nolisten", "tcp", "-noreset"],
            pass_fds=[writer],
            stderr=subprocess.DEVNULL,
        )
        os.close(writer)
        with os.fdopen(reader) as told:
            number = told.readline().strip()
        assert number, "Xvfb did not start"
        config = Path(home, "bus.conf")
        config.write_text(SESSION_BUS.format(directory=home))
        bus = subprocess.Popen(
            ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address"], stdout=subprocess.PIPE, text=True
        )
        assert bus.stdout is not None
        address = bus.stdout.readline().strip()
        assert address, "dbus-daemon did not start"
        os.environ.update(
            DISPLAY=f":{number}",
            GDK_BACKEND="x11",
            GDK_DEBUG="portals",  # dialogues for files come from there, and from GTK where there is no portal
            GSK_RENDERER="cairo",
            GTK_A11Y="none",
            GSETTINGS_BACKEND="memory",
            DBUS_SESSION_BUS_ADDRESS=address,
            ADW_DISABLE_PORTAL="1",
            GIO_USE_VFS="local",
            XDG_CONFIG_HOME=home,
            XDG_DATA_HOME=home,
            XDG_CACHE_HOME=home,
        )
        try:
            yield os.environ["DISPLAY"]
        finally:
            for program in (bus, server):
                program.terminate()
                program.wait()
            bus.stdout.close()


async def turn() -> None:
    """Let GTK do what it has to do now."""
    from gi.repository import GLib

    context = GLib.MainContext.default()
    for _ in range(200):
        if not context.iteration(False):
            break
    await asyncio.sleep(0.01)


async def until(look: Callable[[], T], what: str, there: Callable[[], object] = str) -> T:
    """Turn until `look` returns something true, and return that; `there` tells what there is instead."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not (found := look()):
                await turn()
    except TimeoutError:
        raise AssertionError(f"waited {PATIENCE:g} seconds for {what}; there is: {there()}") from None
    return found
