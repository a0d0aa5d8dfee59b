"""What else can be chosen for a new stick: room for changes, and how its partitions are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from gi.repository import Adw, Gtk
from luxusb_cli.i18n import N_, _
from luxusb_cli.text import clean

from luxusb_gtk import stickplan
from luxusb_gtk.basket import Choice
from luxusb_gtk.stickplan import StickChoices
from luxusb_gtk.widgets.choice import ChoiceRow
from luxusb_gtk.widgets.parts import group
from luxusb_gtk.widgets.sizes import SizeSpin, size_row

FILESYSTEMS = {
    "ext4": N_("ext4: every system starts"),
    "exfat": N_("exFAT: Windows and macOS read it"),
    "fat32": N_("FAT32: files below 4 GiB"),
}


def filesystem_row(subtitle: str, changed: Callable[[str], None]) -> ChoiceRow:
    """A row to choose the data filesystem."""
    return ChoiceRow(_("Data filesystem"), subtitle, {name: _(text) for name, text in FILESYSTEMS.items()}, changed)


class OptionsPart:
    """The expander with the options of a new stick.

    Args:
        changed: gets them when the user has changed one.
    """

    def __init__(self, changed: Callable[[StickChoices], None]) -> None:
        self._changed = changed
        self._choices = StickChoices()
        self.filesystem = filesystem_row(
            _("What the images lie on"), lambda word: self._change(replace(self._choices, filesystem=word))
        )
        self.companion = SizeSpin(
            _("Companion partition in GiB"), lambda size: self._change(replace(self._choices, companion=size))
        )
        self.share = SizeSpin(
            _("Partition for own files in GiB"), lambda size: self._change(replace(self._choices, share=size))
        )
        self._companion_row = size_row(
            _("Companion partition in GiB"),
            _("ext4, for what the filesystem cannot start; 0 is none"),
            self.companion,
        )
        self.expander = Adw.ExpanderRow(title=_("Options"), subtitle=_("Filesystem and partitions"))
        for part in (
            self.filesystem.row,
            self._companion_row,
            size_row(
                _("Partition for own files in GiB"), _("exFAT, empty, never touched again; 0 is none"), self.share
            ),
        ):
            self.expander.add_row(part)
        self.widget = group("", [self.expander])

    def show_choices(self, choices: StickChoices) -> None:
        """Show what is chosen now."""
        self._choices = choices
        self.filesystem.show_value(choices.filesystem)
        self.companion.show_bytes(choices.companion)
        self.share.show_bytes(choices.share)
        self._companion_row.set_sensitive(choices.filesystem != "ext4")

    def _change(self, choices: StickChoices) -> None:
        if choices == self._choices:
            return
        self.show_choices(choices)
        self._changed(choices)


class ChangesPart:
    """Rows to give the chosen systems room for changes.

    Args:
        changed: gets a choice with the room that the user wants.
    """

    def __init__(self, changed: Callable[[Choice], None]) -> None:
        self._changed = changed
        self._shown: tuple[tuple[str, str], ...] = ()
        self._rows: list[Gtk.Widget] = []
        self.fields: dict[str, SizeSpin] = {}
        """By the keys of choices."""
        self._choices: dict[str, Choice] = {}
        self.widget = group(
            _("Room for changes in GiB"), description=_("What a system keeps over a restart; 0 is nothing")
        )
        self.widget.set_visible(False)

    def show_choices(self, choices: Sequence[Choice], rooms: Sequence[int], keeps: Sequence[str]) -> None:
        """Show the rooms that a plan has for these choices, and where they would be."""
        found = [
            (choice, room, place)
            for choice, room, place in zip(choices, rooms, keeps, strict=True)
            if place != stickplan.NONE
        ]
        shown = tuple((choice.key, place) for choice, _room, place in found)
        self._choices = {choice.key: choice for choice, _room, _place in found}
        if shown != self._shown:
            self._shown = shown
            for old in self._rows:
                self.widget.remove(old)
            self.fields = {choice.key: self._field(choice) for choice, _room, _place in found}
            self._rows = [self._row(choice, place) for choice, _room, place in found]
            for new in self._rows:
                self.widget.add(new)
            self.widget.set_visible(bool(found))
        for choice, room, _place in found:
            self.fields[choice.key].show_bytes(room)

    def _field(self, choice: Choice) -> SizeSpin:
        key = choice.key
        name = _("Room for changes of {name} in GiB").format(name=clean(choice.title))
        return SizeSpin(name, lambda size: self._changed(replace(self._choices[key], persistence=size, asked=True)))

    def _row(self, choice: Choice, place: str) -> Gtk.Widget:
        says = ""
        if place == stickplan.UNKNOWN:
            says = _("Whether its system keeps any is known after the download, before anything is erased")
        elif place == stickplan.PARTITION:
            says = _("On a partition of its own, which one system of a stick can use")
        return size_row(choice.title, says, self.fields[choice.key])
