"""Each way of failing: exit code, the three parts, and the JSON document."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dbus_next.signature import Variant
from luxusb_cli.app import cli

from tests.cli.conftest import Run, Spawn
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.process import ROOT


def test_no_daemon(luxusb: Run) -> None:
    result = luxusb("devices")
    assert result.code == 4
    assert result.out == ""
    assert result.err.splitlines() == [
        "luxusb: Could not list the devices",
        "  why: The service luxusbd does not run and cannot be started over D-Bus.",
        "  what to do: Look at `systemctl status luxusbd`, and start it with `sudo systemctl start luxusbd`.",
    ]
    assert luxusb("devices", "--json").document["error"]["name"] == "org.freedesktop.DBus.Error.ServiceUnknown"
    assert luxusb("watch", "1").code == 4


@pytest.mark.parametrize("address", ["unix:path=/nonexistent/bus", "nonsense", "carrier-pigeon:loft=1", "unix:path="])
def test_no_bus(luxusb: Run, address: str) -> None:
    result = luxusb("--address", address, "devices")
    assert result.code == 4
    assert result.err.startswith("luxusb: No connection to the message bus\n")
    document = luxusb("--address", address, "devices", "--json").document
    assert document["error"]["name"] == "org.luxusb.Client.NoDaemon"


def test_the_address_option_wins(luxusb: Run, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    address = daemon._address
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
    assert luxusb("devices").code == 4
    assert luxusb("--address", address, "devices").code == 0


@pytest.mark.parametrize(
    ("name", "code", "todo"),
    [
        ("org.luxusb.Error.NotAuthorized", 3, "with sudo"),
        ("org.luxusb.Error.NotAuthorizedDismissed", 3, "answer the question"),
        ("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", 3, "from a terminal"),
        ("org.freedesktop.DBus.Error.AccessDenied", 3, "with sudo"),
        ("org.luxusb.Error.InvalidArgument", 2, ""),
        ("org.luxusb.Error.Failed", 1, ""),
        ("org.luxusb.Error.NotSupported", 1, "luxusb --version"),
        ("org.luxusb.Error.Internal", 1, "journalctl"),
        ("org.luxusb.Error.Cancelled", 5, ""),
        ("org.freedesktop.DBus.Error.NoReply", 4, "systemctl"),
    ],
)
def test_errors_of_the_daemon(luxusb: Run, daemon: FakeDaemon, name: str, code: int, todo: str) -> None:
    daemon.errors["Download"] = (name, "It is so.")
    result = luxusb("download", "ubuntu")
    assert result.code == code
    assert result.err.startswith("luxusb: Could not download distro:ubuntu\n  why: ")
    assert ("what to do: " in result.err) == bool(todo)
    assert todo in result.err
    failed = luxusb("download", "ubuntu", "--json")
    assert (failed.code, failed.err) == (code, "")
    assert failed.document["error"]["name"] == name


def test_a_job_that_was_refused_is_code_3(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.fail_with = ("org.luxusb.Error.NotAuthorized", "You may not.")
    assert luxusb("download", "ubuntu").code == 3


def test_a_job_that_failed_is_code_1_whatever_its_error_is_called(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.fail_with = ("org.luxusb.Error.InvalidArgument", "odd")
    assert luxusb("download", "ubuntu").code == 1


def test_a_daemon_that_dies_in_a_call(spawn: Spawn, daemon: FakeDaemon) -> None:
    daemon.silent.add("GetManagedObjects")
    asking = spawn("devices", "--json")
    daemon.wait_for_call("GetManagedObjects")
    daemon.vanish()
    assert asking.finish() == 4
    assert "NoReply" in asking.output


def test_an_answer_of_the_wrong_shape(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.do(lambda: daemon.images["image:" + "a1" * 32].update(size=Variant("s", "large")))
    result = luxusb("images")
    assert result.code == 1
    assert "  why: size is str in place of int" in result.err.splitlines()


def test_no_password_is_asked_for_without_a_terminal(luxusb: Run, daemon: FakeDaemon) -> None:
    assert luxusb("devices").code == 0
    assert [call.interactive for call in daemon.calls] == [False]


def test_a_closed_pipe_is_no_traceback(luxusb: Run, daemon: FakeDaemon) -> None:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'clients'}"}
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "luxusb_cli", "distros"],
            stdout=writer,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env=environment,
            check=False,
            timeout=20,
        )
    finally:
        os.close(writer)
    assert ended.stderr == b""
    assert ended.returncode == 1


def test_a_file_that_may_not_be_read(luxusb: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    result = luxusb("import", tmp_path / "no" / "such.iso", "--json")
    assert result.code == 1
    assert result.document["error"]["message"] == "No such file or directory."


def test_help_needs_no_bus_and_names_every_command(luxusb: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
    overview = luxusb("--help")
    assert overview.code == 0
    for name in cli.commands:
        assert f"\n  {name} " in overview.out
        page = luxusb(name, "--help")
        assert page.code == 0
        assert "Examples:" in page.out
        assert ("--json" in page.out) == (name != "completion")
    assert luxusb().code == 2
