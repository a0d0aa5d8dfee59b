"""The last page before a disk becomes a stick: what will be written and what will be lost, as the daemon plans it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gi.repository import Gtk
from luxusb_cli.errors import CliError
from luxusb_cli.i18n import N_, _, ngettext
from luxusb_cli.model import DeviceInfo
from luxusb_cli.plans import PlanInfo, PlannedImage

from luxusb_gtk import bootwords, rawwords, stickplan, words
from luxusb_gtk.basket import Space
from luxusb_gtk.model import Model
from luxusb_gtk.pages.options import ChangesPart, PartitionsPart
from luxusb_gtk.pages.review import ReviewPage, loss_rows, stick_row, warning_row
from luxusb_gtk.planner import Planned
from luxusb_gtk.service import ServiceError
from luxusb_gtk.stickplan import space_of
from luxusb_gtk.widgets.parts import badge, group, row, text_button


class SummaryPage(ReviewPage):
    """See `ReviewPage`. The plan is made anew with every choice.

    Args:
        model: what is known.
        back: goes back to the sticks.
        created: gets the path of the job.
        refused: gets an error that leaves the user here.
        raw: goes on with a disk that is to become the one image that is chosen.
    """

    TITLE = N_("Review")
    METHOD = "CreateStick"

    def __init__(
        self,
        model: Model,
        *,
        back: Callable[[], None],
        created: Callable[[str], None],
        refused: Callable[[ServiceError], None],
        raw: Callable[[DeviceInfo], None],
    ) -> None:
        self.changes = ChangesPart(model.choose)
        self.partitions = PartitionsPart(model.choose_for_stick)
        self._raw = raw
        super().__init__(model, back=back, created=created, refused=refused)

    def _build(self) -> Gtk.Widget:
        return group(_("Options"), [self.changes.expander, self.partitions.expander, self.partitions.keep_row])

    def show_devices(self, devices: Sequence[DeviceInfo]) -> None:
        """Plan what is chosen for disks, the smallest first. The plan that comes last counts."""
        self.changes.show_choices((), (), ())
        super().show_devices(devices)

    def _want(self, device: DeviceInfo, *, again: bool) -> None:
        model = self._model
        self.partitions.show_choices(model.for_stick)
        preferred = model.wishes.persistence
        self._planner.ask(device, model.basket, model.for_stick, preferred, again=again, others=self._others)

    def _show_problem(self, error: ServiceError | CliError) -> None:
        super()._show_problem(error)
        if self._planner.error is not None and any(place != stickplan.NONE for place in self._planner.places):
            # less room may be what helps
            self.changes.show_choices(self._planner.choices, self._planner.rooms, self._planner.places)

    def _remedies(self, error: ServiceError | CliError) -> list[Gtk.Widget]:
        device = self._device
        if not isinstance(error, ServiceError) or error.short_name != "NotBootable" or device is None:
            return []
        if len(self._model.basket) > 1 or self._others:
            return [group("", [row(_("A stick of its own"), rawwords.alone())])]
        own = row(_("A stick of its own"), _("What does not start from a file may start when the stick is its image"))
        own.add_suffix(text_button(_("Write byte for byte…"), lambda: self._raw(device)))
        return [group("", [own])]

    def _parts(self, planned: Planned) -> tuple[list[Gtk.Widget], list[Gtk.Widget]]:
        plan = planned.plan
        boots = row(_("Starts on"), words.firmware(plan.firmware))
        notes = [warning_row(text) for text in bootwords.general(plan)]
        where = _("Stick")
        if planned.others:
            count = len(planned.devices)
            where = ngettext("One stick", "{count} sticks", count).format(count=count)
        keeps = [image.keeps for image in planned.figures.images]
        self.changes.show_choices(planned.choices, planned.asked.persistence, keeps)
        return (
            [
                group(where, [*map(stick_row, planned.devices), boots]),
                group(_("Will be lost"), loss_rows(planned)),
                group(_("Will be written"), [_image(plan, image) for image in plan.images]),
            ],
            [group(_("Please note"), notes)] if notes else [],
        )

    def _space(self, planned: Planned) -> Space:
        return space_of(planned.figures, planned.choices)


def _image(plan: PlanInfo, image: PlannedImage) -> Gtk.Widget:
    made = row(image.title, "\n".join(bootwords.lines(plan, image)))
    made.set_subtitle_lines(0)
    if bootwords.out_of_secure_boot(plan, image):
        made.add_suffix(badge(_("no Secure Boot"), "warning", _("It does not start where Secure Boot is on")))
    if image.warnings:
        made.add_prefix(Gtk.Image(icon_name="dialog-warning-symbolic"))
    return made
