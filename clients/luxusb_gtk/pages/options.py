"""What else can be chosen for a new stick: room for changes, and how its partitions are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from gi.repository import Adw, Gtk
from luxusb_cli.i18n import N_, _
from luxusb_cli.text import clean
from luxusb_cli.units import format_size

from luxusb_gtk import stickplan
from luxusb_gtk.basket import Choice
from luxusb_gtk.stickplan import StickChoices
from luxusb_gtk.widgets.choice import ChoiceRow
from luxusb_gtk.widgets.parts import name_for_readers, row
from luxusb_gtk.widgets.sizes import SizeSpin, size_row

FILESYSTEMS = {
    "ext4": ("ext4", N_("Every system starts from it")),
    "exfat": ("exFAT", N_("Windows and macOS read it; no Secure Boot")),
    "fat32": ("FAT32", N_("Everything reads it; files below 4 GiB")),
}


def filesystem_row(changed: Callable[[str], None]) -> ChoiceRow:
    """A row to choose the data filesystem."""
    known = {name: (word, _(says)) for name, (word, says) in FILESYSTEMS.items()}
    return ChoiceRow(_("Data filesystem"), known, changed)


class PartitionsPart:
    """The expander with filesystem and partitions of a new stick, and beside it the row for its downloads.

    Args:
        changed: gets them when the user has changed one.
    """

    def __init__(self, changed: Callable[[StickChoices], None]) -> None:
        self._changed = changed
        self._choices = StickChoices()
        self.filesystem = filesystem_row(lambda word: self._change(replace(self._choices, filesystem=word)))
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
        self.expander = Adw.ExpanderRow(title=_("Filesystem and partitions"))
        for part in (
            self.filesystem.row,
            self._companion_row,
            size_row(
                _("Partition for own files in GiB"), _("exFAT, empty, never touched again; 0 is none"), self.share
            ),
        ):
            self.expander.add_row(part)
        self.keep = Gtk.Switch(valign=Gtk.Align.CENTER)
        self.keep.connect(
            "notify::active",
            lambda switch, _property: self._change(replace(self._choices, keep=switch.get_active())),
        )
        name_for_readers(self.keep, _("Keep what is downloaded"))
        self.keep_row = row(
            _("Keep what is downloaded"), _("For the next stick; without it this computer needs less room")
        )
        self.keep_row.add_suffix(self.keep)
        self.keep_row.set_activatable_widget(self.keep)

    def show_choices(self, choices: StickChoices) -> None:
        """Show what is chosen now."""
        self._choices = choices
        self.expander.set_subtitle(FILESYSTEMS[choices.filesystem][0])
        self.filesystem.show_value(choices.filesystem)
        self.companion.show_bytes(choices.companion)
        self.share.show_bytes(choices.share)
        self.keep.set_active(choices.keep)
        self._companion_row.set_sensitive(choices.filesystem != "ext4")

    def _change(self, choices: StickChoices) -> None:
        if choices == self._choices:
            return
        self.show_choices(choices)
        self._changed(choices)


class ChangesPart:
    """The expander with rows to give the chosen systems room for changes.

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
        self.expander = Adw.ExpanderRow(title=_("Room for changes in GiB"), visible=False)

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
                self.expander.remove(old)
            self.fields = {choice.key: self._field(choice) for choice, _room, _place in found}
            self._rows = [self._row(choice, place) for choice, _room, place in found]
            for new in self._rows:
                self.expander.add_row(new)
            self.expander.set_visible(bool(found))
        for choice, room, _place in found:
            self.fields[choice.key].show_bytes(room)
        self._add_up()

    def _add_up(self) -> None:
        whole = sum(field.size for field in self.fields.values())
        self.expander.set_subtitle(
            format_size(whole) if whole else _("What a system keeps over a restart; none so far")
        )

    def _change(self, key: str, size: int) -> None:
        self._add_up()
        self._changed(replace(self._choices[key], persistence=size, asked=True))

    def _field(self, choice: Choice) -> SizeSpin:
        key = choice.key
        name = _("Room for changes of {name} in GiB").format(name=clean(choice.title))
        return SizeSpin(name, lambda size: self._change(key, size))

    def _row(self, choice: Choice, place: str) -> Gtk.Widget:
        says = ""
        if place == stickplan.UNKNOWN:
            says = _("Whether it keeps any is known after the download")
        elif place == stickplan.PARTITION:
            says = _("On a partition of its own, which one system of a stick can use")
        return size_row(choice.title, says, self.fields[choice.key])
