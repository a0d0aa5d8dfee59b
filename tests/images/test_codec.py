from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luxusbd.errors import FailedError
from luxusbd.images.codec import (
    boot_entry_from_json,
    boot_entry_to_json,
    recognition_from_json,
    recognition_to_json,
)
from luxusbd.images.match import match
from luxusbd.images.model import BootEntry, BootMethod, Firmware, Recognition
from luxusbd.images.recipes import packaged_recipes
from tests.images.test_recipes import TREES

ENTRY = BootEntry(
    "Debian",
    BootMethod.LINUX,
    frozenset({Firmware.BIOS, Firmware.UEFI, Firmware.UEFI_IA32}),
    "/live/vmlinuz",
    ("/live/initrd",),
    ("a={iso}",),
)
RECOGNITION = Recognition(
    size=123,
    volume_id="d-live 12",
    iso_uuid="2024-10-24-13-58-33-00",
    recipe="live-boot",
    family="debian-live",
    system="Debian GNU/Linux",
    version="12.5.0",
    architecture="amd64",
    entries=(ENTRY,),
    filesystems=frozenset({"ext4", "fat32"}),
    firmware=frozenset({Firmware.BIOS, Firmware.UEFI, Firmware.UEFI_IA32}),
)


def test_round_trip() -> None:
    assert recognition_from_json(json.loads(json.dumps(recognition_to_json(RECOGNITION)))) == RECOGNITION
    assert boot_entry_from_json(boot_entry_to_json(ENTRY)) == ENTRY


@pytest.mark.parametrize(
    ("architecture", "now"),
    [
        ("amd64", {Firmware.BIOS, Firmware.UEFI, Firmware.UEFI_IA32}),
        ("arm64", {Firmware.BIOS, Firmware.UEFI_ARM64}),
        ("i386", {Firmware.BIOS, Firmware.UEFI}),
    ],
)
def test_what_was_stored_when_there_was_one_kind_of_uefi(architecture: str, now: set[Firmware]) -> None:
    entry = replace(ENTRY, firmware=frozenset({Firmware.BIOS, Firmware.UEFI}))
    old = recognition_to_json(replace(RECOGNITION, architecture=architecture, entries=(entry,)))
    assert recognition_from_json(old).firmware == now


@pytest.mark.parametrize("name", sorted(TREES))
def test_what_recipes_produce_is_accepted(name: str) -> None:
    found = match(TREES[name], packaged_recipes())
    assert found is not None
    for entry in found.entries:
        assert boot_entry_from_json(boot_entry_to_json(entry)) == entry


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("size",), -1),
        (("size",), True),
        (("size",), 2**64),
        (("size",), "1"),
        (("iso_uuid",), "2024"),
        (("recipe",), "../x"),
        (("architecture",), "vax"),
        (("system",), "x" * 1000),
        (("reason",), None),
        (("filesystems",), ["EXT4"]),
        (("entries",), {}),
        (("entries",), [1] * 1000),
        (("entries", 0, "kernel"), "/a b"),
        (("entries", 0, "kernel"), "relative"),
        (("entries", 0, "kernel"), "/a/../../etc"),
        (("entries", 0, "kernel"), "/a\n"),
        (("entries", 0, "kernel"), "/" + "x" * 2000),
        (("entries", 0, "initrds"), ["/x"] * 100),
        (("entries", 0, "parameters"), ["two words"]),
        (("entries", 0, "parameters"), ["x\n"]),
        (("entries", 0, "parameters"), ["é"]),
        (("entries", 0, "method"), "shell"),
        (("entries", 0, "firmware"), []),
        (("entries", 0, "firmware"), ["coreboot"]),
    ],
)
def test_anything_else_is_refused(path: tuple[str | int, ...], value: object) -> None:
    data = copy.deepcopy(recognition_to_json(RECOGNITION))
    target: Any = data
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    with pytest.raises(FailedError, match=r"\$\." + str(path[0])):
        recognition_from_json(data)


def test_unknown_and_missing_keys_are_refused() -> None:
    data = recognition_to_json(RECOGNITION)
    with pytest.raises(FailedError, match="exactly"):
        recognition_from_json({**data, "extra": 1})
    data.pop("size")
    with pytest.raises(FailedError, match="exactly"):
        recognition_from_json(data)


def test_texts_lose_control_characters() -> None:
    data = recognition_to_json(RECOGNITION)
    data["system"] = "De\x1b[2Jbian\u202e\n\x00 12"
    assert recognition_from_json(data).system == "De[2Jbian 12"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(key=st.sampled_from(sorted(recognition_to_json(RECOGNITION))), value=json_values)
def test_arbitrary_values_are_read_or_refused(key: str, value: object) -> None:
    try:
        found = recognition_from_json({**recognition_to_json(RECOGNITION), key: value})
    except FailedError as error:
        refusal = error.message
    else:
        refusal = ""
        assert recognition_from_json(recognition_to_json(found)) == found
    assert refusal == "" or refusal.isprintable()
