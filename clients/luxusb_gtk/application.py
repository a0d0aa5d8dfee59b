"""The application: one instance, its window, and notifications when jobs end."""

from __future__ import annotations

from gi.repository import Adw, Gio, GLib
from luxusb_cli.i18n import _
from luxusb_cli.model import JobState
from luxusb_cli.text import clean

from luxusb_gtk import words
from luxusb_gtk.model import Model
from luxusb_gtk.service import Presence, Service
from luxusb_gtk.window import MainWindow

ID = "org.luxusb.Luxusb"
_SILENT = frozenset({"race-mirrors", "import"})
"""Operations whose end is seen where they were asked for."""


class Application(Adw.Application):
    """`luxusb-gtk`.

    Args:
        service: the connection; another one than the system's in tests.
        name: its application id, by which the session bus knows it.
        flags: of GApplication.
    """

    def __init__(
        self,
        service: Service | None = None,
        *,
        name: str = ID,
        flags: Gio.ApplicationFlags = Gio.ApplicationFlags.DEFAULT_FLAGS,
    ) -> None:
        super().__init__(application_id=name, flags=flags)
        self.service = service or Service()
        self.model: Model | None = None
        self.window: MainWindow | None = None

    def do_startup(self) -> None:
        """Build the parts once."""
        Adw.Application.do_startup(self)
        self.model = Model(self.service)
        self.model.connect("finished", lambda _model, path: self._finished(path))
        self.model.connect("jobs", lambda _model: self._jobs_changed())
        action = Gio.SimpleAction.new("quit", None)
        action.connect("activate", lambda *_ignored: self.quit())
        self.add_action(action)
        self.set_accels_for_action("app.quit", ["<Control>q"])
        show = Gio.SimpleAction.new("show-jobs", None)
        show.connect("activate", lambda *_ignored: self._show_jobs())
        self.add_action(show)
        self.service.start()

    def do_activate(self) -> None:
        """Show the window; a second start brings the first one's to the front."""
        assert self.model is not None
        if self.window is None:
            self.window = MainWindow(self, self.model)
            self.window.set_hide_on_close(True)
            self.window.connect("close-request", lambda _window: self._closing())
        elif not self.window.get_visible() and self.model.running_jobs():
            self.window.go("progress")
        self.window.present()

    def do_shutdown(self) -> None:
        """Let go of the daemon; its jobs go on."""
        self.service.stop()
        Adw.Application.do_shutdown(self)

    def _closing(self) -> bool:
        """While jobs run, the window is hidden and the app stays, so that it can tell of their end."""
        if not self._expects_an_end():
            self.quit()
        return False

    def _expects_an_end(self) -> bool:
        """Whether a job runs, or goes on by itself; one that waits for the user would keep the app for ever."""
        assert self.model is not None
        jobs = self.model.running_jobs()
        return any(job.state is not JobState.PAUSED or job.details.pause_reason == "space" for job in jobs)

    def _jobs_changed(self) -> None:
        if self.window is not None and not self.window.get_visible():
            # a notification that was just sent has to leave first
            GLib.timeout_add_seconds(1, self._quit_unseen)

    def _quit_unseen(self) -> bool:
        hidden = self.window is not None and not self.window.get_visible()
        if hidden and self.service.presence is Presence.READY and not self._expects_an_end():
            self.quit()
        return False

    def _show_jobs(self) -> None:
        self.activate()
        if self.window is not None:
            self.window.go("progress")

    def _finished(self, path: str) -> None:
        job = self.model.jobs.get(path) if self.model is not None else None
        if job is None or job.parent or job.operation in _SILENT or job.state is JobState.CANCELLED:
            return
        # a window that was hidden is still active where no window manager took that from it
        if self.window is not None and self.window.get_visible() and self.window.is_active():
            return
        good = job.state is JobState.SUCCEEDED
        what = f"{words.operation(job)}: {clean(job.label)}"
        first, *_more = job.error_message.splitlines() or [""]
        notification = Gio.Notification.new(_("Finished") if good else _("Failed"))
        notification.set_body(what if good else f"{what}\n{clean(first)}")
        notification.set_default_action("app.show-jobs")
        self.send_notification(path, notification)
