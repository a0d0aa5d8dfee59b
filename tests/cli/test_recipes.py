"""`luxusb recipes`: what the service says, and files."""

from __future__ import annotations

import json
from pathlib import Path

from luxusbd.images.recipes import packaged_recipes
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.process import ROOT
from tests.images.test_recipes import minimal

CASPER = ROOT / "data" / "recipes" / "casper.json"


def test_good_files(luxusb: Run) -> None:
    said = luxusb("recipes", "check", CASPER)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"{CASPER}: good, for Ubuntu Server, Ubuntu MATE")


def test_bad_files_are_told_with_the_place(luxusb: Run, tmp_path: Path) -> None:
    bad = tmp_path / "mine.json"
    bad.write_text(json.dumps(minimal(extras=[{"of": "main", "title": "x", "add": ["a'b"]}])))
    said = luxusb("recipes", "check", CASPER, bad, tmp_path / "none.json")
    assert said.code == 1
    assert said.err.splitlines() == [
        "luxusb: 2 problems were found",
        (f'  why: {bad}: $.extras[0].add[0]: found "a\'b", expected a word without quotes, backslashes, $ and `'),
        f"    {tmp_path / 'none.json'}: No such file or directory",
        "  what to do: The format is described in data/schemas/recipe.schema.json.",
    ]
    document = luxusb("recipes", "check", CASPER, bad, "--json").document
    assert [file["problems"] != [] for file in document["files"]] == [False, True]
    assert document["error"]["name"].endswith("InvalidCatalog")


def test_the_service_is_asked_for_what_is_in_force(luxusb: Run, daemon: FakeDaemon) -> None:
    said = luxusb("recipes", "list")
    assert (said.code, said.err) == (0, "Not used: catalog, recipe 3: broken\n")
    assert [line.split() for line in said.out.splitlines()[1:]] == [
        ["casper", "3", "catalogue", "yes", "Ubuntu,", "Mint[31m"],
        ["windows", "3", "packaged", "no", "Windows"],
    ]
    document = luxusb("recipes", "list", "--json").document
    assert document["service"] is True
    assert [one["systems"] for one in document["recipes"]] == [["Ubuntu", "Mint\x1b[31m"], ["Windows"]]
    daemon.errors["ListRecipes"] = ("org.luxusb.Error.Internal", "broken")
    assert luxusb("recipes", "list").code == 1


def test_without_a_service_the_files_of_this_machine_are_listed(luxusb: Run) -> None:
    said = luxusb("recipes", "list")
    assert said.code == 0
    assert "debian-netboot" in said.out
    (last,) = said.out.splitlines()[-1:]
    assert last.startswith("Read from the files of this version, /var/cache/luxusb/recipes.json and /etc/luxusb/")
    assert "the service does not answer: The service luxusbd does not run" in last
    assert luxusb("recipes", "list", "--json").document["service"] is False


def test_the_list_names_where_each_comes_from(luxusb: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(minimal(priority=100)))
    (tmp_path / "torn.json").write_text("{")
    said = luxusb("recipes", "list", "--directory", tmp_path)
    assert said.code == 0
    assert said.out.splitlines()[1].split() == ["mine", "1", "administrator", "yes", "Mine"]
    assert said.err.startswith(f"Not used: {tmp_path / 'torn.json'}: not valid JSON")
    where = f"Read from the files of this version, /var/cache/luxusb/recipes.json and {tmp_path}"
    assert said.out.splitlines()[-1] == f"{where}; the service was not asked."
    document = luxusb("recipes", "list", "--directory", tmp_path, "--json").document
    assert len(document["recipes"]) == len(packaged_recipes()) + 1
    shown = {recipe["id"]: recipe for recipe in document["recipes"]}
    assert (shown["mine"]["origin"], shown["casper"]["origin"]) == ("admin", "packaged")
    assert (shown["casper"]["toram"], shown["casper"]["persistence"]) == ("entry", "partition")
    assert (shown["core"]["toram"], shown["windows"]["bootable"]) == ("always", False)
    assert len(document["problems"]) == 1


def test_an_absent_directory_is_no_problem(luxusb: Run, tmp_path: Path) -> None:
    said = luxusb("recipes", "list", "--directory", tmp_path / "none", "--json")
    assert said.document["problems"] == []


def test_the_signed_catalogues_are_listed_where_they_are_newer(luxusb: Run, tmp_path: Path) -> None:
    version = json.loads(CASPER.read_text())["version"]
    kept = tmp_path / "recipes.json"
    newer, older = minimal(id="casper", version=version + 1), minimal(id="tails", version=1)
    kept.write_text(json.dumps([newer, older, {"id": "torn"}]))
    said = luxusb("recipes", "list", "--directory", tmp_path / "none", "--catalog", kept)
    (line,) = [line.split() for line in said.out.splitlines() if line.startswith("casper")]
    assert line[1:3] == [str(version + 1), "catalogue"]
    assert said.err.startswith("Not used: catalog, recipe 3: $")
    document = luxusb("recipes", "list", "--directory", tmp_path / "none", "--catalog", kept, "--json").document
    assert {one["id"]: one["origin"] for one in document["recipes"]}["tails"] == "packaged"
