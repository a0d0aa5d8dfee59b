"""The page of one system: its editions and releases, and the mirrors it comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gi.repository import GLib, Gtk
from luxusb_cli.catalog import DistroInfo, MirrorState, ReleaseInfo
from luxusb_cli.errors import CliError
from luxusb_cli.i18n import N_, _
from luxusb_cli.units import format_rate

from luxusb_gtk import words
from luxusb_gtk.basket import choice_of, editions
from luxusb_gtk.model import Model
from luxusb_gtk.service import ServiceError
from luxusb_gtk.widgets.logo import LogoView
from luxusb_gtk.widgets.parts import Page, badge, group, name_for_readers, note, row, text_button

LOGO = 64
"""Pixels."""
_STATES = {
    "ok": N_("works"),
    "untried": N_("not measured yet"),
    "cooling": N_("is resting after an error"),
    "banned": N_("sent wrong bytes"),
    "excluded": N_("is not asked"),
    "pinned": N_("is asked alone"),
}


class DetailsPage(Page):
    """Which release, and from where.

    Args:
        model: what is known.
        back: goes back to the list.
        failed: gets the error of a call.
    """

    def __init__(self, model: Model, *, back: Callable[[], None], failed: Callable[[ServiceError], None]) -> None:
        super().__init__("", back=back)
        self._model = model
        self._failed = failed
        self._system: DistroInfo | None = None
        self._releases: tuple[ReleaseInfo, ...] = ()
        self._mirrors: tuple[MirrorState, ...] = ()
        self._job = ""
        self._filling = False
        self.about = note("")
        self.about.set_hexpand(True)
        self.logo = LogoView(LOGO)
        self.logo.set_valign(Gtk.Align.START)
        head = Gtk.Box(spacing=12)
        head.append(self.logo)
        head.append(self.about)
        self.content.append(head)
        self._marks = Gtk.Box(spacing=6)
        self.content.append(self._marks)
        self.edition = Gtk.DropDown(valign=Gtk.Align.CENTER)
        name_for_readers(self.edition, _("Release and edition"))
        self.edition.connect("notify::selected", lambda *_ignored: self._picked())
        which = row(_("Release"))
        which.add_suffix(self.edition)
        self.content.append(group("", [which]))
        self.source = Gtk.DropDown(valign=Gtk.Align.CENTER)
        name_for_readers(self.source, _("Mirror"))
        self.source.connect("notify::selected", lambda *_ignored: self._pin())
        choose = row(_("Download from"), _("Automatic takes the fastest ones, several at once"))
        choose.add_suffix(self.source)
        self.measure = text_button(_("Measure now"), self._race)
        self._group = group(_("Mirrors"))
        self._group.set_header_suffix(self.measure)
        self._group.add(choose)
        self._rows: list[Gtk.Widget] = []
        self.content.append(self._group)
        self.add = text_button(_("Choose"), self._toggle, "suggested-action", "pill")
        self.add.set_halign(Gtk.Align.CENTER)
        self.bottom.append(self.add)
        self.bottom.set_visible(True)
        model.connect("chosen", lambda _model: self._chosen())
        model.connect("finished", lambda _model, path: self._measured(path))

    @property
    def release(self) -> ReleaseInfo | None:
        """The one in the drop-down."""
        at = self.edition.get_selected()
        return self._releases[at] if at < len(self._releases) else None

    def show_system(self, system: DistroInfo) -> None:
        """Show a system, at the release that is chosen."""
        self._system = system
        self._releases = editions(system)
        self.title.set_title(system.name)
        self.about.set_label(system.description)
        self.logo.set_system(system)
        self.logo.load(self._model.logos)
        chosen = self._model.basket.get(system.id)
        at = next(
            (
                number
                for number, release in enumerate(self._releases)
                if chosen is not None and choice_of(system, release).reference == chosen.reference
            ),
            0,
        )
        self._filling = True
        self.edition.set_model(Gtk.StringList.new([words.release(release) for release in self._releases]))
        self.edition.set_selected(at)
        self._filling = False
        self._picked()

    def _picked(self) -> None:
        system, release = self._system, self.release
        if self._filling or system is None or release is None:
            return
        while (old := self._marks.get_first_child()) is not None:
            self._marks.remove(old)
        for word, style in words.marks(system, release):
            self._marks.append(badge(word, style))
        if system.id in self._model.basket:
            self._model.choose(choice_of(system, release))
        self._chosen()
        self._load_mirrors()

    def _chosen(self) -> None:
        system = self._system
        chosen = system is not None and system.id in self._model.basket
        self.add.set_label(_("Leave out") if chosen else _("Choose"))

    def _toggle(self) -> None:
        system, release = self._system, self.release
        if system is None or release is None:
            return
        if system.id in self._model.basket:
            self._model.leave_out(system.id)
        else:
            self._model.choose(choice_of(system, release))

    # ---- mirrors
    def _load_mirrors(self) -> None:
        system, release = self._system, self.release
        if system is None or release is None:
            return
        asked = choice_of(system, release).reference

        def done(answer: tuple[Any, ...]) -> None:
            now = self.release
            if self._system is not system or now is None or choice_of(system, now).reference != asked:
                return
            try:
                self._show_mirrors(tuple(MirrorState.from_wire(item) for item in answer[0]))
            except CliError as error:
                self._failed(ServiceError("org.luxusb.Error.Internal", str(error)))

        self._model.service.manager("ListMirrors", GLib.Variant("(sa{sv})", (asked, {})), done, self._failed)

    def _show_mirrors(self, mirrors: tuple[MirrorState, ...]) -> None:
        self._mirrors = mirrors
        for old in self._rows:
            self._group.remove(old)
        self._rows = []
        best = max((mirror.rate for mirror in mirrors), default=0)
        for mirror in mirrors:
            state = _(_STATES[mirror.state]) if mirror.state in _STATES else mirror.state
            made = row(mirror.host, " · ".join(part for part in (mirror.country, state, mirror.reason) if part))
            if mirror.rate:
                bar = Gtk.LevelBar(min_value=0, max_value=best, value=mirror.rate, width_request=80)
                bar.set_valign(Gtk.Align.CENTER)
                name_for_readers(bar, _("Measured rate of {host}").format(host=mirror.host))
                made.add_suffix(bar)
                made.add_suffix(Gtk.Label(label=format_rate(mirror.rate)))
            self._group.add(made)
            self._rows.append(made)
        self._filling = True
        hosts = [f"{mirror.host} ({mirror.country})" if mirror.country else mirror.host for mirror in mirrors]
        self.source.set_model(Gtk.StringList.new([_("Automatic"), *hosts]))
        pinned = next((at for at, mirror in enumerate(mirrors) if mirror.state == "pinned"), -1)
        self.source.set_selected(pinned + 1)
        self._filling = False

    def _pin(self) -> None:
        at = self.source.get_selected()
        if self._filling or self._system is None or at > len(self._mirrors):
            return
        options = {"mode": GLib.Variant("s", "auto" if at == 0 else "pinned")}
        if at:
            options["url"] = GLib.Variant("s", self._mirrors[at - 1].url)
        self._model.service.manager(
            "SetMirrorPreference",
            GLib.Variant("(sa{sv})", (self._system.id, options)),
            lambda _answer: self._load_mirrors(),
            self._failed,
        )

    def _race(self) -> None:
        system, release = self._system, self.release
        if system is None or release is None:
            return

        def done(answer: tuple[Any, ...]) -> None:
            self._job = answer[0]
            self.measure.set_sensitive(False)
            self.measure.set_label(_("Measuring…"))

        arguments = GLib.Variant("(sa{sv})", (choice_of(system, release).reference, {}))
        self._model.service.manager("RaceMirrors", arguments, done, self._failed)

    def _measured(self, path: str) -> None:
        if path != self._job:
            return
        self._job = ""
        self.measure.set_sensitive(True)
        self.measure.set_label(_("Measure now"))
        job = self._model.jobs.get(path)
        if job is not None and job.error_message:
            self._failed(ServiceError(job.error_name, job.error_message))
        self._load_mirrors()
