"""Groups, languages and the memory of the boot menu."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from pathlib import Path

import pytest

from luxusbd.images import derive, match
from luxusbd.images.model import BootEntry, BootMethod, Firmware
from luxusbd.images.recipes import packaged_recipes
from luxusbd.stick import condition, menu, menugroups, menutexts, menutitles, menutools, sums, theme
from luxusbd.stick.model import Manifest, ManifestImage, MenuStyle, StickOptions, Theme
from tests.stick import grubemu, helpers
from tests.stick.test_menu import script_check

LANGUAGES = [language for language in menutexts.LANGUAGES if language != menutexts.ENGLISH]


def images(*families: str, entries: tuple[BootEntry, ...] = ()) -> list[ManifestImage]:
    return [
        dataclasses.replace(
            helpers.image(f"i{number}.iso", f"{family} {number}", entries=entries or (helpers.entry(),)),
            family=family,
            sha256=f"{number:064x}"[::-1],
        )
        for number, family in enumerate(families)
    ]


def styled(*those: ManifestImage, look: Theme = Theme.LUXUSB, remember: bool = True, language: str = "en") -> Manifest:
    return helpers.manifest(*those, options=StickOptions(menu=MenuStyle(look, remember, language)))


def test_many_images_are_grouped_and_few_are_not() -> None:
    few = images(*["casper"] * 8)
    assert [group.name for group in menugroups.grouped(few)] == [""] * 8
    many = images("casper", "arch", "casper", *["debian-live"] * 4, "new-one", "memtest86plus", "ipxe")
    groups = menugroups.grouped(many)
    assert [(group.name, len(group.images)) for group in groups] == [
        ("Ubuntu", 2),
        ("", 1),
        ("Debian", 4),
        ("", 1),
        ("Rescue and tests", 2),
    ]
    text = menu.render(helpers.manifest(*many))
    script_check(text)
    first = f"group-ubuntu>image-{many[0].sha256[:16]}"
    assert f"set default='{first}'" in text
    # one guarded line for each group
    assert len([line for line in text.splitlines() if line.startswith('if [ "$lux_pass" = menu ]')]) == 8


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_catalogue_has_every_text_and_no_other(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = set()
    known = menutexts.catalogue(language)

    class Recording(dict[str, str]):
        def get(self, key: str, default: str = "") -> str:  # type: ignore[override]
            asked.add(key)
            return super().get(key, default)

    monkeypatch.setattr(menutexts, "catalogue", lambda _language: Recording(known))
    every = tuple(
        helpers.entry(
            method.value, method=method, firmware=frozenset({firmware}), initrds=("/i",) if firmware == "bios" else ()
        )
        for method in BootMethod
        for firmware in (Firmware.BIOS, Firmware.UEFI)
    )
    only_bios = helpers.entry(firmware=frozenset({Firmware.BIOS}))
    many = images(*["casper"] * 6, "new", "newer", "ipxe", "memtest86plus", entries=every)
    many += images("casper", entries=(only_bios,))
    many[0] = dataclasses.replace(many[0], source="custom:x")
    ways = tuple(helpers.entry(f"System ({way})", firmware=frozenset({Firmware.BIOS})) for way in menutitles.WAYS)
    many += images("arch", entries=ways)
    for those in (many, []):
        shown = menu.render(dataclasses.replace(styled(*those, language=language), shim="debian"))
        script_check(shown)
    arm = dataclasses.replace(
        styled(*many, language=language), firmware=frozenset({Firmware.BIOS, Firmware.UEFI_ARM64})
    )
    script_check(menu.render(arm))
    menu.stub(helpers.UUID, language=language, modules=["exfat"])
    theme.text(menutexts.Texts(language))
    assert set(known) == asked


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_are_plain_where_there_are_no_umlauts(language: str, tmp_path: Path) -> None:
    text = menu.render(styled(language=language))
    script_check(text)
    assert menu.stub(helpers.UUID, language=language).isascii()
    (tmp_path / "menu").write_text(text)
    shown = grubemu.run(tmp_path, f"lux_pass=menu\nsource (host){tmp_path}/menu\nset timeout=-1\n", "Werkzeuge")
    assert "Abbilder" in shown


def test_an_unknown_language_is_english() -> None:
    assert "'Tools'" in menu.render(styled(language="xx"))


def test_what_was_started_last_is_the_default(tmp_path: Path) -> None:
    """Where it is still there; other variables that someone has put into the file stay out."""
    start, other = images("arch", "casper", entries=(helpers.entry("A"), helpers.entry("B")))
    known = f"image-{other.sha256[:16]}>image-{other.sha256[:16]}-1"
    text = menu.render(styled(start, other))
    assert 'save_env -f "$prefix/grubenv" lux_last' in text
    (tmp_path / "menu").write_text(text)
    for last, wanted in ((known, known), ("image-gone", f"image-{start.sha256[:16]}>")):
        block = f"# GRUB Environment Block\nlux_last={last}\ntimeout=29\n"
        (tmp_path / "grubenv").write_text(block.ljust(1024, "#"))
        config = f"prefix=(host){tmp_path}\ngrub_platform=efi\nlux_pass=menu\nsource (host){tmp_path}/menu\n"
        shown = grubemu.run(tmp_path, config + 'echo "<$default:$timeout>"\necho done\nreboot\n', "done")
        found = re.search(r"<([^:]*):(\d+)>", shown.replace("\n", ""))
        assert found is not None
        assert found.group(1).startswith(wanted)
        assert found.group(2) == "10"


def test_nothing_is_remembered_unless_wanted() -> None:
    text = menu.render(styled(*images("arch"), remember=False))
    assert "grubenv" not in text
    assert "lux_last" not in text


def test_the_theme_is_for_graphics_only() -> None:
    assert "set theme=" in menu.render(styled())
    assert "set theme=" not in menu.render(styled(look=Theme.NONE))
    assert "set theme=" not in menu.render(helpers.manifest(options=StickOptions(serial_console=True)))


@pytest.mark.parametrize(
    "style", [MenuStyle(), MenuStyle(Theme.NONE, remember=False), MenuStyle(language="de"), MenuStyle(language="en")]
)
def test_a_style_is_read_back_from_its_menu(style: MenuStyle) -> None:
    assert condition.style_of(menu.render(helpers.manifest(options=StickOptions(menu=style)))) == style
    assert condition.style_of("") == MenuStyle()
    assert condition.style_of("set timeout=3;") == MenuStyle()


def test_grub_says_whether_an_image_is_whole(tmp_path: Path) -> None:
    """With GRUB's own `hashsum`, on the lines of the entry."""
    (tmp_path / "iso").mkdir()
    (tmp_path / "luxusb").mkdir()
    whole, broken, older = (
        dataclasses.replace(helpers.image(f"{name}.iso", name), sha256=hashlib.sha256(name.encode()).hexdigest())
        for name in ("whole", "broken", "older")
    )
    for image in (whole, broken, older):
        (tmp_path / "iso" / image.name).write_text(image.title)
    for path, data in sums.missing((whole, broken), ()).items():
        (tmp_path / path.lstrip("/")).write_bytes(data)
    (tmp_path / "iso" / broken.name).write_text("brokeN")
    said = {}
    for image in (whole, broken, older):
        made = "\n".join(menutools.tools(menutexts.Texts().word, [image]))
        (entry,) = re.findall(r"menuentry '\w+' --class disc \{\n(.*?)\n\s*echo 'Press Esc", made, re.DOTALL)
        config = entry.replace("($data)", f"(host){tmp_path}") + "\necho done\nreboot\n"
        said[image.title] = grubemu.run(tmp_path, config, "done")
    assert "OK: the image is whole." in said["whole"]
    assert "DAMAGED" not in said["whole"]
    assert "DAMAGED: the image is not what it should be." in said["broken"]
    assert "OK" not in said["broken"].partition("DAMAGED")[2]
    assert said["older"].count(older.sha256) == 2
    assert "When the two differ" in said["older"]


def test_a_list_is_written_once_and_goes_with_its_image() -> None:
    one, two = helpers.image("one.iso"), helpers.image("two.iso")
    lists = sums.missing((one, two), ("menu-a.cfg", "stick.json"))
    assert lists[sums.sums_path(one)] == f"{one.sha256}  one.iso\n".encode()
    names = [path.rpartition("/")[2] for path in lists]
    assert not sums.missing((one, two), names)
    assert sums.stale((one,), [*names, "menu-a.cfg", "sum-of-somebody"]) == (sums.sums_path(two),)
    # another name for the same bytes is another list
    assert sums.sums_path(dataclasses.replace(one, name="three.iso")) != sums.sums_path(one)


def test_where_grub_cannot_compare_it_says_why() -> None:
    text = menu.render(helpers.manifest(helpers.image()))
    script_check(text)
    check = text[text.index('if [ "$lux_can_hash" = y ]') :]
    assert "Under Secure Boot GRUB computes no hashes" in check.partition('elif [ "$lockdown" = y ]; then')[2]
    signed, own = menu.stub(helpers.UUID), menu.stub(helpers.UUID, hashes=True)
    assert ("set lux_can_hash=\n" in signed, "set lux_can_hash=y\n" in own) == (True, True)
    assert '"$lockdown" != y -a -e "$prefix/$grub_cpu-$grub_platform/hashsum.mod"' in signed


def test_what_recipes_say_of_a_way_is_translated_and_names_are_not() -> None:
    german = menutexts.Texts("de")
    assert menutitles.title_word("Debian (safe graphics)", "x", german) == "'Debian (''sichere Grafik'')'"
    assert menutitles.title_word("It's (its own menu)", "x", german) == "'It'\\''s (''eigenes Men'\"${lux_ue}\"')'"
    assert menutitles.title_word("direct", "x", german) == "'direct'"
    assert menutitles.title_word("", "fallback", german) == "'fallback'"
    english = menutitles.title_word("Debian (safe graphics)", "x", menutexts.Texts())
    assert english.replace("''", "") == "'Debian (safe graphics)'"


def test_the_ways_are_those_of_the_packaged_recipes() -> None:
    recipes = packaged_recipes()
    used = {variant.title for recipe in recipes for variant in recipe.variants}
    used |= {extra.title for recipe in recipes for extra in recipe.extras}
    used |= {recipe.toram.title for recipe in recipes if recipe.toram is not None}
    assert (used - {""}) | {match.KEEPS, derive.TITLE, f"safe graphics, {derive.TITLE}"} == set(menutitles.WAYS)
