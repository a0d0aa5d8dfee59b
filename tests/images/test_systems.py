"""Every system of the table, from a real ISO 9660 image: recognised as itself alone, and started as it is said."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from luxusbd.images.details import Inspection
from luxusbd.images.match import holds, match, matching
from luxusbd.images.model import BootEntry
from luxusbd.images.recipes import Recipe, packaged_recipes
from luxusbd.images.recognise import inspect
from luxusbd.images.startfile import PLACE
from luxusbd.stick import menu
from luxusbd.stick.model import ManifestImage
from luxusbd.text import clean
from tests.images import docs_recipes
from tests.images.builders import DictTree, build_iso
from tests.images.systems import ROWS
from tests.images.systems.row import Row
from tests.stick import helpers

GENERAL = {"Fedora", "Fedora Live", "CentOS Linux"}
"""Names for what is left of a family, which come after the others."""


def look(row: Row, directory: Path) -> Inspection:
    files = {path: text.encode() if isinstance(text, str) else text for path, text in row.tree.items()}
    # a name of more than 32 characters, or with other characters, is cut by no maker
    path = build_iso(directory / "image.iso", files, "-R", "-J", volume_id=row.label or "CDROM")
    fd = os.open(path, os.O_RDONLY)
    try:
        return inspect(fd)
    finally:
        os.close(fd)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Inspection]:
    """What every image is, by the id of its row."""
    return {row.id: look(row, tmp_path_factory.mktemp("iso")) for row in ROWS}


def recipe_of(row: Row) -> Recipe:
    return next(recipe for recipe in packaged_recipes() if recipe.id == row.recipe)


def entry_of(row: Row, found: Inspection) -> BootEntry:
    return found.recognition.entries[row.entry]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_it_is_recognised_as_itself(row: Row, seen: dict[str, Inspection]) -> None:
    found = seen[row.id].recognition
    assert (found.recipe, found.version) == (row.recipe, row.version)
    if row.label:
        assert found.system == row.name
    if row.kernel:
        assert found.bootable, found.reason
        assert found.architecture == row.architecture
        assert " ".join(sorted(found.filesystems)) == row.filesystems
    else:
        assert not found.bootable
        assert row.reason in found.reason
        assert found.advice


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_nothing_else_of_its_priority_fits(row: Row) -> None:
    tree = DictTree(row.tree, row.label)
    fitting = matching(tree, packaged_recipes())
    assert fitting[0].id == row.recipe
    assert [recipe.id for recipe in fitting if recipe.priority == fitting[0].priority] == [row.recipe]
    named = [system.name for system in fitting[0].systems if holds(tree, system.condition)]
    assert named[:1] in ([], [row.name])
    assert set(named) <= {row.name} | GENERAL


STARTED = [row for row in ROWS if row.kernel]


@pytest.mark.parametrize("row", STARTED, ids=lambda row: row.id)
def test_it_is_started_as_its_family_says(row: Row, seen: dict[str, Inspection]) -> None:
    entry = entry_of(row, seen[row.id])
    assert entry.method.value == row.method
    assert entry.kernel == row.kernel
    assert " ".join(entry.initrds) == row.initrds
    assert " ".join(entry.parameters) == row.parameters
    assert " ".join(sorted(entry.firmware)) == row.firmware
    assert entry.signer == row.signer


@pytest.mark.parametrize("row", STARTED, ids=lambda row: row.id)
def test_running_from_memory_and_keeping_changes(row: Row, seen: dict[str, Inspection]) -> None:
    recipe, found = recipe_of(row), seen[row.id]
    assert found.details.toram.value == ("always" if row.toram == "always" else "entry" if row.toram else "")
    if row.toram not in ("", "always"):
        main = entry_of(row, found)
        (added,) = (entry for entry in found.recognition.entries if entry.title.endswith("(run from memory)"))
        assert [word for word in added.parameters if word not in main.parameters] == row.toram.split()
        assert (added.kernel, added.initrds, added.firmware) == (main.kernel, main.initrds, main.firmware)
    store, *words = row.persistence.split() or [""]
    assert found.details.persistence.value == store
    if recipe.persistence is not None and (store or not recipe.persistence.where):
        name = [recipe.persistence.name] if recipe.persistence.name else []
        assert [*name, *recipe.persistence.add] == words


def image_of(row: Row, number: int, found: Inspection) -> ManifestImage:
    item = found.recognition
    return helpers.image(
        f"{number}.iso",
        row.id,
        recipe=item.recipe,
        family=item.family,
        version=item.version,
        architecture=item.architecture,
        volume_id=item.volume_id,
        iso_uuid=item.iso_uuid,
        entries=item.entries,
    )


def test_grub_accepts_the_menu_of_them_all_and_every_line_is_in_it(seen: dict[str, Inspection], tmp_path: Path) -> None:
    images = [image_of(row, number, seen[row.id]) for number, row in enumerate(STARTED)]
    text = menu.render(helpers.manifest(*images))
    path = tmp_path / "menu.cfg"
    path.write_text(text)
    done = subprocess.run(["grub-script-check", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for number, row in enumerate(STARTED):
        words = row.parameters
        for name, value in (("iso", f"/iso/{number}.iso"), ("data_uuid", helpers.UUID), ("volume_id", row.label)):
            words = words.replace(f"{{{name}}}", value)
        line = {
            "linux": " ".join(f"'{word}'" for word in (f"(loop){row.kernel}", *words.split())).replace("{blank}", " "),
            "linux16": f"'(loop){row.kernel}'",
            "memdisk": '"$prefix/memdisk" iso raw',
            "configfile": f"'(loop){row.kernel}'",
            "loopback-cfg": f"'(loop){row.kernel}'",
        }[row.method]
        command = {"memdisk": "linux16", "loopback-cfg": "configfile"}.get(row.method, row.method)
        own = [part for part in text.splitlines() if f"/iso/{number}.iso" in part]
        assert any(f"{command} {line};" in part for part in own), (command, line, own)
        if row.initrds:
            named = [
                f'"($data)/iso/{path.removeprefix(PLACE)}"' if path.startswith(PLACE) else f"'(loop){path}'"
                for path in row.initrds.split()
            ]
            assert any("initrd " + " ".join(named) in part for part in own)


def test_every_named_system_is_in_the_table() -> None:
    named = {(row.recipe, row.name) for row in ROWS}
    wanted = {(recipe.id, system.name) for recipe in packaged_recipes() for system in recipe.systems}
    assert wanted - named == set()
    assert {recipe.id for recipe in packaged_recipes()} - {row.recipe for row in ROWS} == {"windows-udf"}
    assert len({row.name for row in STARTED}) >= 60


def test_names_of_systems_are_fit_to_be_shown() -> None:
    for recipe in packaged_recipes():
        for name in (recipe.system, *(system.name for system in recipe.systems)):
            assert clean(name, 80) == name


def test_a_label_with_blanks_gives_way_to_the_uuid(tmp_path: Path) -> None:
    row = next(row for row in ROWS if row.name == "Fedora Workstation")
    spaced = Row(row.name, "41", "Fedora-WS Live 41", row.tree, row.recipe)
    found = look(spaced, tmp_path).recognition
    assert found.entries[0].parameters[0] == "root=live:UUID={iso_uuid}"
    assert re.fullmatch(r"\d{4}(-\d\d){6}", found.iso_uuid)


@pytest.mark.parametrize(
    ("name", "file", "line", "word"),
    [
        (
            "Fedora Workstation",
            "/EFI/BOOT/grub.cfg",
            "root=live:CDLABEL=Own-1 rd.live.image",
            "root=live:CDLABEL=Own-1",
        ),
        ("openSUSE Leap Live", "/boot/grub2/grub.cfg", "root=live:CDLABEL=Own-1 x", "root=live:CDLABEL=Own-1"),
        ("AlmaLinux", "/isolinux/isolinux.cfg", "inst.stage2=hd:LABEL=Own-1 quiet", "inst.stage2=hd:LABEL=Own-1"),
        ("AlmaLinux", "/EFI/BOOT/grub.cfg", "inst.stage2=hd:LABEL=Own\\x201", "inst.stage2=hd:LABEL={volume_id}"),
        ("Calculate Linux", "/boot/grub/grub.cfg", "root=live:LABEL=Own-1 init=/linuxrc", "root=live:LABEL=Own-1"),
    ],
)
def test_the_label_that_the_images_own_menu_names_comes_first(name: str, file: str, line: str, word: str) -> None:
    row = next(row for row in ROWS if row.name == name)
    found = match(DictTree({**row.tree, file: f"linux /x {line}\n"}, row.label), packaged_recipes())
    assert found is not None
    assert word in found.entries[0].parameters


def test_the_document_lists_what_there_is() -> None:
    text = docs_recipes.DOCUMENT.read_text("utf-8")
    assert docs_recipes.BEGIN in text
    assert text == docs_recipes.rewritten(text), "run python -m tests.images.docs_recipes"
