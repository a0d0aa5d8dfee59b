"""What SetSettings keeps over the configuration file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd import __main__, config, configfile
from luxusbd.config import CatalogConfig, Config
from luxusbd.durable import beside
from luxusbd.errors import ConfigError, FailedError, InvalidArgumentError
from luxusbd.settings import FILE_NAME, REMOTE, ChangedSettings, check_changeable

BASE = configfile.parse("[limits]\njobs = 7\n", "x", Config())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE_NAME


def test_what_is_set_lies_over_the_file(path: Path) -> None:
    settings = ChangedSettings(BASE, path)
    assert settings.origins()["limits.jobs"] == "configured"
    changed = settings.change({"limits.jobs": 9, "downloads.bandwidth": "5MiB", "daemon.inhibit_sleep": True})
    # the last one was that before, and is set all the same
    assert set(changed) == {"limits.jobs", "downloads.bandwidth"}
    assert (settings.config.limits.jobs, settings.config.downloads.bandwidth) == (9, 5 << 20)
    assert json.loads(path.read_text()) == {
        "limits.jobs": 9,
        "downloads.bandwidth": 5 << 20,
        "daemon.inhibit_sleep": True,
    }
    assert path.stat().st_mode & 0o777 == 0o600
    again = ChangedSettings(BASE, path)
    assert again.config == settings.config
    assert {key for key, origin in again.origins().items() if origin == "set"} == set(again.changed)
    assert list(again.reset(["limits.jobs"])) == ["limits.jobs"]
    assert again.config.limits.jobs == 7
    assert list(again.reset([])) == ["downloads.bandwidth"]
    assert again.config == BASE
    assert ChangedSettings(BASE, path).config == BASE


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"limits.jobs": 0}, "limits.jobs: has to be a whole number from 1 to 10000, not 0"),
        ({"limits.jobs": True}, "has to be a whole number"),
        ({"limits.jobs": 2.0}, "has to be a whole number"),
        ({"limits.jobs": [1]}, "has to be a whole number"),
        ({"downloads.bandwidth": "fast"}, "is no size"),
        ({"downloads.bandwidth": b"5"}, "has to be a whole number"),
        ({"downloads.resume": "later"}, "has to be one of auto, ask"),
        ({"daemon.inhibit_sleep": 1}, "has to be true or false"),
        ({"daemon.log_level": "debug"}, "cannot be changed while the service runs"),
        ({"network.proxy": "http://x.test:1"}, "cannot be changed while the service runs"),
        ({"limits": 1}, "there is no setting 'limits'"),
        ({"": 1}, "there is no setting ''"),
        ({"limits.jobs": 5, "downloads.resume": "x"}, "downloads.resume"),
    ],
)
def test_what_the_configuration_would_not_take(path: Path, values: dict[str, object], said: str) -> None:
    settings = ChangedSettings(BASE, path)
    with pytest.raises(InvalidArgumentError) as caught:
        settings.change(values)
    assert said in str(caught.value)
    assert "SetSettings" not in str(caught.value)
    assert settings.config == BASE
    assert not path.exists()


def test_nothing_that_guards_can_be_changed() -> None:
    """What says who may do what, where bytes go and which disks may be written is the file's alone."""
    # whether a disk is probed first is a default that each caller may override
    changeable = [key for key in config.changeable() if key != "devices.probe"]
    assert not [key for key in changeable if key.startswith(("authorization.", "devices.", "paths.", "transfer."))]
    check_changeable(changeable)


def test_a_remote_is_set_as_a_whole_and_by_nothing_else(path: Path) -> None:
    settings = ChangedSettings(BASE, path)
    for key in REMOTE:
        with pytest.raises(InvalidArgumentError, match="luxusb catalog remote"):
            settings.change({key: "https://x.example/"})
        with pytest.raises(InvalidArgumentError, match="luxusb catalog remote"):
            settings.reset([key])
    wanted = CatalogConfig(update_url="https://x.example/", update_key="/k", update_fingerprints=("AB" * 20,))
    settings.change({"limits.jobs": 9})
    assert set(settings.set_remote(wanted)) == set(REMOTE) - {"catalog.update_signature_url"}
    assert settings.config.catalog == wanted
    again = ChangedSettings(BASE, path)
    assert again.config == settings.config
    assert {key for key, origin in again.origins().items() if origin == "set"} == {*REMOTE, "limits.jobs"}
    assert list(again.reset([])) == ["limits.jobs"]
    assert again.config.catalog == wanted, "it is no setting"
    with pytest.raises(ConfigError):
        again.set_remote(replace(wanted, update_key="not/whole"))
    assert again.config.catalog == wanted
    assert set(again.set_remote(CatalogConfig())) == set(REMOTE) - {"catalog.update_signature_url"}
    assert again.origins()["catalog.update_url"] == "set"
    assert list(again.set_remote(None)) == []
    assert ChangedSettings(BASE, path).config == BASE


def test_a_disk_that_fails_changes_nothing(path: Path) -> None:
    beside(path).mkdir()
    settings = ChangedSettings(BASE, path)
    with pytest.raises((FailedError, OSError)):
        settings.change({"limits.jobs": 9})
    assert settings.config == BASE
    assert settings.changed == {}


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(config.changeable()) | st.text(), inner),
    ).map(lambda value: json.dumps(value).encode())
)
def test_whatever_is_in_the_file_the_service_starts(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(text)
    settings = ChangedSettings(BASE, path)
    assert set(settings.changed) <= set(config.changeable())


def test_the_check_of_the_configuration_tells_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "luxusbd.toml"
    file.write_text(f'[paths]\nstate_dir = "{tmp_path}"\n[limits]\njobs = 7\n')
    ChangedSettings(BASE, tmp_path / FILE_NAME).change({"limits.jobs": 9})
    assert __main__.main(["--check-config", str(file)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{file}: no mistakes found",
        "limits.jobs was set with `luxusb settings` and is 9",
    ]
    file.write_text('[network]\nca_file = "/nowhere.pem"\n')
    assert __main__.main(["--check-config", str(file)]) == 78
    assert "network.ca_file: /nowhere.pem cannot be read" in capsys.readouterr().err
