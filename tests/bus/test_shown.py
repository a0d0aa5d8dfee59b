"""Replies that are put together from bytes say what the library would have said."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.bus import render, shown
from luxusbd.bus._lib import encode
from luxusbd.bus.shown import ShownSystems, joined
from luxusbd.bus.values import convert
from luxusbd.jobs.listed import Listed
from tests.bus.examples import DISTRIBUTION, LISTED

VALUES = st.one_of(st.text(max_size=9), st.booleans(), st.integers(0, 2**64 - 1), st.lists(st.text(max_size=5)))


@given(st.lists(st.dictionaries(st.text(max_size=9), VALUES, max_size=4), max_size=6))
def test_a_body_of_parts_is_the_body_of_the_whole(dictionaries: list[dict[str, Any]]) -> None:
    parts = [encode("a{sv}", [convert("a{sv}", entry)])[8:] for entry in dictionaries]
    assert joined(parts) == encode("aa{sv}", [convert("aa{sv}", dictionaries)])


def named(name: str) -> Listed:
    return replace(LISTED, distribution=replace(DISTRIBUTION, name=name))


def test_a_system_is_written_once_and_forgotten_with_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def encoded(signature: str, body: Any) -> bytes:
        written.append(body[0]["name"].value)
        return encode(signature, body)

    monkeypatch.setattr(shown, "encode", encoded)
    systems = ShownSystems()
    first, second = named("first"), named("second")
    for _ in range(2):
        whole = systems.body([first, second])
        assert whole == encode(
            "aa{sv}", [convert("aa{sv}", [render.distribution(item, mirrors=False) for item in (first, second)])]
        )
        assert systems.body([second]) != whole
    assert written == ["first", "second"]
    assert len(systems._entries) == 2
    del first
    gc.collect()
    assert len(systems._entries) == 1
