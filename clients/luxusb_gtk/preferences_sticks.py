"""The part of the preferences about new sticks, which is the app's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gi.repository import Adw
from luxusb_cli.i18n import _

from luxusb_gtk.model import Model
from luxusb_gtk.pages.options import filesystem_row
from luxusb_gtk.service import ServiceError
from luxusb_gtk.widgets.parts import group
from luxusb_gtk.widgets.sizes import SizeSpin, size_row
from luxusb_gtk.wishes import Wishes


class NewSticks:
    """Data filesystem and room for changes, as they are preferred.

    Args:
        model: keeps them.
        failed: gets the reason why they cannot be kept.
    """

    def __init__(self, model: Model, failed: Callable[[ServiceError], None]) -> None:
        self._model, self._failed = model, failed
        self.filesystem = filesystem_row(lambda word: self._keep(replace(model.wishes, filesystem=word)))
        self.filesystem.show_value(model.wishes.filesystem)
        name = _("Room for changes in GiB")
        self.room = SizeSpin(name, lambda size: self._keep(replace(model.wishes, persistence=size)))
        self.room.show_bytes(model.wishes.persistence)
        self.widget: Adw.PreferencesGroup = group(
            _("New sticks"),
            description=_("Can be changed for each stick"),
            rows=[
                self.filesystem.row,
                size_row(name, _("For every system that is known to keep changes; 0 is none"), self.room),
            ],
        )

    def _keep(self, wishes: Wishes) -> None:
        try:
            self._model.prefer(wishes)
        except OSError as error:
            self._failed(ServiceError("org.freedesktop.DBus.Error.IOError", f"{error.filename}: {error.strerror}"))
