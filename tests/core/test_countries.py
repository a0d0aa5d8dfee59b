"""Country codes."""

from __future__ import annotations

import pytest
from babel import Locale

from luxusbd.countries import CODES, country_code

NO_COUNTRIES = {"AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "ZZ"}
"""What CLDR has beside ISO 3166-1: reserved codes, groups of countries, and codes for tests."""


def test_they_are_those_of_cldr() -> None:
    territories = {code for code in map(str, Locale("en").territories) if len(code) == 2 and code.isalpha()}
    assert territories - NO_COUNTRIES == CODES


@pytest.mark.parametrize(("text", "code"), [("de", "DE"), (" AT ", "AT"), ("XK", "XK")])
def test_codes_are_taken_in_small_letters_too(text: str, code: str) -> None:
    assert country_code(text) == code


@pytest.mark.parametrize(
    ("text", "said"), [("UK", "mean GB"), ("DEU", "mean DE"), ("", "''"), ("ß" * 100, "ß"), ("ZZ", "ZZ")]
)
def test_others_are_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        country_code(text)
    assert len(str(refused.value)) < 150
