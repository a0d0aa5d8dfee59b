"""The catalogue of a remote: what `catalog status` and `catalog update` say, and what `catalog sign` publishes."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dbus_next.signature import Variant

from luxusbd.transfer.vouch import vouch
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.process import ROOT
from tests.images.test_recipes import minimal
from tests.transfer.keys import Keys, made

CATALOGUE = ROOT / "data" / "distros.json"


def test_the_status_in_words(luxusb: Run, daemon: FakeDaemon) -> None:
    said = luxusb("catalog", "status").out.splitlines()
    assert [line.split()[-1] for line in said if line.startswith(("serial", "signed by"))] == ["7", "AB" * 20]
    assert said[0].split() == ["remote", "https://school.example/distros.json"]
    assert said[1].startswith("last updated  2027-01-1")
    daemon.catalog_status["problems"] = Variant("as", ["the catalogue expired on \x1b[2J2027"])
    daemon.catalog_status["previous"] = Variant("b", True)
    said = luxusb("catalog", "status").out.splitlines()
    assert said[-2] == "The newest edition cannot be read; the one before it is in force."
    assert said[-1].startswith("the catalogue expired on ")
    assert "\x1b" not in said[-1]


def test_the_status_without_a_remote(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.catalog_status = {"problems": Variant("as", [])}
    assert luxusb("catalog", "status").out == (
        "The catalogue came with the program and is not updated: no remote is configured (catalog.update_url).\n"
    )


def test_another_remote(luxusb: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    said = luxusb("catalog", "remote")
    assert (said.code, said.out) == (0, "The catalogue is kept up to date from nowhere.\n")
    key = tmp_path / "distros.key"
    key.write_bytes(b"the key")
    url = "https://school.example/distros.json"
    said = luxusb("catalog", "remote", url, "--key", key, "--fingerprint", "CD" * 20, "--signature-url", url + ".sig")
    assert (said.code, said.err) == (0, "")
    assert [line.split()[-1] for line in said.out.splitlines()] == [url, "CD" * 20, "set", "Changed."]
    assert daemon.remotes == [(url, {"fingerprints": ["CD" * 20], "signature_url": url + ".sig", "key": b"the key"})]
    said = luxusb("catalog", "remote", "--json")
    assert said.document["remote"] == {
        "url": url, "signature_url": "", "fingerprints": ["CD" * 20], "origin": "set",
    }  # fmt: skip
    assert luxusb("catalog", "remote", url).code == 0
    assert luxusb("catalog", "remote", "--off").out.splitlines()[0] == "The catalogue is kept up to date from nowhere."
    assert luxusb("catalog", "remote", "--reset").code == 0
    assert daemon.remotes[1:] == [(url, {}), ("", {}), ("", {"configured": True})]
    daemon.refuses_remotes = "no key is known"
    said = luxusb("catalog", "remote", url)
    assert (said.code, "no key is known" in said.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["https://x.example/", "--off"], 2, "Give one of URL, --off and --reset."),
        (["--off", "--reset"], 2, "Give one of"),
        (["--key", "x"], 2, "give URL, too"),
        (["--off", "--fingerprint", "AB"], 2, "give URL, too"),
        ([""], 2, "The address is empty"),
        (["https://x.example/", "--key", "/nowhere/x"], 1, "Could not open /nowhere/x"),
    ],
)
def test_a_remote_that_is_not_well_given(
    luxusb: Run, daemon: FakeDaemon, arguments: list[str], code: int, said: str
) -> None:
    done = luxusb("catalog", "remote", *arguments)
    assert done.code == code
    assert said in done.err
    assert daemon.remotes == []


def test_an_update_says_what_changed(luxusb: Run, daemon: FakeDaemon) -> None:
    said = luxusb("catalog", "update")
    assert said.code == 0
    assert said.out.splitlines()[-3:] == [
        "new: school, exam",
        "changed: debian",
        "The catalogue was updated (serial 7).",
    ]


def test_the_makers_are_asked_too(luxusb: Run, daemon: FakeDaemon) -> None:
    said = luxusb("catalog", "update", "--feeds", "kali", "distro:arch")
    assert said.code == 0
    assert {name: value.value for name, value in daemon.update_options.items()} == {
        "feeds": True,
        "ids": ["kali", "arch"],
    }
    problem, summary, last = said.out.splitlines()[-3:]
    assert problem.startswith("feed gparted: the key of its maker is not at hand")
    assert "\x1b" not in problem
    assert summary == "54 feeds were asked: 3 with newer releases, 50 without, 1 failed."
    assert last == "The catalogue was updated (serial 7)."
    assert luxusb("catalog", "update").code == 0
    assert daemon.update_options == {}
    status = {line.partition("  ")[0]: line.split()[-1] for line in luxusb("catalog", "status").out.splitlines()}
    assert (status["failed"], status["feeds"]) == ("gparted", "releases")


def test_an_id_without_feeds_is_a_mistake(luxusb: Run, daemon: FakeDaemon) -> None:
    said = luxusb("catalog", "update", "kali")
    assert said.code == 2
    assert "give --feeds, too" in said.err


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    # the agent's socket needs a short path
    with tempfile.TemporaryDirectory(prefix="lux-") as place, made(Path(place) / "gpg") as found:
        yield found


@pytest.fixture(scope="module")
def maker(keys: Keys) -> str:
    return keys.make("maker")


@pytest.fixture
def gpg(keys: Keys, maker: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A gpg with the key of this fingerprint."""
    monkeypatch.setenv("GNUPGHOME", str(keys.home))
    return maker


def published(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "distros.json").read_bytes())
    return found


def check(directory: Path, fingerprint: str) -> None:
    """The three files are what a client accepts."""
    document, signature, key = ((directory / f"distros.{end}").read_bytes() for end in ("json", "json.asc", "key"))
    vouched = asyncio.run(vouch(document, signature, key, frozenset({fingerprint}), "x"))
    assert vouched.fingerprint == fingerprint


def test_what_is_signed_is_what_clients_accept(luxusb: Run, gpg: str, tmp_path: Path) -> None:
    out = tmp_path / "web" / "luxusb"
    done = luxusb("catalog", "sign", CATALOGUE, "--key", "maker@example.org", "--output", out)
    assert (done.code, done.err) == (0, "")
    assert sorted(path.name for path in out.iterdir()) == ["distros.json", "distros.json.asc", "distros.key"]
    check(out, gpg)
    first = published(out)
    assert first["distributions"] == json.loads(CATALOGUE.read_bytes())["distributions"]
    left = datetime.fromisoformat(first["expires"]) - datetime.now(UTC)
    assert timedelta(days=59) < left <= timedelta(days=60)
    assert f'update_fingerprints = ["{gpg}"]' in done.out.splitlines()
    assert 'update_key = "/etc/luxusb/distros.key"' in done.out.splitlines()

    again = luxusb("catalog", "sign", CATALOGUE, "--key", gpg, "--output", out, "--expires", "2099-01-31", "--json")
    assert again.document["serial"] == first["serial"] + 1 == published(out)["serial"]
    assert again.document["expires"] == "2099-01-31T00:00:00Z"
    check(out, gpg)
    third = luxusb("catalog", "sign", CATALOGUE, "--key", gpg, "--output", out, "--serial", str(2**50), "--json")
    assert third.document["serial"] == 2**50
    check(out, gpg)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--serial", "1"], 2, "is not larger than"),
        (["--expires", "2020-01-01"], 2, "has passed"),
        (["--expires", "soon"], 2, "soon is no date"),
        (["--key", "nobody@example.org"], 1, "nobody@example.org"),
        (["--key", "old@example.org"], 1, "cannot sign"),
    ],
)
def test_what_nobody_could_use_is_not_signed(
    luxusb: Run, keys: Keys, gpg: str, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    if "old@example.org" in arguments:
        keys.make("old", "2020-02-01", at="20200101T000000")
    assert luxusb("catalog", "sign", CATALOGUE, "--key", gpg, "--output", tmp_path).code == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    done = luxusb("catalog", "sign", CATALOGUE, "--key", gpg, "--output", tmp_path, *arguments)
    assert done.code == code
    assert said in done.err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("content", ["{", "[]", '{"version": "2.0"}', '{"version": "2.0", "x": "\\ud800"}', "\ud800"])
def test_what_is_no_catalogue_is_not_signed(luxusb: Run, gpg: str, tmp_path: Path, content: str) -> None:
    file = tmp_path / "mine.json"
    file.write_bytes(content.encode("utf-8", "surrogatepass"))
    done = luxusb("catalog", "sign", file, "--key", gpg, "--output", tmp_path / "out", "--json")
    assert done.document["error"]["name"] == "org.luxusb.Error.InvalidCatalog"
    assert not (tmp_path / "out").exists()


def test_recipes_are_checked_before_they_are_signed(luxusb: Run, gpg: str, tmp_path: Path) -> None:
    document = json.loads(CATALOGUE.read_bytes())
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({**document, "recipes": [minimal(version=9)]}))
    done = luxusb("catalog", "sign", file, "--key", gpg, "--output", tmp_path / "out")
    assert (done.code, done.err) == (0, "")
    assert json.loads((tmp_path / "out" / "mine.json").read_bytes())["recipes"] == [minimal(version=9)]
    checked = luxusb("catalog", "check", file)
    assert (checked.code, "$.recipes: only those of a signed catalogue" in checked.out) == (0, True)
    file.write_text(json.dumps({**document, "recipes": [minimal(), minimal(id="later", field=1)]}))
    done = luxusb("catalog", "sign", file, "--key", gpg, "--output", tmp_path / "none")
    assert f"{file}, recipe 2: $: " in done.err
    assert not (tmp_path / "none").exists()
    checked = luxusb("catalog", "check", file)
    assert (checked.code, f"{file}, recipe 2: $: " in checked.err) == (1, True)


def test_plain_http_is_for_lists_of_ones_own(luxusb: Run, gpg: str, tmp_path: Path) -> None:
    document = json.loads(CATALOGUE.read_bytes())
    document["distributions"][0]["releases"][0]["iso_url"] = "http://one.example/a.iso"
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(document))
    done = luxusb("catalog", "sign", file, "--key", gpg, "--output", tmp_path / "out")
    assert "$.distributions[0].releases[0].iso_url" in done.err


def test_the_file_itself_is_not_replaced(luxusb: Run, gpg: str, tmp_path: Path) -> None:
    file = tmp_path / "distros.json"
    file.write_bytes(CATALOGUE.read_bytes())
    done = luxusb("catalog", "sign", file, "--key", gpg, "--output", tmp_path)
    assert (done.code, file.read_bytes()) == (2, CATALOGUE.read_bytes())


def test_an_edition_before_that_cannot_be_read(luxusb: Run, gpg: str, tmp_path: Path) -> None:
    (tmp_path / "distros.json").write_text("{")
    done = luxusb("catalog", "sign", CATALOGUE, "--key", gpg, "--output", tmp_path)
    assert done.code == 1
    assert "--serial" in done.err
    done = luxusb("catalog", "sign", CATALOGUE, "--key", gpg, "--output", tmp_path, "--serial", "5")
    assert (done.code, published(tmp_path)["serial"]) == (0, 5)


def test_without_gpg(luxusb: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = luxusb("catalog", "sign", CATALOGUE, "--key", "x", "--output", tmp_path / "out", "--json")
    assert done.document["error"]["name"] == "org.luxusb.Error.ToolMissing"
