"""The page of a stick that another program made: what is on it, and taking over one of LUXusb 0.6.3."""

from __future__ import annotations

from typing import Any

from gi.repository import GLib, Gtk
from luxusb_cli.errors import CliError
from luxusb_cli.i18n import _, ngettext
from luxusb_cli.model import DeviceInfo, ForeignImage, ForeignStick, JobState
from luxusb_cli.results import AdoptionPlan
from luxusb_cli.units import format_size

from luxusb_gtk import words
from luxusb_gtk.pages.onestick import OneStickPage
from luxusb_gtk.service import ServiceError
from luxusb_gtk.widgets.dialogs import CANCEL, ask
from luxusb_gtk.widgets.parts import empty, group, note, row, status, text_button

OLD = "luxusb-0.6.3"
VENTOY = "ventoy"


class ElsewherePage(OneStickPage):
    """One stick; see `OneStickPage`."""

    def _build(self) -> None:
        self._foreign: ForeignStick | None = None
        self._look = ""
        """The job that finds out what taking over would do."""
        self.plan: AdoptionPlan | None = None
        """What taking over would do, once it is known."""
        self.bottom.set_visible(False)
        self.take = text_button(_("Take over…"), self._press, "suggested-action", "pill")
        self.take.set_halign(Gtk.Align.CENTER)
        self.bottom.append(self.take)
        self._model.connect("devices", lambda _model: self._changed())
        self._model.connect("finished", lambda _model, path: self._finished(path))

    def show_device(self, device: DeviceInfo) -> None:
        """Show a stick."""
        self._path, self._look, self.plan = device.path, "", None
        self._foreign = device.foreign
        self._fill()

    def _changed(self) -> None:
        device = self._model.devices.get(self._path)
        now = device.foreign if device is not None else None
        if self._path and now != self._foreign:
            self._foreign, self.plan = now, None
        self._fill()

    def _fill(self) -> None:
        if not self._path:
            return
        device, foreign = self._model.devices.get(self._path), self._foreign
        empty(self.content)
        if device is None or foreign is None:
            self.bottom.set_visible(False)
            gone = _("The stick is gone") if device is None else _("This is another stick now")
            self.content.append(status("drive-removable-media-symbolic", gone, _("Plug it in and choose it.")))
            return
        self.title.set_title(words.device_name(device))
        self.title.set_subtitle(device.node)
        able = foreign.maker == OLD and not foreign.refusal
        what = row(_("Stick of {program}").format(program=foreign.name), _purpose(foreign, able=able))
        what.set_subtitle_lines(0)
        what.add_prefix(Gtk.Image(icon_name="drive-removable-media-symbolic"))
        self.content.append(group("", [what]))
        plan = self.plan
        if plan is not None:
            count = len(plan.found)
            stays = ngettext("One image stays", "{count} images stay", count).format(count=count)
            self.content.append(group(stays, [_found(image) for image in plan.found]))
            will = [
                row(_("Will start on"), words.firmware(plan.firmware)),
                *map(_told, plan.notes),
                *map(_told, plan.warnings),
            ]
            self.content.append(group(_("What will happen"), will))
        else:
            images = [_found(image) for image in foreign.images] or [row(_("No image files were found"))]
            self.content.append(group(_("Image files"), images))
            if foreign.notes:
                self.content.append(group(_("Please note"), [_told(text) for text in foreign.notes]))
            self.content.append(group(_("The whole disk"), self._whole.all(device)))
        self.take.set_label(_("Take over…") if plan is None else _("Take over now"))
        self.take.set_sensitive(not self._look and not device.current_job)
        self.bottom.set_visible(able)
        if self._look:
            self.content.append(note(_("Looking at what is there…"), "dim-label"))

    def _press(self) -> None:
        if self.plan is None:
            self._ask_daemon(dry_run=True)
            return
        ask(
            self.get_root(),
            _("Take this stick over?"),
            _("Its images stay where they are. Boot files and menu become new ones."),
            {CANCEL: _("Cancel"), "take": _("Take over")},
            lambda answer: self._ask_daemon(dry_run=False) if answer == "take" else None,
            default="take",
        )

    def _ask_daemon(self, *, dry_run: bool) -> None:
        path = self._path

        def done(answer: tuple[Any, ...]) -> None:
            if not dry_run:
                self._started(answer[0])
            elif path == self._path:
                self._look = answer[0]
                self._fill()
                self._finished(self._look)

        options = {"dry_run": GLib.Variant("b", True)} if dry_run else {}
        self._model.service.manager("AdoptStick", GLib.Variant("(oa{sv})", (path, options)), done, self._failed)

    def _finished(self, path: str) -> None:
        job = self._model.jobs.get(path)
        if path != self._look or job is None or not job.state.finished:
            return
        self._look = ""
        if job.state is JobState.SUCCEEDED:
            try:
                self.plan = AdoptionPlan.from_wire(job.result)
            except CliError as error:
                self._failed(ServiceError("org.luxusb.Error.Internal", str(error)))
        elif job.state is JobState.FAILED:
            self._failed(ServiceError(job.error_name, job.error_message))
        self._fill()


def _purpose(foreign: ForeignStick, *, able: bool) -> str:
    if able:
        return _("It can be taken over: its images stay, boot files and menu become new ones.")
    if foreign.maker == VENTOY:
        return _("LUXusb adds nothing to it. What is on it is only shown.")
    return foreign.refusal


def _found(image: ForeignImage) -> Gtk.Widget:
    says = [part for part in (image.volume_id, format_size(image.size)) if part]
    return row(image.path, " · ".join(says))


def _told(text: str) -> Gtk.Widget:
    made = row(text)
    made.set_title_lines(0)
    return made
