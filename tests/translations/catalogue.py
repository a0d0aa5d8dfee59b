"""Collects the texts of the command and of the app and brings the catalogues below luxusb_cli/locale up to date.

`python -m tests.translations` does it; the .po files are edited by people, the .mo files are compiled from them and
committed, so that neither a build nor a checkout needs a further step.
"""

from __future__ import annotations

import ast
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from luxusb_cli import helptexts
from luxusb_cli.app import cli
from luxusb_cli.i18n import DOMAIN, LOCALE

SOURCES = (LOCALE.parent, LOCALE.parent.with_name("luxusb_gtk"))
HEADER = """\
# The texts of luxusb in another language. `python -m tests.translations` adds new ones and compiles.
msgid ""
msgstr ""
"Language: {language}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: {plural}\\n"

"""
FUNCTIONS = {"_": 1, "N_": 1, "ngettext": 2, "plural": 2}
"""Names of the functions whose first arguments are texts, and how many."""


@dataclass(frozen=True)
class Text:
    """A text of the program."""

    forms: tuple[str, ...]
    """One, or singular and plural."""
    module: str


def texts() -> Iterator[Text]:
    """All texts, in a fixed order."""
    for source in SOURCES:
        for path in sorted(source.rglob("*.py")):
            yield from _of_module(path)
    for message in helptexts.messages(cli):
        yield Text((message,), "help")


def _name(path: Path) -> str:
    """Of a module, as it stands in the .po file: below the command's package, or with the app's name in front."""
    command, above = SOURCES[0], SOURCES[0].parent
    return path.relative_to(command if path.is_relative_to(command) else above).as_posix()


def _of_module(path: Path) -> Iterator[Text]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
            arguments = node.args[: FUNCTIONS[node.func.id]]
            if all(isinstance(argument, ast.Constant) for argument in arguments):
                forms = tuple(str(argument.value) for argument in arguments if isinstance(argument, ast.Constant))
                yield Text(forms, _name(path))


def languages() -> list[Path]:
    """The .po files."""
    return sorted(LOCALE.glob(f"*/LC_MESSAGES/{DOMAIN}.po"))


def read(path: Path) -> Catalog:
    """A .po file."""
    with path.open("rb") as file:
        return read_po(file, locale=path.parts[-3])


def compiled(catalogue: Catalog) -> bytes:
    """The .mo file of a catalogue, the same for the same texts whatever compiles it.

    The format is that of the GNU gettext manual, section "The Format of GNU MO Files", without the hash table.
    """
    pairs = {"": _header(catalogue)}
    for message in catalogue:
        if message.id and complete(message.string):
            key = message.id if isinstance(message.id, str) else "\0".join(message.id)
            pairs[key] = message.string if isinstance(message.string, str) else "\0".join(message.string or ())
    keys = sorted(key.encode() for key in pairs)
    values = [pairs[key.decode()].encode() for key in keys]
    count, tables = len(keys), 28
    at = tables + 16 * count
    index: list[int] = []
    for text in (*keys, *values):
        index += [len(text), at]
        at += len(text) + 1
    head = struct.pack("<7I", 0x950412DE, 0, count, tables, tables + 8 * count, 0, tables + 16 * count)
    return head + struct.pack(f"<{len(index)}I", *index) + b"".join(text + b"\0" for text in (*keys, *values))


def _header(catalogue: Catalog) -> str:
    filled = HEADER.format(language=catalogue.locale_identifier, plural=catalogue.plural_forms)
    lines = [line for line in filled.splitlines() if line.startswith('"')]
    return "".join(ast.literal_eval(line) for line in lines)


def merge(catalogue: Catalog) -> Catalog:
    """The catalogue with the texts of today: new ones untranslated, those that are gone left out."""
    merged = Catalog(locale=catalogue.locale, domain=DOMAIN, fuzzy=False)
    for text in texts():
        found = catalogue.get(text.forms[0])
        string = found.string if found is not None and isinstance(found.id, str) == (len(text.forms) == 1) else None
        identifier = text.forms[0] if len(text.forms) == 1 else text.forms
        merged.add(identifier, string, locations=[(text.module, 0)])
    return merged


def written(catalogue: Catalog) -> bytes:
    """The .po file of a catalogue, the same for the same texts: no dates, no line numbers."""
    buffer = io.BytesIO()
    write_po(buffer, catalogue, width=0, include_lineno=False, omit_header=True)
    header = HEADER.format(language=catalogue.locale_identifier, plural=catalogue.plural_forms)
    return header.encode() + buffer.getvalue()


def update() -> list[str]:
    """Bring every .po and .mo up to date; a line for each."""
    said = []
    for path in languages():
        merged = merge(read(path))
        path.write_bytes(written(merged))
        path.with_suffix(".mo").write_bytes(compiled(read(path)))
        missing = [message.id for message in merged if message.id and not complete(message.string)]
        said.append(f"{path}: {len(merged)} texts, {len(missing)} untranslated")
    return said


def complete(string: object) -> bool:
    """Whether a translation is there in all its forms."""
    return all(string) if isinstance(string, list | tuple) else bool(string)
