"""Languages that run to the left: pages are turned round, and sizes and paths among their words are not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from luxusb_gtk.basket import Choice, measure
from luxusb_gtk.bidi import ordered

from tests.desktop import hand
from tests.desktop.screen import until

ISOLATES = ("\u2068", "\u2069")
MIXED = st.text(st.sampled_from("abZ09./ ·,()%\nאבגدس"), max_size=40)


@given(MIXED)
def test_nothing_is_changed_but_the_order(text: str) -> None:
    made = ordered(text)
    assert "".join(char for char in made if char not in ISOLATES) == text
    depth = 0
    for char in made:
        depth += {ISOLATES[0]: 1, ISOLATES[1]: -1}.get(char, 0)
        assert 0 <= depth <= 1
        assert not (depth and char in "אבגدس\n"), "an isolate holds what runs the other way alone"
    assert depth == 0
    if not any(char in "אבגدس" for char in text):
        assert made == text


def seen(text: str) -> str:
    """The characters from left to right, as Pango lays them out."""
    from gi.repository import Gtk

    layout = Gtk.Label().create_pango_layout(text)
    places: list[tuple[int, int, str]] = []
    at = 0
    for char in text:
        if char not in ISOLATES:
            box = layout.index_to_pos(at)
            places.append((min(box.x, box.x + box.width), len(places), char))
        at += len(char.encode())
    return "".join(char for _x, _number, char in sorted(places))


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("נותרו 3.9 GiB", "3.9 GiB"),
        ("ההתקן /dev/sdb יימחק", "/dev/sdb"),
        ("למחוק את Ultra (64 GB)", "Ultra (64 GB)"),
        ("متبقي 12 MiB/s من 3 GiB", "12 MiB/s"),
        ("26.04.1 · מהיר · 6 GiB", "26.04.1"),
    ],
)
def test_what_runs_to_the_right_is_read_so(screen: str, text: str, there: str) -> None:
    assert there in seen(ordered(text))


def test_it_would_not_be_without(screen: str) -> None:
    assert "3.9 GiB" not in seen("נותרו 3.9 GiB")


@pytest.fixture
def turned(screen: str) -> Iterator[None]:
    """Windows that are made from now on are turned round."""
    from gi.repository import Gtk

    Gtk.Widget.set_default_direction(Gtk.TextDirection.RTL)
    yield
    Gtk.Widget.set_default_direction(Gtk.TextDirection.LTR)


async def test_pages_are_turned_round(turned: None, app: Any) -> None:
    from gi.repository import Gtk

    window = app.window
    item: Any = await until(lambda: hand.row(window, "Alpha"), "a row")
    await until(lambda: item.get_width() > 100, "its place")

    def middle(part: Any) -> float:
        found, box = part.compute_bounds(window)
        assert found
        return float(box.get_x() + box.get_width() / 2)

    assert middle(item.check) > middle(hand.find(item, Gtk.Button, "Editions and mirrors"))
    window.go("sticks")
    back = await until(lambda: hand.find(window, Gtk.Button, "Back"), "the way back")
    await until(lambda: middle(back) > window.get_width() / 2, "it on the right", lambda: middle(back))


async def test_the_bar_begins_on_the_right(turned: None, app: Any) -> None:
    from luxusb_gtk.widgets.spacebar import SpaceBar

    window = app.window
    bar = SpaceBar()
    window.systems.content.append(bar)
    bar.show_space(measure(1000, [Choice("a", "distro:a", "A", 300)], overhead=100))
    await until(lambda: bar.get_width() > 100, "its place")
    strip = bar.get_first_child()
    places = [(start / strip.get_width(), segment.kind) for start, _length, segment in strip.stretches()]
    assert [kind for _start, kind in sorted(places, reverse=True)] == ["overhead", "system", "free"]
    assert places[0][0] == pytest.approx(0.9)
