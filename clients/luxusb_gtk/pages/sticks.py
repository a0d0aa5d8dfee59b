"""The page of disks: where the systems go, and what can be done with a stick that is one already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from gi.repository import Gtk
from luxusb_cli.i18n import _, ngettext
from luxusb_cli.model import DeviceInfo
from luxusb_cli.units import format_size

from luxusb_gtk import rawwords, words
from luxusb_gtk.basket import measure, overhead_of
from luxusb_gtk.bidi import ordered
from luxusb_gtk.model import Model
from luxusb_gtk.planner import DryPlanner
from luxusb_gtk.service import ServiceError
from luxusb_gtk.stickplan import picture_of, space_of
from luxusb_gtk.widgets.parts import Page, group, icon_button, note, row, status, text_button
from luxusb_gtk.widgets.spacebar import SpaceBar, Strip

PICTURE_WIDTH, PICTURE_HEIGHT = 72, 12
"""Pixels of the picture of what is on a disk."""


class SticksPage(Page):
    """Disks come and go here as they are plugged in and pulled.

    Args:
        model: what is known.
        back: goes back to the systems.
        create: goes on with disks that are to be erased, the smallest first.
        add: adds what is chosen to a LUXusb stick.
        raw: goes on with a disk that is to become the one image that is chosen.
        manage: shows a disk.
    """

    def __init__(
        self,
        model: Model,
        *,
        back: Callable[[], None],
        create: Callable[[list[DeviceInfo]], None],
        add: Callable[[DeviceInfo], None],
        raw: Callable[[DeviceInfo], None],
        manage: Callable[[DeviceInfo], None],
    ) -> None:
        super().__init__(_("Choose a stick"), back=back)
        self._model = model
        self._create, self._add, self._raw, self._manage = create, add, raw, manage
        self.selected = ""
        """Path of the disk that is chosen."""
        self.more: set[str] = set()
        """Paths of those that are chosen besides, where several are to become the same."""
        self._list = group(_("Sticks and other disks"))
        self.several = Gtk.ToggleButton(
            label=_("Several at once"),
            tooltip_text=_("Erase several sticks and write the same to all of them"),
            valign=Gtk.Align.CENTER,
        )
        self.several.connect("toggled", lambda _button: self._mode_changed())
        self._list.set_header_suffix(self.several)
        self._rows: list[Gtk.Widget] = []
        self._none = status(
            "drive-removable-media-symbolic",
            _("No stick"),
            _("Plug in a USB stick; it appears here by itself."),
        )
        self.content.append(self._list)
        self.content.append(self._none)
        self.bar = SpaceBar()
        self.action = text_button(_("Review"), self._go, "suggested-action", "pill")
        self.raw = text_button(_("Write byte for byte…"), self._go_raw, "flat")
        self.raw.set_tooltip_text(rawwords.tooltip())
        self.raw.set_halign(Gtk.Align.START)
        self.action.set_halign(Gtk.Align.END)
        self.action.set_hexpand(True)
        actions = Gtk.Box(spacing=6)
        for button in (self.raw, self.action):
            # in a narrow window, and in languages with long words
            button.get_child().set_wrap(True)
            actions.append(button)
        self.problem = note("", "caption", "error")
        self.hint = note("", "caption")
        self._planner = DryPlanner(model.service, self._measure)
        self.bottom.append(self.bar)
        for part in (self.problem, self.hint, actions):
            self.bottom.append(part)
        model.connect("devices", lambda _model: self._fill())
        model.connect("chosen", lambda _model: self._measure())
        # what is chosen may be another choice than when it was shown last
        self.connect("map", lambda _page: self._measure())
        self._fill()

    def _fill(self) -> None:
        for old in self._rows:
            self._list.remove(old)
        usable = [device for device in self._model.devices.values() if not device.blocked_reason]
        if not self.selected and len(usable) == 1 and not self.several.get_active():
            self.selected = usable[0].path
        devices = sorted(self._model.devices.values(), key=lambda device: (bool(device.blocked_reason), device.node))
        first: Gtk.CheckButton | None = None
        self._rows = []
        for device in devices:
            made = row(f"{words.device_name(device)} · {format_size(device.size)}", words.device_state(device))
            choose = Gtk.CheckButton(valign=Gtk.Align.CENTER, group=None if self.several.get_active() else first)
            first = first or choose
            name = _("Use {name}, {node}").format(name=words.device_name(device), node=device.node)
            choose.update_property([Gtk.AccessibleProperty.LABEL], [name])
            choose.set_active(device.path == self.selected or device.path in self.more)
            choose.connect("toggled", self._toggled, device.path)
            made.add_prefix(Gtk.Image(icon_name="drive-removable-media-symbolic"))
            made.add_prefix(choose)
            if (there := picture_of(device)) is not None:
                picture = Strip(height=PICTURE_HEIGHT, width=PICTURE_WIDTH)
                picture.set_valign(Gtk.Align.CENTER)
                picture.show_space(there)
                made.add_suffix(picture)
            if device.node:
                node = Gtk.Label(label=device.node)
                node.add_css_class("dim-label")
                made.add_suffix(node)
            if not device.blocked_reason:
                made.add_suffix(
                    icon_button("go-next-symbolic", _("What is on this stick"), partial(self._manage, device))
                )
            if device.updates:
                many = len(device.updates)
                text = ngettext("One update", "{many} updates", many).format(many=many)
                mark = Gtk.Label(label=text)
                mark.add_css_class("accent")
                made.add_suffix(mark)
            made.set_activatable_widget(choose)
            made.set_sensitive(not device.blocked_reason)
            self._list.add(made)
            self._rows.append(made)
        self._list.set_visible(bool(devices))
        self.several.set_visible(len(usable) > 1)
        self._none.set_visible(not devices)
        self._measure()

    def _toggled(self, choose: Gtk.CheckButton, path: str) -> None:
        if not self.several.get_active():
            if choose.get_active():
                self.selected = path
                self._measure()
            return
        chosen = {device.path for device in self.chosen} - {path} | ({path} if choose.get_active() else set())
        self.selected = min(chosen, default="")
        self.more = chosen - {self.selected}
        self._measure()

    def _mode_changed(self) -> None:
        # nothing is chosen by itself of what is to be erased together
        self.selected, self.more = "", set()
        self._fill()

    @property
    def chosen(self) -> list[DeviceInfo]:
        """All disks that are chosen, are there and may be used; the smallest first, which has the least room."""
        paths = {self.selected, *self.more}
        found = [device for path, device in self._model.devices.items() if path in paths and not device.blocked_reason]
        return sorted(found, key=lambda device: (device.size, device.path))

    @property
    def device(self) -> DeviceInfo | None:
        """The disk that is chosen, while it is there and may be used; of several the smallest."""
        return next(iter(self.chosen), None)

    def _measure(self) -> None:
        device = self.device
        self.bottom.set_visible(device is not None)
        if device is None:
            return
        basket = self._model.basket
        together = self.several.get_active()
        adds = device.state == "luxusb" and not together
        others = self.chosen[1:]
        planned, error, less_would_do = None, None, False
        if adds or not len(basket) or device.state == "damaged" or not self.get_mapped():
            self._planner.forget()
        else:
            wanted = self._model.for_stick
            self._planner.ask(device, basket, wanted, self._model.wishes.persistence, others=others)
            planned, error = self._planner.planned, self._planner.error
        if planned is not None:
            space = space_of(planned.figures, planned.choices)
            wanted = self._model.for_stick
            less_would_do = planned.figures.spare + wanted.share + wanted.companion >= planned.figures.missing
        elif adds:
            there = [(image.title or image.name, image.size + image.persistence) for image in device.images]
            # room for changes is given on the page of the stick
            plain = [replace(choice, persistence=0) for choice in basket.choices]
            taken = device.size - device.free_bytes - sum(size for _title, size in there)
            space = replace(measure(device.size, plain, overhead=max(0, taken), there=there), exact=True)
        else:
            space = measure(device.size, basket.choices, overhead=overhead_of(device.size))
        self.bar.show_space(space)
        self.problem.set_label(ordered(str(error)) if error is not None else "")
        self.problem.set_visible(error is not None)
        self.action.set_label(_("Add to this stick") if adds else _("Review"))
        chosen = self.chosen
        ready = bool(len(basket)) and not any(each.current_job or each.state == "damaged" for each in chosen)
        # on the next page can be chosen what the plan complains of, and less room for changes
        self.action.set_sensitive(ready and (not space.too_much or less_would_do or error is not None))
        self._offer_raw(error)

    def _offer_raw(self, error: ServiceError | None) -> None:
        """One image and one disk can go together byte for byte, whatever is on the disk."""
        one = len(self._model.basket) == 1 and len(self.chosen) == 1
        self.raw.set_visible(one)
        self.raw.set_sensitive(not any(device.current_job for device in self.chosen))
        unfit = error is not None and error.short_name == "NotBootable"
        self.hint.set_label(rawwords.alone())
        self.hint.set_visible(unfit and not one)

    def _go_raw(self) -> None:
        if (device := self.device) is not None:
            self._raw(device)

    def _go(self) -> None:
        device = self.device
        if device is None:
            return
        if device.state == "luxusb" and not self.several.get_active():
            self._add(device)
        else:
            self._create(self.chosen)
