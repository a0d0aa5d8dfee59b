"""Logos: they come when a row is in view, a few at a time; whatever is wrong with one, the initials stay."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.catalog.test_catalog import named
from tests.desktop.screen import turn, until
from tests.harness.maker import Maker
from tests.harness.pictures import SVG, png
from tests.harness.tls import Authority

ROOT = Path(__file__).resolve().parents[2]
MANY = 60


def without_logos() -> list[dict[str, Any]]:
    """The packaged systems, as entries that take their places and name no logo."""
    packaged = json.loads((ROOT / "data" / "distros.json").read_text())["distributions"]
    return [{**system, "logo_url": "", "replace": True} for system in packaged]


@pytest.fixture
def settings(authority: Authority) -> str:
    """The daemon trusts the server of the logos."""
    return f'[network]\nca_file = "{authority.file}"\n'


@pytest.fixture
def fetching() -> str:
    """Logos are fetched here."""
    return ""


@pytest.fixture
def catalogue(maker: Maker, place: Path) -> Path:
    """Many systems, in the order of their numbers, before all packaged ones; not every logo is good."""
    document = named("x", "X")
    (entry,) = document["distributions"]
    pictures = {0: png(64, 64), 1: SVG, 2: png(64, 64, b"\xff\xff\xf0"), 3: png()[:-20]}
    entries = []
    for number in range(MANY):
        if number != 4:
            maker.put(f"{number}", pictures.get(number, png(300, 100)))
        about = {"id": f"s{number}", "name": f"System {number}", "logo_url": maker.at(f"{number}")}
        entries.append({**entry, **about, "popularity_rank": number + 1})
    # nobody is asked but the server here
    entries += [{**system, "popularity_rank": 1000} for system in without_logos()]
    path = place / "catalogue.json"
    path.write_text(json.dumps({**document, "distributions": entries}))
    return path


def view(window: Any, title: str) -> Any:
    """The logo in a row of the list."""
    return next(row.logo for row in window.systems._rows if row.system.name == title)


def shown(window: Any, title: str) -> bool:
    """Whether it is there."""
    return bool(view(window, title).shows_logo)


async def test_logos_come_for_the_rows_in_view(app: Any, maker: Maker) -> None:
    window = app.window
    await until(lambda: app.model.systems, "systems")
    for number in (0, 1, 2, 5):
        await until(partial(shown, window, f"System {number}"), f"the logo of system {number}")
    await until(lambda: {"3", "4"} <= set(maker.paths()), "the bad ones to be asked for")
    await until(lambda: not app.model.logos._wanted, "the end of all questions")
    assert not view(window, "System 3").shows_logo, "it is broken"
    assert not view(window, "System 4").shows_logo, "there is none"
    assert [view(window, f"System {number}").on_dark for number in (0, 1, 2)] == [False, False, True]
    first = [int(path) for path in maker.paths()]
    assert max(first) < MANY // 2, "nobody has seen the others"
    assert len(first) == len(set(first)), "each was fetched once"

    heights = window.systems.scroller.get_vadjustment()

    def made() -> Any:
        """Its row: they are made a few at a time, and have no place at first."""
        rows = window.systems._rows
        return next((row for row in rows if row.system.name == "System 50" and row.get_height()), None)

    at = await until(made, "the row of system 50")
    await until(lambda: len(window.systems._rows) == len(app.model.systems), "those below it")
    _known, place = at.compute_bounds(window.systems.list)
    heights.set_value(place.get_y())
    await until(lambda: view(window, "System 50").shows_logo, "a logo further below")
    assert not {str(number) for number in range(30, 40)} & set(maker.paths()), "nobody has seen these"

    window.systems.search.set_text("System 35")
    await until(lambda: view(window, "System 35").shows_logo, "the logo of what was searched")


async def test_the_page_of_a_system_shows_its_logo(app: Any, maker: Maker) -> None:
    window = app.window
    systems = await until(lambda: {one.id: one for one in app.model.systems}, "systems")
    window.show_details(systems["s1"])
    await until(lambda: window.details.logo.shows_logo, "the logo")
    window.show_details(systems["s4"])
    await until(lambda: not app.model.logos._wanted, "the answer")
    assert not window.details.logo.shows_logo
    window.show_details(systems["s2"])
    await until(lambda: window.details.logo.shows_logo and window.details.logo.on_dark, "the light one")


class Calls:
    """In the place of the service; answers when the test wants it."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, Callable[[tuple[int]], None], Callable[[Any], None]]] = []
        self.asked: list[str] = []

    def manager(self, method: str, parameters: Any, done: Any, failed: Any) -> None:
        assert method == "GetLogo"
        name = parameters.unpack()[0]
        self.asked.append(name)
        self.waiting.append((name, done, failed))

    def answer(self, data: bytes | None) -> None:
        """Answer who waits longest, with an error where there are no bytes."""
        _name, done, failed = self.waiting.pop(0)
        if data is None:
            failed(None)
            return
        fd = os.memfd_create("logo")
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        done((fd,))


def system(number: int, url: str = "https://x.example/logo") -> Any:
    return SimpleNamespace(id=f"s{number}", name=f"System {number}", logo_url=url)


async def test_few_at_a_time_each_once_and_failures_are_remembered(screen: str) -> None:
    from luxusb_gtk.logos import AT_ONCE, Logos

    calls = Calls()
    seen: list[Any] = []
    logos = Logos(calls)  # type: ignore[arg-type]
    for number in (*range(10), *range(10)):
        logos.want(system(number), 32, seen.append)
    logos.want(system(99, ""), 32, seen.append)
    assert calls.asked == [f"s{number}" for number in range(AT_ONCE)]
    calls.answer(b"no picture")
    calls.answer(None)
    await until(lambda: len(calls.asked) == AT_ONCE + 2, "the next ones")
    assert seen == []
    for _ in range(8):
        await until(lambda: calls.waiting, "a question")
        calls.answer(png(64, 32))
    await until(lambda: len(seen) == 16, "both who wanted each of them")
    assert {(picture.texture.get_width(), picture.texture.get_height()) for picture in seen} == {(32, 16)}
    assert calls.asked == [f"s{number}" for number in range(10)]
    logos.want(system(0), 32, seen.append)
    logos.want(system(5), 32, seen.append)
    assert (len(calls.asked), len(seen)) == (10, 17), "one is known to be none, the other is at hand"
    logos.forget_failures()
    logos.want(system(0), 32, seen.append)
    assert calls.asked[10:] == ["s0"]
    logos.want(system(5, "https://x.example/new"), 32, seen.append)
    assert calls.asked[11:] == ["s5"], "another address, another picture"
    await turn()


async def test_what_is_kept_has_a_bound(screen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from luxusb_gtk import logos

    monkeypatch.setattr(logos, "MOST", 3)
    calls = Calls()
    kept = logos.Logos(calls)  # type: ignore[arg-type]
    for number in range(6):
        kept.want(system(number), 32, lambda _picture: None)
        calls.answer(None)
    assert [key[0] for key in kept._known] == ["s3", "s4", "s5"]
