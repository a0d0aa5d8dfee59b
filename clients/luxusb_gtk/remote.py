"""Preferences: from where the list of systems is kept up to date, and who signs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

from gi.repository import Adw, Gio, GLib, Gtk
from luxusb_cli.i18n import _
from luxusb_cli.text import clean

from luxusb_gtk.model import Model
from luxusb_gtk.service import ServiceError
from luxusb_gtk.widgets.dialogs import choose_file, open_file
from luxusb_gtk.widgets.parts import note, row, text_button

KEY_FILES = ("*.key", "*.asc", "*.gpg", "*.pgp")


class RemoteRows:
    """The rows, and what stands below them when something is wrong.

    Args:
        window: which they are in.
        model: what is known.
        changed: is called when another remote is followed.
    """

    def __init__(self, window: Gtk.Window, model: Model, changed: Callable[[], None]) -> None:
        self._window, self._model, self._changed = window, model, changed
        self._known = ""
        """The address in force."""
        self._key: BinaryIO | None = None
        """A file with keys that was chosen before there was an address."""
        self.address = Adw.EntryRow(title=_("Address of a signed list"), show_apply_button=True)
        self.address.connect("apply", lambda _entry: self.apply())
        self.signer = row(_("Signed by"), "…")
        self.signer.add_suffix(text_button(_("Choose key…"), self._choose))
        self.says = note("", "caption")
        self.says.set_selectable(True)
        self.says.set_visible(False)
        for side in ("top", "bottom", "start", "end"):
            getattr(self.says, f"set_margin_{side}")(12)

    @property
    def rows(self) -> Sequence[Gtk.Widget]:
        """In order."""
        return self.address, self.signer, self.says

    def close(self) -> None:
        """Let go of what was chosen and not used."""
        if self._key is not None:
            self._key.close()
            self._key = None

    def show(self, settings: dict[str, Any]) -> None:
        """Show what is in force; what somebody is typing stays."""
        url = settings.get("catalog.update_url", "")
        if self.address.get_text() == self._known:
            self.address.set_text(url)
        self._known = url
        if self._key is None:
            keys = settings.get("catalog.update_fingerprints", []) if url else []
            self.signer.set_subtitle("\n".join(map(clean, keys)) or _("nobody; the list is the one that came along"))

    def _choose(self) -> None:
        choose_file(self._window, _("Choose key…"), _("OpenPGP keys"), KEY_FILES, self.choose_key)

    def choose_key(self, file: Gio.File) -> None:
        """Take the keys in a file: for the address that is there, or the one that is given next."""
        opened, name = open_file(file)
        if opened is None:
            self._say(name, good=False)
            return
        self.close()
        self._key = opened
        self.signer.set_subtitle(name)
        if self.address.get_text().strip():
            self.apply()
        else:
            self._say(_("Now give the address of the list that this key signs."), good=True)

    def apply(self) -> None:
        """Follow the address that was typed, or none when it is empty."""
        url = self.address.get_text().strip()
        key = self._key if url else None
        options = {"key": GLib.Variant("h", 0)} if key is not None else {}

        def done(answer: tuple[list[str]]) -> None:
            self.close()
            self._known = url
            self.address.remove_css_class("error")
            told = _("Compare this with what the owner of the key says: {keys}").format(keys=", ".join(answer[0]))
            self._say(told if url else _("The list is not kept up to date any more."), good=True)
            self._changed()

        def failed(error: ServiceError) -> None:
            self.address.add_css_class("error")
            self._say(str(error), good=False)

        self._model.service.manager(
            "SetCatalogRemote",
            GLib.Variant("(sa{sv})", (url, options)),
            done,
            failed,
            files=[key.fileno()] if key is not None else [],
        )

    def _say(self, text: str, *, good: bool) -> None:
        self.says.set_label(clean(text, lines=True))
        self.says.remove_css_class("error")
        if not good:
            self.says.add_css_class("error")
        self.says.set_visible(True)
