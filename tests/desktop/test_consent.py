"""The app of an ordinary user, the real polkit and an agent that asks for a password."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from luxusb_gtk.basket import MIB

from luxusbd import resources
from luxusbd.bus.connection import Connection
from luxusbd.bus.private import private_bus
from tests.bus.polkit import NOBODY, POLICY, TO_AGENTS, program, real_polkitd
from tests.daemon.daemon import Daemon
from tests.daemon.test_users import CONFIG
from tests.desktop import hand
from tests.desktop.agent import Agent, Person, agent
from tests.desktop.conftest import running
from tests.desktop.screen import until
from tests.desktop.test_flow import ended

pytestmark = pytest.mark.root


@pytest.fixture
async def address(place: Path) -> AsyncIterator[str]:
    """A bus with the real polkit, which knows our actions and has no rules but its own."""
    bus = place / "b"
    users = [NOBODY, *(entry.pw_uid for entry in pwd.getpwall() if entry.pw_name == "polkitd")]
    actions, rules = place / "actions", place / "rules"
    for directory in (actions, rules):
        directory.mkdir()
    shutil.copy(resources.root() / "polkit" / "org.luxusb.policy", actions)
    async with private_bus(bus, users=users, extra_policy=POLICY + TO_AGENTS) as running:
        bus.chmod(0o755)
        connection = await Connection.open(running)
        async with program(running, connection, *real_polkitd(actions, rules)):
            yield running
        await connection.close()


@pytest.fixture
async def asks(address: str) -> AsyncIterator[Agent]:
    async with agent(address) as made:
        yield made


@pytest.fixture
async def app(screen: str, address: str, place: Path, catalogue: Path, fetching: str) -> AsyncIterator[Any]:
    """The app, which is nobody to the service and to polkit."""
    daemon = Daemon(place, catalogues=[catalogue], config=CONFIG.format(place=place) + fetching, address=address)
    async with daemon, running(address, uid=NOBODY) as started:
        await until(lambda: started.window.states.get_visible_child_name() == "ready", "the daemon")
        assert os.geteuid() == 0
        yield started


async def test_a_setting_that_is_refused_is_shown_as_it_was(app: Any, asks: Agent) -> None:
    from luxusb_gtk.model import NO_OPTIONS

    window = app.window.show_preferences()
    await hand.sees(window, "Bandwidth")
    await until(lambda: window.at_once.get_value() == 3, "the settings")
    window.bandwidth.set_value(7)
    await hand.sees(window, "Not authorised; nothing was changed")
    await until(lambda: window.bandwidth.get_value() == 0, "what holds")
    assert [action for action, _text in asks.asked] == ["org.luxusb.configure"]
    asks.person = Person.CONSENTS
    window.bandwidth.set_value(7)
    await until(lambda: len(asks.asked) == 2, "the second question")
    told: list[int] = []

    def holds() -> bool:
        app.service.manager(
            "GetSettings", NO_OPTIONS, lambda answer: told.append(answer[0]["downloads.bandwidth"]), app.window.fail
        )
        return bool(told) and told[-1] == 7 * MIB

    await until(holds, "the change", lambda: told)
    window.close()


async def test_a_refusal_keeps_everything_and_consent_makes_the_stick(
    app: Any, asks: Agent, stick: Path, attach: Callable[[Path], str]
) -> None:
    from gi.repository import Adw, Gtk

    window = app.window

    def dialogues() -> list[Any]:
        return [top for top in Gtk.Window.list_toplevels() if isinstance(top, Adw.MessageDialog) and top.get_mapped()]

    def nothing_is_lost() -> None:
        assert app.model.basket.references == ["distro:alpha@1.0"]
        assert window.page == "summary"
        assert not app.model.jobs
        assert stick.read_bytes() == before

    node = attach(stick)
    before = stick.read_bytes()
    await hand.tick(window, "Alpha")
    await hand.press(window, "Choose a stick")
    await hand.sees(window, node)
    await hand.press(window, "Review")
    await hand.sees(window, "Will be written")

    await hand.press(window, "Erase")
    await hand.answer("erase")
    await hand.sees(window, "Not authorised; nothing was changed")
    assert [action for action, _text in asks.asked] == ["org.luxusb.write-device"]
    assert dialogues() == [], "one message is enough"
    nothing_is_lost()

    asks.person = Person.MISTYPES
    await hand.press(window, "Erase")
    await hand.answer("erase")
    await until(lambda: len(asks.asked) == 2, "the second question")
    assert "password was not accepted" in await hand.answer("close")
    nothing_is_lost()

    asks.person = Person.CONSENTS
    await hand.press(window, "Erase")
    await hand.answer("erase")
    await ended(app, "create")
    assert len(asks.asked) == 3
    assert not app.model.basket


async def test_what_is_refused_byte_for_byte_is_still_reviewed(
    app: Any, asks: Agent, stick: Path, attach: Callable[[Path], str]
) -> None:
    window = app.window
    node = attach(stick)
    before = stick.read_bytes()
    await hand.tick(window, "Alpha")
    await hand.press(window, "Choose a stick")
    await hand.sees(window, node)
    await hand.press(window, "Write byte for byte…")
    await hand.press(window, "Erase")
    await hand.answer("erase")
    await hand.sees(window, "Not authorised; nothing was changed")
    assert [action for action, _text in asks.asked] == ["org.luxusb.write-device"]
    assert window.page == "raw"
    assert app.model.basket.references == ["distro:alpha@1.0"]
    assert not app.model.jobs
    assert stick.read_bytes() == before
    asks.person = Person.CONSENTS
    await hand.press(window, "Erase")
    await hand.answer("erase")
    await until(lambda: [job.operation for job in app.model.top_jobs()] == ["write-raw"], "the job")
    assert not app.model.basket
    await until(lambda: app.model.top_jobs()[0].state.finished, "its end")
