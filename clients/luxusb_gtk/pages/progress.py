"""The page of jobs: what runs, what waits, and how earlier ones ended."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gi.repository import GLib, Gtk
from luxusb_cli.i18n import _
from luxusb_cli.model import DeviceShare, JobInfo, JobState
from luxusb_cli.text import clean
from luxusb_cli.units import format_rate, format_size

from luxusb_gtk import words
from luxusb_gtk.bidi import ordered
from luxusb_gtk.model import Model
from luxusb_gtk.service import ServiceError
from luxusb_gtk.widgets.dialogs import ask
from luxusb_gtk.widgets.parts import Page, copy, icon_button, name_for_readers, note, status, text_button

EARLIER = 20
"""Jobs that have ended of which the page tells."""


class JobRow(Gtk.Box):
    """One job with its bar and its buttons; a job of a job without."""

    def __init__(self, job: JobInfo, steer: Callable[[JobInfo, str], None]) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=6)
        self.path = job.path
        self._job = job
        self._title = note("", *(() if job.parent else ("heading",)))
        self._title.set_hexpand(True)
        top = Gtk.Box(spacing=6)
        top.append(self._title)
        label = clean(job.label)
        self._pause = icon_button(
            "media-playback-pause-symbolic", _("Pause {job}").format(job=label), lambda: steer(self._job, "Pause")
        )
        self._resume = icon_button(
            "media-playback-start-symbolic", _("Resume {job}").format(job=label), lambda: steer(self._job, "Resume")
        )
        self._cancel = icon_button(
            "process-stop-symbolic", _("Cancel {job}").format(job=label), lambda: steer(self._job, "Cancel")
        )
        self._copy = icon_button(
            "edit-copy-symbolic",
            _("Copy details of {job}").format(job=label),
            lambda: copy(self, words.report(self._job)),
        )
        if not job.parent:
            for button in (self._pause, self._resume, self._cancel, self._copy):
                button.set_valign(Gtk.Align.START)
                top.append(button)
        self._bar = Gtk.ProgressBar()
        name_for_readers(self._bar, label)
        self._resumed = note("", "caption", "dim-label")
        self._line = note("", "caption")
        self._mirrors = note("", "caption", "dim-label")
        for part in (top, self._bar, self._line, self._resumed, self._mirrors):
            self.append(part)
        self.show_job(job)

    def show_job(self, job: JobInfo) -> None:
        """Show its figures of now."""
        self._job = job
        label = clean(job.label)
        self._title.set_label(ordered(label if job.parent else f"{words.operation(job)}: {label}"))
        if job.state is JobState.SUCCEEDED:
            self._bar.set_fraction(1)
        elif job.progress >= 0:
            self._bar.set_fraction(min(1.0, job.progress))
        elif job.state is JobState.RUNNING:
            self._bar.pulse()
        self._bar.set_visible(job.state not in (JobState.FAILED, JobState.CANCELLED))
        self._line.set_label(ordered(words.progress_line(job)))
        self._line.remove_css_class("error")
        if job.state is JobState.FAILED:
            self._line.add_css_class("error")
        self._line.set_selectable(job.state is JobState.FAILED)
        self._resumed.set_visible(bool(job.resumed_bytes) and not job.state.finished)
        self._resumed.set_label(ordered(_("Went on after {size}").format(size=format_size(job.resumed_bytes))))
        serving = [
            f"{share.host} {format_rate(share.rate)}" for share in job.details.mirrors if share.state == "serving"
        ]
        offline = job.state is JobState.RUNNING and job.stage == words.OFFLINE
        self._mirrors.set_visible((bool(serving) or offline) and not job.state.finished)
        self._mirrors.set_label(
            _("No mirror can be reached. The download goes on by itself as soon as there is a network.")
            if offline
            else ordered(_("From {mirrors}").format(mirrors=", ".join(serving)))
        )
        self._pause.set_visible(job.state in (JobState.RUNNING, JobState.QUEUED))
        self._resume.set_visible(job.state is JobState.PAUSED)
        self._cancel.set_visible(not job.state.finished)
        self._copy.set_visible(job.state is JobState.FAILED)


class ShareRow(Gtk.Box):
    """One stick of a job on several: its name, its bar, and what it is at or why it failed."""

    def __init__(self, share: DeviceShare, again: Callable[[], None] | None) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=3)
        self._name = note("")
        self._name.set_hexpand(True)
        top = Gtk.Box(spacing=6)
        top.append(self._name)
        self._again = text_button(_("Try again"), again or (lambda: None), "flat")
        self._again.update_property(
            [Gtk.AccessibleProperty.LABEL], [_("Try {name} again").format(name=clean(share.name))]
        )
        self._can_again = again is not None
        top.append(self._again)
        self._bar = Gtk.ProgressBar()
        name_for_readers(self._bar, clean(share.name))
        self._line = note("", "caption")
        for part in (top, self._bar, self._line):
            self.append(part)

    def show_share(self, share: DeviceShare, *, over: bool) -> None:
        """Show its figures of now; `over` says that the job has ended."""
        failed = share.state in (JobState.FAILED, JobState.CANCELLED)
        self._name.set_label(ordered(clean(share.name)))
        self._again.set_visible(over and failed and self._can_again)
        self._bar.set_visible(not failed)
        if share.state is JobState.SUCCEEDED:
            self._bar.set_fraction(1)
        elif share.bytes_total:
            self._bar.set_fraction(min(1.0, share.bytes_done / share.bytes_total))
        self._line.set_label(ordered(words.share_line(share)))
        self._line.set_selectable(failed)
        if share.state is JobState.FAILED:
            self._line.add_css_class("error")


class ProgressPage(Page):
    """All jobs of this user.

    Args:
        model: what is known.
        back: goes back.
        failed: gets the error of a call.
        again: gets a job on several sticks, and one of these that failed.
    """

    def __init__(
        self,
        model: Model,
        *,
        back: Callable[[], None],
        failed: Callable[[ServiceError], None],
        again: Callable[[JobInfo, DeviceShare], None],
    ) -> None:
        super().__init__(_("Progress"), back=back)
        self._model = model
        self._failed = failed
        self._again = again
        self.shares: dict[tuple[str, str], ShareRow] = {}
        """By the path of the job and the id of the stick."""
        self._shown: tuple[str, ...] = ()
        self.rows: dict[str, JobRow] = {}
        self._cards: list[Gtk.Widget] = []
        self._none = status("emblem-ok-symbolic", _("No jobs"), _("Nothing is being downloaded or written."))
        self.content.append(self._none)
        model.connect("jobs", lambda _model: self._fill())
        model.connect("progress", lambda _model, path: self._progress(path))
        self._fill()

    def _order(self) -> list[JobInfo]:
        running = self._model.running_jobs()
        return running + [job for job in self._model.top_jobs() if job.state.finished][:EARLIER]

    def _fill(self) -> None:
        order = self._order()
        paths = tuple(path for job in order for path in (job.path, *(c.path for c in self._model.children(job.path))))
        if paths == self._shown:
            for path in paths:
                self._progress(path)
            return
        self._shown = paths
        for old in self._cards:
            self.content.remove(old)
        self._cards, self.rows, self.shares = [], {}, {}
        for job in order:
            card = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=12)
            card.add_css_class("card")
            card.add_css_class("job")
            for one in (job, *self._model.children(job.path)):
                made = JobRow(one, self._steer)
                made.set_margin_start(18 if one.parent else 0)
                self.rows[one.path] = made
                card.append(made)
                self._add_shares(card, one)
            self._cards.append(card)
            self.content.append(card)
        self._none.set_visible(not order)

    def _progress(self, path: str) -> None:
        job, shown = self._model.jobs.get(path), self.rows.get(path)
        if job is None or shown is None:
            return
        shown.show_job(job)
        if any((path, share.id) not in self.shares for share in job.shares):
            # they were not told of yet when the card was made
            self._add_shares(shown.get_parent(), job, after=shown)
        for share in job.shares:
            self.shares[path, share.id].show_share(share, over=job.state.finished)

    def _add_shares(self, card: Gtk.Box, job: JobInfo, after: Gtk.Widget | None = None) -> None:
        # what else is made of a disk than a new stick is not done again by a plan
        again = job.operation == "create"
        for share in job.shares:
            made = ShareRow(share, partial(self._try_again, job.path, share) if again else None)
            made.set_margin_start(18)
            made.show_share(share, over=job.state.finished)
            self.shares[job.path, share.id] = made
            if after is None:
                card.append(made)
            else:
                card.insert_child_after(made, after)
                after = made

    def _try_again(self, path: str, share: DeviceShare) -> None:
        job = self._model.jobs.get(path)
        if job is not None:
            self._again(job, share)

    def _steer(self, job: JobInfo, method: str) -> None:
        if method == "Cancel":
            self._ask_cancel(job)
        else:
            self._model.service.job(job.path, method, {}, lambda _answer: None, self._failed)

    def _ask_cancel(self, job: JobInfo) -> None:
        ask(
            self.get_root(),
            _("Cancel {job}?").format(job=clean(job.label)),
            _("What was downloaded can be kept, so that a later download goes on there."),
            {"go-on": _("Go on"), "keep": _("Cancel and keep"), "discard": _("Cancel and delete")},
            lambda answer: self.cancel(job, answer),
            default="go-on",
            destructive="discard",
            close="go-on",
        )

    def cancel(self, job: JobInfo, answer: str) -> None:
        """End a job as the user answered: go-on, keep or discard."""
        if answer != "go-on":
            options = {"keep_partial": GLib.Variant("b", answer == "keep")}
            self._model.service.job(job.path, "Cancel", options, lambda _answer: None, self._failed)
