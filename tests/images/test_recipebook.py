"""Recipes of several places, and what is said of those that are broken."""

from __future__ import annotations

import json
import logging
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from luxusbd import resources
from luxusbd.images.recipebook import (
    MAX_RECIPES,
    Layer,
    RecipeShelf,
    merge,
    packaged_layer,
    read_directory,
    read_documents,
    read_kept,
)
from luxusbd.images.recipelint import check_files, runs_away
from luxusbd.images.recipes import MAX_RECIPE, packaged_recipes
from tests.images.builders import by_id
from tests.images.test_recipes import minimal


def write(directory: Path, name: str = "mine", **changes: Any) -> Path:
    path = directory / f"{name}.json"
    path.write_text(json.dumps(minimal(**{"id": name, **changes})))
    return path


def test_a_newer_version_wins_wherever_it_comes_from(tmp_path: Path) -> None:
    casper = by_id(packaged_recipes())["casper"]
    write(tmp_path, "casper", version=casper.version + 1, system="Newer")
    write(tmp_path, "mine")
    book = merge([packaged_layer(), read_directory(tmp_path)])
    assert by_id(book.recipes)["casper"].system == "Newer"
    assert (book.origins["casper"], book.origins["mine"], book.origins["tails"]) == ("admin", "admin", "packaged")
    assert book.problems == ()
    priorities = [recipe.priority for recipe in book.recipes]
    assert priorities == sorted(priorities, reverse=True)
    assert len(book.recipes) == len(packaged_recipes()) + 1


def newer(by: int, system: str) -> dict[str, Any]:
    casper = by_id(packaged_recipes())["casper"]
    return minimal(id="casper", version=casper.version + by, system=system)


@pytest.mark.parametrize(("by", "origin"), [(-1, "packaged"), (0, "packaged"), (1, "catalog")])
def test_the_catalogues_counts_when_it_is_newer(by: int, origin: str) -> None:
    book = merge([packaged_layer(), read_documents([newer(by, "Other")])])
    assert book.origins["casper"] == origin
    assert (by_id(book.recipes)["casper"].system == "Other") is (origin == "catalog")
    assert book.problems == ()  # a catalogue follows the program as often as the other way round


@pytest.mark.parametrize(("by", "told"), [(-1, 1), (0, 0), (1, 0)])
def test_the_administrators_counts_always_and_a_newer_one_that_it_hides_is_told(
    tmp_path: Path, by: int, told: int
) -> None:
    (tmp_path / "casper.json").write_text(json.dumps(newer(by, "Own")))
    book = merge([packaged_layer(), read_directory(tmp_path)])
    assert (by_id(book.recipes)["casper"].system, book.origins["casper"]) == ("Own", "admin")
    assert len(book.problems) == told
    assert all(problem.startswith("packaged: the recipe casper has version") for problem in book.problems)
    three = merge([packaged_layer(), read_documents([newer(2, "Other")]), read_directory(tmp_path)])
    assert three.origins["casper"] == "admin"
    assert three.problems[-1].startswith("catalog: the recipe casper has version")


def test_the_catalogues_recipes_are_read_where_they_are_kept(tmp_path: Path) -> None:
    kept = tmp_path / "recipes.json"
    assert read_kept(kept) == Layer("catalog", ())
    huge = minimal(id="huge", system="x" * MAX_RECIPE)
    kept.write_text(json.dumps([minimal(), huge, {**minimal(id="later"), "field": 1}, newer(1, "Newer")]))
    layer = read_kept(kept)
    assert [recipe.id for recipe in layer.recipes] == ["mine", "casper"]
    assert layer.problems[0] == f"catalog, recipe 2: larger than {MAX_RECIPE} bytes"
    assert layer.problems[1].startswith("catalog, recipe 3: $: ")
    kept.write_text("[1")
    (problem,) = read_kept(kept).problems
    assert problem.startswith(f"{kept}: not valid JSON")
    kept.unlink()
    kept.mkdir()
    assert read_kept(kept).problems == (f"{kept}: no regular file",)


def test_values_inside_of_each_other_are_a_fault_and_no_crash(tmp_path: Path) -> None:
    for levels in (70, 900, 985):
        text = json.dumps(minimal(id="deep", match="@")).replace('"@"', "[" * levels + "]" * levels)
        (tmp_path / "deep.json").write_text(text)
        write(tmp_path, "good")
        layer = read_directory(tmp_path)
        assert [recipe.id for recipe in layer.recipes] == ["good"]
        assert len(layer.problems) == 1
        ((_, none, problems),) = check_files([tmp_path / "deep.json"])
        assert (none, len(problems)) == (None, 1)


def test_the_shelf_follows_the_catalogues_file(tmp_path: Path) -> None:
    kept = tmp_path / "recipes.json"
    shelf = RecipeShelf(tmp_path / "recipes.d", kept)
    assert shelf.current() == packaged_recipes()
    kept.write_text(json.dumps([newer(1, "Newer")]))
    assert by_id(shelf.current())["casper"].system == "Newer"
    assert shelf.current() is shelf.current()
    kept.unlink()
    assert shelf.current() == packaged_recipes()


def test_a_broken_file_takes_nothing_else_with_it(tmp_path: Path) -> None:
    write(tmp_path, "good")
    (tmp_path / "torn.json").write_text("{")
    write(tmp_path, "wrong", priority=500)
    write(tmp_path, "quoted", extras=[{"of": "main", "title": "x", "add": ["a='b'"]}])
    (tmp_path / "twice.json").write_text(json.dumps(minimal(id="good")))
    (tmp_path / "notes.txt").write_text("no recipe")
    layer = read_directory(tmp_path)
    assert [recipe.id for recipe in layer.recipes] == ["good"]
    text = "\n".join(layer.problems)
    assert "torn.json: not valid JSON" in text
    assert "wrong.json: $.priority" in text
    assert "quoted.json: $.extras[0].add[0]: found" in text
    assert "twice.json: $.id: found 'good', which another recipe" in text
    assert len(layer.problems) == 4


def test_no_directory_is_no_problem_and_a_file_is_one(tmp_path: Path) -> None:
    assert read_directory(tmp_path / "absent").problems == ()
    path = tmp_path / "file"
    path.write_text("")
    assert "Not a directory" in read_directory(path).problems[0]


def test_documents_of_a_catalogue_are_read_in_the_same_way() -> None:
    layer = read_documents([minimal(), {"id": 1}, minimal(id="other", match={"volume_id": "(a+)+x"})])
    assert [recipe.id for recipe in layer.recipes] == ["mine"]
    assert layer.problems[0].startswith("catalog, recipe 2: $")
    assert layer.problems[1].startswith("catalog, recipe 3: $.match.volume_id: found '(a+)+x'")
    wrongs: tuple[object, ...] = ({}, None, [minimal()] * (MAX_RECIPES + 1))
    for wrong in wrongs:
        assert read_documents(wrong).problems == (
            f"catalog: $.recipes: expected a list of at most {MAX_RECIPES} recipes",
        )


def test_the_shelf_follows_the_directory_and_logs_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shelf = RecipeShelf(tmp_path / "recipes.d")
    assert shelf.current() == packaged_recipes()
    (tmp_path / "recipes.d").mkdir()
    path = write(tmp_path / "recipes.d")
    (tmp_path / "recipes.d" / "torn.json").write_text("[")
    with caplog.at_level(logging.WARNING):
        assert "mine" in by_id(shelf.current())
        assert shelf.current() is shelf.current()
    assert caplog.text.count("torn.json") == 1
    write(tmp_path / "recipes.d", system="Another name")
    os.utime(path, ns=(1, 1))
    assert by_id(shelf.current())["mine"].system == "Another name"
    path.unlink()
    assert "mine" not in by_id(shelf.current())
    assert RecipeShelf().current() == packaged_recipes()


def test_packaged_recipes_have_nothing_to_complain_about() -> None:
    paths = sorted(resources.data("recipes").glob("*.json"))
    assert [problem for _, _, problems in check_files(paths) for problem in problems] == []
    assert all(stat.S_ISREG(path.stat().st_mode) for path in paths)


def variant(**changes: Any) -> dict[str, Any]:
    made = {"id": "main", "method": "linux", "firmware": ["bios", "uefi"], "kernel": ["/kernel"], **changes}
    return {"variants": [made]}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (variant(parameters=["a\\b"]), r"$.variants[0].parameters[0]: found 'a\\b', expected a word without quotes"),
        (variant(parameters=['a"b']), "$.variants[0].parameters[0]: found"),
        (variant(parameters=["$x"]), "$.variants[0].parameters[0]: found '$x'"),
        (
            variant(parameters=[{"first_of": ["plain", "a={iso}"]}]),
            "$.variants[0].parameters[0].first_of[0]: found 'plain', which is always usable",
        ),
        (variant(method="linux16"), "$.variants[0].firmware: found bios, uefi, expected bios alone"),
        (variant(method="memdisk"), "$.variants[0].firmware: found bios, uefi, expected bios alone"),
        (variant(method="efi", firmware=["bios"]), "$.variants[0].firmware: found bios, expected uefi alone"),
        (variant(method="efi", firmware=["uefi"], initrd=[["/i"]]), "$.variants[0].initrd: found one, expected none"),
        (variant(method="configfile", parameters=["x"]), "$.variants[0].parameters: found some, expected none"),
        (
            variant(method="configfile", secure_boot={"vendors": ["debian"]}),
            "$.variants[0].secure_boot: found one, expected none",
        ),
        (variant(initrd=[["/i-{wild}"]]), "$.variants[0].initrd: found {wild}, expected a *"),
        (
            {**variant(parameters=["quiet"]), "filesystems": ["ext4"]},
            "$.variants[0].parameters: found no word with {iso}",
        ),
        (
            {**variant(kernel=["/vmlinuz*"]), "match": {"volume_id": "X"}},
            "$.variants[0].kernel: found a pattern, expected `all`, `any` or `files` in $.match",
        ),
        ({"capture": {"x": [{"text": "y"}]}}, "$.capture.x: found no word that uses it"),
        ({"match": {"files": [{"path": "/a", "regex": "(x+)*y"}]}}, "$.match.files[0].regex: found '(x+)*y'"),
        ({"systems": [{"name": "A", "match": {"name": "(x*)*"}}]}, "$.systems[0].match.name: found '(x*)*'"),
        ({"identify": {"version": [{"volume_id": "(a|ab)*c"}]}}, "$.identify.version[0].volume_id: found"),
        (
            {
                **variant(parameters=["{iso}"]),
                "filesystems": ["fat32"],
                "persistence": {"of": "main", "store": "own", "on": ["ext4"], "add": ["p"]},
            },
            "$.persistence.on: found ext4, expected filesystems from which it reads the image",
        ),
        (
            {
                "persistence": {
                    "of": "main",
                    "store": "directory",
                    "add": ["p"],
                    "files": [{"path": "/a*", "text": ""}],
                }
            },
            "$.persistence.files[0].path: found the pattern '/a*'",
        ),
        ({"toram": {"of": "other", "add": ["x"]}}, "$.toram.of: found the variant 'other', expected one of main"),
        ({"toram": {"of": "main", "add": ["{no}"]}}, "$.toram.add[0]: the parameter '{no}' uses {no}"),
        (
            {"persistence": {"of": "main", "store": "file", "add": ["x"]}},
            "$.persistence: 'name' is a required property",
        ),
        ({"id": "derived"}, "$.id: found 'derived'"),
        ({"id": "else"}, "$.id: found 'else', expected 'mine', the name of the file"),
    ],
)
def test_faults_are_named(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(minimal(**changes)))
    ((_, _, problems),) = check_files([path])
    assert len(problems) == 1
    assert problems[0].startswith(f"{path}: {problem}")


def test_two_files_with_one_id(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    first, second = write(tmp_path), write(tmp_path / "a")
    (_, _, none), (_, _, problems) = check_files([first, second])
    assert none == []
    assert problems == [f"{second}: $.id: found 'mine', which {first} has, expected one of its own"]


@pytest.mark.parametrize(
    "regex",
    [
        r"(a+)+$",
        r"(\w+\s?)*x",
        r"(?:a|ab)*c",
        r"(.)\1",
        r"([^x]*,)*y",
        r"(x*)*",
        r"(?i)(?:a+B?)+$",
        r"(?:(?:a{1,99})b?)*",
    ],
)
def test_expressions_that_run_away(regex: str) -> None:
    assert runs_away(regex)


@pytest.mark.parametrize(
    "regex", [r"\d+(?:\.\d+)*", r"(?:a|b)*c", r"^(?:-[A-Za-z_]+)*$", r"[^\"\n]*?\s+\d", r"(?:\d{2}-)+", r"(?=x+)y*"]
)
def test_expressions_that_do_not(regex: str) -> None:
    assert not runs_away(regex)
