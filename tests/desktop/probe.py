"""The real app, watched from inside: when its window can be used, what its main loop waits for, and its memory.

Usage: python -m tests.desktop.probe BEGAN [JOB...], on a display and with the daemon at DBUS_SYSTEM_BUS_ADDRESS.
BEGAN is the moment of the start (CLOCK_MONOTONIC, seconds). With references of systems to download it goes on to
scroll, to open pages and to watch these jobs. Prints one JSON object.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TICK = 5
"""Milliseconds between two looks at the main loop."""
SYSTEMS = 50
SCROLLING = 8.0
"""Seconds for the way down and up again."""
WATCHED = 12.0
"""Seconds with running jobs."""


@dataclass
class Lag:
    """How late a timeout of the main loop came, in milliseconds, and what of that was GTK's own drawing."""

    late: list[float] = field(default_factory=list)
    beyond: list[float] = field(default_factory=list)
    """Without the work of frames (layout and drawing)."""
    busy: list[float] = field(default_factory=list)
    """The same as time of the processor, which other programs do not add to."""
    frames: list[float] = field(default_factory=list)
    """The work of each frame, as time of the processor."""

    def told(self) -> dict[str, dict[str, float]]:
        """Longest and 99th percentile of each."""
        return {
            name: {"most": max(values, default=0.0), "p99": _percentile(values), "count": len(values)}
            for name, values in vars(self).items()
        }


def _percentile(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)] if values else 0.0


class Watch:
    """Looks at the main loop while something goes on.

    Args:
        clock: the window's frame clock.
    """

    def __init__(self, clock: Any) -> None:
        from gi.repository import GLib

        self.lag = Lag()
        self._frame = self._frame_busy = 0.0
        """Of the frames since the last look."""
        self._from = (0.0, 0.0)
        self._last = (time.perf_counter(), time.thread_time())
        self._clock = clock
        self._connected = [
            clock.connect("before-paint", lambda _clock: self._begin()),
            clock.connect("after-paint", lambda _clock: self._end()),
        ]
        self._source = GLib.timeout_add(TICK, self._look)

    def stop(self) -> Lag:
        """What was seen."""
        from gi.repository import GLib

        GLib.source_remove(self._source)
        for number in self._connected:
            self._clock.disconnect(number)
        return self.lag

    def _begin(self) -> None:
        self._from = (time.perf_counter(), time.thread_time())

    def _end(self) -> None:
        busy = time.thread_time() - self._from[1]
        self._frame += time.perf_counter() - self._from[0]
        self._frame_busy += busy
        self.lag.frames.append(busy * 1000)

    def _look(self) -> bool:
        now = (time.perf_counter(), time.thread_time())
        late = now[0] - self._last[0] - TICK / 1000
        self.lag.late.append(max(0.0, late) * 1000)
        self.lag.beyond.append(max(0.0, late - self._frame) * 1000)
        self.lag.busy.append(max(0.0, now[1] - self._last[1] - self._frame_busy) * 1000)
        self._last = now
        self._frame = self._frame_busy = 0.0
        return True


def memory() -> dict[str, float]:
    """Proportional and resident size of this process, in MiB."""
    told = Path("/proc/self/smaps_rollup").read_text()
    found = re.findall(r"^(Pss|Rss):\s+(\d+) kB", told, re.MULTILINE)
    return {name: int(kilobytes) / 1024 for name, kilobytes in found}


def rows(box: Any) -> Iterator[Any]:
    """The rows of a list."""
    child = box.get_first_child()
    while child is not None:
        yield child
        child = child.get_next_sibling()


class Visit:
    """What a user does, one step after the other.

    Args:
        app: the application, activated.
        began: when it was started.
        jobs: references to download.
    """

    def __init__(self, app: Any, began: float, jobs: list[str]) -> None:
        self._app = app
        self._window = app.window
        self._jobs = jobs
        self._began = began
        self._filled = self._painting = False
        self._many = 0
        self.told: dict[str, Any] = {}
        app.model.connect("systems", lambda _model: self._systems())
        self._window.connect("realize", lambda _window: self._realized())
        if self._window.get_realized():
            self._realized()

    def _systems(self) -> None:
        assert len(self._app.model.systems) >= SYSTEMS, self._app.model.systems_problem
        self._filled = True

    def _realized(self) -> None:
        clock = self._window.get_frame_clock()
        clock.connect("before-paint", lambda _clock: self._before())
        clock.connect("after-paint", lambda _clock: self._after())

    def _before(self) -> None:
        self._painting = self._filled
        self._many = sum(1 for _row in rows(self._window.systems.list))

    def _after(self) -> None:
        if not self._painting or "whole" in self.told:
            return
        now = {"wall": time.monotonic() - self._began, "cpu": time.process_time()}
        self.told.setdefault("start", now)
        if self._many < SYSTEMS:
            return
        self.told["whole"] = now
        self.told["memory at start"] = memory()
        if self._jobs:
            self._later(1.0, self._scroll)
        else:
            self._app.quit()

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        from gi.repository import GLib

        def now() -> bool:
            then()
            return False

        GLib.timeout_add(int(seconds * 1000), now)

    # ---- the list, down and up
    def _scroll(self) -> None:
        watch = Watch(self._window.get_frame_clock())
        began = time.perf_counter()
        place = self._window.systems.scroller.get_vadjustment()

        def step(_widget: Any, _clock: Any) -> bool:
            done = (time.perf_counter() - began) / SCROLLING
            way = place.get_upper() - place.get_page_size()
            place.set_value(way * (1 - abs(1 - 2 * min(done, 1.0))))
            if done < 1:
                return True
            self.told["scrolling"] = watch.stop().told()
            self._later(0.5, self._search)
            return False

        self._window.add_tick_callback(step)

    # ---- words that are typed
    def _search(self) -> None:
        watch = Watch(self._window.get_frame_clock())
        words = ["u", "ub", "ubu", "ubun", "ubuntu", "", "d", "de", "deb", ""]

        def step() -> None:
            if words:
                self._window.systems.search.set_text(words.pop(0))
                self._later(0.3, step)
            else:
                self.told["searching"] = watch.stop().told()
                self._details()

        step()

    # ---- pages
    def _details(self) -> None:
        watch = Watch(self._window.get_frame_clock())
        systems = list(self._app.model.systems[:8])

        def step() -> None:
            if systems:
                self._window.show_details(systems.pop(0))
                self._later(0.5, step)
            else:
                self.told["details"] = watch.stop().told()
                self._download()

        step()

    # ---- jobs
    def _download(self) -> None:
        from gi.repository import GLib

        for reference in self._jobs:
            arguments = GLib.Variant("(sa{sv})", (reference, {}))
            self._app.service.manager("Download", arguments, lambda _answer: None, self._failed)
        self._window.go("progress")
        self._later(2.0, self._watch_jobs)

    def _failed(self, error: Exception) -> None:
        self.told["error"] = str(error)
        self._app.quit()

    def _watch_jobs(self) -> None:
        watch = Watch(self._window.get_frame_clock())
        heard: list[str] = []
        number = self._app.model.connect("progress", lambda _model, path: heard.append(path))

        def over() -> None:
            self._app.model.disconnect(number)
            self.told["jobs"] = watch.stop().told()
            self.told["told of jobs"] = len(heard) / WATCHED
            self.told["running jobs"] = len(self._app.model.running_jobs())
            self.told["memory used"] = memory()
            self._app.quit()

        self._later(WATCHED, over)


def main() -> int:
    """Run the app with somebody who watches."""
    from luxusb_cli import i18n

    i18n.begin(machine=False)
    from gi.repository import Gio
    from luxusb_gtk.application import Application

    app = Application(flags=Gio.ApplicationFlags.NON_UNIQUE)
    visits: list[Visit] = []
    app.connect_after("activate", lambda _app: visits.append(Visit(app, float(sys.argv[1]), sys.argv[2:])))
    status = int(app.run([]))
    print(json.dumps(visits[0].told))
    return status


if __name__ == "__main__":
    sys.exit(main())
