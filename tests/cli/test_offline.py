"""What works without a daemon: the kept list of distributions, and the report."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import tarfile
from pathlib import Path

import pytest
from dbus_next.signature import Variant
from luxusb_cli import listcache
from luxusb_cli.diagnosis import Redactor

from tests.cli import world
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon


@pytest.fixture
def kept(tmp_path: Path, environment: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "luxusb" / "distros.json"


def test_the_last_list_is_shown_without_a_daemon(luxusb: Run, daemon: FakeDaemon, kept: Path) -> None:
    live = luxusb("distros")
    document = luxusb("distros", "--json").document
    assert document["written"] is None
    daemon.vanish()
    later = luxusb("distros")
    assert (later.code, later.out) == (0, live.out)
    assert re.fullmatch(r"From \d{4}-\d\d-\d\d \d\d:\d\d, no daemon\.\n", later.err)
    offline = luxusb("distros", "--json")
    assert offline.err == ""
    assert offline.document["distributions"] == document["distributions"]
    assert offline.document["written"] == json.loads(kept.read_text())["written"]
    found = luxusb("distros", "SYSTEM rescue", "--category", "Rescue", "--architecture", "amd64", "--json").document
    assert [item["id"] for item in found["distributions"]] == ["sysrescue"]
    for nothing in (["--architecture", "arm64"], ["--family", "casper"], ["--category", "server"], ["rescue", "zzz"]):
        assert luxusb("distros", *nothing, "--json").document["distributions"] == []
    known = luxusb("distros", "--secure-boot", "--family", "Debian-Live", "--sort", "name", "--json").document
    assert [item["id"] for item in known["distributions"]] == ["debian-live", "sysrescue"]
    assert luxusb("distros", "ubunut").out == "Nothing fits ubunut. Did you mean ubuntu?\n"
    assert luxusb("distros", "--fits", "sdb").code == 4
    assert [path.name for path in kept.parent.iterdir()] == ["distros.json"]


def test_what_ended_since_the_list_was_kept_is_known(luxusb: Run, daemon: FakeDaemon, kept: Path) -> None:
    def fill() -> None:
        release = world.release("1", end_of_life="2024-01-31") | {"ended": Variant("b", False)}
        daemon.distros[:] = [world.distro("old", "Old", 1, "desktop", release)]

    daemon.do(fill)
    assert "end of life" not in luxusb("distros").out
    daemon.vanish()
    assert "end of life since 2024-01-31" in luxusb("distros").out
    assert luxusb("distros", "--hide-end-of-life", "--json").document["distributions"] == []


def test_a_search_does_not_shorten_the_kept_list(luxusb: Run, daemon: FakeDaemon, kept: Path) -> None:
    assert luxusb("distros", "rescue").code == 0
    assert not kept.exists()
    assert luxusb("distros").code == 0
    before = kept.read_bytes()
    assert luxusb("distros", "rescue").code == 0
    assert kept.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"format": 2, "distributions": []}',
        b'{"format": 1, "distributions": 7}',
        b'{"format": 1, "written": 1, "distributions": [{"id": 7}]}',
    ],
)
def test_a_damaged_list_counts_as_none(luxusb: Run, kept: Path, content: bytes) -> None:
    kept.parent.mkdir()
    kept.write_bytes(content)
    assert luxusb("distros").code == 4
    assert luxusb("distros", "--json").document["error"]["name"] == "org.freedesktop.DBus.Error.ServiceUnknown"


def test_a_cache_that_cannot_be_written_is_no_failure(luxusb: Run, daemon: FakeDaemon, kept: Path) -> None:
    kept.parent.write_text("in the way")
    assert luxusb("distros").code == 0


def test_where_the_list_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert listcache.location() == tmp_path / ".cache" / "luxusb" / "distros.json"
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/tmp/x")
    assert listcache.location() == Path("/var/tmp/x/luxusb/distros.json")


def test_report_without_a_daemon(luxusb: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    result = luxusb("report")
    assert result.code == 0
    for part in ("versions", "system", "tools", "devices", "jobs", "settings", "images", "catalog"):
        assert f"== {part} ==\n" in result.out
    assert "does not run" in result.out
    versions = luxusb("report", "--json").document["report"]["versions"]
    assert versions["luxusbd"] is None
    assert "does not run" in versions["problem"]


def test_a_report_names_nobody(
    luxusb: Run, daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = "/home/roberta"
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("USER", "roberta")
    monkeypatch.setattr(socket, "gethostname", lambda: "robertas-laptop.example.org")
    secrets = f"{home}/isos/x.iso on robertas-laptop by roberta, https://me:pw@host.org/a?token=s3cret from 10.1.2.3"
    other = "/home/carlos/y.iso de:ad:be:ef:00:01"

    def fill() -> None:
        daemon.images[f"image:{world.SHA_A}"].update(name=Variant("s", secrets), source=Variant("s", other))
        daemon.new_job("import", secrets)
        daemon.devices[world.USB]["Serial"] = "S3RIAL"
        daemon.devices[world.USB]["Id"] = "usb-Kingston_DT_S3RIAL"

    daemon.do(fill)
    text = luxusb("report").out
    archive = tmp_path / "report.tar.gz"
    assert luxusb("report", archive).out == f"Saved as {archive}. Read it before you give it away.\n"
    assert archive.stat().st_mode & 0o077 == 0
    with tarfile.open(archive) as opened:
        names = opened.getnames()
        whole = "".join(str(reader.read()) for name in names if (reader := opened.extractfile(name)) is not None)
        assert {member.uname + member.gname for member in opened} == {""}
    assert "luxusb-report/devices.json" in names
    plain = tmp_path / "report.txt"
    assert luxusb("report", plain).code == 0
    for said in (text, whole, plain.read_text(), luxusb("report", "--json").out):
        assert "SERIAL" in said
        assert "~/isos/x.iso on HOST by USER, https://host.org/a?REMOVED from ADDRESS" in said
        assert "Kingston DataTraveler" in said or "DataTraveler" in said
        for secret in ("roberta", "carlos", "s3cret", "pw@", "S3RIAL", "10.1.2.3", "ad:be"):
            assert secret not in said
    assert luxusb("report", archive).code == 1
    assert luxusb("report", archive, "--force").code == 0
    assert luxusb("report", "--force").code == 2


def test_redaction_leaves_other_words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "max")
    monkeypatch.setenv("HOME", "/home/max")
    redactor = Redactor(["77", "AB12"])
    assert redactor.text("maximum of max at /home/maxine, AB1234 and usb-X_AB12") == (
        "maximum of USER at /home/USER, AB1234 and usb-X_SERIAL2"
    )
    assert redactor.value({"a": ["AB12", 7, None, {"max": True}]}) == {"a": ["SERIAL2", 7, None, {"USER": True}]}


def test_the_archive_can_be_read_by_others(luxusb: Run, tmp_path: Path) -> None:
    archive = tmp_path / "r.tgz"
    assert luxusb("report", archive).code == 0
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as opened:
        tools = opened.extractfile("luxusb-report/tools.json")
        assert tools is not None
        assert json.load(tools)["dbus-daemon"].startswith("D-Bus")
    assert os.listdir(tmp_path) == ["r.tgz"]  # noqa: PTH208
