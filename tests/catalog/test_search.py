from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.catalog.search import Searchable, Wording, squeezed, words

POP = Searchable.of("popos", "Pop!_OS", ["Desktop", "casper", "nvidia"], ["System76's desktop, based on Ubuntu."])
MINT = Searchable.of("linuxmint", "Linux Mint", ["Desktop", "casper", "cinnamon"], ["A desktop based on Ubuntu."])
KUBUNTU = Searchable.of("kubuntu", "Kubuntu", ["Desktop", "casper"], ["Ubuntu with KDE Plasma."])
LEAP = Searchable.of("opensuse-leap", "openSUSE Leap", ["Desktop", "", "kde-live"], ["Für Bürø und Łódź."])


def found(text: str) -> list[tuple[int, str]]:
    ranks = [(Wording.of(text).rank(one), name) for one, name in NAMES.items()]
    return sorted((rank, name) for rank, name in ranks if rank is not None)


NAMES = {POP: "pop", MINT: "mint", KUBUNTU: "kubuntu", LEAP: "leap"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pop os", [(0, "pop")]),
        ("PopOS", [(0, "pop")]),
        ("pop!_os", [(0, "pop")]),
        ("linux-mint", [(0, "mint")]),
        ("mint linux", [(1, "mint")]),
        ("LINUXMINT", [(0, "mint")]),
        ("kubuntu", [(0, "kubuntu")]),
        ("ubuntu", [(1, "kubuntu"), (1, "mint"), (1, "pop")]),
        ("ubuntu kde", [(1, "kubuntu")]),
        ("casper cinnamon", [(1, "mint")]),
        ("open suse", [(1, "leap")]),
        ("kdelive", [(1, "leap")]),
        ("fur buro", [(1, "leap")]),
        ("LODZ", [(1, "leap")]),
        ("ＬＥＡＰ", [(1, "leap")]),
        ("mint zzz", []),
        ("!!!", []),
    ],
)
def test_what_is_found(text: str, expected: list[tuple[int, str]]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize("text", ["", " \t"])
def test_nothing_asked_for_excludes_nothing(text: str) -> None:
    assert found(text) == [(1, "kubuntu"), (1, "leap"), (1, "mint"), (1, "pop")]


def test_a_word_does_not_reach_over_two_labels() -> None:
    assert found("desktopcasper") == []


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_found_by_itself_and_by_its_words_in_any_order(name: str, prose: str) -> None:
    one = Searchable.of("x", name, (), [prose])
    for text in (name, prose):
        parts = words(text)
        if parts:
            assert Wording.of(text).rank(one) is not None
            assert Wording.of(" ".join(reversed(parts))).rank(one) is not None
    assert words(squeezed(name)) == ((squeezed(name),) if squeezed(name) else ())
