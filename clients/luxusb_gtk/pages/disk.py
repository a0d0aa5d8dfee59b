"""The page of a disk that is no stick of anybody: what is on it, and what can be done with it."""

from __future__ import annotations

from collections.abc import Iterator

from gi.repository import Gtk
from luxusb_cli.i18n import _
from luxusb_cli.model import DeviceInfo, Loss
from luxusb_cli.units import format_size

from luxusb_gtk import words
from luxusb_gtk.pages.onestick import OneStickPage
from luxusb_gtk.stickplan import picture_of
from luxusb_gtk.widgets.parts import empty, group, row, status
from luxusb_gtk.widgets.spacebar import Strip


class DiskPage(OneStickPage):
    """One disk; see `OneStickPage`."""

    def _build(self) -> None:
        self._device: DeviceInfo | None = None
        """What is shown of it."""
        self._model.connect("devices", lambda _model: self._changed())

    def show_device(self, device: DeviceInfo) -> None:
        """Show a disk."""
        self._path, self._device = device.path, None
        self._changed()

    def _changed(self) -> None:
        device = self._model.devices.get(self._path)
        if not self._path or (device is not None and device == self._device):
            return
        self._device = device
        empty(self.content)
        if device is None:
            icon = "drive-removable-media-symbolic"
            self.content.append(status(icon, _("The stick is gone"), _("Plug it in and choose it.")))
            return
        self.title.set_title(words.device_name(device))
        self.title.set_subtitle(device.node)
        for part in self._of(device):
            self.content.append(part)

    def _of(self, device: DeviceInfo) -> Iterator[Gtk.Widget]:
        if (there := picture_of(device)) is not None:
            strip = Strip()
            strip.show_space(there)
            yield strip
        what = row(f"{words.device_name(device)} · {format_size(device.size)}", words.device_state(device))
        yield group(_("What is on it"), [what, *map(_part, device.contents)])
        yield group(_("The whole disk"), self._whole.all(device))


def _part(part: Loss) -> Gtk.Widget:
    title = _("Partition {number}").format(number=part.number) if part.number else _("All of it")
    known = " ".join(word for word in (part.filesystem, part.label) if word)
    facts = [known, part.system, format_size(part.size)]
    if part.used is not None:
        facts.append(_("{size} used").format(size=format_size(part.used)))
    return row(title, " · ".join(fact for fact in facts if fact))
