"""The real daemon on a private bus, and the real app before it."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.daemon.conftest import attach, caller, catalogue, daemon, images, mirror, place, settings, stick  # noqa: F401
from tests.daemon.daemon import Daemon
from tests.desktop.screen import display, turn, until

NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def screen() -> Iterator[str]:
    with display() as name:
        yield name


@pytest.fixture
async def app(screen: str, daemon: Daemon) -> AsyncIterator[Any]:  # noqa: F811
    """The application with its window, connected."""
    async with running(daemon.address) as started:
        await until(lambda: started.window.states.get_visible_child_name() == "ready", "the daemon")
        yield started


def running(address: str, *, alone: bool = False, uid: int = 0) -> Any:
    """The application over a bus; an async context manager.

    Args:
        address: of the bus.
        alone: a second one leaves everything to it.
        uid: who it is to those on the bus.
    """
    import contextlib

    @contextlib.asynccontextmanager
    async def run() -> AsyncIterator[Any]:
        from gi.repository import Gio
        from luxusb_gtk.application import ID, Application
        from luxusb_gtk.service import Presence, Service

        # what one test has exported on the session bus stays there until its last reference is gone
        name = f"org.luxusb.Test{next(NUMBERS)}"
        flags = Gio.ApplicationFlags.DEFAULT_FLAGS if alone else Gio.ApplicationFlags.NON_UNIQUE
        service = Service(address)
        app = Application(service, name=ID if alone else name, flags=flags)
        Gio.bus_get_sync(Gio.BusType.SESSION)  # as oneself
        # the bus knows who we are from the moment at which we connect
        os.seteuid(uid)
        try:
            app.register(None)
            await until(lambda: service.presence is not Presence.CONNECTING, "the bus")
        finally:
            os.seteuid(os.getuid())
        app.activate()
        await turn()
        try:
            yield app
        finally:
            if app.window is not None:
                app.window.destroy()
            app.service.stop()
            for _ in range(5):
                await turn()

    return run()
