"""Questions before the window, and the desktop's own dialogue for files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

from gi.repository import Adw, Gio, Gtk
from luxusb_cli.i18n import _

from luxusb_gtk.bidi import ordered

CANCEL = "cancel"
"""The answer of who closes a question."""


def ask(
    parent: Gtk.Window | None,
    heading: str,
    body: str,
    answers: Mapping[str, str],
    answered: Callable[[str], None],
    *,
    default: str = CANCEL,
    destructive: str = "",
    close: str = CANCEL,
    extra: Gtk.Widget | None = None,
) -> None:
    """Ask.

    Args:
        parent: the window that it is about.
        heading: the question.
        body: what there is to know.
        answers: texts of the buttons by what `answered` gets.
        answered: gets the answer.
        default: the answer of the Enter key.
        destructive: the answer after which something is lost.
        close: the answer of the Esc key.
        extra: what can be set below the text.
    """
    dialog = Adw.MessageDialog(transient_for=parent, modal=True, heading=ordered(heading), body=ordered(body))
    for answer, text in answers.items():
        dialog.add_response(answer, text)
    if destructive:
        dialog.set_response_appearance(destructive, Adw.ResponseAppearance.DESTRUCTIVE)
    if extra is not None:
        dialog.set_extra_child(extra)
    dialog.set_default_response(default)
    dialog.set_close_response(close)
    dialog.connect("response", lambda _dialog, answer: answered(answer))
    dialog.present()


def choose_file(
    parent: Gtk.Window, title: str, kind: str, patterns: Sequence[str], chosen: Callable[[Gio.File], None]
) -> None:
    """Let the user choose a file; nothing happens when they do not."""
    chooser = Gtk.FileChooserNative(title=title, transient_for=parent, modal=True, action=Gtk.FileChooserAction.OPEN)
    shown = Gtk.FileFilter(name=kind)
    for pattern in patterns:
        shown.add_pattern(pattern)
    chooser.add_filter(shown)

    def answered(dialogue: Any, answer: int) -> None:
        _open.discard(dialogue)
        if answer == Gtk.ResponseType.ACCEPT:
            chosen(dialogue.get_file())
        dialogue.destroy()

    chooser.connect("response", answered)
    _open.add(chooser)
    chooser.show()


_open: set[Any] = set()
"""A native dialogue lives as long as somebody holds it."""


def open_file(file: Gio.File) -> tuple[BinaryIO | None, str]:
    """The file for reading, or None and why it cannot be read; and its name without directories.

    A file that the portal lends to a sandbox has a path, too.
    """
    path = file.get_path()
    if not path:
        return None, _("Only files on this machine can be added")
    try:
        return open(path, "rb", buffering=0), file.get_basename() or path  # noqa: PTH123  # for the caller
    except OSError as error:
        return None, f"{path}: {error.strerror}"
