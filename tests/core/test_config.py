"""The configuration file."""

from __future__ import annotations

import contextlib
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd import configfile
from luxusbd.config import Config
from luxusbd.errors import ConfigError


def test_the_documented_file_is_the_default() -> None:
    uncommented = "\n".join(
        line.removeprefix("#") if line.startswith("#") and not line.startswith("# ") else line
        for line in configfile.document().splitlines()
    )
    assert configfile.parse(uncommented, "doc", Config()) == Config()
    assert configfile.parse(configfile.document(), "doc", Config()) == Config()
    assert set(tomllib.loads(configfile.document())) == {name.split(".")[0] for name in Config().settings()}


def test_every_key_has_a_meaning() -> None:
    text = configfile.document()
    for name in Config().settings():
        assert f"#{name.split('.')[1]} = " in text


def test_values_replace_the_base() -> None:
    changed = configfile.parse('[limits]\njobs = 3\n[devices]\nallow_loop = ["/dev/loop7"]', "x", Config())
    assert changed.limits.jobs == 3
    assert changed.limits.jobs_per_uid == Config().limits.jobs_per_uid
    assert changed.devices.allow_loop == ("/dev/loop7",)


def test_sizes_have_units() -> None:
    changed = configfile.parse('[images]\nquota = "200GiB"\nquota_per_user = "8 GB"\nreserve = 4096', "x", Config())
    assert (changed.images.quota, changed.images.quota_per_user, changed.images.reserve) == (200 << 30, 8 * 10**9, 4096)
    assert '#reserve = "256MiB"' in configfile.document()
    assert "(0 to 1PiB)" in configfile.document()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[limit]\njobs = 1", "did you mean limits"),
        ("[limits]\njbos = 1", "did you mean jobs"),
        ("[limits]\njobs = 0", "from 1 to 10000"),
        ("[limits]\njobs = true", "whole number"),
        ('[limits]\njobs = "1"', "whole number"),
        ('[images]\nquota = "many"', "no size"),
        ('[images]\nreserve = "2000PiB"', "from 0 to"),
        ("[images]\nquota = true", "whole number"),
        ('[daemon]\nlog_level = "loud"', "one of debug, info"),
        ("[devices]\nallow_loop = 7", "list of texts"),
        ("limits = 1", "write [limits]"),
        ("[limits", "not valid TOML"),
        ('[paths]\nstate_dir = "here"', "begins with /"),
        ('[catalog]\nfiles = ["/a.json", "b.json"]', "begins with /"),
        ('[paths]\nstate_dir = ""', "begins with /"),
        ('[mirrors]\nprefer = ["DE", "UK"]', "mirrors.prefer: 'UK' is no country code of two letters"),
        ('[mirrors]\ncountry = "Germany"', "mirrors.country: 'Germany' is no country code"),
        ('[mirrors]\ncountry_database = "GeoLite2.mmdb"', "begins with /"),
        ('[paths]\nstate_dir = "/a\\u0000b"', "cannot be shown"),
    ],
)
def test_mistakes_are_explained(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"x\.toml") as caught:
        configfile.parse(text, "x.toml", Config())
    assert said in str(caught.value)


def test_countries_are_taken_in_small_letters_and_may_be_empty() -> None:
    text = '[mirrors]\nexclude = ["us"]\ncountry = ""\ncountry_database = ""'
    found = configfile.parse(text, "x.toml", Config()).mirrors
    assert (found.exclude, found.country, found.country_database) == (("US",), "", "")


def test_unreadable_files_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        configfile.load(tmp_path / "none.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        configfile.load(binary)


@given(st.text())
def test_any_text_is_a_configuration_or_an_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        configfile.parse(text, "x", Config())
