from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.bus._lib import Message, MessageType, Variant
from luxusbd.bus.options import NO_USER_INTERACTION, Option, Options, parse
from luxusbd.bus.values import ObjectPath, Typed, convert, text, variant
from luxusbd.errors import InternalError, InvalidArgumentError
from tests.bus.client import plain

SCALARS = st.one_of(
    st.text(),
    st.booleans(),
    st.integers(min_value=-(2**63), max_value=2**64 - 1),
    st.floats(allow_nan=False),
)
JSON = st.recursive(
    SCALARS | st.lists(st.text()),
    lambda inner: st.dictionaries(st.text(), inner, max_size=4) | st.lists(inner, max_size=4),
    max_leaves=12,
)


def cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {text(key): cleaned(entry) for key, entry in value.items()}
    return [cleaned(entry) for entry in value] if isinstance(value, list) else value


@given(JSON)
def test_whatever_an_engine_returns_can_be_sent(value: Any) -> None:
    made = variant(value)
    assert plain(made) == cleaned(value)
    message = Message(
        message_type=MessageType.SIGNAL, path="/a", interface="a.b", member="C", signature="v", body=[made], serial=1
    )
    marshalled = bytes(message._marshall(False))
    assert b"\xed\xa0" not in marshalled


@pytest.mark.parametrize(
    ("value", "signature"),
    [
        (True, "b"),
        (0, "t"),
        (-1, "x"),
        (1.5, "d"),
        ("", "s"),
        (ObjectPath("/a"), "o"),
        ([ObjectPath("/a")], "ao"),
        ([], "as"),
        (("a",), "as"),
        ([{}], "aa{sv}"),
        ({}, "a{sv}"),
        ([1, 2], "av"),
        (Typed("aa{sv}", []), "aa{sv}"),
        (Typed("i", 3), "i"),
    ],
)
def test_each_python_type_has_its_dbus_type(value: object, signature: str) -> None:
    assert variant(value).signature == signature


def test_a_key_without_value_is_left_out() -> None:
    assert plain(variant({"a": None, "b": 1})) == {"b": 1}


@pytest.mark.parametrize(
    ("signature", "value"),
    [("s", 1), ("b", 1), ("t", True), ("t", "1"), ("as", "text"), ("as", [1]), ("a{sv}", []), ("o", 5), ("(s)", ["a"])],
)
def test_a_value_of_the_wrong_type_is_a_defect_with_a_name(signature: str, value: object) -> None:
    with pytest.raises(InternalError):
        convert(signature, value)


def test_what_the_bus_would_hang_up_on_is_replaced() -> None:
    assert text("a\0b\ud800c") == "a\ufffdb?c"


LEVEL: Option[int] = Option("level", "i", 0, minimum=-10, maximum=10)
KIND = Option("kind", "s", "plain", choices=("plain", "fancy"))
NAMES: Option[tuple[str, ...]] = Option("names", "as", (), maximum=2)
LABEL = Option("label", "s", "x", minimum=1, maximum=4)
ALL = (LEVEL, KIND, NAMES, LABEL)


def test_options_have_defaults() -> None:
    parsed = parse(ALL, {})
    assert (parsed[LEVEL], parsed[KIND], parsed[NAMES], parsed[NO_USER_INTERACTION]) == (0, "plain", (), False)
    assert not parsed.given(LEVEL)


def test_options_are_read() -> None:
    given = {
        "level": Variant("i", -10),
        "kind": Variant("s", "fancy"),
        "names": Variant("as", ["a", "b"]),
        "no_user_interaction": Variant("b", True),
    }
    parsed = parse(ALL, given)
    assert (parsed[LEVEL], parsed[KIND], parsed[NAMES], parsed[NO_USER_INTERACTION]) == (-10, "fancy", ("a", "b"), True)
    assert parsed.given(LEVEL)


def test_an_unknown_key_is_named_with_the_nearest_and_all_that_exist() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse(ALL, {"levle": Variant("i", 1)})
    assert str(caught.value) == (
        "there is no option 'levle' (did you mean level?); allowed: level, kind, names, label, no_user_interaction"
    )


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("level", Variant("u", 1), "the option level must be a 32-bit integer (i), not of type u"),
        ("level", Variant("i", 11), "the option level must be at least -10 and at most 10, not 11"),
        ("level", Variant("i", -11), "not -11"),
        (
            "kind",
            Variant("s", "fance"),
            "the option kind cannot be 'fance' (did you mean fancy?); allowed: plain, fancy",
        ),
        ("names", Variant("as", ["a", "b", "c"]), "the option names must be at most 2 long, not 3"),
        ("label", Variant("s", ""), "the option label must be at least 1 and at most 4 long, not 0"),
        ("no_user_interaction", Variant("s", "yes"), "must be a boolean (b)"),
    ],
)
def test_wrong_values_are_named(name: str, value: Variant, said: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse(ALL, {name: value})
    assert said in str(caught.value)


@given(st.dictionaries(st.text(max_size=300), SCALARS, max_size=5))
def test_any_options_are_either_taken_or_refused(given: dict[str, Any]) -> None:
    variants = {name: variant(value) for name, value in given.items()}
    try:
        parsed = parse(ALL, variants)
    except InvalidArgumentError as error:
        said = str(error)
    else:
        said = ""
        assert isinstance(parsed, Options)
        assert set(given) <= {"level", "kind", "names", "label", "no_user_interaction"}
    assert len(said) < 400
