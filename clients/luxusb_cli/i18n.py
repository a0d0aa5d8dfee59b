"""Texts in the user's language, through gettext.

Languages are chosen by LANGUAGE, LC_ALL, LC_MESSAGES and LANG, as everywhere. What a program reads (--json) is English.
"""

from __future__ import annotations

import gettext
from functools import cache
from pathlib import Path

DOMAIN = "luxusb"
LOCALE = Path(__file__).with_name("locale")
LANGUAGES = ("en", "de")
"""Of boot menus."""
_machine = False


@cache
def _catalogue() -> gettext.NullTranslations:
    return gettext.translation(DOMAIN, LOCALE, fallback=True)


def begin(*, machine: bool) -> bool:
    """Choose the language for what follows; whether it is another one than English.

    Args:
        machine: the output is for a program.
    """
    global _machine
    _machine = machine
    _catalogue.cache_clear()
    translated = not machine and type(_catalogue()) is not gettext.NullTranslations
    # click looks its own words ("Usage", "Options") up in the global domain.
    gettext.bindtextdomain(DOMAIN, str(LOCALE))
    gettext.textdomain(DOMAIN if translated else "messages")
    return translated


def _(message: str) -> str:
    """The message in the user's language."""
    return message if _machine or not message else _catalogue().gettext(message)


def ngettext(one: str, many: str, number: int) -> str:
    """The message in the form that fits the number, which the caller puts in."""
    if _machine:
        return one if number == 1 else many
    return _catalogue().ngettext(one, many, number)


def plural(one: str, many: str) -> tuple[str, str]:
    """Mark a message with a plural that is translated where it is shown."""
    return one, many


def N_(message: str) -> str:  # noqa: N802
    """Mark a message that is translated where it is shown."""
    return message


def usual_language() -> str:
    """The one of `LANGUAGES` that this session has; English for others."""
    language = _catalogue().info().get("language", "")
    return language if language in LANGUAGES else LANGUAGES[0]
