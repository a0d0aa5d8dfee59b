"""Logos of systems from the daemon: a few at a time, and decoded beside the window."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from gi.repository import Gdk, GdkPixbuf, Gio, GLib
from luxusb_cli.catalog import DistroInfo

from luxusb_gtk.service import Service, ServiceError

AT_ONCE = 4
"""Logos that are asked for or decoded at a time."""
MOST = 256
"""Logos that are kept; those that are shown are kept by what shows them."""
SAMPLE = 4
"""Every so many pixels are looked at to tell light pictures from others."""
LIGHT = 200
"""Mean brightness (0 to 255) of what is drawn from which on a picture needs something dark behind it."""


@dataclass(frozen=True)
class Picture:
    """A decoded logo."""

    texture: Gdk.Texture
    light: bool
    """Whether it is drawn in light colours, as for a dark background."""


Shown = Callable[[Picture], None]
_Key = tuple[str, str, int]


class Logos:
    """What was fetched, and what is waited for."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._known: OrderedDict[_Key, Picture | None] = OrderedDict()
        """None for one that cannot be had."""
        self._wanted: dict[_Key, list[Shown]] = {}
        self._waiting: deque[_Key] = deque()
        self._running = 0

    def want(self, system: DistroInfo, size: int, shown: Shown) -> None:
        """Have `shown` called with the logo of a system, at once when it is known, and never when there is none.

        `size` is that of the longer side, in pixels.
        """
        if not system.logo_url:
            return
        key = (system.id, system.logo_url, size)
        if key in self._known:
            self._known.move_to_end(key)
            if (picture := self._known[key]) is not None:
                shown(picture)
            return
        if key not in self._wanted:
            self._wanted[key] = []
            self._waiting.append(key)
        self._wanted[key].append(shown)
        self._next()

    def forget_failures(self) -> None:
        """What could not be had may be asked for again."""
        for key in [key for key, picture in self._known.items() if picture is None]:
            del self._known[key]

    def _next(self) -> None:
        while self._waiting and self._running < AT_ONCE:
            key = self._waiting.popleft()
            self._running += 1
            self._ask(key)

    def _ask(self, key: _Key) -> None:
        def answered(answer: tuple[int]) -> None:
            stream = Gio.UnixInputStream.new(answer[0], True)
            GdkPixbuf.Pixbuf.new_from_stream_at_scale_async(stream, key[2], key[2], True, None, decoded)

        def decoded(_stream: object, result: Gio.AsyncResult) -> None:
            try:
                pixbuf = GdkPixbuf.Pixbuf.new_from_stream_finish(result)
            except GLib.Error:
                self._done(key, None)
                return
            self._done(key, Picture(Gdk.Texture.new_for_pixbuf(pixbuf), is_light(pixbuf)))

        def failed(_error: ServiceError) -> None:
            # whatever it is, the initials stay, and nobody is bothered with it
            self._done(key, None)

        self._service.manager("GetLogo", GLib.Variant("(sa{sv})", (key[0], {})), answered, failed)

    def _done(self, key: _Key, picture: Picture | None) -> None:
        self._running -= 1
        self._known[key] = picture
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        for shown in self._wanted.pop(key):
            if picture is not None:
                shown(picture)
        self._next()


def is_light(pixbuf: GdkPixbuf.Pixbuf) -> bool:
    """Whether what is drawn of a picture is light, so that it would vanish on something light."""
    channels, stride, width = pixbuf.get_n_channels(), pixbuf.get_rowstride(), pixbuf.get_width()
    data = pixbuf.get_pixels()
    total = weight = 0
    for line in range(0, pixbuf.get_height(), SAMPLE):
        for at in range(line * stride, line * stride + width * channels, channels * SAMPLE):
            red, green, blue, *alpha = data[at : at + channels]
            seen = alpha[0] if alpha else 255
            total += seen * (299 * red + 587 * green + 114 * blue) // 1000
            weight += seen
    return weight > 0 and total / weight >= LIGHT
