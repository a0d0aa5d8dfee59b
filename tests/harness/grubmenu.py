"""GRUB's text menu as the serial console shows it: reading it, moving in it, starting an entry."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from tests.harness.qemu import Key, Machine

# A line counts once it is whole: what follows it is drawn elsewhere, after a cursor movement that reads as its end.
_HIGHLIGHTED = re.compile(r"^\*(\S.*?)[ ]*\n", re.MULTILINE)
FAILED = re.compile(r"^(?:error: .*|Back to the menu in .*|.*Press any key to continue.*)$", re.MULTILINE)
"""What GRUB prints when an entry does not start."""


def highlighted(text: str) -> str:
    """Title of the entry that was highlighted last, or empty."""
    found = _HIGHLIGHTED.findall(text)
    return str(found[-1]) if found else ""


def new_menu(text: str) -> bool:
    """Whether a menu was drawn from its headline on, with one entry highlighted."""
    return bool(highlighted(text.partition("GNU GRUB")[2]))


def shows(text: str, title: str) -> bool:
    """Whether an entry of exactly this title was drawn."""
    return re.search(rf"^[ *]?{re.escape(title)}\s*$", text, re.MULTILINE) is not None


async def wait_for_titles(machine: Machine, titles: Sequence[str], timeout: float) -> None:
    """Wait until the menu shows every title.

    Raises:
        MachineError: it does not within `timeout` seconds; the text names those that are missing.
    """
    await machine.expect("GNU GRUB", timeout)
    missing = list(titles)
    try:
        async with asyncio.timeout(timeout):
            while missing := [title for title in titles if not shows(machine.console_text, title)]:
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise machine.error(f"the menu does not show {missing}") from None


async def wait_for_new_menu(machine: Machine, since: int, timeout: float, *, at: str = "") -> None:
    """Wait for a menu that is drawn in the text from position `since` on; its titles may have stood in an earlier one.

    With `at` it has to be one in which this entry is highlighted: UEFI draws each menu a second time, which may come
    after the key that leaves it.

    Raises:
        MachineError: there is none within `timeout` seconds.
    """
    try:
        async with asyncio.timeout(timeout):
            while not (new_menu(text := machine.console_text[since:]) and (not at or highlighted(text) == at)):
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise machine.error("no new menu was drawn") from None


async def select(machine: Machine, title: str, *, most: int = 40) -> None:
    """Move to an entry with the arrow keys of the machine's keyboard, which also stops the menu's countdown.

    Raises:
        MachineError: no entry is highlighted, or the entry was not reached in `most` steps down and up again.
    """
    try:
        async with asyncio.timeout(30):
            # a key that is pressed before the highlight is drawn would be taken for having drawn it
            while not highlighted(machine.console_text):
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise machine.error(f"no entry is highlighted, so that {title!r} cannot be reached") from None
    for key in (Key.DOWN, Key.UP):
        for _ in range(most):
            if highlighted(machine.console_text) == title:
                return
            if not await _move(machine, key):
                break
    raise machine.error(f"the entry {title!r} could not be reached in the menu")


async def _move(machine: Machine, key: Key) -> bool:
    """Press an arrow key; False at the end of the menu, or in a menu that does not listen."""
    before = highlighted(machine.console_text)
    await machine.press(key)
    try:
        async with asyncio.timeout(5):
            while highlighted(machine.console_text) == before:
                await asyncio.sleep(0.05)
    except TimeoutError:
        return False
    return True


async def start(machine: Machine) -> int:
    """Press Enter; returns the position in the console's text from which on everything is the entry's own."""
    since = len(machine.console_text)
    await machine.press(Key.ENTER)
    return since


def check_no_failure(machine: Machine, since: int) -> None:
    """Raise `MachineError` if GRUB complained in the text from position `since` on."""
    if match := FAILED.search(machine.console_text, since):
        raise machine.error(f"GRUB could not start the entry: {match[0].strip()}")
