"""Help texts in the user's language.

click holds them in its commands. A text is translated a paragraph at a time; of examples only the headline is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import click

from luxusb_cli.i18n import N_, _, plural

EXAMPLES = N_("Examples:")
# click's own words, in several of its versions; it looks them up by itself in the catalogue of this program.
CLICK = (
    N_("Usage:"),
    N_("Options"),
    N_("Commands"),
    N_("Show this message and exit."),
    N_("required"),
    N_("default: {default}"),
    N_("Missing argument"),
    N_("Missing option"),
    N_("Missing parameter"),
    N_("Missing parameter: {param_name}"),
    N_("Missing command."),
    N_("No such option: {name}"),
    N_("No such option {name!r}."),
    N_("Invalid value: {message}"),
    N_("Invalid value for {param_hint}: {message}"),
    N_("Option {name!r} does not take a value."),
    N_("{value!r} is not a valid {number_type}."),
    N_("{value} is not in the range {range}."),
)
CLICK_PLURALS = (
    plural("Did you mean {possibility}?", "(Did you mean one of: {possibilities}?)"),
    plural("(Possible option: {possibilities})", "(Possible options: {possibilities})"),
    plural("Got unexpected extra argument ({args})", "Got unexpected extra arguments ({args})"),
    plural("Option {name!r} requires an argument.", "Option {name!r} requires {nargs} arguments."),
    plural("{value!r} is not {choice}.", "{value!r} is not one of {choices}."),
)


@dataclass(frozen=True)
class _Original:
    """What a command says in English."""

    help: str | None
    short_help: str | None
    epilog: str | None
    options: tuple[str | None, ...]


_originals: dict[int, _Original] = {}


def walk(command: click.Command) -> Iterator[click.Command]:
    """A command and all below it."""
    yield command
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from walk(below)


def show_in_language(command: click.Command, translated: bool) -> None:
    """Put the texts of a command and all below it into the language that was chosen; English costs nothing."""
    if not translated and not _originals:
        return
    for each in walk(command):
        options = [param for param in each.params if isinstance(param, click.Option)]
        original = _originals.setdefault(
            id(each), _Original(each.help, each.short_help, each.epilog, tuple(option.help for option in options))
        )
        each.help = _text(original.help)
        each.short_help = _(original.short_help) if original.short_help else original.short_help
        each.epilog = _text(original.epilog)
        for option, said in zip(options, original.options, strict=True):
            option.help = _(said) if said else said


def _text(text: str | None) -> str | None:
    return None if text is None else "\n\n".join(paragraph(part, _) for part in paragraphs(text))


def paragraphs(text: str) -> list[str]:
    """A help text cut at its empty lines."""
    return [part for part in inspect.cleandoc(text).split("\n\n") if part.strip("\n")]


def paragraph(part: str, translate: Callable[[str], str]) -> str:
    """One paragraph, translated: as one line, or line by line where the lines are to stay as they are."""
    if not part.startswith("\b\n"):
        return translate(" ".join(part.split()))
    return "\n".join(["\b", *(_line(line, translate) for line in part.split("\n")[1:])])


def _line(line: str, translate: Callable[[str], str]) -> str:
    stripped = line.strip()
    if not stripped:
        return line
    indent = line[: len(line) - len(line.lstrip())]
    if not stripped.startswith(("luxusb ", "sudo ")):
        return indent + translate(stripped)
    command, gap, remark = stripped.partition("   ")
    return indent + command + gap + (_padded(remark, translate) if remark else "")


def _padded(remark: str, translate: Callable[[str], str]) -> str:
    text = remark.lstrip()
    return remark[: len(remark) - len(text)] + translate(text)


def messages(command: click.Command) -> Iterator[str]:
    """Every text of the help of a command and all below it, as a translator gets it. In English only."""
    found: list[str] = []

    def collect(text: str) -> str:
        found.append(text)
        return text

    for each in walk(command):
        for text in (each.help, each.epilog):
            for part in paragraphs(text or ""):
                paragraph(part, collect)
        found += [text for text in (each.short_help,) if text]
        found += [param.help for param in each.params if isinstance(param, click.Option) and param.help]
    yield from dict.fromkeys(found)
