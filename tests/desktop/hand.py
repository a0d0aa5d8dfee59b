"""A user's hands and eyes: finds parts of the window by what they say, and presses them as the keyboard would.

GTK is imported in the functions, since it opens the display when it is imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luxusbd import process
from tests.desktop.screen import turn, until


def parts(root: Any) -> Iterator[Any]:
    """Everything that can be seen below a widget, in order."""
    child = root.get_first_child()
    while child is not None:
        if child.get_mapped():
            yield child
            yield from parts(child)
        child = child.get_next_sibling()


def texts(root: Any) -> list[str]:
    """What can be read."""
    from gi.repository import Gtk

    return [part.get_label() for part in parts(root) if isinstance(part, Gtk.Label) and part.get_label()]


def text_of(part: Any) -> str:
    """What a button says: its label, or the tooltip that every button without one has."""
    from gi.repository import Gtk

    said = part.get_label() if isinstance(part, (Gtk.Button, Gtk.CheckButton)) else None
    return said or part.get_tooltip_text() or ""


def find(root: Any, kind: Any, text: str) -> Any | None:
    """The first part of a kind whose text begins so."""
    return next((part for part in parts(root) if isinstance(part, kind) and text_of(part).startswith(text)), None)


def row(root: Any, title: str) -> Any | None:
    """The row with a title that begins so."""
    from gi.repository import Adw

    return next(
        (part for part in parts(root) if isinstance(part, Adw.ActionRow) and part.get_title().startswith(title)), None
    )


def button(root: Any, text: str) -> Any:
    """The button that says so."""
    from gi.repository import Gtk

    found = find(root, Gtk.Button, text)
    assert found is not None, f"no button {text!r}; there is: {texts(root)}"
    return found


async def press(root: Any, text: str) -> None:
    """Press the button that says so, once it is there and can be pressed."""
    from gi.repository import Gtk

    def ready() -> Any:
        button = find(root, Gtk.Button, text)
        return button if button is not None and button.get_sensitive() else None

    button = await until(ready, f"a button {text!r}", lambda: texts(root))
    assert button.activate()
    await turn()


async def tick(root: Any, title: str) -> None:
    """Press the check box of a row."""
    from gi.repository import Gtk

    item = await until(lambda: row(root, title), f"a row {title!r}", lambda: texts(root))
    check = next(part for part in parts(item) if isinstance(part, Gtk.CheckButton))
    assert check.activate()
    await turn()


async def sees(root: Any, text: str) -> str:
    """Wait until something can be read, and return the whole of that label."""
    found = await until(
        lambda: [label for label in texts(root) if text in label], f"the text {text!r}", lambda: texts(root)
    )
    return str(found[0])


def find_button(root: Any, text: str) -> Any | None:
    """The button that says so, or None."""
    from gi.repository import Gtk

    return find(root, Gtk.Button, text)


def dialog() -> Any:
    """The dialogue that stands before the window; None without one."""
    from gi.repository import Adw, Gtk

    tops = Gtk.Window.list_toplevels()
    return next((top for top in tops if isinstance(top, Adw.MessageDialog) and top.get_mapped()), None)


async def answer(response: str) -> str:
    """Answer the dialogue that stands before the window; what it said."""
    shown = await until(dialog, "a dialogue")
    said = f"{shown.get_heading()}\n{shown.get_body()}"
    shown.response(response)
    shown.close()
    await until(lambda: not dialog(), "the end of the dialogue")
    return said


async def scroll(page: Any, where: float) -> None:
    """Scroll a page: 0 is its top and 1 its end."""
    adjustment = page.scroller.get_vadjustment()
    adjustment.set_value(where * (adjustment.get_upper() - adjustment.get_page_size()))
    await turn()


async def picture(window: Any, path: Path) -> None:
    """Write what a window shows as PNG, as the X server has it."""
    for _ in range(60):
        await turn()
    # the shadow round the window belongs to it, too
    left, top = window.get_surface_transform()
    crop = f"{window.get_width()}x{window.get_height()}+{int(left)}+{int(top)}"
    await process.run(["import", "-window", "root", "-crop", crop, "+repage", str(path)], timeout=30)
