"""What the pages of one stick have in common, whoever made it."""

from __future__ import annotations

from collections.abc import Callable

from luxusb_gtk.model import Model
from luxusb_gtk.service import ServiceError
from luxusb_gtk.widgets.parts import Page


class OneStickPage(Page):
    """A page of one stick, on which jobs are started.

    Args:
        model: what is known.
        back: goes back to the sticks.
        started: gets the path of a job.
        failed: gets the error of a call.
    """

    def __init__(
        self,
        model: Model,
        *,
        back: Callable[[], None],
        started: Callable[[str], None],
        failed: Callable[[ServiceError], None],
    ) -> None:
        super().__init__("", back=back)
        self._model = model
        self._started, self._failed = started, failed
        self._path = ""
        self._build()

    def _build(self) -> None:
        """Make what a page has of its own, beside the title and the way back; called once."""
