"""Pieces of GRUB script that the parts of the boot menu share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

Word = Callable[[str], str]
"""Makes a word of GRUB script of an English text; see `Texts`."""


def indent(lines: Iterable[str]) -> list[str]:
    """Lines one level further in."""
    return [f"  {line}" for line in lines]


def one_line(commands: Iterable[str]) -> str:
    """Commands as one line: nothing of it runs when it is cut."""
    text = ""
    for command in commands:
        separator = " " if text.endswith(("{", " then", " else")) or text in ("", "else") else "; "
        text += separator + command.strip()
    return text.strip()


def guarded(command: str, message: str, word: Word) -> list[str]:
    """A command, and what the user reads when it fails."""
    return [f"if {command}; then", "  true", "else", *indent(give_up(message, word)), "fi"]


def give_up(message: str, word: Word) -> list[str]:
    """Say why an entry does not start, and go back to the menu."""
    # a menu entry that ends with a kernel loaded is booted, so that the only way back is a new menu
    return [
        f"echo {word(message)}",
        f"echo {word('Back to the menu in 30 seconds, or at once with Esc.')}",
        "sleep --interruptible 30",
        'configfile "$prefix/grub.cfg"',
    ]


def notice(title: str, text: Iterable[str], word: Word) -> list[str]:
    """An entry that only tells something; `title` and `text` are words of GRUB script, or several after each other."""
    return [
        f"menuentry {title} --class note {{",
        *(f"  echo {line}" for line in text),
        f"  echo {word('Press Esc to go back.')}",
        "  sleep --interruptible 60",
        "}",
    ]
