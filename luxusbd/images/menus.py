"""Boot menus of an image, read as data: those of GRUB, of syslinux and of the Boot Loader Specification.

Nothing is run. Of GRUB's script what matters is kept: assignments of plain values, titles, and the lines that load a
kernel and its initrds; conditions and loops are passed over, so that every branch counts. A value that cannot be worked
out makes the word that it is in unknown. Sources: the GRUB manual (section "Writing full configuration files"),
doc/syslinux.txt of syslinux, the Boot Loader Specification of the UAPI group.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from typing import Protocol

MAX_FILE = 64 * 1024
"""Bytes that are read of one menu."""
MAX_FILES = 16
MAX_ENTRIES = 64
"""Entries of one image."""
MAX_STATEMENTS = 4000
MAX_WORDS = 128
MAX_WORD = 1000
"""Characters, also of what a variable grows to."""
UNKNOWN = "\0"
"""In a word: here stood something that only GRUB could have worked out."""

GRUB_FILES = (
    "/boot/grub/loopback.cfg",
    "/boot/grub2/loopback.cfg",
    "/boot/grub/grub.cfg",
    "/boot/grub2/grub.cfg",
    "/[Ee][Ff][Ii]/[Bb][Oo][Oo][Tt]/grub.cfg",
    "/boot/grub/*.cfg",
)
SYSLINUX_FILES = (
    "/isolinux/isolinux.cfg",
    "/boot/isolinux/isolinux.cfg",
    "/syslinux/syslinux.cfg",
    "/boot/syslinux/syslinux.cfg",
    "/boot/*/loader/isolinux.cfg",
    "/isolinux/*.cfg",
    "/boot/isolinux/*.cfg",
    "/syslinux/*.cfg",
    "/boot/syslinux/*.cfg",
    "/*/boot/syslinux/*.cfg",
)
BLS_FILES = ("/loader/entries/*.conf",)

_LINUX = frozenset({"linux", "linuxefi", "linux16"})
_INITRD = frozenset({"initrd", "initrdefi", "initrd16"})
_KEYWORDS = frozenset({"if", "then", "else", "elif", "do", "while", "until", "!"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,40}")
_DEVICE = re.compile(r"\([^()]{0,60}\)")


class Files(Protocol):
    """What is needed of an image."""

    def glob(self, pattern: str) -> Sequence[str]:
        """Paths that match."""

    def read(self, path: str, limit: int, offset: int = 0) -> bytes:
        """Bytes of a file."""


@dataclass(frozen=True)
class MenuEntry:
    """A line of a menu that starts a kernel."""

    file: str
    title: str
    kernel: str
    initrds: tuple[str, ...]
    words: tuple[str, ...]
    """Of the command line; untrusted text."""


def read_menus(tree: Files) -> tuple[tuple[str, ...], tuple[MenuEntry, ...]]:
    """The menu files of an image, and their entries in the order in which they are to be tried.

    Raises:
        MalformedImageError: the image is damaged.
    """
    readers = ((GRUB_FILES, grub_entries), (BLS_FILES, bls_entries), (SYSLINUX_FILES, syslinux_entries))
    files: list[str] = []
    found: list[MenuEntry] = []
    for patterns, read in readers:
        for path in dict.fromkeys(path for pattern in patterns for path in sorted(tree.glob(pattern))):
            if len(files) >= MAX_FILES or path in files or not path.isprintable():
                continue
            files.append(path)
            text = tree.read(path, MAX_FILE).decode("utf-8", "replace")
            for entry in read(path, text):
                if len(found) >= MAX_ENTRIES:
                    break
                found.append(entry)
    return tuple(files), tuple(found)


def grub_entries(file: str, text: str) -> Iterator[MenuEntry]:
    """The entries of a grub.cfg or loopback.cfg."""
    title, kernel = "", ""
    words: tuple[str, ...] = ()
    initrds: tuple[str, ...] = ()
    for statement in _statements(text):
        command = statement[0]
        if command in ("menuentry", "submenu"):
            if kernel:
                yield MenuEntry(file, title, kernel, initrds, words)
            title, kernel, initrds = (statement[1] if len(statement) > 1 else ""), "", ()
        elif command in _LINUX and len(statement) > 1:
            if kernel:
                yield MenuEntry(file, title, kernel, initrds, words)
            kernel, words, initrds = _inside(statement[1]), tuple(statement[2:]), ()
        elif command in _INITRD:
            initrds = tuple(_inside(path) for path in statement[1:])
    if kernel:
        yield MenuEntry(file, title, kernel, initrds, words)


def syslinux_entries(file: str, text: str) -> Iterator[MenuEntry]:
    """The entries of an isolinux.cfg or syslinux.cfg."""
    directory = posixpath.dirname(file)
    title, kernel = "", ""
    initrds: list[str] = []
    words: list[str] = []

    def entry() -> MenuEntry:
        given = [word.removeprefix("initrd=") for word in words if word.startswith("initrd=")]
        paths = [path for item in (*initrds, *given) for path in item.split(",") if path]
        rest = tuple(word for word in words if not word.startswith("initrd="))
        return MenuEntry(file, title, _below(directory, kernel), tuple(_below(directory, p) for p in paths), rest)

    for line in text.splitlines()[:MAX_STATEMENTS]:
        parts = line[: MAX_WORD * 8].split()[: MAX_WORDS + 1]
        if not parts:
            continue
        keyword = parts[0].lower()
        if keyword == "label":
            if kernel:
                yield entry()
            title, kernel, initrds, words = " ".join(parts[1:]), "", [], []
        elif keyword == "menu" and len(parts) > 2 and parts[1].lower() == "label":
            title = " ".join(parts[2:]).replace("^", "")
        elif keyword in ("kernel", "linux") and len(parts) > 1:
            kernel = parts[1]
        elif keyword == "initrd":
            initrds = parts[1:]
        elif keyword == "append":
            words = [word[:MAX_WORD] for word in parts[1:]]
    if kernel:
        yield entry()


def bls_entries(file: str, text: str) -> Iterator[MenuEntry]:
    """The entry of a file of the Boot Loader Specification."""
    title, kernel = "", ""
    initrds: list[str] = []
    words: list[str] = []
    for line in text.splitlines()[:MAX_STATEMENTS]:
        parts = line[: MAX_WORD * 8].split()[: MAX_WORDS + 1]
        if len(parts) < 2:
            continue
        if parts[0] == "title":
            title = " ".join(parts[1:])
        elif parts[0] == "linux":
            kernel = parts[1]
        elif parts[0] == "initrd":
            initrds += parts[1:]
        elif parts[0] == "options":
            words += [word[:MAX_WORD] for word in parts[1:]]
    if kernel:
        yield MenuEntry(file, title, kernel, tuple(initrds[:MAX_WORDS]), tuple(words[:MAX_WORDS]))


def _inside(path: str) -> str:
    """A path of GRUB without the device in front of it: what is left is inside the image."""
    bare = _DEVICE.sub("", path, count=1) if path.startswith("(") else path
    # a menu that stands in front of its paths with a variable means the image
    return bare.lstrip(UNKNOWN) if bare.startswith(UNKNOWN) else bare


def _below(directory: str, path: str) -> str:
    return path if path.startswith("/") else posixpath.normpath(f"{directory}/{path}")


def _statements(text: str) -> Iterator[list[str]]:
    """The commands of a GRUB script, with the variables that are known put in."""
    variables: dict[str, str] = {}
    count = 0
    for split in _split(text, variables):
        if count >= MAX_STATEMENTS:
            return
        count += 1
        words = list(dropwhile(_KEYWORDS.__contains__, split))
        if not words:
            continue
        assigned = words[1] if words[0] == "set" and len(words) == 2 else words[0] if len(words) == 1 else ""
        name, equals, value = assigned.partition("=")
        if equals and _NAME.fullmatch(name):
            if len(variables) < MAX_WORDS or name in variables:
                variables[name] = value
            continue
        yield words


def _split(text: str, variables: dict[str, str]) -> Iterator[list[str]]:
    words: list[str] = []
    word: list[str] | None = None
    at, end = 0, len(text)
    quoted = False

    def close() -> None:
        nonlocal word
        if word is not None and len(words) <= MAX_WORDS:
            whole = "".join(word)
            words.append(whole if len(whole) <= MAX_WORD else UNKNOWN)
        word = None

    while at < end:
        char = text[at]
        at += 1
        if char == "\\" and at < end:
            if text[at] != "\n":
                word = [] if word is None else word
                # GRUB takes \x20 apart, and so it has to stay what it is to be told from a plain label
                word.append(char + text[at] if text[at].isalnum() else text[at])
            at += 1
        elif char == '"':
            quoted = not quoted
            word = [] if word is None else word
        elif char == "'" and not quoted:
            stop = text.find("'", at)
            stop = end if stop < 0 else stop
            word = [] if word is None else word
            word.append(text[at : min(stop, at + MAX_WORD + 1)])
            at = stop + 1
        elif char == "$":
            value, at = _variable(text, at, variables)
            # outside of quotes a value falls apart at its blanks
            for number, piece in enumerate([value] if quoted else value.split()):
                if number:
                    close()
                word = [] if word is None else word
                if sum(map(len, word)) <= MAX_WORD:
                    word.append(piece)
        elif quoted:
            word = [] if word is None else word
            word.append(char)
        elif char == "#" and word is None:
            stop = text.find("\n", at)
            at = end if stop < 0 else stop
        elif char in "\n;" or (char in "{}" and word is None and (at == end or text[at] in " \t\n;")):
            close()
            if words:
                yield words
            words = []
        elif char.isspace():
            close()
        else:
            word = [] if word is None else word
            word.append(char)
    close()
    if words:
        yield words


def _variable(text: str, at: int, variables: dict[str, str]) -> tuple[str, int]:
    braced = text[at : at + 1] == "{"
    found = _NAME.match(text, at + braced)
    if found is None:
        return UNKNOWN, at
    stop = found.end()
    if braced:
        if text[stop : stop + 1] != "}":
            return UNKNOWN, stop
        stop += 1
    return variables.get(found[0], UNKNOWN), stop
