"""The main window: its pages, and what stands in their place while there is no daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gi.repository import Adw, Gdk, Gio, GLib, Gtk
from luxusb_cli.catalog import DistroInfo
from luxusb_cli.i18n import _
from luxusb_cli.model import DeviceInfo, DeviceShare, JobInfo, JobState
from luxusb_cli.text import clean

from luxusb_gtk import words
from luxusb_gtk.basket import Choice
from luxusb_gtk.bidi import ordered
from luxusb_gtk.model import Model
from luxusb_gtk.pages.details import DetailsPage
from luxusb_gtk.pages.disk import DiskPage
from luxusb_gtk.pages.elsewhere import ElsewherePage
from luxusb_gtk.pages.progress import ProgressPage
from luxusb_gtk.pages.raw import RawPage
from luxusb_gtk.pages.stick import StickPage
from luxusb_gtk.pages.sticks import SticksPage
from luxusb_gtk.pages.summary import SummaryPage
from luxusb_gtk.pages.systems import SystemsPage, import_file
from luxusb_gtk.service import Presence, ServiceError
from luxusb_gtk.widgets import logo
from luxusb_gtk.widgets.dialogs import ask, choose_file, open_file
from luxusb_gtk.widgets.parts import NARROW, Page, copy, note, status, text_button

if TYPE_CHECKING:
    from luxusb_gtk.preferences import Preferences

IMAGE_FILES = ("*.iso", "*.img", "*.raw", "*.xz", "*.lzma", "*.gz", "*.zst", "*.bz2", "*.zip")
START_COMMAND = "systemctl start luxusbd"
BACK = {Gtk.TextDirection.LTR: "<Alt>Left", Gtk.TextDirection.RTL: "<Alt>Right"}
"""The key that points to where one came from."""
CSS = b"""
.badge { border-radius: 99px; padding: 2px 8px; background: alpha(currentColor, 0.1); }
.badge.success { color: @success_color; }
.badge.warning { color: @warning_color; }
.badge.accent { color: @accent_color; }
.badge.dim { opacity: 0.7; }
.job { padding: 12px; }
"""


class MainWindow(Adw.ApplicationWindow):
    """What the user sees.

    Args:
        application: whose window it is.
        model: what is known.
    """

    def __init__(self, application: Adw.Application, model: Model) -> None:
        super().__init__(application=application, title="LUXusb", default_width=820, default_height=720)
        self.set_size_request(NARROW, 400)
        self.model = model
        style = Gtk.CssProvider()
        style.load_from_data(CSS + logo.CSS)
        Gtk.StyleContext.add_provider_for_display(
            Gdk.Display.get_default(), style, Gtk.STYLE_PROVIDER_PRIORITY_APPLICATION
        )
        self._asked: set[str] = set()
        """Jobs about which the user was asked whether they go on."""
        self._imports: dict[str, str] = {}
        """Names of files by the jobs that read them in."""
        menu = Gio.Menu()
        menu.append(_("Update the list of systems"), "win.update-list")
        menu.append(_("Preferences"), "win.preferences")
        menu.append(_("Keyboard shortcuts"), "win.show-help-overlay")
        menu.append(_("About LUXusb"), "win.about")

        self.systems = SystemsPage(
            model,
            details=self.show_details,
            add_file=self.choose_file,
            following=lambda: self.go("sticks"),
            menu=menu,
            jobs=lambda: self.go("progress"),
            sticks=lambda: self.go("sticks"),
        )
        self.details = DetailsPage(model, back=lambda: self.go("systems"), failed=self.fail)
        one: dict[str, Any] = {
            "back": lambda: self.go("sticks"),
            "started": self._started,
            "ejected": self._ejected,
            "failed": self.fail,
        }
        self.stick, self.elsewhere, self.disk = (
            StickPage(model, **one),
            ElsewherePage(model, **one),
            DiskPage(model, **one),
        )
        self.sticks = SticksPage(
            model,
            back=lambda: self.go("systems"),
            create=self.review,
            add=self.stick.add_chosen,
            raw=self.review_raw,
            manage=self.manage,
        )
        reviews: dict[str, Any] = {
            "back": lambda: self.go("sticks"),
            "created": self._started,
            "refused": self.fail,
        }
        self.summary = SummaryPage(model, raw=self.review_raw, **reviews)
        self.raw = RawPage(model, **reviews)
        self.progress = ProgressPage(model, back=lambda: self.go("systems"), failed=self.fail, again=self._make_again)
        self.pages: dict[str, Page] = {
            "systems": self.systems,
            "details": self.details,
            "sticks": self.sticks,
            "stick": self.stick,
            "elsewhere": self.elsewhere,
            "disk": self.disk,
            "summary": self.summary,
            "raw": self.raw,
            "progress": self.progress,
        }
        self.stack = Gtk.Stack(
            transition_type=Gtk.StackTransitionType.SLIDE_LEFT_RIGHT, hhomogeneous=False, vhomogeneous=False
        )
        for name, page in self.pages.items():
            self.stack.add_named(page, name)

        self.reason = note("", "dim-label")
        self.states = Gtk.Stack()
        self.states.add_named(self._framed(status("content-loading-symbolic", _("Connecting…"), "")), "connecting")
        self.states.add_named(
            self._framed(
                status(
                    "network-offline-symbolic",
                    _("The service is not running"),
                    _("Start it with “{command}”. The app goes on by itself as soon as it is there.").format(
                        command=START_COMMAND
                    ),
                    self.reason,
                    text_button(_("Copy the command"), self._copy_command, "pill"),
                    text_button(_("Try again"), model.service.try_again, "pill", "suggested-action"),
                )
            ),
            "absent",
        )
        self.states.add_named(self.stack, "ready")
        self.toasts = Adw.ToastOverlay(child=self.states)
        self.set_content(self.toasts)
        self._actions()
        model.connect("presence", lambda _model: self._presence())
        model.connect("devices", lambda _model: self._devices())
        model.connect("finished", lambda _model, path: self._finished(path))
        model.connect("jobs", lambda _model: self._ask_resume())
        self.connect("map", lambda _window: self._ask_resume())
        self._presence()

    # ---- going about
    def go(self, name: str) -> None:
        """Show a page."""
        self.stack.set_visible_child_name(name)
        self.pages[name].opened()

    @property
    def page(self) -> str:
        """The name of the page that is shown."""
        return str(self.stack.get_visible_child_name())

    def show_details(self, system: DistroInfo) -> None:
        """Show one system."""
        self.details.show_system(system)
        self.go("details")

    def review(self, devices: list[DeviceInfo]) -> None:
        """Show what would be written."""
        self.summary.show_devices(devices)
        self.go("summary")

    def review_raw(self, device: DeviceInfo) -> None:
        """Show what writing byte for byte would do."""
        self.raw.show_devices([device])
        self.go("raw")

    def manage(self, device: DeviceInfo) -> None:
        """Show a stick or another disk."""
        name = _page_of(device)
        show = {
            "elsewhere": self.elsewhere.show_device,
            "stick": self.stick.show_device,
            "disk": self.disk.show_device,
        }
        show[name](device)
        self.go(name)

    def _devices(self) -> None:
        """A disk whose page is open may have become a stick, when a job is done."""
        device = self.model.devices.get(self.disk.path)
        if self.page == "disk" and device is not None and _page_of(device) != "disk":
            self.manage(device)

    def tell(self, text: str, before: Preferences | None = None) -> None:
        """A short message at the bottom, of this window or of the preferences that stand before it."""
        toast = Adw.Toast(title=GLib.markup_escape_text(ordered(text)), timeout=5)
        (self.toasts if before is None else before).add_toast(toast)

    def fail(self, error: ServiceError, before: Preferences | None = None) -> None:
        """Tell of an error; one that the user made by closing the password dialogue takes no dialogue of its own."""
        if error.short_name == "NotAuthorizedDismissed":
            self.tell(_("Not authorised; nothing was changed"), before)
            return
        ask(
            before or self,
            _("That did not work"),
            str(error),
            {"copy": _("Copy details"), "close": _("Close")},
            lambda answer: copy(self, f"{error.name}: {error}") if answer == "copy" else None,
            default="close",
            close="close",
        )

    def _copy_command(self) -> None:
        copy(self, START_COMMAND)
        self.tell(_("Copied"))

    def _framed(self, child: Gtk.Widget) -> Gtk.Widget:
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL)
        header = Adw.HeaderBar()
        header.add_css_class("flat")
        box.append(header)
        box.append(child)
        return box

    # ---- what happens
    def _presence(self) -> None:
        service = self.model.service
        self.reason.set_label(service.reason)
        self.reason.set_visible(bool(service.reason))
        self.states.set_visible_child_name(service.presence.value)
        if service.presence is Presence.READY and self.model.running_jobs() and self.page == "systems":
            self.go("progress")

    def _ask_resume(self) -> None:
        """Ask once about what the daemon left paused when it was started anew (downloads.resume is ask)."""
        if not self.get_mapped():
            return
        left = [job for job in self.model.running_jobs() if job.details.pause_reason == "restart"]
        fresh = [job for job in left if job.path not in self._asked]
        if not fresh:
            return
        self._asked |= {job.path for job in fresh}

        def answered(answer: str) -> None:
            for job in fresh if answer == "resume" else ():
                self.model.service.job(job.path, "Resume", {}, lambda _answer: None, self.fail)

        ask(
            self,
            _("Go on with what was not finished?"),
            "\n".join(f"{clean(job.label)}: {words.done(job)}" for job in fresh),
            {"later": _("Not now"), "resume": _("Go on")},
            answered,
            default="resume",
            close="later",
        )

    def _started(self, _path: str) -> None:
        self.go("progress")

    def _ejected(self, device: DeviceInfo) -> None:
        self.tell(_("{name} can be unplugged").format(name=words.device_name(device)))
        if self.page in ("stick", "elsewhere", "disk"):
            self.go("sticks")

    def _make_again(self, job: JobInfo, share: DeviceShare) -> None:
        """Review the same systems for a stick that failed, which has to be there."""
        device = next((one for one in self.model.devices.values() if one.id == share.id), None)
        if device is None or device.blocked_reason:
            self.tell(_("Plug in {name}, then try again").format(name=clean(share.name)))
            return
        self.model.choose_again(job)
        self.review([device])

    def _finished(self, path: str) -> None:
        job = self.model.jobs.get(path)
        name = self._imports.pop(path, "")
        if job is None or not name:
            return
        if job.state is JobState.FAILED:
            self.fail(ServiceError(job.error_name, job.error_message))
        elif job.state is JobState.SUCCEEDED:
            from luxusb_cli.results import StoredResult

            stored = StoredResult.from_wire(job.result)
            self.model.choose(Choice(stored.image, stored.image, stored.genuine or name, stored.size))
            self.tell(_("{name} is chosen").format(name=stored.genuine or name))

    # ---- actions
    def _actions(self) -> None:
        for name, act, keys in (
            ("update-list", self._update_list, ["<Control>u"]),
            ("preferences", self.show_preferences, ["<Control>comma"]),
            ("about", self._about, []),
            ("search", self._search, ["<Control>f"]),
            ("add-file", self.choose_file, ["<Control>o"]),
            ("back", self._back, [BACK[Gtk.Widget.get_default_direction()], "Escape"]),
            ("close", self.close, ["<Control>w"]),
        ):
            action = Gio.SimpleAction.new(name, None)
            action.connect("activate", lambda _action, _value, act=act: act())
            self.add_action(action)
            self.get_application().set_accels_for_action(f"win.{name}", keys)
        self.set_help_overlay(self._shortcuts())

    def _shortcuts(self) -> Gtk.ShortcutsWindow:
        overlay = Gtk.ShortcutsWindow(transient_for=self, modal=True)
        section = Gtk.ShortcutsSection(section_name="main", max_height=10)
        shown = Gtk.ShortcutsGroup(title=_("General"))
        for keys, title in (
            ("<Control>f", _("Search systems")),
            ("<Control>o", _("Add image file…")),
            ("<Control>u", _("Update the list of systems")),
            ("<Control>comma", _("Preferences")),
            (BACK[Gtk.Widget.get_default_direction()], _("Back")),
            ("<Control>w", _("Close the window")),
            ("<Control>q", _("Quit")),
        ):
            shown.append(Gtk.ShortcutsShortcut(accelerator=keys, title=title))
        section.append(shown)
        overlay.set_child(section)
        return overlay

    def _back(self) -> None:
        where = {
            "details": "systems",
            "sticks": "systems",
            "stick": "sticks",
            "elsewhere": "sticks",
            "disk": "sticks",
            "summary": "sticks",
            "raw": "sticks",
            "progress": "systems",
        }
        if self.page in where:
            self.go(where[self.page])

    def _search(self) -> None:
        self.go("systems")
        self.systems.search.grab_focus()

    def _update_list(self) -> None:
        arguments = GLib.Variant("(a{sv})", ({},))
        self.model.service.manager("UpdateCatalog", arguments, lambda answer: self._started(answer[0]), self.fail)

    def show_preferences(self) -> Preferences:
        """Open the preferences; they and what they read are not imported before."""
        from luxusb_gtk.preferences import Preferences

        preferences = Preferences(
            self, self.model, failed=lambda error: self.fail(error, preferences), started=self._started
        )
        preferences.present()
        return preferences

    def _about(self) -> None:
        Adw.AboutWindow(
            transient_for=self,
            application_name="LUXusb",
            application_icon="org.luxusb.Luxusb",
            version=str(self.model.service.properties("/org/luxusb/Manager", "org.luxusb.Manager").get("Version", "")),
            license_type=Gtk.License.GPL_3_0,
            comments=_("Several systems on one USB stick"),
        ).present()

    def choose_file(self) -> None:
        """Ask for an image file by the desktop's own dialogue."""
        choose_file(self, _("Add image file…"), _("Images"), IMAGE_FILES, self.add_file)

    def add_file(self, file: Gio.File) -> None:
        """Give an image file to the daemon and choose it once it is recognised."""
        opened, name = open_file(file)
        if opened is None:
            self.tell(name)
            return

        def done(answer: tuple[Any, ...]) -> None:
            self._imports[answer[0]] = name

        with opened:
            import_file(self.model, opened.fileno(), name, done, self.fail)


def _page_of(device: DeviceInfo) -> str:
    """On which page a disk is shown."""
    if device.foreign is not None:
        return "elsewhere"
    return "stick" if device.state in ("luxusb", "damaged") else "disk"
