"""The list of systems: order, categories, and what each row says of its release."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from luxusb_cli.catalog import DistroInfo, ReleaseInfo

from tests.catalog.test_catalog import named, releases
from tests.desktop import hand
from tests.desktop.screen import until

OLD = {"end_of_life": "2020-01-01"}


@pytest.fixture
def catalogue(place: Path) -> Path:
    """Systems of two categories beside the packaged ones; the last one was popular, long ago."""
    document = named("none", "None")
    (entry,) = document["distributions"]
    first, second = ({**each, "size": 1 << 30} for each in releases(("2", "", "amd64"), ("1", "", "amd64")))
    entries = [
        {**entry, "id": "younger", "name": "Younger", "category": "Odd", "popularity_rank": 2, "releases": [first]},
        {**entry, "id": "older", "name": "Older", "category": "Odd", "popularity_rank": 1,
         "releases": [{**first, "iso_url": "https://example.org/3.iso"}, {**second, **OLD}]},
        {**entry, "id": "unknown", "name": "Unknown", "category": "Server", "popularity_rank": 0,
         "releases": [{**second, **OLD, "sha256": "f" * 64, "iso_url": "https://example.org/4.iso"}]},
    ]  # fmt: skip
    path = place / "catalogue.json"
    path.write_text(json.dumps({**document, "distributions": entries}))
    return path


def titles(window: Any) -> list[str]:
    """Of the rows that can be seen, in their order."""
    return [row.get_title() for row in window.systems._rows if row.get_mapped()]


async def test_categories_and_popularity(app: Any) -> None:
    window = app.window
    page = window.systems
    await until(lambda: app.model.systems, "systems")
    await until(lambda: len(titles(window)) == len(app.model.systems), "their rows")
    assert titles(window) == [system.name for system in app.model.systems]
    ranks = [system.popularity_rank or 10**9 for system in app.model.systems]
    assert ranks == sorted(ranks)
    assert titles(window).index("Older") < titles(window).index("Younger") < titles(window).index("Unknown")
    names = [page.categories.get_model().get_string(at) for at in range(page.categories.get_model().get_n_items())]
    assert names[0] == "All categories"
    assert names[1:] == sorted({system.category for system in app.model.systems})
    page.categories.set_selected(names.index("Odd"))
    await until(lambda: titles(window) == ["Older", "Younger"], "one category", lambda: titles(window))
    page.search.set_text("young")
    await until(lambda: titles(window) == ["Younger"], "one category and a word")
    page.search.set_text("unknown")
    await hand.sees(window, "Nothing found")
    page.categories.set_selected(0)
    await until(lambda: "Unknown" in titles(window), "all categories and a word")
    page.search.set_text("")
    await until(lambda: len(titles(window)) == len(app.model.systems), "all")


async def test_what_a_row_says(app: Any) -> None:
    window = app.window
    await until(lambda: app.model.systems, "systems")
    await until(lambda: len(window.systems._rows) == len(app.model.systems), "their rows, made a few at a time")
    rows = {row.system.id: row for row in window.systems._rows}

    def says(name: str) -> tuple[list[str], str]:
        return [badge.get_label() for badge in rows[name].trust], rows[name].get_subtitle()

    assert says("older") == (["hash"], "2 · 1 GiB")
    assert says("unknown") == (["hash"], "1 · 1 GiB · end of life")
    debian, arch = says("debian-live"), says("arch")
    assert debian[0] == ["signed"]
    assert debian[1].endswith(" · Secure Boot")
    assert arch[1].endswith(" · no Secure Boot")
    assert rows["debian-live"].trust.get_first_child().get_tooltip_text() == "Its maker's signature is checked"

    window.show_details(rows["older"].system)
    window.details.edition.set_selected(1)
    await hand.sees(window.details, "end of life")
    await hand.press(window, "Choose")
    chosen = (["hash"], "1 · 1 GiB · end of life")
    await until(lambda: says("older") == chosen, "the release that is chosen", lambda: says("older"))
    await hand.press(window, "Leave out")
    await until(lambda: says("older") == (["hash"], "2 · 1 GiB"), "the newest one")


def test_the_words_of_the_marks() -> None:
    from luxusb_gtk import words

    release = ReleaseInfo.from_wire({"version": "1", "trust": "tls-only", "secure_boot": "no", "ended": True})
    system = DistroInfo("x", "X", "", "", "", "", 0, "user", (release,))
    assert words.marks(system, release) == [
        ("TLS only", "warning"), ("custom", "accent"), ("end of life", "warning"), ("no Secure Boot", "dim"),
    ]  # fmt: skip
    good = replace(release, trust="signed", secure_boot="yes", ended=False)
    assert words.marks(replace(system, origin="packaged"), good) == [("signed", "success"), ("Secure Boot", "dim")]
    assert words.marks(replace(system, origin="packaged"), replace(good, trust="", secure_boot="unknown")) == []
    assert {words.category(name) for name in words._CATEGORIES} == set(words._CATEGORIES)
    assert words.category("Odd") == "Odd"


def test_every_category_of_the_packaged_list_has_a_word() -> None:
    from luxusb_gtk import words

    packaged = json.loads((Path(__file__).resolve().parents[2] / "data" / "distros.json").read_text())
    assert {system["category"] for system in packaged["distributions"]} <= set(words._CATEGORIES)
