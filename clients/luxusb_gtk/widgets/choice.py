"""A row with a list to choose from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gi.repository import Adw, Gtk

from luxusb_gtk.widgets.parts import name_for_readers, row


class ChoiceRow:
    """One of some words.

    Args:
        title: of the row.
        subtitle: below it.
        words: what is shown, by what it stands for.
        changed: gets what the user chose.
    """

    def __init__(self, title: str, subtitle: str, words: Mapping[str, str], changed: Callable[[str], None]) -> None:
        self._values = tuple(words)
        self._changed: Callable[[str], None] | None = changed
        self.list = Gtk.DropDown(model=Gtk.StringList.new(list(words.values())), valign=Gtk.Align.CENTER)
        name_for_readers(self.list, title)
        self.list.connect("notify::selected", lambda *_ignored: self._picked())
        self.row: Adw.ActionRow = row(title, subtitle)
        self.row.add_suffix(self.list)
        self.row.set_activatable_widget(self.list)

    def show_value(self, value: str) -> None:
        """Show one without telling of it."""
        changed, self._changed = self._changed, None
        self.list.set_selected(self._values.index(value))
        self._changed = changed

    @property
    def value(self) -> str:
        """What is chosen."""
        return self._values[int(self.list.get_selected())]

    def _picked(self) -> None:
        if self._changed is not None:
            self._changed(self.value)
