"""The last page before a disk is erased: what will be written and what will be lost, as the daemon planned it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gi.repository import GLib, Gtk
from luxusb_cli.errors import CliError
from luxusb_cli.i18n import _
from luxusb_cli.model import DeviceInfo
from luxusb_cli.plans import PlanInfo
from luxusb_cli.units import format_size

from luxusb_gtk import words
from luxusb_gtk.model import Model
from luxusb_gtk.service import ServiceError
from luxusb_gtk.widgets.dialogs import CANCEL, ask
from luxusb_gtk.widgets.parts import Page, group, note, row, status, text_button


class SummaryPage(Page):
    """A plan and the button that carries it out.

    Args:
        model: what is known.
        back: goes back to the sticks.
        created: gets the path of the job.
        refused: gets an error that leaves the user here.
    """

    def __init__(
        self,
        model: Model,
        *,
        back: Callable[[], None],
        created: Callable[[str], None],
        refused: Callable[[ServiceError], None],
    ) -> None:
        super().__init__(_("Review"), back=back)
        self._model = model
        self._created, self._refused = created, refused
        self._device: DeviceInfo | None = None
        self._parts: list[Gtk.Widget] = []
        self._asked = 0
        self.plan: PlanInfo | None = None
        self.erase = text_button(_("Erase and write"), self._ask, "destructive-action", "pill")
        self.erase.set_halign(Gtk.Align.CENTER)
        self.bottom.append(self.erase)
        model.connect("devices", lambda _model: self._device_changed())

    def show_device(self, device: DeviceInfo) -> None:
        """Plan what is chosen for a disk. The plan that comes last counts."""
        self._device = device
        self.plan = None
        self._asked += 1
        asked = self._asked
        self.bottom.set_visible(False)
        self._show([status("content-loading-symbolic", _("Planning…"), "")])
        options = {"allow_large": GLib.Variant("b", True)} if device.large else {}
        arguments = GLib.Variant("(aoasa{sv})", ([device.path], self._model.basket.references, options))

        def done(answer: tuple[Any, ...]) -> None:
            if asked != self._asked:
                return
            try:
                self._show_plan(PlanInfo.from_wire(answer[0]), device)
            except CliError as error:
                self._show_problem(str(error))

        def failed(error: ServiceError) -> None:
            if asked == self._asked:
                self._show_problem(str(error))

        self._model.service.manager("PlanStick", arguments, done, failed)

    def _show(self, parts: list[Gtk.Widget]) -> None:
        for old in self._parts:
            self.content.remove(old)
        self._parts = parts
        for new in parts:
            self.content.append(new)

    def _show_problem(self, text: str) -> None:
        device = self._device
        again = text_button(_("Try again"), lambda: self.show_device(device) if device is not None else None, "pill")
        self._show([status("dialog-error-symbolic", _("This cannot be written"), "", note(text), again)])

    def _show_plan(self, plan: PlanInfo, device: DeviceInfo) -> None:
        self.plan = plan
        target = plan.devices[0]
        name = words.device_name(device)
        stick = row(f"{name} · {format_size(device.size)}", device.node)
        stick.add_prefix(Gtk.Image(icon_name="drive-removable-media-symbolic"))
        losses = [row(lost) for lost in target.lost] or [row(_("Nothing that can be recognised"))]
        images: list[Gtk.Widget] = []
        for image in plan.images:
            says = [words.size(image.size), words.trust(image.trust), words.firmware(image.firmware)]
            says += [_("is downloaded first")] if image.download else []
            subtitle = " · ".join(part for part in says if part)
            images.append(row(image.title, "\n".join([subtitle, *image.warnings])))
        boots = row(_("Starts on"), words.firmware(plan.firmware))
        parts: list[Gtk.Widget] = [
            group(_("Stick"), [stick, boots]),
            group(_("Will be lost"), losses),
            group(_("Will be written"), images),
        ]
        if plan.warnings:
            parts.append(group(_("Please note"), [row(warning) for warning in plan.warnings]))
        self._show(parts)
        self.erase.set_label(_("Erase {name} and write").format(name=name))
        self.bottom.set_visible(True)

    def _device_changed(self) -> None:
        if self._device is None or self._model.devices.get(self._device.path) is not None:
            return
        self._device, self.plan = None, None
        self._asked += 1
        self.bottom.set_visible(False)
        self._show([status("drive-removable-media-symbolic", _("The stick is gone"), _("Plug it in and choose it."))])

    def _ask(self) -> None:
        device = self._device
        if device is None or self.plan is None:
            return
        name = words.device_name(device)
        ask(
            self.get_root(),
            _("Erase {name}?").format(name=name),
            _("Everything on {name} ({node}, {size}) will be lost.").format(
                name=name, node=device.node or _("image file"), size=format_size(device.size)
            ),
            {CANCEL: _("Cancel"), "erase": _("Erase {name}").format(name=name)},
            lambda answer: self.carry_out() if answer == "erase" else None,
            destructive="erase",
        )

    def carry_out(self) -> None:
        """Erase and write; what was chosen stays chosen until the daemon has taken the job."""
        if self.plan is None:
            return
        token = self.plan.token
        self.erase.set_sensitive(False)

        def done(answer: tuple[Any, ...]) -> None:
            self.erase.set_sensitive(True)
            self._device, self.plan = None, None
            self._model.clear()
            self._created(answer[0])

        def failed(error: ServiceError) -> None:
            self.erase.set_sensitive(True)
            self._refused(error)
            if not error.refused_by_user and self._device is not None:
                self.show_device(self._device)

        self._model.service.manager("CreateStick", GLib.Variant("(sa{sv})", (token, {})), done, failed)
