"""The log of the transfer process: it reaches the journal from inside its sandbox, and names the job."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from luxusbd import journal
from luxusbd.children.supervisor import Identity, child
from luxusbd.journal import Subject
from tests.children import journalled
from tests.core.test_journal import parse
from tests.harness.service import ROOT

MODULE = "tests.children.journalled"


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """A place that another user reaches, as he does journald's; pytest's directories are closed to others."""
    with tempfile.TemporaryDirectory(prefix="luxusb-journal-", dir="/tmp") as directory:
        Path(directory).chmod(0o711)
        yield Path(directory) / "socket"


@pytest.fixture
def taken(socket_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(socket_path))
        socket_path.chmod(0o666)
        sock.settimeout(30)
        yield sock


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the children inherit as standard error counts as the journal."""
    status = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")


IDENTITIES = [None, pytest.param(Identity(65534, 65534), marks=pytest.mark.root)]


@pytest.mark.parametrize("identity", IDENTITIES, ids=["same user", "nobody"])
async def test_the_sandbox_reaches_the_journal(
    identity: Identity | None, taken: socket.socket, socket_path: Path, stream: None
) -> None:
    journal.concerns(Subject(job=12, devices=("usb-x",), uid=1000, operation="download"))
    variables = {journalled.VARIABLE: str(socket_path)}
    async with child(MODULE, identity=identity, environment=variables) as running:
        said = await running.channel.request("say", {"level": logging.ERROR, "text": "two\nlines \x1b[1m"})
        assert said == {
            "uid": identity.uid if identity else os.getuid(),
            "capabilities": "0" * 16,
            "no_new_privs": "1",
        }
        fields = parse(await asyncio.to_thread(taken.recv, 1 << 16))
    assert dict(fields) | {"CODE_FILE": "", "CODE_LINE": ""} == {
        "SYSLOG_IDENTIFIER": "luxusb-transfer",
        "MESSAGE": "job 12: two\n  lines \\x1b[1m",
        "PRIORITY": "3",
        "LOGGER": "said",
        "CODE_FILE": "",
        "CODE_LINE": "",
        "CODE_FUNC": "say",
        "LUXUSB_JOB": "12",
        "LUXUSB_DEVICE": "usb-x",
        "LUXUSB_UID": "1000",
        "LUXUSB_OPERATION": "download",
    }


async def test_requests_of_different_jobs_do_not_mix(taken: socket.socket, socket_path: Path, stream: None) -> None:
    async with child(MODULE, environment={journalled.VARIABLE: str(socket_path)}) as running:

        async def ask(job: int) -> None:
            journal.concerns(Subject(job=job))
            await running.channel.request("say", {"level": logging.ERROR, "text": f"of {job}"})

        await asyncio.gather(*(ask(job) for job in range(1, 9)))
        found = set()
        for _ in range(8):
            fields = dict(parse(await asyncio.to_thread(taken.recv, 1 << 16)))
            found.add((fields["LUXUSB_JOB"], fields["MESSAGE"]))
    assert found == {(str(job), f"job {job}: of {job}") for job in range(1, 9)}


@pytest.mark.parametrize(("level", "expected"), [("debug", ["quiet", "loud"]), ("error", ["loud"])])
async def test_a_child_logs_as_much_as_the_core(
    level: str,
    expected: list[str],
    taken: socket.socket,
    socket_path: Path,
    stream: None,
) -> None:
    root = logging.getLogger()
    before = root.level
    journal.follow(level)
    try:
        async with child(MODULE, environment={journalled.VARIABLE: str(socket_path)}) as running:
            for number, text in ((logging.DEBUG, "quiet"), (logging.ERROR, "loud")):
                await running.channel.request("say", {"level": number, "text": text})
    finally:
        root.setLevel(before)
    taken.setblocking(False)
    found = []
    while True:
        try:
            fields = dict(parse(taken.recv(1 << 16)))
        except BlockingIOError:
            break
        found += [fields["MESSAGE"]] if fields["LOGGER"] == "said" else []
    assert found == expected


async def test_elsewhere_a_child_logs_text(capfd: pytest.CaptureFixture[str], socket_path: Path) -> None:
    journal.concerns(Subject(job=5))
    async with child(MODULE, environment={journalled.VARIABLE: str(socket_path)}) as running:
        await running.channel.request("say", {"level": logging.WARNING, "text": "here\nINFO forged"})
    assert capfd.readouterr().err == "luxusb-transfer: WARNING said: job 5: here\n  INFO forged\n"


def test_a_level_that_is_none_is_info() -> None:
    root = logging.getLogger()
    before = root.level
    try:
        for wrong in ("", "DEBUG", "notset", None, 5, ["debug"]):
            root.setLevel(logging.ERROR)
            journal.follow(wrong)
            assert journal.level() == "info"
    finally:
        root.setLevel(before)


def test_setting_up_replaces_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers[:] = [logging.NullHandler()]
    monkeypatch.setenv(journal.LEVEL_VARIABLE, "warning")
    try:
        contextvars.copy_context().run(journal.set_up, "luxusb-stick")
        (handler,) = root.handlers
        assert handler.formatter is not None
        line = handler.format(logging.LogRecord("n", logging.INFO, "f", 1, "hello", None, None))
        assert (line, journal.level()) == ("luxusb-stick: INFO n: hello", "warning")
        assert isinstance(handler, logging.StreamHandler)
        assert handler.stream is sys.stderr
    finally:
        root.handlers[:] = before
        root.setLevel(level)


def test_the_end_by_a_defect_is_logged_without_secrets() -> None:
    program = "from luxusbd import journal; journal.set_up('luxusbd'); raise OSError('https://me:S3CRET@h/')"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    first, *others = done.stderr.splitlines()
    assert (done.returncode, first) == (1, "CRITICAL luxusbd.journal: this process ends because of a defect")
    assert others[-1] == "  OSError: https://h/"
    assert "S3CRET" not in done.stderr
