"""The bar that shows how the choice fills a stick."""

from __future__ import annotations

from collections.abc import Iterator

from gi.repository import Gdk, Graphene, Gtk
from luxusb_cli.i18n import N_, _
from luxusb_cli.units import format_size

from luxusb_gtk.basket import Segment, Space
from luxusb_gtk.bidi import ordered

HEIGHT = 22
_SYSTEMS = ("#3584e4", "#33d17a", "#9141ac", "#e5a50a", "#26a269", "#62a0ea", "#c061cb", "#b5835a")
"""Colours of GNOME's palette that can be told apart beside each other."""
_FIXED = {
    "overhead": "#77767b",
    "filesystem": "#9a9996",
    "companion": "#986a44",
    "share": "#99c1f1",
    "persistence": "#f9f06b",
    "there": "#5e5c64",
}
_VARIED = ("system", "part")
_TOO_MUCH = "#e01b24"
_TITLES = {
    "overhead": N_("Boot files"),
    "filesystem": N_("Filesystem"),
    "companion": N_("Companion partition"),
    "share": N_("Partition for own files"),
    "free": N_("Free"),
}


def segment_title(segment: Segment) -> str:
    """What a stretch is, for people."""
    if segment.kind in _TITLES:
        return _(_TITLES[segment.kind])
    if segment.kind == "part" and not segment.title:
        return _("Partition")
    if segment.kind == "persistence":
        return _("Changes of {title}").format(title=segment.title)
    return segment.title


def summary(space: Space) -> str:
    """The bar in one sentence."""
    if space.too_much:
        names = ", ".join(choice.title for choice in space.too_much)
        return _("{missing} too much: there is no room for {names}").format(
            missing=format_size(max(0, -space.free)), names=names
        )
    known = _("{used} of {all} used, {free} free") if space.exact else _("About {used} of {all} used, {free} free")
    line = known.format(
        used=format_size(space.used), all=format_size(space.capacity), free=format_size(max(0, space.free))
    )
    return f"{line}; {_('the size of one is not known')}" if space.unknown else line


class Strip(Gtk.Widget):
    """The coloured stretches. In a right-to-left language they begin on the right."""

    def __init__(self, *, height: int = HEIGHT, width: int = -1) -> None:
        super().__init__(height_request=height, width_request=width, accessible_role=Gtk.AccessibleRole.IMG)
        self._space: Space | None = None
        self.set_has_tooltip(True)
        self.connect("query-tooltip", self._tooltip)

    def show_space(self, space: Space) -> None:
        """Draw it, and say it to screen readers."""
        self._space = space
        self.queue_draw()
        parts = ", ".join(f"{segment_title(part)} {format_size(part.size)}" for part in space.segments)
        self.update_property([Gtk.AccessibleProperty.LABEL], [parts])

    def stretches(self) -> Iterator[tuple[float, float, Segment]]:
        """Start and width in pixels of each."""
        if self._space is None:
            return
        width = self.get_width()
        whole = max(self._space.capacity, self._space.used, 1)
        at = 0.0
        for segment in self._space.segments:
            length = segment.size / whole * width
            rightmost = self.get_direction() is Gtk.TextDirection.RTL
            yield (width - at - length if rightmost else at), length, segment
            at += length

    def do_snapshot(self, snapshot: Gtk.Snapshot) -> None:
        """Paint it (GtkWidget)."""
        text = self.get_style_context().get_color()
        number = 0
        for start, length, segment in self.stretches():
            colour = Gdk.RGBA()
            if not segment.fits:
                colour.parse(_TOO_MUCH)
            elif segment.kind == "free":
                colour = text.copy()
                colour.alpha = 0.15
            else:
                colour.parse(_FIXED.get(segment.kind) or _SYSTEMS[number % len(_SYSTEMS)])
            number += segment.kind in _VARIED
            area = Graphene.Rect()
            area.init(start, 0, max(length - 1, 1), self.get_height())
            snapshot.append_color(colour, area)

    def _tooltip(self, _strip: Gtk.Widget, x: int, _y: int, _keyboard: bool, tooltip: Gtk.Tooltip) -> bool:
        for start, length, segment in self.stretches():
            if start <= x <= start + length:
                tooltip.set_text(ordered(f"{segment_title(segment)}: {format_size(segment.size)}"))
                return True
        return False


class SpaceBar(Gtk.Box):
    """The strip with a sentence below."""

    def __init__(self) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=6)
        self._strip = Strip()
        self._strip.set_hexpand(True)
        self.space: Space | None = None
        """What is shown."""
        self.label = Gtk.Label(xalign=0, wrap=True)
        self.label.add_css_class("caption")
        self.append(self._strip)
        self.append(self.label)

    def show_space(self, space: Space) -> None:
        """Show how a stick is filled."""
        self.space = space
        self._strip.show_space(space)
        self.label.set_label(ordered(summary(space)))
        self.label.remove_css_class("error")
        if space.too_much:
            self.label.add_css_class("error")
