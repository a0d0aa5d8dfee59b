"""What can be done with any disk, whatever is on it: rows for the pages of one disk."""

from __future__ import annotations

from collections.abc import Callable

from gi.repository import GLib, Gtk
from luxusb_cli.i18n import N_, _
from luxusb_cli.model import DeviceInfo

from luxusb_gtk import words
from luxusb_gtk.pages.review import everything
from luxusb_gtk.widgets.choice import ChoiceRow
from luxusb_gtk.widgets.dialogs import CANCEL, ask
from luxusb_gtk.widgets.parts import group, row, text_button

PLAIN = {
    "exfat": ("exFAT", N_("Windows, macOS and Linux read it")),
    "fat32": ("FAT32", N_("Everything reads it; files below 4 GiB")),
}
"""Filesystems of a plain drive."""


class WholeDiskRows:
    """Builds the rows.

    Args:
        window: gives the window that questions are about.
        start: calls a method of the Manager that begins a job, with its arguments.
        eject: ejects a disk.
    """

    def __init__(
        self,
        window: Callable[[], Gtk.Window],
        start: Callable[[str, GLib.Variant], None],
        eject: Callable[[DeviceInfo], None],
    ) -> None:
        self._window = window
        self._start = start
        self._eject = eject

    def all(self, device: DeviceInfo) -> list[Gtk.Widget]:
        """All of them."""
        return [self.genuine(device), *self.ends(device)]

    def genuine(self, device: DeviceInfo) -> Gtk.Widget:
        """Whether it has the room that it says."""
        return self._row(
            device,
            _("Genuine?"),
            _("Looks whether it has the room that it says, and puts back what was there"),
            _("Find out"),
            lambda: self._start("ProbeCapacity", GLib.Variant("(oa{sv})", (device.path, {}))),
        )

    def ends(self, device: DeviceInfo) -> list[Gtk.Widget]:
        """How one is done with it: a plain drive again, or unplugged. An image file is not plugged in."""
        plain = self._row(
            device,
            _("Plain drive"),
            _("Erases everything and leaves one empty filesystem that every computer reads"),
            _("Make it one…"),
            lambda: self._ask_restore(device),
        )
        if not device.node:
            return [plain]
        return [
            plain,
            self._row(
                device,
                _("Unplug"),
                _("Writes out what is still held back, and switches it off"),
                _("Eject"),
                lambda: self._eject(device),
            ),
        ]

    def _row(self, device: DeviceInfo, title: str, says: str, label: str, pressed: Callable[[], None]) -> Gtk.Widget:
        made = row(title, says)
        button = text_button(label, pressed)
        button.set_sensitive(not device.current_job)
        made.add_suffix(button)
        return made

    def _ask_restore(self, device: DeviceInfo) -> None:
        name = words.device_name(device)
        choice = ChoiceRow(
            _("Filesystem"), {key: (word, _(says)) for key, (word, says) in PLAIN.items()}, lambda _word: None
        )
        ask(
            self._window(),
            _("Make {name} a plain drive?").format(name=name),
            "\n".join([everything(device), *words.unmounted(device)]),
            {CANCEL: _("Cancel"), "erase": _("Erase {name}").format(name=name)},
            lambda answer: self.restore(device, choice.value) if answer == "erase" else None,
            destructive="erase",
            extra=group("", [choice.row]),
        )

    def restore(self, device: DeviceInfo, filesystem: str) -> None:
        """Make it a plain drive with this filesystem."""
        options = {"filesystem": GLib.Variant("s", filesystem)}
        if device.large:
            options["allow_large"] = GLib.Variant("b", True)
        self._start("RestoreDisk", GLib.Variant("(oa{sv})", (device.path, options)))
