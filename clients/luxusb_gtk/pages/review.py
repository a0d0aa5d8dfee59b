"""What the pages have in common that come last before disks are erased.

What is shown is a dry plan. The one that is carried out is made when the button is pressed, and has to say the same.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from gi.repository import GLib, Gtk
from luxusb_cli.errors import CliError
from luxusb_cli.i18n import _, ngettext
from luxusb_cli.model import DeviceInfo
from luxusb_cli.plans import PlanInfo
from luxusb_cli.units import format_size

from luxusb_gtk import planner, words
from luxusb_gtk.basket import Space
from luxusb_gtk.bidi import ordered
from luxusb_gtk.model import Model
from luxusb_gtk.planner import DryPlanner, Planned
from luxusb_gtk.service import ServiceError
from luxusb_gtk.widgets.dialogs import CANCEL, ask
from luxusb_gtk.widgets.parts import Page, copy, empty, group, icon_button, row, status, text_button
from luxusb_gtk.widgets.spacebar import SpaceBar


class ReviewPage(Page):
    """A plan and the button that carries it out.

    Args:
        model: what is known.
        back: goes back to the sticks.
        created: gets the path of the job.
        refused: gets an error that leaves the user here.
    """

    TITLE: ClassVar[str]
    METHOD: ClassVar[str]
    """Of the Manager, which takes the plan."""

    def __init__(
        self,
        model: Model,
        *,
        back: Callable[[], None],
        created: Callable[[str], None],
        refused: Callable[[ServiceError], None],
    ) -> None:
        super().__init__(_(self.TITLE), back=back)
        self._model = model
        self._created, self._refused = created, refused
        self._device: DeviceInfo | None = None
        self._others: tuple[DeviceInfo, ...] = ()
        """What is to become the same, none smaller than the device."""
        self._planner = DryPlanner(model.service, self._answered)
        self._shown: Planned | None = None
        """The plan that can be read at the moment."""
        self.plan: PlanInfo | None = None
        """The one that the user is asked about."""
        self._top, self._below = (Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=18) for _part in range(2))
        self._options = self._build()
        for part in (self._top, self._options, self._below):
            self.content.append(part)
        self.bar = SpaceBar()
        self.erase = text_button(_("Erase and write"), self._ask, "destructive-action", "pill")
        self.erase.set_halign(Gtk.Align.CENTER)
        self.erase.set_sensitive(False)
        self.bottom.append(self.bar)
        self.bottom.append(self.erase)
        model.connect("devices", lambda _model: self._device_changed())
        model.connect("chosen", lambda _model: self._plan())

    # ---- what a page has of its own
    @abstractmethod
    def _build(self) -> Gtk.Widget:
        """Make what can be chosen between the parts of the plan; called once."""

    @abstractmethod
    def _want(self, device: DeviceInfo, *, again: bool) -> None:
        """Have the planner plan what is chosen now."""

    @abstractmethod
    def _parts(self, planned: Planned) -> tuple[list[Gtk.Widget], list[Gtk.Widget]]:
        """What is shown of a plan above the options and below them."""

    @abstractmethod
    def _space(self, planned: Planned) -> Space:
        """How it fills the disk."""

    def _remedies(self, _error: ServiceError | CliError) -> list[Gtk.Widget]:
        """What can be done instead of what the daemon refuses."""
        return []

    # ---- planning
    def show_devices(self, devices: Sequence[DeviceInfo]) -> None:
        """Plan what is chosen for disks, the smallest first. The plan that comes last counts."""
        self._device, *others = devices
        self._others = tuple(others)
        self._shown, self.plan = None, None
        self._show([status("content-loading-symbolic", _("Planning…"), "")], [])
        self.bottom.set_visible(False)
        self._plan(again=True)

    def _plan(self, *, again: bool = False) -> None:
        if self._device is None or not (again or self.get_mapped()):
            return
        self.erase.set_sensitive(False)
        if not len(self._model.basket):
            self._planner.forget()
            return
        self._want(self._device, again=again)
        self._show_ready()

    def _show_ready(self) -> None:
        planned = self._planner.planned
        self.erase.set_sensitive(planned is not None and planned is self._shown and not planned.figures.missing)

    def _show(self, top: list[Gtk.Widget], below: list[Gtk.Widget]) -> None:
        for box, parts in ((self._top, top), (self._below, below)):
            empty(box)
            for part in parts:
                box.append(part)
            box.set_visible(bool(parts))
        self._options.set_visible(self._device is not None)

    def _answered(self) -> None:
        planned, error = self._planner.planned, self._planner.error
        if error is not None:
            self._show_problem(error)
        elif planned is not None and self._device is not None:
            self._show_plan(planned)

    def _show_problem(self, error: ServiceError | CliError) -> None:
        """The plan's own words; the options stay, since another one may help."""
        self._shown = None
        self.bottom.set_visible(False)
        text = str(error)
        problem = row(_("This cannot be written"), text)
        problem.set_subtitle_lines(0)
        problem.add_prefix(Gtk.Image(icon_name="dialog-error-symbolic"))
        problem.add_suffix(icon_button("edit-copy-symbolic", _("Copy details"), lambda: copy(self, text)))
        again = text_button(_("Try again"), lambda: self._plan(again=True), "pill")
        again.set_halign(Gtk.Align.CENTER)
        self._show([group("", [problem]), *self._remedies(error)], [again])

    def _show_plan(self, planned: Planned) -> None:
        self._shown = planned
        self._show(*self._parts(planned))
        self.bar.show_space(self._space(planned))
        self.erase.set_label(ordered(_("Erase {name} and write").format(name=_named(planned))))
        self.bottom.set_visible(True)
        self._show_ready()

    def _device_changed(self) -> None:
        if self._device is None:
            return
        now = [self._model.devices.get(device.path) for device in (self._device, *self._others)]
        there = [device for device in now if device is not None]
        if len(there) == len(now):
            self._device, *others = there
            self._others = tuple(others)
            self._plan()
            return
        self._device, self._shown, self.plan = None, None, None
        self._planner.forget()
        self.bottom.set_visible(False)
        icon = "drive-removable-media-symbolic"
        self._show([status(icon, _("The stick is gone"), _("Plug it in and choose it."))], [])

    # ---- carrying out
    def _ask(self) -> None:
        """Have the plan made that is carried out, and ask about it when it is the one that can be read."""
        shown = self._shown
        if shown is None or shown is not self._planner.planned:
            return
        self.erase.set_sensitive(False)

        def done(answer: tuple[Any, ...]) -> None:
            try:
                made = PlanInfo.from_wire(answer[0])
            except CliError as error:
                self._show_problem(error)
                return
            if self._shown is not shown:
                return
            if replace(made, token="", expires=0) != shown.plan:
                self._plan(again=True)
                return
            self.plan = made
            self._show_ready()
            self._ask_erase(shown)

        def failed(error: ServiceError) -> None:
            if self._shown is shown:
                self._show_problem(error)

        planner.plan(self._model.service, shown.devices, shown.asked, done, failed, dry_run=False)

    def _ask_erase(self, planned: Planned) -> None:
        name = _named(planned)
        ask(
            self.get_root(),
            _("Erase {name}?").format(name=name),
            "\n".join(map(everything, planned.devices)),
            {CANCEL: _("Cancel"), "erase": _("Erase {name}").format(name=name)},
            lambda answer: self.carry_out() if answer == "erase" else None,
            destructive="erase",
        )

    def carry_out(self) -> None:
        """Erase and write; what was chosen stays chosen until the daemon has taken the job."""
        if self.plan is None:
            return
        token = self.plan.token
        self.plan = None
        self.erase.set_sensitive(False)

        def done(answer: tuple[Any, ...]) -> None:
            self._device, self._shown = None, None
            self._planner.forget()
            self._model.remember(answer[0])
            self._model.clear()
            self._created(answer[0])

        def failed(error: ServiceError) -> None:
            self._show_ready()
            self._refused(error)
            if not error.refused_by_user:
                self._plan(again=True)

        self._model.service.manager(self.METHOD, GLib.Variant("(sa{sv})", (token, {})), done, failed)


def _named(planned: Planned) -> str:
    """What is erased, in a word or two."""
    if not planned.others:
        return words.device_name(planned.device)
    count = len(planned.devices)
    return ngettext("one stick", "{count} sticks", count).format(count=count)


def everything(device: DeviceInfo) -> str:
    """What a question before an erase says of a disk."""
    return _("Everything on {name} ({node}, {size}) will be lost.").format(
        name=words.device_name(device), node=device.node or _("image file"), size=format_size(device.size)
    )


def stick_row(device: DeviceInfo) -> Gtk.Widget:
    """The row of a disk that is written to."""
    made = row(f"{words.device_name(device)} · {format_size(device.size)}", device.node)
    made.add_prefix(Gtk.Image(icon_name="drive-removable-media-symbolic"))
    return made


def loss_rows(planned: Planned) -> list[Gtk.Widget]:
    """What is lost: a row for each thing on one disk, or for each of several disks."""
    if not planned.others:
        lost = planned.plan.devices[0].lost
        return [row(one) for one in lost] or [row(_("Nothing that can be recognised"))]
    return [
        _lost(words.device_name(each) + f" · {each.node}" * bool(each.node), target.lost)
        for each, target in zip(planned.devices, planned.plan.devices, strict=True)
    ]


def _lost(name: str, lost: Sequence[str]) -> Gtk.Widget:
    made = row(name, "\n".join(lost) or _("Nothing that can be recognised"))
    made.set_subtitle_lines(0)
    return made


def warning_row(text: str) -> Gtk.Widget:
    """The row of something to be noted."""
    made = row(text)
    made.set_title_lines(0)
    made.add_prefix(Gtk.Image(icon_name="dialog-warning-symbolic"))
    return made
