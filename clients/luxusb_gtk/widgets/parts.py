"""Small parts that pages share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gi.repository import Adw, Gdk, Gtk, Pango
from luxusb_cli.i18n import _
from luxusb_cli.text import clean

from luxusb_gtk.bidi import ordered

NARROW = 360
"""Pixels: the narrowest window in which everything can be used."""


class Page(Gtk.Box):
    """A header bar, what scrolls below it, and a bar at the bottom.

    Attributes:
        content: the box that scrolls, in the middle of a wide window.
        header: the header bar.
        bottom: the bar at the bottom, which is hidden while it is empty.
    """

    def __init__(self, title: str, *, back: Callable[[], None] | None = None) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL)
        self.header = Adw.HeaderBar()
        self.title = Adw.WindowTitle(title=title)
        self.header.set_title_widget(self.title)
        if back is not None:
            self.header.pack_start(icon_button("go-previous-symbolic", _("Back"), back))
        self.append(self.header)
        self.content = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=18)
        for side in ("top", "bottom", "start", "end"):
            getattr(self.content, f"set_margin_{side}")(12)
        clamp = Adw.Clamp(maximum_size=760, child=self.content)
        self.scroller = Gtk.ScrolledWindow(vexpand=True, hscrollbar_policy=Gtk.PolicyType.NEVER, child=clamp)
        self.append(self.scroller)
        self.bottom = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=6, visible=False)
        self.bottom.add_css_class("toolbar")
        for side in ("top", "bottom", "start", "end"):
            getattr(self.bottom, f"set_margin_{side}")(6)
        self.append(self.bottom)

    def opened(self) -> None:
        """The page is shown now; pages that ask the daemon for something do it here."""


def icon_button(icon: str, name: str, pressed: Callable[[], None]) -> Gtk.Button:
    """A button with a picture; its name is for the tooltip and for screen readers."""
    button = Gtk.Button(icon_name=icon, tooltip_text=name, valign=Gtk.Align.CENTER)
    button.add_css_class("flat")
    button.update_property([Gtk.AccessibleProperty.LABEL], [name])
    button.connect("clicked", lambda _button: pressed())
    return button


def text_button(text: str, pressed: Callable[[], None], *styles: str) -> Gtk.Button:
    """A button with a text."""
    button = Gtk.Button(label=ordered(text), valign=Gtk.Align.CENTER)
    for style in styles:
        button.add_css_class(style)
    button.connect("clicked", lambda _button: pressed())
    return button


def badge(word: str, style: str, tooltip: str = "") -> Gtk.Label:
    """A word in a small frame."""
    label = Gtk.Label(label=word, valign=Gtk.Align.CENTER, tooltip_text=tooltip or None)
    for name in ("caption", "badge", style):
        label.add_css_class(name)
    return label


def note(text: str, *styles: str) -> Gtk.Label:
    """A text of several lines."""
    label = Gtk.Label(label=ordered(text), wrap=True, wrap_mode=Pango.WrapMode.WORD_CHAR, xalign=0, selectable=False)
    for style in styles:
        label.add_css_class(style)
    return label


def row(title: str, subtitle: str = "") -> Adw.ActionRow:
    """A row whose texts are never read as markup, and cannot hide or turn round what else is there."""
    made = Adw.ActionRow(title_lines=2, subtitle_lines=4)
    made.set_use_markup(False)  # before the texts, which are read as markup else
    made.set_title(ordered(clean(title)))
    made.set_subtitle(ordered(clean(subtitle, lines=True)))
    return made


def group(title: str, rows: Iterable[Gtk.Widget] = (), description: str = "") -> Adw.PreferencesGroup:
    """Rows under a heading."""
    made = Adw.PreferencesGroup(title=title, description=description or None)
    for item in rows:
        made.add(item)
    return made


def status(icon: str, title: str, description: str, *children: Gtk.Widget) -> Adw.StatusPage:
    """A page that says one thing."""
    page = Adw.StatusPage(icon_name=icon, title=title, description=description, vexpand=True)
    if children:
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=12, halign=Gtk.Align.CENTER)
        for child in children:
            box.append(child)
        page.set_child(box)
    return page


def empty(box: Gtk.Box) -> None:
    """Take everything out of a box."""
    while (child := box.get_first_child()) is not None:
        box.remove(child)


def name_for_readers(widget: Gtk.Widget, name: str) -> None:
    """What a screen reader calls a widget that shows no text."""
    widget.update_property([Gtk.AccessibleProperty.LABEL], [name])


def copy(widget: Gtk.Widget, text: str) -> None:
    """Put a text where other programs paste it from."""
    widget.get_clipboard().set_content(Gdk.ContentProvider.new_for_value(text))
