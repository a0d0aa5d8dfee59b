"""The real daemon on a private bus, and the real app before it."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import luxusb_gtk  # noqa: F401 # which versions are meant, before any test asks for Gtk or Gdk
import pytest

from tests.daemon.conftest import (  # noqa: F401
    CONFIG,
    attach,
    authority,
    caller,
    catalogue,
    images,
    mirror,
    place,
    settings,
    stick,
)
from tests.daemon.daemon import Daemon
from tests.daemon.leftovers import Machine
from tests.desktop.screen import display, turn, until
from tests.harness.maker import Maker
from tests.harness.tls import Authority

NUMBERS = itertools.count(1)


@pytest.fixture
async def maker(authority: Authority) -> AsyncIterator[Maker]:  # noqa: F811
    """A server for logos and lists, over TLS."""
    async with Maker(authority.good) as running:
        yield running


@pytest.fixture(scope="session")
def screen() -> Iterator[str]:
    with display() as name:
        yield name


@pytest.fixture
def fetching() -> str:
    """What the configuration says of logos: the packaged list names servers, which no test asks."""
    return "[catalog]\nlogos = false\n"


@pytest.fixture
async def daemon(place: Path, catalogue: Path, settings: str, fetching: str) -> AsyncIterator[Daemon]:  # noqa: F811
    """A running daemon; at its end nothing of it may be left."""
    machine = Machine.now()
    config = CONFIG.format(place=place) + settings + fetching
    async with Daemon(place, catalogues=[catalogue], config=config) as running:
        yield running
    machine.check_nothing_left(running)


@pytest.fixture
async def app(screen: str, daemon: Daemon) -> AsyncIterator[Any]:
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
        from luxusb_gtk import wishes
        from luxusb_gtk.application import ID, Application
        from luxusb_gtk.service import Presence, Service

        # what an earlier test preferred
        wishes.location().unlink(missing_ok=True)

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
