from __future__ import annotations

import dataclasses
import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luxusbd.errors import InternalError
from luxusbd.images.model import BootEntry, BootMethod, Firmware
from luxusbd.stick import condition, menu, reader
from luxusbd.stick.filesystem import Kind
from luxusbd.stick.menutexts import LANGUAGES
from luxusbd.stick.model import Manifest, ManifestImage, MenuStyle, PartitionRole, StickOptions, Theme
from tests.stick import grubemu, helpers

NASTY = st.one_of(
    st.text(st.characters(), max_size=40),
    st.text(st.sampled_from("'\"\\$`(){}[];&|<>#\n\r\t\0 -=*?!~%{iso}"), max_size=30),
    st.sampled_from(
        [
            "'; reboot; '",
            "\\'; reboot; '",
            "$(reboot)",
            "`reboot`",
            "' {\n reboot\n}\nmenuentry '",
            "{iso} {data_uuid} {iso_uuid} {volume_id} {blank}",
            "--unrestricted",
            "-",
            "\u202etxt.exe",
        ]
    ),
)
ENTRIES = st.builds(
    BootEntry,
    title=NASTY,
    method=st.sampled_from(BootMethod),
    firmware=st.frozensets(st.sampled_from(Firmware)),
    kernel=NASTY,
    initrds=st.lists(NASTY, max_size=2).map(tuple),
    parameters=st.lists(NASTY, max_size=3).map(tuple),
    signer=st.sampled_from(["", "debian", "ubuntu"]),
)
IMAGES = st.builds(
    helpers.image,
    name=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,30}", fullmatch=True),
    title=NASTY,
    volume_id=NASTY,
    iso_uuid=NASTY,
    version=NASTY,
    entries=st.lists(ENTRIES, max_size=3, unique_by=lambda item: (item.method, item.firmware)).map(tuple),
)
MANIFESTS = st.builds(
    lambda images, timeout, serial, shim, style: dataclasses.replace(
        helpers.manifest(*images, options=StickOptions(timeout=timeout, serial_console=serial, menu=style)), shim=shim
    ),
    st.lists(IMAGES, max_size=3),
    st.integers(0, 30),
    st.booleans(),
    st.sampled_from(["", "debian"]),
    st.builds(MenuStyle, st.sampled_from(Theme), st.booleans(), st.sampled_from(LANGUAGES)),
)


def skeleton(script: str) -> str:
    """The script with every literal word piece (single quotes and escaped quotes) replaced by Q."""
    out: list[str] = []
    at = 0
    while at < len(script):
        char = script[at]
        if char == "'":
            at = script.index("'", at + 1) + 1
            out.append("Q")
        elif char == '"':
            end = script.index('"', at + 1) + 1
            out.append(script[at:end])
            at = end
        elif char == "\\":
            out.append("Q")
            at += 2
        else:
            out.append(char)
            at += 1
    return re.sub("--class (letter-[a-z]|disc)", "ICON", re.sub("Q+", "Q", "".join(out)))


def harmless(manifest: Manifest) -> Manifest:
    def tame(entry: BootEntry) -> BootEntry:
        return dataclasses.replace(
            entry,
            title="t",
            kernel="/k",
            initrds=("/i",) * len(entry.initrds),
            parameters=("p",) * len(entry.parameters),
        )

    return dataclasses.replace(
        manifest,
        images=tuple(
            dataclasses.replace(
                image, title="t", volume_id="v", iso_uuid="u", version="1", entries=tuple(map(tame, image.entries))
            )
            for image in manifest.images
        ),
    )


def script_check(text: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".cfg", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        done = subprocess.run(["grub-script-check", file.name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + text


@given(MANIFESTS)
def test_no_text_changes_what_the_menu_does(manifest: Manifest) -> None:
    text = menu.render(manifest)
    assert skeleton(text) == skeleton(menu.render(harmless(manifest)))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text)


@settings(max_examples=60)
@given(MANIFESTS)
def test_grub_accepts_every_menu(manifest: Manifest) -> None:
    script_check(menu.render(manifest))


@given(MANIFESTS)
def test_titles_are_short_and_no_options(manifest: Manifest) -> None:
    text = re.sub(r'"\$\{lux_[a-z_]+\}"', "", menu.render(manifest))
    for match in re.finditer(r"(?:then|\{|;) (?:menuentry|submenu) ((?:'[^']*'|\\')+)", text):
        title = match.group(1).replace("'\\''", "\0").replace("'", "").replace("\0", "'")
        assert 1 <= len(title) <= 80
        assert not title.startswith("-")


@given(MANIFESTS)
def test_a_menu_is_complete_only_as_a_whole(manifest: Manifest) -> None:
    data = menu.render(manifest).encode()
    assert menu.generation_of(data) == manifest.generation
    for cut in range(0, len(data), max(1, len(data) // 50)):
        assert menu.generation_of(data[:cut]) is None
        assert menu.generation_of(data[:cut] + bytes(len(data) - cut)) is None


def test_other_bytes_are_no_menu() -> None:
    for data in (None, b"", b"\0" * 10, b"lux_gen=0\nelse\n  lux_end=0\nfi\n", b"lux_gen=1\nelse\n  lux_end=2\nfi\n"):
        assert menu.generation_of(data) is None


def test_the_stub_is_accepted() -> None:
    script_check(menu.stub(helpers.UUID))
    script_check(menu.stub(helpers.UUID, serial_console=True))
    with pytest.raises(InternalError):
        menu.stub("$(reboot)")
    with pytest.raises(InternalError):
        menu.render(helpers.manifest(helpers.image("a b.iso")))


def _one(image: ManifestImage) -> str:
    return menu.render(helpers.manifest(image))


def test_one_entry_is_a_direct_entry_with_everything_filled_in() -> None:
    text = _one(
        helpers.image(
            "debian.iso",
            "Debian's",
            volume_id="{iso}",
            entries=(
                helpers.entry(
                    initrds=("/ucode.img", "/initrd.img"),
                    parameters=(
                        "findiso={iso}",
                        "u={data_uuid}",
                        "i={iso_uuid}",
                        "v={volume_id}",
                        "{other}",
                        "b=[{blank}]",
                    ),
                ),
            ),
        )
    )
    assert "submenu 'Debian" not in text
    assert "menuentry 'Debian'\\''s' --class letter-d --id 'image-" in text
    assert (
        f"'findiso=/iso/debian.iso' 'u={helpers.UUID}' 'i=2024-10-24-13-58-33-00' 'v={{iso}}' '{{other}}' 'b=[ ]'"
        in text
    )
    assert "if initrd '(loop)/ucode.img' '(loop)/initrd.img'; then" in text
    assert 'if [ -e "($data)/iso/debian.iso" ]; then' in text
    assert text.index("loopback -d loop") < text.index("loopback loop")
    assert text.index("rmmod tpm") < text.index("loopback loop")


def test_entries_are_shown_only_on_their_platform() -> None:
    bios = helpers.entry("B", method=BootMethod.LINUX16, firmware=frozenset({Firmware.BIOS}), kernel="/b")
    uefi = helpers.entry("E", method=BootMethod.EFI, firmware=frozenset({Firmware.UEFI_SECURE_BOOT}), kernel="/e")
    text = _one(helpers.image(entries=(bios, uefi)))
    first, second = text.split("linux16 '(loop)/b'")
    assert first.rindex('"$grub_platform" = pc') > first.rindex('"$grub_platform" = efi')
    assert "chainloader '(loop)/e'" in second
    assert second.index('"$grub_platform" = efi') < second.index("chainloader")


def test_the_default_is_the_first_image_that_starts_here() -> None:
    bios = helpers.image("b.iso", entries=(helpers.entry(firmware=frozenset({Firmware.BIOS})),))
    both = helpers.image("c.iso", entries=(helpers.entry("x"), helpers.entry("y")))
    text = menu.render(helpers.manifest(bios, both, options=StickOptions(timeout=7)))
    assert f"if [ \"$grub_platform\" = pc ]; then set default='image-{bios.sha256[:16]}'; fi" in text
    there = f"image-{both.sha256[:16]}"
    assert f"if [ \"$grub_platform\" = efi ]; then set default='{there}>{there}-0'; fi" in text
    assert "; set timeout=7; " in text
    assert "then set timeout_style=menu; " in text


def test_where_nothing_starts_the_menu_waits() -> None:
    bios = helpers.image("b.iso", entries=(helpers.entry(firmware=frozenset({Firmware.BIOS})),))
    text = menu.render(helpers.manifest(bios, options=StickOptions(timeout=7)))
    assert 'if [ "$grub_platform" = efi ]; then set timeout=-1; fi' in text
    assert 'if [ "$grub_platform" = pc ]; then set timeout=-1; fi' not in text
    assert text.index("set timeout=7;") < text.index("set timeout=-1;")
    assert condition.options_of(_look(text)).timeout == 7, "what a repair reads from it"
    for image in ((), (helpers.image("n.iso", entries=()),)):
        empty = menu.render(helpers.manifest(*image))
        assert empty.count("set timeout=-1;") == 2
        script_check(empty)


def _look(text: str) -> condition.Condition:
    menus = reader.Menus(1, None)
    return condition.Condition(None, "", None, Kind.EXT4, helpers.UUID, "", True, (), False, menus, False, False, text)


def test_the_loopback_contract() -> None:
    text = _one(helpers.image("x.iso", entries=(helpers.entry(method=BootMethod.LOOPBACK_CFG, kernel="/l.cfg"),)))
    for line in (
        "set iso_path='/iso/x.iso'",
        "set isofile='/iso/x.iso'",
        f"set rootuuid='{helpers.UUID}'",
        "export iso_path isofile rootuuid loopback",
        "set root=(loop)",
        "configfile '(loop)/l.cfg'",
    ):
        assert line in text


def test_the_serial_console_is_an_option() -> None:
    assert "serial --unit=0 --speed=115200" in menu.render(helpers.manifest(options=StickOptions(serial_console=True)))
    assert "serial" not in menu.render(helpers.manifest())


def test_grub_takes_the_newer_complete_menu(tmp_path: Path) -> None:
    """The real GRUB chooses among menus that are whole, cut at every tenth byte, empty, absent or full of zeros."""
    old = menu.render(helpers.manifest(helpers.image("old.iso"), generation=9))
    new = menu.render(helpers.manifest(helpers.image("new.iso", "It's $(new) {"), generation=10))
    (tmp_path / "old").write_text(old)
    (tmp_path / "new").write_text(new)
    pairs: list[tuple[str, str, int]] = [("old", "new", 10), ("new", "old", 10), ("old", "absent", 9)]
    data = new.encode()
    # without its last newline the menu is whole for GRUB as well
    damaged = [data[:cut] for cut in (*range(0, len(data) - 12, 10), *range(len(data) - 12, len(data) - 1))]
    damaged += [
        bytes(len(data)),
        data[:512] + bytes(512) + data[1024:],
        bytes(512) + data[512:],
        data[:-512] + bytes(512),
    ]
    for number, content in enumerate(damaged):
        (tmp_path / f"d{number}").write_bytes(content)
        pairs.append(("old", f"d{number}", 9) if number % 2 else (f"d{number}", "old", 9))
    pairs += [("d0", "absent", 0), ("d5", "d6", 0)]
    lines: list[str] = []
    for number, (first, second, _generation) in enumerate(pairs):
        lines += menu.chooser(f"(host){tmp_path}/{first}", f"(host){tmp_path}/{second}")
        lines.append(f'echo "<{number}:$lux_best:$lux_pick>"')
    shown = grubemu.run(tmp_path, "\n".join([*lines, "echo all-done", "reboot", ""]), "all-done")
    found = re.findall(r"<(\d+):(\d+):([^>]*)>", shown.replace("\n", ""))
    assert len(found) == len(pairs)
    for (first, second, generation), (_number, best, pick) in zip(pairs, found, strict=True):
        assert int(best) == generation, (first, second)
        wanted = {9: "old", 10: "new"}.get(generation)
        assert pick == (f"(host){tmp_path}/{wanted}" if wanted else "")


def test_without_any_menu_grub_explains(tmp_path: Path) -> None:
    shown = grubemu.run(tmp_path, menu.stub(helpers.UUID), "Tools")
    assert "No complete boot menu on this stick" in shown
    assert "grub>" not in shown


def test_grub_shows_the_titles_and_runs_nothing_in_them(tmp_path: Path) -> None:
    (tmp_path / "iso").mkdir()
    titles = ["It's; $(echo) `x` {", '"double" \\ back', "'; echo PWNED; '"]
    images = []
    for number, title in enumerate(titles):
        (tmp_path / "iso" / f"{number}.iso").write_bytes(b"x")
        images.append(helpers.image(f"{number}.iso", title))
    text = menu.render(helpers.manifest(*images))
    (tmp_path / "menu").write_text(text)
    config = f"data=host\nset lux_pass=menu\nsource (host){tmp_path}/menu\nset timeout=-1\n"
    # (host) has no directory of its own: let the guards look where the files are
    (tmp_path / "menu").write_text(text.replace('"($data)/iso/', f'"($data){tmp_path}/iso/'))
    shown = grubemu.run(tmp_path, config, "Tools")
    for title in titles:
        assert title in shown
    assert "PWNED" not in shown.replace("'; echo PWNED; '", "")


def test_an_image_on_the_companion_is_looked_for_there() -> None:
    beside = helpers.image(
        "beside.iso",
        partition=PartitionRole.COMPANION,
        entries=(helpers.entry(parameters=("findiso={iso}", "img_dev={data_uuid}")),),
    )
    uuid = "22222222-2222-3333-4444-555555555555"
    manifest = dataclasses.replace(
        helpers.manifest(helpers.image("here.iso"), beside), data_uuid="1A2B-3C4D", companion_uuid=uuid
    )
    text = menu.render(manifest)
    assert f"search --no-floppy --set=companion --fs-uuid {uuid}; export companion" in text
    assert '[ -e "($companion)/iso/beside.iso" ]' in text
    assert 'loopback loop "($companion)/iso/beside.iso"' in text
    assert f"'img_dev={uuid}'" in text
    assert '[ -e "($data)/iso/here.iso" ]' in text
    assert menu.generation_of(text.encode()) == manifest.generation
    script_check(text)
    assert "1A2B-3C4D" in menu.stub(manifest.data_uuid)
    with pytest.raises(InternalError):
        menu.render(dataclasses.replace(manifest, companion_uuid="'; reboot"))


def test_memdisk_takes_the_whole_image_and_says_when_it_is_not_there() -> None:
    entry = helpers.entry("D", method=BootMethod.MEMDISK, firmware=frozenset({Firmware.BIOS}), kernel="/x", initrds=())
    text = _one(helpers.image("dos.iso", "DOS", entries=(entry,)))
    assert 'if linux16 "$prefix/memdisk" iso raw; then if initrd16 "($data)/iso/dos.iso"; then true;' in text
    assert "This stick has no memdisk: install syslinux-common" in text
    script_check(text)


def secure(signer: str, title: str = "Start") -> BootEntry:
    return helpers.entry(title, firmware=frozenset(Firmware), signer=signer)


def shown_under(text: str, directory: Path, *, lockdown: bool) -> str:
    """What GRUB shows of a menu, as if it were in lockdown or not."""
    (directory / "iso").mkdir(exist_ok=True)
    for name in re.findall(r"/iso/([a-z]+\.iso)", text):
        (directory / "iso" / name).write_bytes(b"x")
    (directory / "menu").write_text(text.replace('"($data)/iso/', f'"($data){directory}/iso/'))
    config = f"data=host\nset lux_pass=menu\nlockdown={'y' if lockdown else ''}\nexport lockdown\n"
    config += f"grub_platform=efi\nsource (host){directory}/menu\nset timeout=-1\n"
    return grubemu.run(directory, config, "Tools")


def test_entries_whose_key_the_shim_does_not_have_are_marked_in_lockdown(tmp_path: Path) -> None:
    mixed = (secure("debian", title="Trusted"), secure("ubuntu", title="Foreign"))
    own = helpers.entry(method=BootMethod.LOOPBACK_CFG, kernel="/boot/grub/loopback.cfg")
    images = (
        helpers.image("foreign.iso", "Foreign image", entries=(secure("ubuntu"),)),
        helpers.image("unsigned.iso", "Unsigned image", entries=(helpers.entry(),)),
        helpers.image("menu.iso", "Own image", entries=(own,)),
        helpers.image("mixed.iso", "Mixed image", entries=mixed),
    )
    text = menu.render(dataclasses.replace(helpers.manifest(*images), shim="debian"))
    script_check(text)
    mark = "(not with Secure Boot) "
    locked = shown_under(text, tmp_path, lockdown=True)
    assert [title in locked for title in (f"{mark}Foreign image", f"{mark}Unsigned image")] == [True, True]
    assert "Own image" in locked
    assert f"{mark}Own" not in locked
    assert f"{mark}Mixed" not in locked
    assert re.search(r"\*\s*Mixed image", locked)
    free = shown_under(text, tmp_path, lockdown=False)
    assert mark not in free
    assert re.search(r"\*\s*Foreign image", free)


def test_an_unsigned_stick_has_no_word_of_secure_boot() -> None:
    text = menu.render(helpers.manifest(helpers.image(entries=(secure("debian"),))))
    assert "lux_untrusted" not in text
    assert "set default" in text
    assert 'if [ "$lockdown" = y ]; then set default' not in text


def test_the_first_trusted_entry_is_the_default_in_lockdown() -> None:
    image = helpers.image(entries=(secure("ubuntu"), secure("debian")))
    text = menu.render(dataclasses.replace(helpers.manifest(image), shim="debian"))
    name = f"image-{image.sha256[:16]}"
    assert f"""if [ "$grub_platform" = efi -a "$lockdown" = y ]; then set default='{name}>{name}-1'; fi""" in text


def test_fonts_and_keys_under_secure_boot() -> None:
    text = menu.render(helpers.manifest())
    assert "(memdisk)/fonts/unicode.pf2" in text
    assert 'chainloader "$cmdpath/mmx64.efi"' in text
    assert 'chainloader "$cmdpath/mmx64.efi"' in menu.stub(helpers.UUID)


def test_a_signed_grub_loads_what_it_lacks_where_nothing_forbids_it() -> None:
    plain, exfat = menu.stub(helpers.UUID), menu.stub("1A2B-3C4D", modules=("exfat",))
    assert "exfat" not in plain
    assert 'if [ "$lockdown" != y ]; then insmod exfat; fi' in exfat
    assert exfat.index("insmod exfat") < exfat.index("search ")
    assert "Switch Secure Boot off" in exfat
    script_check(exfat)


def test_machines_are_told_apart_where_the_stick_serves_more_than_pcs() -> None:
    wide = helpers.entry(firmware=frozenset({Firmware.BIOS, Firmware.UEFI, Firmware.UEFI_IA32}))
    narrow = helpers.entry(firmware=frozenset({Firmware.BIOS, Firmware.UEFI_IA32}))
    arm = helpers.entry(firmware=frozenset({Firmware.UEFI_ARM64}))
    images = [
        helpers.image(f"{name}.iso", name, entries=(one,)) for name, one in zip("wna", (wide, narrow, arm), strict=True)
    ]
    plain = helpers.manifest(*images)
    assert "lux_machine" not in menu.render(plain)
    assert "cpuid" not in menu.render(plain)
    text = menu.render(dataclasses.replace(plain, firmware=frozenset(Firmware)))
    script_check(text)
    assert "cpuid -l" in text
    firsts = dict(
        re.findall(r'if \[ "\$(?:lux_machine|grub_platform)" = ([a-z0-9_-]+) \]; then set default=\'([^\']+)\'', text)
    )
    w, n, a = (f"image-{image.sha256[:16]}" for image in images)
    assert firsts == {"pc": w, "efi-x86_64": w, "efi-i386-wide": w, "efi-i386": n, "efi-arm64": a}
    assert "another kind of processor" in text
