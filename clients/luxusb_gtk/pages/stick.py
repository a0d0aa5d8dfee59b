"""The page of a LUXusb stick: what is on it, and everything that leaves the rest in place."""

from __future__ import annotations

from typing import Any

from gi.repository import GLib, Gtk
from luxusb_cli.i18n import _, ngettext
from luxusb_cli.model import DeviceInfo, StickImage
from luxusb_cli.text import clean
from luxusb_cli.units import format_size
from luxusb_cli.wire import text

from luxusb_gtk import words
from luxusb_gtk.pages.changes import ChangesOnStick
from luxusb_gtk.pages.onestick import OneStickPage
from luxusb_gtk.service import ServiceError
from luxusb_gtk.stickplan import Kept, space_on
from luxusb_gtk.widgets.dialogs import CANCEL, ask
from luxusb_gtk.widgets.parts import group, icon_button, row, status, text_button
from luxusb_gtk.widgets.spacebar import SpaceBar


class StickPage(OneStickPage):
    """One stick; see `OneStickPage`."""

    def _build(self) -> None:
        self._parts: list[Gtk.Widget] = []
        self._device: DeviceInfo | None = None
        """What is shown of it."""
        self._kept: tuple[Kept, ...] = ()
        """Its images with their room for changes, once the daemon has told."""
        self._changes = ChangesOnStick(self.get_root, self._set_room)
        self._model.connect("devices", lambda _model: self._device_changed())

    def show_device(self, device: DeviceInfo) -> None:
        """Show a stick."""
        self._path, self._device, self._kept = device.path, None, ()
        self._device_changed()

    def _device_changed(self) -> None:
        device = self._model.devices.get(self._path)
        if device is not None and device == self._device:
            return
        self._device = device
        self._fill()
        if device is not None and device.state == "luxusb":
            self._ask_rooms(device)

    def _ask_rooms(self, device: DeviceInfo) -> None:
        """Ask for what a device's properties do not tell; while a job works on it, the answer of before is good."""

        def done(answer: tuple[Any, ...]) -> None:
            if self._device is device:
                self._kept = tuple(Kept.from_wire(image) for image in answer[0])
                self._fill()

        def failed(error: ServiceError) -> None:
            if self._device is device and not device.current_job:
                self._failed(error)

        arguments = GLib.Variant("(oa{sv})", (device.path, {}))
        self._model.service.manager("ListStickImages", arguments, done, failed)

    def _set_room(self, device: DeviceInfo, name: str, size: int) -> None:
        """Give an image room for changes, or take a room away with 0."""
        self._start("SetPersistence", GLib.Variant("(osta{sv})", (device.path, name, size, {})))

    def _fill(self) -> None:
        for old in self._parts:
            self.content.remove(old)
        self._parts = []
        if not self._path:
            return
        device = self._model.devices.get(self._path)
        if device is None:
            icon = "drive-removable-media-symbolic"
            self._parts = [status(icon, _("The stick is gone"), _("Plug it in and choose it."))]
        else:
            self.title.set_title(words.device_name(device))
            self.title.set_subtitle(device.node)
            self._parts = self._of(device)
        for new in self._parts:
            self.content.append(new)

    def _of(self, device: DeviceInfo) -> list[Gtk.Widget]:
        parts: list[Gtk.Widget] = []
        busy = bool(device.current_job)
        if device.state == "damaged":
            mend = row(_("This stick is damaged"), device.damage)
            mend.add_suffix(self._button(_("Repair"), "RepairStick", device, busy))
            return [group("", [mend]), group(_("The whole disk"), self._whole.all(device))]
        kept = self._kept or tuple(
            Kept(image.name, image.title or image.name, image.size, 0, persistent=False) for image in device.images
        )
        bar = SpaceBar()
        bar.show_space(space_on(device.size, device.free_bytes, kept))
        parts.append(bar)
        images = [self._image(device, image, busy) for image in device.images] or [row(_("No systems"))]
        parts.append(group(_("Systems"), images))
        if (changes := self._changes.part(device, kept, busy=busy)) is not None:
            parts.append(changes)
        if device.updates:
            updates = [
                row(
                    text(update, "title"),
                    _("{old} can become {new}").format(
                        old=text(update, "from_version") or "?", new=text(update, "to_version")
                    ),
                )
                for update in device.updates
            ]
            newer = group(_("Newer releases"), updates)
            newer.set_header_suffix(self._button(_("Update"), "UpdateStick", device, busy))
            parts.append(newer)
        care: list[Gtk.Widget] = []
        for title, says, label, method in (
            (_("Check"), _("Reads every image back and compares it"), _("Check now"), "VerifyStick"),
            (
                _("Boot files"),
                device.boot_warning or _("Writes boot files and menu anew and keeps the systems"),
                _("Renew"),
                "RefreshStick",
            ),
            (
                _("Copied image files"),
                _unlisted(device.unlisted_images),
                _("Look for them"),
                "RescanStick",
            ),
        ):
            one = row(title, says)
            if says == device.boot_warning:
                one.add_prefix(Gtk.Image(icon_name="dialog-warning-symbolic"))
            one.add_suffix(self._button(label, method, device, busy))
            care.append(one)
        parts.append(group(_("Care"), care))
        parts.append(group(_("The whole disk"), self._whole.all(device)))
        parts.append(group("", [row(_("Starts on"), words.firmware(device.firmware))]))
        return parts

    def _image(self, device: DeviceInfo, image: StickImage, busy: bool) -> Gtk.Widget:
        title = image.title or image.name
        made = row(title, format_size(image.size))
        remove = icon_button(
            "user-trash-symbolic",
            _("Remove {name}").format(name=title),
            lambda: self._ask_remove(device, image),
        )
        remove.set_valign(Gtk.Align.CENTER)
        remove.set_sensitive(not busy)
        made.add_suffix(remove)
        return made

    def _button(self, label: str, method: str, device: DeviceInfo, busy: bool) -> Gtk.Button:
        button = text_button(label, lambda: self._start(method, GLib.Variant("(oa{sv})", (device.path, {}))))
        button.set_sensitive(not busy)
        return button

    def _ask_remove(self, device: DeviceInfo, image: StickImage) -> None:
        title = image.title or image.name
        ask(
            self.get_root(),
            _("Remove {name}?").format(name=clean(title)),
            _("Its image, and changes that it keeps, are deleted from the stick. Everything else stays."),
            {CANCEL: _("Cancel"), "remove": _("Remove")},
            lambda answer: self.remove_image(device, image) if answer == "remove" else None,
            destructive="remove",
        )

    def remove_image(self, device: DeviceInfo, image: StickImage) -> None:
        """Take a system off the stick."""
        self._start("RemoveImages", GLib.Variant("(oasa{sv})", (device.path, [image.name], {})))

    def add_chosen(self, device: DeviceInfo) -> None:
        """Add what is chosen to a stick."""

        def done(answer: tuple[Any, ...]) -> None:
            self._model.clear()
            self._started(answer[0])

        arguments = GLib.Variant("(oasa{sv})", (device.path, self._model.basket.references, {}))
        self._model.service.manager("AddImages", arguments, done, self._failed)


def _unlisted(many: int) -> str:
    if not many:
        return _("Finds what was copied onto the stick by hand")
    return ngettext("One image file is not in the menu yet", "{many} image files are not in the menu yet", many).format(
        many=many
    )
