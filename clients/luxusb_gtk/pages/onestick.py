"""What the pages of one stick have in common, whoever made it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gi.repository import GLib
from luxusb_cli.model import DeviceInfo

from luxusb_gtk.model import Model
from luxusb_gtk.pages.wholedisk import WholeDiskRows
from luxusb_gtk.service import ServiceError
from luxusb_gtk.widgets.parts import Page


class OneStickPage(Page):
    """A page of one stick, on which jobs are started.

    Args:
        model: what is known.
        back: goes back to the sticks.
        started: gets the path of a job.
        ejected: gets a disk that can be unplugged.
        failed: gets the error of a call.
    """

    def __init__(
        self,
        model: Model,
        *,
        back: Callable[[], None],
        started: Callable[[str], None],
        ejected: Callable[[DeviceInfo], None],
        failed: Callable[[ServiceError], None],
    ) -> None:
        super().__init__("", back=back)
        self._model = model
        self._started, self._ejected, self._failed = started, ejected, failed
        self._path = ""
        self._whole = WholeDiskRows(self.get_root, self._start, self._eject)
        self._build()

    @property
    def path(self) -> str:
        """Of the disk that is shown, or was last; empty before the first."""
        return self._path

    def _build(self) -> None:
        """Make what a page has of its own, beside the title and the way back; called once."""

    def _start(self, method: str, arguments: GLib.Variant) -> None:
        """Call a method of the Manager that begins a job."""

        def done(answer: tuple[Any, ...]) -> None:
            self._started(answer[0])

        self._model.service.manager(method, arguments, done, self._failed)

    def _eject(self, device: DeviceInfo) -> None:
        arguments = GLib.Variant("(oa{sv})", (device.path, {}))
        self._model.service.manager("Eject", arguments, lambda _answer: self._ejected(device), self._failed)
