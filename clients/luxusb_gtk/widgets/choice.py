"""A row with a list to choose from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gi.repository import Adw, Gtk

from luxusb_gtk.widgets.parts import name_for_readers, row


class ChoiceRow:
    """One of some words.

    Args:
        title: of the row.
        words: what is shown in the list and what is said of it below the title, by what it stands for.
        changed: gets what the user chose.
    """

    def __init__(self, title: str, words: Mapping[str, tuple[str, str]], changed: Callable[[str], None]) -> None:
        self._values = tuple(words)
        self._says = [says for _word, says in words.values()]
        self._changed: Callable[[str], None] | None = changed
        self.list = Gtk.DropDown(
            model=Gtk.StringList.new([word for word, _says in words.values()]), valign=Gtk.Align.CENTER
        )
        name_for_readers(self.list, title)
        self.list.connect("notify::selected", lambda *_ignored: self._picked())
        self.row: Adw.ActionRow = row(title, self._says[0])
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
        self.row.set_subtitle(self._says[int(self.list.get_selected())])
        if self._changed is not None:
            self._changed(self.value)
