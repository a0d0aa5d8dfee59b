"""Standard streams that are closed, full, or whose reader has gone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.cli.fake_daemon import FakeDaemon
from tests.cli.process import ROOT

pytestmark = pytest.mark.usefixtures("environment")
COMMAND = f'exec "{sys.executable}" -m luxusb_cli'


def shell(arguments: str, before: str = "", after: str = "") -> tuple[int, str, str]:
    """Exit code, output and errors of a command with redirections."""
    done = subprocess.run(
        ["bash", "-c", f"{before}{COMMAND} {arguments}{after}"],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT}/clients"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("redirections", [">&-", "<&- >&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["devices", "devices --json", "download ubuntu", "--version"])
def test_closed_streams(daemon: FakeDaemon, command: str, redirections: str) -> None:
    assert shell(f"{command} {redirections}") == (0, "", "")
    assert daemon.calls


def test_errors_do_not_go_where_answers_go(daemon: FakeDaemon) -> None:
    assert shell("info nosuch 2>&-") == (1, "", "")
    assert daemon.called("GetDistribution")


@pytest.mark.parametrize("command", ["devices", "devices --json", "info ubuntu", "download ubuntu"])
def test_a_full_disk(daemon: FakeDaemon, command: str) -> None:
    code, out, err = shell(f"{command} >/dev/full")
    assert (code, out) == (1, "")
    assert err == "luxusb: Could not write the answer\n  why: No space left on device.\n"
    assert daemon.calls


def test_errors_that_cannot_be_written(daemon: FakeDaemon) -> None:
    assert shell("info nosuch 2>/dev/full") == (1, "", "")
    assert shell("info nosuch --json >/dev/full 2>/dev/full") == (1, "", "")
    assert len(daemon.called("GetDistribution")) == 2


@pytest.mark.parametrize("command", ["distros", "distros --json", "--help"])
def test_a_reader_that_has_seen_enough(daemon: FakeDaemon, command: str) -> None:
    code, out, err = shell(command, "(", ") | true")
    assert (code, out, err) == (0, "", "")
    assert daemon.calls or command == "--help"
