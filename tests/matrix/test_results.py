"""What is written down of the matrix is whole, true to its schema, and what the recipes promise."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from luxusbd import resources
from luxusbd.images.model import Firmware
from luxusbd.images.recipes import Recipe, packaged_recipes
from tests.matrix import apart
from tests.matrix.cases import WITHOUT_SECURE_BOOT, Refuser, Result, Row, expected, rows
from tests.matrix.results import PAGE, Record, load, merge, render, save

ROWS = {row.key: row for row in (*rows(), *apart.rows())}
RECORDS = load()
RECIPES = {recipe.id: recipe for recipe in packaged_recipes()}


def name(key: tuple[str, ...]) -> str:
    return "-".join(part for part in key if part)


def record(row: Row, **changes: object) -> Record:
    values: dict[str, object] = {
        "image": row.system.image,
        "entry": row.system.entry,
        "sha256": "0" * 64,
        "recipe": row.system.recipe,
        "firmware": row.firmware.value,
        "filesystem": row.filesystem.name,
        "date": "2026-01-02",
        "seconds": 7,
        "result": row.expected.result.value,
        "evidence": "a line",
    }
    return Record(**{**values, **changes})  # type: ignore[arg-type]


def test_the_results_follow_their_schema() -> None:
    schema = json.loads(resources.data("schemas", "boot-results.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    validator.validate([asdict(one) for one in RECORDS])
    assert not validator.is_valid([asdict(replace(RECORDS[0], result="perhaps"))])
    assert not validator.is_valid([asdict(replace(RECORDS[0], evidence=""))])


def test_every_row_of_the_matrix_was_run_and_no_other() -> None:
    assert [one.key for one in RECORDS] == list(ROWS)


@pytest.mark.parametrize("seen", RECORDS, ids=lambda seen: name(seen.key))
def test_a_row_ended_as_expected(seen: Record) -> None:
    row = ROWS[seen.key]
    assert seen.result == row.expected.result, seen.evidence
    assert re.search(row.expected.sign, seen.evidence), seen.evidence
    assert seen.recipe == row.system.recipe


def claims(recipe: Recipe, row: Row) -> bool:
    """Whether the recipe says that the row's entry starts, were the stick itself to start."""
    if recipe.filesystems and not row.filesystem.holds & recipe.filesystems:
        return False
    # recipes know one UEFI, and which ones that means, kernel and program say
    how = row.firmware if row.firmware is Firmware.BIOS else Firmware.UEFI
    return any(variant.title == row.system.entry and how in variant.firmware for variant in recipe.variants)


@pytest.mark.parametrize("key", [row.key for row in rows()], ids=name)
def test_the_matrix_and_the_recipes_agree(key: tuple[str, str, str, str]) -> None:
    row = ROWS[key]
    recipe = RECIPES[row.system.recipe]
    if row.expected.result is Result.BOOTED:
        assert claims(recipe, row)
    elif row.expected.refuser in (Refuser.PLAN, Refuser.MENU):
        assert not claims(recipe, row) or row.system.filesystems < recipe.filesystems


def test_what_starts_under_other_kinds_of_uefi_has_an_entry_for_uefi() -> None:
    started = [row for row in apart.rows() if row.expected.result is Result.BOOTED]
    assert {row.firmware for row in started} == set(apart.FIRMWARE)
    for row in started:
        assert claims(RECIPES[row.system.recipe], row), row.key


def test_the_page_says_what_the_results_say() -> None:
    assert PAGE.read_text("utf-8") == render(RECORDS), "write it anew: python -m tests.matrix --page"


def test_a_partial_run_replaces_its_own_rows_alone(tmp_path: Path) -> None:
    first, second = rows()[:2]
    before = [record(first), record(second)]
    after = merge(before, [record(second, seconds=9)])
    assert after == (record(first), record(second, seconds=9))
    assert load(tmp_path / "none.json") == ()
    gone = record(first, image="no-longer-there")
    assert merge([gone, *before], []) == tuple(before)
    save(after, tmp_path / "results.json", tmp_path / "page.md")
    assert load(tmp_path / "results.json") == after
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.md", "results.json"]


def test_the_page_tells_the_three_results_and_what_was_not_tried() -> None:
    booted, refused, failed = (row for row in rows(["memtest", "ext4"]))
    page = render(
        [
            record(booted, result="booted", seconds=41),
            record(refused, result="refused-as-expected", evidence="no `reason`"),
            record(failed, result="failed"),
        ]
    )
    assert "| Memtest86+ | **starts** (41 s) | *refused* | **FAILED** |" in page
    assert "| iPXE | not tried | not tried | not tried |" in page
    assert "`no 'reason'`" in page


def test_words_choose_rows() -> None:
    assert len(rows()) + len(apart.rows()) == len(ROWS)
    assert {row.key[0] for row in rows(["memtest", "ipxe"])} == {"memtest86plus", "ipxe"}
    assert {row.firmware for row in rows(["uefi"])} == {Firmware.UEFI}
    assert [row.key for row in rows(["ipxe", "bios", "ext4"])] == [("ipxe", "", "bios", "ext4")]
    with pytest.raises(ValueError, match=r"'windows' names nothing here; there are debian-live, .*uefi-sb, ext4"):
        rows(["windows"])


def test_who_refuses() -> None:
    (bios,) = rows(["grub-rescue", "bios", "ext4"])
    signed = bios.filesystem
    unsigned = replace(signed, firmware=WITHOUT_SECURE_BOOT)
    secure = Firmware.UEFI_SECURE_BOOT
    memtest = rows(["memtest"])[0].system
    live = rows(["debian-live"])[0].system
    assert expected(bios.system, Firmware.UEFI, signed).refuser is Refuser.MENU
    assert expected(memtest, secure, unsigned).refuser is Refuser.STICK
    assert expected(memtest, secure, signed).refuser is Refuser.GRUB
    assert expected(live, secure, signed).result is Result.BOOTED
    assert (
        expected(live, Firmware.BIOS, replace(signed, name="exfat", holds=frozenset({"exfat"}))).refuser is Refuser.PLAN
    )
