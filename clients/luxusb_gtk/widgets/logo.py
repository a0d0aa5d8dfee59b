"""The logo of a system, or its initials."""

from __future__ import annotations

from gi.repository import Adw, Gtk
from luxusb_cli.catalog import DistroInfo

from luxusb_gtk.logos import Logos, Picture

SHARP = 2
"""Pixels that are fetched for each one of the layout, for screens that show two."""
CSS = b"""
.logo { background: white; border-radius: 6px; padding: 3px; }
.logo.on-dark { background: #3d3846; }
"""


class LogoView(Gtk.Stack):
    """Initials, until the logo is there; for good where there is none.

    Logos are drawn for light paper, most of them, so that they stand on a light plate in the dark style too; those in
    light colours get a dark one in both.
    """

    def __init__(self, size: int) -> None:
        super().__init__(valign=Gtk.Align.CENTER, transition_type=Gtk.StackTransitionType.CROSSFADE)
        self._size = size
        self._system: DistroInfo | None = None
        self._wanted = False
        self._initials = Adw.Avatar(size=size, show_initials=True)
        self._image = Gtk.Image(pixel_size=size - 6, halign=Gtk.Align.CENTER)
        self._image.add_css_class("logo")
        self.add_named(self._initials, "initials")
        self.add_named(self._image, "logo")

    @property
    def shows_logo(self) -> bool:
        """Whether it is there."""
        return bool(self.get_visible_child() is self._image)

    @property
    def on_dark(self) -> bool:
        """Whether something dark is behind it."""
        return bool(self._image.has_css_class("on-dark"))

    def set_system(self, system: DistroInfo) -> None:
        """Show the initials of a system; `load` asks for more."""
        self._system, self._wanted = system, False
        self._initials.set_text(system.name)
        self.set_visible_child(self._initials)

    def load(self, logos: Logos) -> None:
        """Ask for the logo, once."""
        system = self._system
        if system is None or self._wanted:
            return
        self._wanted = True
        logos.want(system, (self._size - 6) * SHARP, lambda picture: self._show(system, picture))

    def _show(self, system: DistroInfo, picture: Picture) -> None:
        if system is not self._system:
            return
        self._image.set_from_paintable(picture.texture)
        if picture.light:
            self._image.add_css_class("on-dark")
        else:
            self._image.remove_css_class("on-dark")
        self.set_visible_child(self._image)
