"""How jobs are shown while they run: a live picture, plain lines, JSON lines, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from luxusb_cli.context import State, plain_terminal, to_json
from luxusb_cli.i18n import N_, _, ngettext
from luxusb_cli.model import DeviceShare, JobDetails, JobInfo, JobState, MirrorShare
from luxusb_cli.text import clean, shorten
from luxusb_cli.units import format_duration, format_rate, format_size

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

    from luxusb_cli.watch import Reporter, Tree

BAR_MOST, BAR_LEAST = 24, 6
LABEL_MOST, LABEL_LEAST = 40, 14
WIDE = 100
"""Columns from which on there is room to spell resumed bytes out; the bar marks them always."""
MIRRORS_MOST = 8
"""Mirrors of one job in the picture."""
REDRAW_SECONDS = 0.1
LOST = N_("The daemon went away; waiting for it to come back.")
BACK = N_("The daemon is back.")


WORDS = (
    *(N_("queued"), N_("running"), N_("paused"), N_("succeeded"), N_("failed"), N_("cancelled"), N_("unknown")),
    *(N_("connect"), N_("transfer"), N_("verify"), N_("inspect"), N_("copy"), N_("download"), N_("partition")),
    *(N_("serving"), N_("waiting"), N_("given-up"), N_("banned"), N_("measure")),
    *(N_("feeds"), N_("wait-for-network"), N_("wait-for-stick"), N_("wait-for-connection"), N_("hand-over")),
    *(N_("boot-files"), N_("filesystem"), N_("write-image"), N_("read-back"), N_("read-image"), N_("menu")),
    *(N_("persistence"), N_("probe"), N_("put-back"), N_("write-marks")),
)
"""States and stages as the daemon calls them; a stage that is not among them is shown as it is."""
FEEDS = "feeds"
"""A stage that counts no bytes."""
PAUSES = {"space": N_("paused, the disk is full"), "restart": N_("paused since a restart")}
"""What is shown of a job that nobody has paused."""


@dataclass(frozen=True)
class Bar:
    """How a bar is divided, in cells."""

    resumed: int
    """Taken over from before."""
    done: int
    """Done this time."""
    rest: int


def divide(job: JobInfo, width: int) -> Bar:
    """The bar of a job; empty when it is not known how much there is."""
    fraction = job.bytes_done / job.bytes_total if job.bytes_total > 0 else max(0.0, job.progress)
    filled = int(min(1.0, fraction) * width)
    resumed = 0
    if job.resumed_bytes and job.bytes_total > 0:
        resumed = min(filled, int(job.resumed_bytes / job.bytes_total * width) or 1)
    return Bar(resumed, filled - resumed, width - filled)


def doing(job: JobInfo) -> str:
    """What a job is at, in a word or two."""
    if job.state is JobState.PAUSED and job.details.pause_reason in PAUSES:
        return _(PAUSES[job.details.pause_reason])
    return _((clean(job.stage) or job.state.value) if job.state is JobState.RUNNING else job.state.value)


def amount(job: JobInfo, *, resumed: bool = True) -> str:
    """How much of a job is done; with `resumed`, how much of it was taken over is named."""
    if not job.bytes_total:
        return format_size(job.bytes_done) if job.bytes_done else ""
    if job.stage == FEEDS:
        return _("{done} of {total}").format(done=job.bytes_done, total=job.bytes_total)
    done, total = format_size(job.bytes_done), format_size(job.bytes_total)
    if resumed and job.resumed_bytes:
        taken_over = format_size(job.resumed_bytes)
        return _("{done} of {total} ({resumed} resumed)").format(done=done, total=total, resumed=taken_over)
    return _("{done} of {total}").format(done=done, total=total)


def percent(job: JobInfo) -> str:
    """How much of a job is done where there is little room."""
    return f"{100 * job.bytes_done // job.bytes_total} %" if job.bytes_total else ""


def remaining(job: JobInfo, now: float) -> str:
    """The time that is left, empty when nobody knows."""
    if job.state is not JobState.RUNNING:
        return ""
    if job.expected_end > now:
        return format_duration(int(job.expected_end - now))
    if job.rate and job.bytes_total > job.bytes_done:
        return format_duration((job.bytes_total - job.bytes_done) // job.rate)
    return ""


def share_row(job: JobInfo, share: DeviceShare) -> JobInfo:
    """A device of a job as a row of its own; its number is 0."""
    return replace(
        job,
        path=f"{job.path}/{share.id}",
        id=0,
        state=JobState.PAUSED if job.state is JobState.PAUSED and not share.state.finished else share.state,
        stage=share.stage,
        progress=share.bytes_done / share.bytes_total if share.bytes_total else -1.0,
        bytes_done=share.bytes_done,
        bytes_total=share.bytes_total,
        resumed_bytes=0,
        rate=share.rate,
        expected_end=0,
        details=JobDetails(title=share.name),
    )


def with_shares(tree: Tree) -> Tree:
    """The jobs, and below each on several devices a row for each of these."""
    rows: list[tuple[int, JobInfo]] = []
    for depth, job in tree:
        rows.append((depth, job))
        rows += [(depth + 1, share_row(job, share)) for share in job.shares]
    return rows


def line(job: JobInfo, depth: int) -> str:
    """One job, or one device of a job, in one line of plain text."""
    if not job.id:
        said = _("{name}: {doing}").format(name=clean(job.details.title), doing=doing(job))
        return f"{'  ' * depth}{said}" + (f", {figures}" if (figures := amount(job)) else "")
    said = _("job {id} {about}: {doing}").format(id=job.id, about=clean(job.about), doing=doing(job))
    head = f"{'  ' * depth}{said}"
    figures = amount(job)
    return f"{head}, {figures}" if figures else head


def mirror_line(mirror: MirrorShare) -> str:
    """One mirror in one line of plain text."""
    name = clean(mirror.host) + (f" ({clean(mirror.country)})" if mirror.country else "")
    if mirror.state == "serving":
        figures = [format_rate(mirror.rate)] if mirror.rate else [_("serving")]
    else:
        figures = [_(clean(mirror.state))]
    if mirror.bytes_done:
        figures.append(format_size(mirror.bytes_done))
    return f"{name}: {', '.join(figures)}"


class LiveReporter:
    """One line a job that is drawn anew in place; with `verbose` also one for each mirror that was asked."""

    def __init__(self, live: Live, *, verbose: bool = False) -> None:
        self._live = live
        self._verbose = verbose
        self._drawn = 0.0
        self._shown: dict[str, JobState] = {}

    def show(self, tree: Tree, changed: JobInfo) -> None:
        """Draw the picture anew, at most ten times a second while only figures change."""
        now = time.monotonic()
        if self._shown.get(changed.path) is changed.state and now - self._drawn < REDRAW_SECONDS:
            return
        self._shown[changed.path] = changed.state
        self._drawn = now
        screen = self._live.console
        # the terminal shows Ctrl-C as ^C behind the last line, which must not make it wrap
        width = screen.width - len("^C") - 1
        shown = picture(tree, time.time(), width, _unicode(screen.encoding), mirrors=self._verbose)
        self._live.update(shown, refresh=True)

    def daemon(self, *, lost: bool) -> None:
        """Print a line above the picture."""
        self.note(_(LOST if lost else BACK))

    def note(self, message: str) -> None:
        """Print a line above the picture."""
        from rich.text import Text

        self._live.console.print(Text(clean(message)))


class PlainReporter:
    """A line whenever a job's state or stage changes; with `verbose` also when a mirror begins or ends to serve."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._shown: dict[str, tuple[JobState, str]] = {}
        self._mirrors: dict[tuple[str, str, int], str] = {}

    def show(self, tree: Tree, changed: JobInfo) -> None:
        """Print a line when the state or the stage is another."""
        depth = next((depth for depth, job in tree if job.path == changed.path), 0)
        what = (changed.state, changed.stage)
        if self._shown.get(changed.path) != what:
            self._shown[changed.path] = what
            print(line(changed, depth), flush=True)
        for share in changed.shares:
            row = share_row(changed, share)
            if self._shown.get(row.path) != (row.state, row.stage):
                self._shown[row.path] = (row.state, row.stage)
                print(line(row, depth + 1), flush=True)
        hosts: dict[str, int] = {}
        for mirror in changed.details.mirrors if self._verbose else ():
            # one host may be several mirrors
            count = hosts[mirror.host] = hosts.get(mirror.host, 0) + 1
            which = (changed.path, mirror.host, count)
            if self._mirrors.get(which) != mirror.state:
                self._mirrors[which] = mirror.state
                print(f"{'  ' * (depth + 1)}{mirror_line(mirror)}", flush=True)

    def daemon(self, *, lost: bool) -> None:
        """Print a line."""
        self.note(_(LOST if lost else BACK))

    def note(self, message: str) -> None:
        """Print a line."""
        print(clean(message), flush=True)


class JsonReporter:
    """A JSON document a line for everything that happens."""

    def show(self, _tree: Tree, changed: JobInfo, /) -> None:
        """Print the whole job."""
        event = "finished" if changed.state.finished else "job"
        print(to_json({"event": event, "job": changed}), flush=True)

    def daemon(self, *, lost: bool) -> None:
        """Print that it went or came back."""
        print(to_json({"event": "daemon", "state": "lost" if lost else "back"}), flush=True)

    def note(self, message: str) -> None:
        """Print the message."""
        print(to_json({"event": "note", "message": message}), flush=True)


class SilentReporter:
    """Nothing, for commands that print one document at their end."""

    def show(self, _tree: Tree, _changed: JobInfo, /) -> None:
        """Nothing."""

    def daemon(self, *, lost: bool) -> None:
        """Nothing."""

    def note(self, _message: str, /) -> None:
        """Nothing."""


@contextmanager
def reporting(state: State, *, json_lines: bool = False) -> Iterator[Reporter]:
    """The reporter that fits where the output goes."""
    if state.json:
        yield JsonReporter() if json_lines else SilentReporter()
    elif not sys.stdout.isatty() or plain_terminal():
        yield PlainReporter(verbose=state.verbose)
    else:
        from rich.live import Live

        from luxusb_cli.render import console

        with Live(console=console(), auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
            yield LiveReporter(live, verbose=state.verbose)


def _unicode(encoding: str) -> bool:
    return encoding.lower().startswith("utf")


def picture(tree: Tree, now: float, width: int, unicode: bool = True, *, mirrors: bool = False) -> Table:
    """All jobs as a grid of at most `width` columns: name, stage, bar, bytes, rate, time left.

    On a narrow terminal the name gives way first, then the bar. With `mirrors` a line follows for each mirror that
    serves a job.
    """
    from rich.table import Table
    from rich.text import Text

    rows = with_shares(tree)
    jobs = [job for _, job in rows]
    labels = ["  " * depth + (f"{job.id} " if job.id else "") + clean(job.label) for depth, job in rows]
    figures = [
        (
            doing(job),
            amount(job, resumed=width >= WIDE),
            format_rate(job.rate) if job.rate and job.state is JobState.RUNNING else "",
            remaining(job, now),
        )
        for job in jobs
    ]
    label_width = min(max((len(label) for label in labels), default=0), LABEL_MOST)
    if width - _taken(figures) < min(LABEL_LEAST, label_width):
        figures = [(row[0], percent(job), *row[2:]) for job, row in zip(jobs, figures, strict=True)]
    left = max(min(LABEL_LEAST, label_width), width - _taken(figures))
    bar_width = min(BAR_MOST, left - min(label_width, LABEL_LEAST))
    bar_width = 0 if bar_width < BAR_LEAST else max(min(bar_width, left - label_width), min(bar_width, BAR_LEAST))
    label_width = min(label_width, left - bar_width)
    grid = Table.grid(padding=(0, 1))
    for _column in range(6):
        grid.add_column(no_wrap=True)
    for job, label, (stage, done, rate, time_left) in zip(jobs, labels, figures, strict=True):
        grid.add_row(
            Text(shorten(label, label_width)),
            Text(stage, style=_STYLES.get(job.state, "")),
            bar_text(divide(job, bar_width), unicode),
            Text(done),
            Text(rate),
            Text(time_left),
        )
    if not mirrors:
        return grid
    # lines of their own: in the columns of the jobs a long name would take the bars' room
    outer = Table.grid()
    outer.add_column(no_wrap=True)
    outer.add_row(grid)
    arrow = "←" if unicode else "<-"
    for _depth, job in tree:
        # those that serve first: a picture that is higher than the terminal cannot be drawn in place
        found = sorted(job.details.mirrors, key=lambda mirror: mirror.state != "serving")
        for mirror in found[:MIRRORS_MOST]:
            said = shorten(f"  {job.id} {arrow} {mirror_line(mirror)}", width)
            outer.add_row(Text(said, style="" if mirror.state == "serving" else "dim"))
        if (more := len(found) - MIRRORS_MOST) > 0:
            said = ngettext("and {count} more", "and {count} more", more).format(count=more)
            outer.add_row(Text(shorten(f"  {job.id} {arrow} {said}", width), style="dim"))
    return outer


def _taken(figures: Sequence[tuple[str, ...]]) -> int:
    """Columns that figures take with a space behind each, and one behind the bar."""
    return sum(max((len(row[column]) for row in figures), default=0) + 1 for column in range(4)) + 1


_STYLES = {
    JobState.SUCCEEDED: "green",
    JobState.FAILED: "red",
    JobState.CANCELLED: "yellow",
    JobState.PAUSED: "yellow",
}


def bar_text(bar: Bar, unicode: bool) -> Text:
    """A bar with the resumed part marked by its own character, so that it shows without colours too."""
    from rich.text import Text

    resumed, done, rest = ("▒", "█", "·") if unicode else ("=", "#", ".")
    return Text.assemble((resumed * bar.resumed, "cyan"), (done * bar.done, "green"), (rest * bar.rest, "dim"))
