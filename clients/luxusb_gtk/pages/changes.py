"""The part of a stick's page about room for changes: how much each system has, another size, and what is nobody's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from gi.repository import Adw, Gtk
from luxusb_cli.i18n import _
from luxusb_cli.model import DeviceInfo, StrayChanges
from luxusb_cli.text import clean
from luxusb_cli.units import format_size

from luxusb_gtk import words
from luxusb_gtk.stickplan import Kept
from luxusb_gtk.widgets.dialogs import CANCEL, ask
from luxusb_gtk.widgets.parts import group, icon_button, row, text_button
from luxusb_gtk.widgets.sizes import SizeSpin

USUAL = 4 << 30
"""Bytes that are offered for a system that has no room yet."""


class ChangesOnStick:
    """Builds the part.

    Args:
        window: gives the window that questions are about.
        set_room: gets a stick, the name of an image or of a stray room, and bytes.
    """

    def __init__(self, window: Callable[[], Gtk.Window], set_room: Callable[[DeviceInfo, str, int], None]) -> None:
        self._window = window
        self._set_room = set_room

    def part(self, device: DeviceInfo, images: Sequence[Kept], *, busy: bool) -> Adw.PreferencesGroup | None:
        """The rows for a stick; None where there is nothing to say."""
        rows = [self._image(device, image, busy) for image in images if image.persistent or image.persistence]
        rows += [self._stray(device, room, busy) for room in device.stray_changes]
        return group(_("Room for changes"), rows) if rows else None

    def _image(self, device: DeviceInfo, image: Kept, busy: bool) -> Gtk.Widget:
        says = (
            _("keeps changes, {size}").format(size=format_size(image.persistence))
            if image.persistence
            else _("keeps no changes")
        )
        made = row(image.title, says)
        change = text_button(
            _("Another size…") if image.persistence else _("Give room…"), partial(self._ask_size, device, image)
        )
        change.set_tooltip_text(_("Room for changes of {name}").format(name=clean(image.title)))
        change.set_sensitive(not busy and image.persistent)
        made.add_suffix(change)
        if image.persistence:
            lose = _("Lose the changes of {name}").format(name=clean(image.title))
            remove = icon_button("user-trash-symbolic", lose, partial(self._ask_lose, device, image.name, image.title))
            remove.set_sensitive(not busy)
            made.add_suffix(remove)
        return made

    def _stray(self, device: DeviceInfo, room: StrayChanges, busy: bool) -> Gtk.Widget:
        made = row(room.name, f"{words.size(room.size)} · {_('belongs to no image')}")
        lose = _("Remove {name}").format(name=clean(room.name))
        remove = icon_button("user-trash-symbolic", lose, partial(self._ask_lose, device, room.name, room.name))
        remove.set_sensitive(not busy)
        made.add_suffix(remove)
        return made

    def _ask_size(self, device: DeviceInfo, image: Kept) -> None:
        spin = SizeSpin(_("Room for changes of {name} in GiB").format(name=clean(image.title)))
        spin.show_bytes(image.persistence or min(USUAL, device.free_bytes // 2))

        def answered(answer: str) -> None:
            spin.update()
            if answer == "set" and spin.size and spin.size != image.persistence:
                self._set_room(device, image.name, spin.size)

        ask(
            self._window(),
            _("Room for changes of {name}").format(name=clean(image.title)),
            _("How much its system may keep over a restart, in GiB. What is kept already stays."),
            {CANCEL: _("Cancel"), "set": _("Set")},
            answered,
            default="set",
            extra=spin,
        )

    def _ask_lose(self, device: DeviceInfo, name: str, title: str) -> None:
        ask(
            self._window(),
            _("Lose the changes of {name}?").format(name=clean(title)),
            _("What was kept there is deleted from the stick. The systems stay."),
            {CANCEL: _("Cancel"), "lose": _("Lose them")},
            lambda answer: self._set_room(device, name, 0) if answer == "lose" else None,
            destructive="lose",
        )
