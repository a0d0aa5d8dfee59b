"""The first page: which systems there are, and which are chosen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gi.repository import Adw, Gio, GLib, Gtk
from luxusb_cli.catalog import DistroInfo, ReleaseInfo
from luxusb_cli.i18n import _, ngettext
from luxusb_cli.units import format_size

from luxusb_gtk import words
from luxusb_gtk.basket import choice_of, chosen_release
from luxusb_gtk.bidi import ordered
from luxusb_gtk.model import Model
from luxusb_gtk.service import Done, Failed, Presence
from luxusb_gtk.widgets.logo import LogoView
from luxusb_gtk.widgets.parts import Page, badge, empty, icon_button, name_for_readers, note, row, status, text_button

LOGO = 40
"""Pixels."""
PAUSE = 100
"""Milliseconds without scrolling or searching after which the logos of what is in view are asked for."""

FIRST, PORTION = 14, 6
"""Rows that are made at once: those that a window shows, and then so many whenever there is nothing else to do."""


class SystemRow(Adw.ActionRow):
    """One system with its check box."""

    def __init__(self, system: DistroInfo, model: Model, details: Callable[[DistroInfo], None]) -> None:
        super().__init__(title_lines=2, subtitle_lines=2)
        self.set_use_markup(False)
        self.set_title(system.name)
        self.system = system
        self._model = model
        self._shown: ReleaseInfo | None = None
        self.check = Gtk.CheckButton(valign=Gtk.Align.CENTER)
        name_for_readers(self.check, _("Choose {name}").format(name=system.name))
        self.check.connect("toggled", self._toggled)
        self.logo = LogoView(LOGO)
        self.logo.set_system(system)
        self.add_prefix(self.logo)
        self.add_prefix(self.check)
        self.set_activatable_widget(self.check)
        self.trust = Gtk.Box(valign=Gtk.Align.CENTER)
        self.add_suffix(self.trust)
        self.add_suffix(icon_button("go-next-symbolic", _("Editions and mirrors"), lambda: details(system)))
        self.refresh()

    def refresh(self) -> None:
        """Show what is chosen now."""
        choice = self._model.basket.get(self.system.id)
        self.check.set_active(choice is not None)
        release = chosen_release(self.system, choice)
        if release is self._shown:
            return
        self._shown = release
        known = words.release(release)
        marks = words.marks(self.system, release)
        empty(self.trust)
        if words.trust(release.trust):
            self.trust.append(badge(*marks.pop(0), _(words.TRUST_MEANING[release.trust])))
        self.set_subtitle(ordered(" · ".join([known, *(word for word, _style in marks)])))

    def _toggled(self, check: Gtk.CheckButton) -> None:
        chosen = self.system.id in self._model.basket
        if check.get_active() and not chosen:
            self._model.choose(choice_of(self.system, self.system.releases[0]))
        elif not check.get_active() and chosen:
            self._model.leave_out(self.system.id)


class SystemsPage(Page):
    """Search, categories, the list, and what is chosen.

    Args:
        model: what is known.
        details: shows one system.
        add_file: asks for an image file.
        following: goes on to the sticks.
    """

    def __init__(
        self,
        model: Model,
        *,
        details: Callable[[DistroInfo], None],
        add_file: Callable[[], None],
        following: Callable[[], None],
        menu: Gio.Menu,
        jobs: Callable[[], None],
        sticks: Callable[[], None],
    ) -> None:
        super().__init__(_("Choose systems"))
        self._model = model
        self._details = details
        self._rows: list[SystemRow] = []
        menu_button = Gtk.MenuButton(icon_name="open-menu-symbolic", menu_model=menu, primary=True)
        menu_button.set_tooltip_text(_("Main menu"))
        name_for_readers(menu_button, _("Main menu"))
        self.header.pack_end(menu_button)
        self.header.pack_end(icon_button("drive-removable-media-symbolic", _("Sticks"), sticks))
        self.jobs_button = icon_button("folder-download-symbolic", _("Running jobs"), jobs)
        self.header.pack_end(self.jobs_button)
        self.header.pack_start(icon_button("list-add-symbolic", _("Add image file…"), add_file))

        self.search = Gtk.SearchEntry(placeholder_text=_("Search systems"), hexpand=True)
        name_for_readers(self.search, _("Search systems"))
        self.search.connect("search-changed", lambda _entry: self._filter())
        self.categories = Gtk.DropDown(valign=Gtk.Align.CENTER)
        name_for_readers(self.categories, _("Category"))
        self.categories.connect("notify::selected", lambda *_ignored: self._filter())
        tools = Gtk.Box(spacing=6)
        tools.append(self.search)
        tools.append(self.categories)
        self.content.append(tools)
        self.stack = Gtk.Stack(vhomogeneous=False)
        self.list = Gtk.ListBox(selection_mode=Gtk.SelectionMode.NONE)
        self.list.add_css_class("boxed-list")
        self.list.set_filter_func(self._visible)
        self.files = Gtk.ListBox(selection_mode=Gtk.SelectionMode.NONE, visible=False)
        self.files.add_css_class("boxed-list")
        self.content.append(self.files)
        self.stack.add_named(self.list, "list")
        self.nothing = status("system-search-symbolic", _("Nothing found"), _("Try other words or another category."))
        self.stack.add_named(self.nothing, "nothing")
        self.problem = note("")
        self.stack.add_named(
            status(
                "dialog-warning-symbolic",
                _("No list of systems"),
                _("The list could not be read."),
                self.problem,
                text_button(_("Try again"), model.load_systems, "pill"),
            ),
            "problem",
        )
        self.content.append(self.stack)

        self.chosen = Gtk.Label(xalign=0, hexpand=True, wrap=True)
        self.next = text_button(_("Choose a stick"), following, "suggested-action", "pill")
        bar = Gtk.Box(spacing=12)
        bar.append(self.chosen)
        bar.append(self.next)
        self.bottom.append(bar)
        self.bottom.set_visible(True)
        self._names: list[str] = []
        self._looking = 0
        heights = self.scroller.get_vadjustment()
        for signal in ("changed", "value-changed"):
            heights.connect(signal, lambda _heights: self._look_soon())
        self.connect("map", lambda _page: self._look_soon())
        self._listed: list[DistroInfo] = []
        self._coming: list[DistroInfo] = []
        """Those whose rows are not made yet."""
        self._making = 0
        model.connect("systems", lambda _model: self._fill())
        model.connect("chosen", lambda _model: self._chosen())
        model.connect("jobs", lambda _model: self._jobs())
        self._fill()
        self._chosen()
        self._jobs()

    def _fill(self) -> None:
        """Put the systems in, in the daemon's order, which is that of popularity."""
        systems = [system for system in self._model.systems if system.releases]
        if systems != self._listed:
            self._listed = self._coming = systems
            for old in self._rows:
                self.list.remove(old)
            self._rows = []
            self._make_rows(FIRST)
            if self._coming and not self._making:
                self._making = GLib.idle_add(self._make_more, priority=GLib.PRIORITY_LOW)
        self._names = sorted({system.category for system in systems if system.category})
        self.categories.set_model(
            Gtk.StringList.new([_("All categories"), *(words.category(name) for name in self._names)])
        )
        self.problem.set_label(self._model.systems_problem)
        self._filter()

    def _make_rows(self, many: int) -> None:
        now, self._coming = self._coming[:many], self._coming[many:]
        for system in now:
            made = SystemRow(system, self._model, self._details)
            self._rows.append(made)
            self.list.append(made)

    def _make_more(self) -> bool:
        self._make_rows(PORTION)
        if not self._coming:
            self._making = 0
            self._filter()
        return bool(self._coming)

    def _filter(self) -> None:
        self.list.invalidate_filter()
        if self._model.systems_problem or (self._model.service.presence is Presence.READY and not self._rows):
            self.stack.set_visible_child_name("problem")
        elif any(self._visible(item) for item in self._rows) or self._coming or not self._rows:
            self.stack.set_visible_child_name("list")
        else:
            self.stack.set_visible_child_name("nothing")
        self._look_soon()

    def _look_soon(self) -> None:
        if self._looking:
            GLib.source_remove(self._looking)
        self._looking = GLib.timeout_add(PAUSE, self._look)

    def _look(self) -> bool:
        """Ask for the logos of the rows in view, from the first on; of others when they come into it."""
        shown = [item for item in self._rows if item.get_mapped()]
        if any(not item.get_height() for item in shown):
            return True  # they have no place yet
        self._looking = 0
        height = self.scroller.get_height()
        for item in shown:
            known, place = item.compute_bounds(self.scroller)
            if known and place.get_y() < height and place.get_y() + place.get_height() > 0:
                item.logo.load(self._model.logos)
        return False

    def _visible(self, item: Gtk.ListBoxRow) -> bool:
        if not isinstance(item, SystemRow):
            return True
        at = self.categories.get_selected()
        if 0 < at <= len(self._names) and item.system.category != self._names[at - 1]:
            return False
        system = item.system
        category = words.category(system.category)
        parts = (system.id, system.name, system.description, system.category, category, *_editions(system))
        known = " ".join(parts).casefold()
        return all(word in known for word in self.search.get_text().casefold().split())

    def _chosen(self) -> None:
        basket = self._model.basket
        for item in self._rows:
            item.refresh()
        while (old := self.files.get_first_child()) is not None:
            self.files.remove(old)
        files = [choice for choice in basket.choices if choice.reference.startswith("image:")]
        for choice in files:
            made = row(choice.title, words.size(choice.size))
            made.add_prefix(Gtk.Image(icon_name="media-optical-symbolic"))
            made.add_suffix(
                icon_button(
                    "user-trash-symbolic",
                    _("Leave out {name}").format(name=choice.title),
                    partial(self._model.leave_out, choice.key),
                )
            )
            self.files.append(made)
        self.files.set_visible(bool(files))
        many = len(basket)
        if many:
            text = ngettext("One system", "{many} systems", many).format(many=many)
            self.chosen.set_label(ordered(f"{text} · {format_size(basket.room)}"))
        else:
            self.chosen.set_label(_("Choose one or more systems"))
        self.next.set_sensitive(bool(many))

    def _jobs(self) -> None:
        many = len(self._model.running_jobs())
        self.jobs_button.set_visible(bool(self._model.jobs))
        text = ngettext("One running job", "{many} running jobs", many).format(many=many) if many else _("Earlier jobs")
        self.jobs_button.set_tooltip_text(text)
        name_for_readers(self.jobs_button, text)


def _editions(system: DistroInfo) -> list[str]:
    return [part for release in system.releases for part in (release.edition, release.family)]


def import_file(model: Model, descriptor: int, name: str, done: Done, failed: Failed) -> None:
    """Give a file to the daemon, which recognises and stores it; `done` gets the path of the job."""
    arguments = GLib.Variant("(hsa{sv})", (0, name, {}))
    model.service.manager("ImportImage", arguments, done, failed, files=[descriptor])
