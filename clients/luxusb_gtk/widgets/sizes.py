"""A field for a size in GiB."""

from __future__ import annotations

from collections.abc import Callable

from gi.repository import Adw, Gtk

from luxusb_gtk.widgets.parts import name_for_readers, row

MIB = 1024 * 1024
MOST = 1 << 20
"""GiB that can be written into the field, which are those that the daemon takes."""


def bytes_of(gib: float) -> int:
    """Bytes of what the field shows, in whole MiB."""
    return round(gib * 1024) * MIB


class SizeSpin(Gtk.SpinButton):
    """Two digits are enough for what people choose; 0 is none.

    Args:
        name: what a screen reader calls it.
        changed: is called when the user has changed it.
    """

    def __init__(self, name: str, changed: Callable[[int], None] | None = None) -> None:
        adjustment = Gtk.Adjustment(lower=0, upper=MOST, step_increment=0.5, page_increment=4)
        super().__init__(adjustment=adjustment, digits=2, numeric=True, valign=Gtk.Align.CENTER, width_chars=6)
        self._changed = changed
        self._shown = 0
        name_for_readers(self, name)
        self.connect("value-changed", lambda _spin: self._turned())

    def show_bytes(self, size: int) -> None:
        """Show a size without telling of it."""
        if bytes_of(self.get_value()) == size:
            self._shown = size
            return
        self._shown = size
        changed, self._changed = self._changed, None
        self.set_value(size / (1024 * MIB))
        self._changed = changed
        self._shown = size

    @property
    def size(self) -> int:
        """Bytes; what was shown, as exactly as it was, until the user changes it."""
        return self._shown

    def _turned(self) -> None:
        self._shown = bytes_of(self.get_value())
        if self._changed is not None:
            self._changed(self._shown)


def size_row(title: str, subtitle: str, spin: SizeSpin) -> Adw.ActionRow:
    """A row with a field for a size."""
    made = row(title, subtitle)
    made.add_suffix(spin)
    made.set_activatable_widget(spin)
    return made
