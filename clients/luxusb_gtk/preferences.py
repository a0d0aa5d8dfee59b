"""Preferences: the list of systems, downloads, and what is kept on this machine.

All of them are the daemon's. A change is asked for when it is made, and what the daemon refuses is shown as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from gi.repository import Adw, Gio, GLib, Gtk
from luxusb_cli.errors import CliError
from luxusb_cli.i18n import _, ngettext
from luxusb_cli.images import ImageInfo, PrunedInfo
from luxusb_cli.remote import CatalogStatus
from luxusb_cli.units import format_size

from luxusb_gtk import words
from luxusb_gtk.bidi import ordered
from luxusb_gtk.model import NO_OPTIONS, Model
from luxusb_gtk.preferences_sticks import NewSticks
from luxusb_gtk.remote import RemoteRows
from luxusb_gtk.service import ServiceError
from luxusb_gtk.widgets.dialogs import choose_file, open_file
from luxusb_gtk.widgets.parts import group, name_for_readers, note, row, text_button

MIB = 1024 * 1024
PAUSE = 600
"""Milliseconds without a further change after which one is sent."""
_COUNTRIES = re.compile(r"[A-Za-z]{2}(?:[\s,]+[A-Za-z]{2})*")


class Preferences(Adw.PreferencesWindow):
    """The window of preferences.

    Args:
        parent: the window that it stands before.
        model: what is known.
        failed: gets the error of a call.
        started: gets the path of a job.
    """

    def __init__(
        self,
        parent: Gtk.Window,
        model: Model,
        *,
        failed: Callable[[ServiceError], None],
        started: Callable[[str], None],
    ) -> None:
        super().__init__(transient_for=parent, modal=True, search_enabled=False, title=_("Preferences"))
        self._model, self._failed, self._started = model, failed, started
        self._filling = False
        self._has_remote = False
        self._waiting: dict[str, int] = {}
        """Changes that are about to be sent, by their keys."""
        page = Adw.PreferencesPage()
        self.new_sticks = NewSticks(model, failed)
        for part in (self._catalogue(), self._downloads(), self._mirrors(), self.new_sticks.widget, self._kept()):
            page.add(part)
        self.add(page)
        self._listening = [
            model.service.connect("told", lambda _service, _signal: self._load()),
            model.connect("finished", lambda _model, _path: self._load()),
        ]
        self.connect("close-request", lambda _window: self._closing())
        self._load()

    def _closing(self) -> bool:
        self._model.service.disconnect(self._listening[0])
        self._model.disconnect(self._listening[1])
        self.remote.close()
        return False

    def _load(self) -> None:
        """Ask for everything that is shown."""
        ask = self._model.service.manager
        ask("GetSettings", NO_OPTIONS, lambda answer: self._show_settings(answer[0]), self._failed)
        ask("GetCatalogStatus", NO_OPTIONS, lambda answer: self._read(self._show_catalogue, answer[0]), self._failed)
        ask("ListImages", NO_OPTIONS, lambda answer: self._read(self._show_images, answer[0]), self._failed)
        arguments = GLib.Variant("(a{sv})", ({"dry_run": GLib.Variant("b", True)},))
        ask("PruneImages", arguments, lambda answer: self._read(self._show_prunable, answer[0]), self._failed)

    def _read(self, show: Callable[[Any], None], answer: Any) -> None:
        try:
            show(answer)
        except CliError as error:
            self._failed(ServiceError("org.luxusb.Error.Internal", str(error)))

    # ---- the list of systems
    def _catalogue(self) -> Adw.PreferencesGroup:
        self.updated = row(_("Last updated"), "…")
        self.update = text_button(_("Update now"), self._update)
        self.updated.add_suffix(self.update)
        self.remote = RemoteRows(self, self._model, self._load)
        own = row(_("Own systems"), _("A file in the way of docs/catalogue.md; only you see what is in it"))
        own.add_suffix(text_button(_("Import…"), self._choose_own))
        self.own_problem = note("", "error", "caption")
        self.own_problem.set_selectable(True)
        self.own_problem.set_visible(False)
        for side in ("top", "bottom", "start", "end"):
            getattr(self.own_problem, f"set_margin_{side}")(12)
        return group(_("List of systems"), [self.updated, *self.remote.rows, own, self.own_problem])

    def _show_catalogue(self, answer: dict[str, Any]) -> None:
        status = CatalogStatus.from_wire(answer)
        says = [words.when(status.updated or status.checked), *status.problems]
        self.updated.set_subtitle("\n".join(says))
        self._has_remote = bool(status.url)
        self.update.set_sensitive(bool(status.url or status.feeds))

    def _update(self) -> None:
        options = {} if self._has_remote else {"feeds": GLib.Variant("b", True)}
        arguments = GLib.Variant("(a{sv})", (options,))
        self._model.service.manager("UpdateCatalog", arguments, lambda answer: self._leave(answer[0]), self._failed)

    def _leave(self, job: str) -> None:
        self.close()
        self._started(job)

    def _choose_own(self) -> None:
        choose_file(self, _("Import…"), _("Lists of systems"), ("*.json",), self.import_own)

    def import_own(self, file: Gio.File) -> None:
        """Give a list to the daemon; its faults are shown below the row, a line each."""
        opened, name = open_file(file)
        if opened is None:
            self._show_own(name, good=False)
            return

        def done(answer: tuple[Any, ...]) -> None:
            many = answer[0]
            text = ngettext("One system of your own is in the list", "{many} systems of your own are in the list", many)
            self._show_own(text.format(many=many), good=True)
            self._model.load_systems()

        with opened:
            self._model.service.manager(
                "ImportCatalog",
                GLib.Variant("(ha{sv})", (0, {"name": GLib.Variant("s", name)})),
                done,
                lambda error: self._show_own(str(error), good=False),
                files=[opened.fileno()],
            )

    def _show_own(self, text: str, *, good: bool) -> None:
        self.own_problem.set_label(text)
        self.own_problem.remove_css_class("error")
        if not good:
            self.own_problem.add_css_class("error")
        self.own_problem.set_visible(True)

    # ---- downloads
    def _downloads(self) -> Adw.PreferencesGroup:
        self.at_once = self._spin(1, 32)
        self.at_once.connect(
            "value-changed", lambda spin: self._set("limits.active_downloads", "t", int(spin.get_value()))
        )
        many = row(_("Downloads at once"), _("The others wait"))
        many.add_suffix(self.at_once)
        name_for_readers(self.at_once, _("Downloads at once"))
        self.bandwidth = self._spin(0, 10_000)
        self.bandwidth.connect(
            "value-changed", lambda spin: self._set("downloads.bandwidth", "t", int(spin.get_value()) * MIB)
        )
        limit = row(_("Bandwidth in MiB/s"), _("Of all downloads together; 0 is no limit"))
        limit.add_suffix(self.bandwidth)
        name_for_readers(self.bandwidth, _("Bandwidth in MiB/s"))
        self.resume = Gtk.Switch(valign=Gtk.Align.CENTER)
        self.resume.connect(
            "notify::active",
            lambda switch, _property: self._set("downloads.resume", "s", "auto" if switch.get_active() else "ask"),
        )
        name_for_readers(self.resume, _("Go on by themselves"))
        again = row(_("Go on by themselves"), _("Unfinished downloads, after a restart; else you are asked"))
        again.add_suffix(self.resume)
        again.set_activatable_widget(self.resume)
        return group(_("Downloads"), [many, limit, again])

    def _spin(self, low: int, high: int) -> Gtk.SpinButton:
        spin = Gtk.SpinButton.new_with_range(low, high, 1)
        spin.set_valign(Gtk.Align.CENTER)
        return spin

    def _show_settings(self, settings: dict[str, Any]) -> None:
        self.remote.show(settings)
        self._filling = True
        self.at_once.set_value(settings.get("limits.active_downloads", 1))
        self.bandwidth.set_value(-(-settings.get("downloads.bandwidth", 0) // MIB))
        self.resume.set_active(settings.get("downloads.resume") == "auto")
        self._filling = False

    def _set(self, key: str, kind: str, value: object) -> None:
        """Ask for a change once the user has stopped turning, so that a password is asked for once."""
        if self._filling:
            return
        if waiting := self._waiting.pop(key, 0):
            GLib.source_remove(waiting)
        self._waiting[key] = GLib.timeout_add(PAUSE, self._send, key, GLib.Variant(kind, value))

    def _send(self, key: str, value: GLib.Variant) -> bool:
        self._waiting.pop(key, None)

        def failed(error: ServiceError) -> None:
            self._failed(error)
            self._load()

        arguments = GLib.Variant("(a{sv})", ({key: value},))
        self._model.service.manager("SetSettings", arguments, lambda _answer: None, failed)
        return False

    # ---- mirrors
    def _mirrors(self) -> Adw.PreferencesGroup:
        self.countries = Adw.EntryRow(title=_("Preferred countries, such as DE AT"), show_apply_button=True)
        self.countries.connect("apply", lambda _entry: self._prefer())
        return group(
            _("Mirrors"), [self.countries], _("Mirrors there are asked first. Empty takes what the administrator set.")
        )

    def _prefer(self) -> None:
        text = self.countries.get_text().strip()
        self.countries.remove_css_class("error")
        if text and not _COUNTRIES.fullmatch(text):
            self.countries.add_css_class("error")
            return
        codes = [code.upper() for code in re.split(r"[\s,]+", text) if code]

        def failed(error: ServiceError) -> None:
            self.countries.add_css_class("error")
            self._failed(error)

        arguments = GLib.Variant("(sa{sv})", ("", {"prefer": GLib.Variant("as", codes)}))
        self._model.service.manager("SetMirrorPreference", arguments, lambda _answer: None, failed)

    # ---- what is kept
    def _kept(self) -> Adw.PreferencesGroup:
        self.images = row(_("Images"), "…")
        self.prunable = row(_("Can be had again"), "…")
        self.clean = text_button(_("Clean up"), self._prune)
        self.clean.set_sensitive(False)
        self.prunable.add_suffix(self.clean)
        return group(_("Kept on this machine"), [self.images, self.prunable])

    def _show_images(self, answer: list[dict[str, Any]]) -> None:
        images = [ImageInfo.from_wire(item) for item in answer]
        many = len(images)
        text = ngettext("One image", "{many} images", many).format(many=many)
        self.images.set_subtitle(ordered(f"{text} · {format_size(sum(image.size for image in images))}"))

    def _show_prunable(self, answer: list[dict[str, Any]]) -> None:
        found = [PrunedInfo.from_wire(item) for item in answer]
        self.prunable.set_subtitle(format_size(sum(item.size for item in found)))
        self.clean.set_sensitive(bool(found))

    def _prune(self) -> None:
        self._model.service.manager("PruneImages", NO_OPTIONS, lambda _answer: self._load(), self._failed)
