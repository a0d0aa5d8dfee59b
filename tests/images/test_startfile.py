"""A file that starts an image and is not in it: what the recipe finds out, and how that is written down."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from luxusbd.errors import CatalogError, FailedError
from luxusbd.images.codec import recognition_from_json, recognition_to_json
from luxusbd.images.match import match
from luxusbd.images.model import Recognition
from luxusbd.images.recipelint import lint
from luxusbd.images.recipes import packaged_recipes, parse_recipe
from luxusbd.images.recognise import recognise
from luxusbd.resources import data
from tests.images.builders import DictTree, build_iso
from tests.images.systems.row import K

FILES: dict[str, bytes | str] = {
    "/.disk/info": 'Debian GNU/Linux 12.5.0 "Bookworm" - Official amd64 NETINST 20240210-11:27',
    "/.disk/cd_type": "not_complete",
    "/install.amd/vmlinuz": K,
    "/dists/bookworm/Release": "Origin: Debian\nCodename: bookworm\n",
}


@pytest.fixture
def seen(tmp_path: Path) -> Recognition:
    files = {path: text.encode() if isinstance(text, str) else text for path, text in FILES.items()}
    with build_iso(tmp_path / "image.iso", files, "-R", volume_id="Debian").open("rb") as file:
        return recognise(file.fileno())


def test_what_is_wanted_follows_from_the_image(seen: Recognition) -> None:
    assert seen.bootable
    wanted = seen.startfile
    assert wanted is not None
    assert wanted.release == "dists/bookworm/InRelease"
    assert wanted.sums == "main/installer-amd64/*/images/SHA256SUMS"
    kernel = FILES["/install.amd/vmlinuz"]
    assert isinstance(kernel, bytes)
    assert wanted.kernel_sha256 == hashlib.sha256(kernel).hexdigest()
    assert (wanted.kernel, wanted.file) == ("hd-media/vmlinuz", "hd-media/initrd.gz")
    assert "B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8" in wanted.keys


def test_it_is_read_as_it_was_written(seen: Recognition) -> None:
    assert recognition_from_json(json.loads(json.dumps(recognition_to_json(seen)))) == seen
    plain = replace(seen, startfile=None)
    assert "companion" not in recognition_to_json(plain)
    assert recognition_from_json(recognition_to_json(plain)) == plain


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("archives", []),
        ("archives", ["file:///etc"]),
        ("release", "dists/../../x"),
        ("sums", "/main/x"),
        ("kernel_sha256", "0" * 63),
        ("file", "a b"),
        ("keys", ["6350947F8"]),
        ("size", 0),
        ("size", True),
        ("more", 1),
    ],
)
def test_what_a_stranger_says_is_checked(seen: Recognition, field: str, value: object) -> None:
    document = copy.deepcopy(recognition_to_json(seen))
    document["companion"][field] = value
    with pytest.raises(FailedError, match="companion"):
        recognition_from_json(document)


@pytest.mark.parametrize("text", ["Origin: Debian\n", "Codename: a b\n", "Codename: ../x\n"])
def test_without_a_suite_there_is_no_address(text: str) -> None:
    found = match(DictTree(FILES | {"/dists/bookworm/Release": text}, "Debian"), packaged_recipes())
    assert found is not None
    assert (found.recipe.id, found.entries, found.startfile) == ("debian-installer-cd", (), None)


def test_every_key_of_debian_is_at_hand() -> None:
    recipe = next(each for each in packaged_recipes() if each.id == "debian-installer-cd")
    fetch = recipe.variants[0].fetch
    assert fetch is not None
    assert [key for key in fetch.keys if not data("keys", f"{key}.asc").exists()] == []


def test_the_linter_knows_the_rules() -> None:
    document = json.loads(data("recipes", "debian-installer-cd.json").read_text("utf-8"))
    assert lint(document, parse_recipe(document, "x"), "x") == []
    document["variants"][0]["initrd"] = [["/install.amd/initrd.gz"]]
    assert ["no initrd to go with it" in line for line in lint(document, parse_recipe(document, "x"), "x")] == [True]
    document["variants"][0]["fetch"]["file"] = "{what}/initrd.gz"
    with pytest.raises(CatalogError, match=r"uses \{what\}"):
        parse_recipe(document, "x")
