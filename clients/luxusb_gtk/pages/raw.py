"""The last page before a disk becomes one image, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence

from gi.repository import Gtk
from luxusb_cli.i18n import N_, _
from luxusb_cli.model import DeviceInfo

from luxusb_gtk import bootwords, rawwords
from luxusb_gtk.basket import Space
from luxusb_gtk.pages.review import ReviewPage, loss_rows, stick_row, warning_row
from luxusb_gtk.planner import Planned
from luxusb_gtk.stickplan import StickChoices, raw_space_of
from luxusb_gtk.widgets.parts import group, name_for_readers, row


class RawPage(ReviewPage):
    """See `ReviewPage`."""

    TITLE = N_("Write byte for byte")
    METHOD = "WriteRaw"

    def _build(self) -> Gtk.Widget:
        self.all_the_same = Gtk.CheckButton(valign=Gtk.Align.CENTER)
        self.all_the_same.connect("toggled", lambda _check: self._plan())
        name_for_readers(self.all_the_same, _("Write it all the same"))
        meant = row(_("Write it all the same"), _("No computer starts the stick afterwards"))
        meant.add_prefix(self.all_the_same)
        meant.set_activatable_widget(self.all_the_same)
        self._meant = group("", [meant])
        return self._meant

    def show_devices(self, devices: Sequence[DeviceInfo]) -> None:
        """Plan the one image that is chosen for a disk. The plan that comes last counts."""
        self._device = None
        self._planner.forget()
        self.all_the_same.set_active(False)
        super().show_devices(devices)

    def _want(self, device: DeviceInfo, *, again: bool) -> None:
        choices = StickChoices(raw=True, unbootable=self.all_the_same.get_active())
        self._planner.ask(device, self._model.basket, choices, 0, again=again)

    def _show(self, top: list[Gtk.Widget], below: list[Gtk.Widget]) -> None:
        super()._show(top, below)
        error = self._planner.error
        refused = error is not None and error.short_name == "NotBootable"
        # once it is ticked it can be unticked, whatever the plan says
        self._options.set_visible(self._device is not None and (refused or self.all_the_same.get_active()))

    def _parts(self, planned: Planned) -> tuple[list[Gtk.Widget], list[Gtk.Widget]]:
        plan = planned.plan
        (image,) = plan.images
        written = row(image.title, "\n".join(rawwords.lines(plan, image)))
        written.set_subtitle_lines(0)
        parts: list[Gtk.Widget] = [written]
        if plan.raw is not None:
            starts = row(_("Starts from a stick"), rawwords.starts(plan.raw))
            if rawwords.never(plan.raw):
                starts.add_prefix(Gtk.Image(icon_name="dialog-warning-symbolic"))
            parts.append(starts)
        notes = [warning_row(text) for text in bootwords.general(plan)]
        afterwards = row(
            _("Afterwards"),
            _("The stick may look smaller than it is. Its page, by the arrow beside it, makes it a plain drive again."),
        )
        afterwards.set_subtitle_lines(0)
        return (
            [
                group(_("Stick"), [stick_row(planned.device)]),
                group(_("Will be lost"), loss_rows(planned)),
                group(_("Will be written byte for byte"), parts),
            ],
            [group(_("Please note"), [*notes, afterwards])],
        )

    def _space(self, planned: Planned) -> Space:
        raw = planned.plan.raw
        exact = raw is not None and raw.size > 0
        return raw_space_of(planned.figures, planned.choices, planned.plan.devices[0].bytes_needed, exact=exact)
