"""The log: fields and their form, what is left out of it, and a journal that is a socket of the test."""

from __future__ import annotations

import contextvars
import io
import logging
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd import journal
from luxusbd.journal import JournalHandler, Subject
from luxusbd.text import without_secrets

names = st.from_regex(r"[A-Z][A-Z0-9_]{0,20}", fullmatch=True)


def parse(data: bytes) -> list[tuple[str, str]]:
    """Read an entry as journald does: systemd's document "Native Journal Protocol"."""
    found = []
    while data:
        line, _, rest = data.partition(b"\n")
        name, mark, value = line.partition(b"=")
        if not mark:
            (length,) = struct.unpack("<Q", rest[:8])
            value, rest = rest[8 : 8 + length], rest[8 + length :]
            assert rest[:1] == b"\n"
            rest = rest[1:]
        found.append((name.decode(), value.decode()))
        data = rest
    return found


@given(st.lists(st.tuples(names, st.text(st.characters(codec="utf-8")))))
def test_every_value_arrives_as_it_was(fields: list[tuple[str, str]]) -> None:
    assert parse(journal.entry(fields)) == fields


def test_a_value_with_half_a_character_does_not_end_the_entry() -> None:
    assert parse(journal.entry([("MESSAGE", "a\udc80b")])) == [("MESSAGE", "a?b")]


@pytest.mark.parametrize("name", ["", "_PID", "lower", "A=B", "A\nB", "1A", "A" * 65])
def test_a_name_that_could_forge_fields_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a journal field"):
        journal.entry([(name, "x")])


@given(st.text())
def test_no_control_character_reaches_a_terminal(text: str) -> None:
    assert all(char == "\n" or char.isprintable() or char.isspace() for char in journal.shown(text))
    assert not set("\x1b\r\b\u202e\u2028") & set(journal.shown(text + "\x1b[2J\r\b\u202e\u2028"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no address: what? a#b c@d", "no address: what? a#b c@d"),
        ("https://h/x.iso", "https://h/x.iso"),
        ("https://me:pw@h:8443/x.iso answered 403", "https://h:8443/x.iso answered 403"),
        ("https://me:p@w?x@h/a", "https://h/a"),
        ("https://h/x?X-Sig=S3CRET&e=1: refused", "https://h/x?...: refused"),
        ("'https://h/x?sig=S'), then http://u@i/y#S.", "'https://h/x?...'), then http://i/y?..."),
        ("https://h/x?...S", "https://h/x?..."),
        ("https://h/x?a=https://u:pw@i/S", "https://h/x?..."),
        ("https://h/get/https://u:pw@i/y", "https://h/get/https://i/y"),
        ('{"url":"https://u:pw@h/?t=S","next":1}', '{"url":"https://h/?...","next":1}'),
    ],
)
def test_secrets_of_addresses_are_left_out(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


word = st.text(st.characters(codec="ascii", categories=("L", "N")), max_size=8)
punctuated = st.text(
    st.characters(codec="ascii", exclude_characters=' "<>/', exclude_categories=("C", "Z")), max_size=20
)


@given(before=st.text(max_size=20), user=punctuated, host=word, path=word, query=punctuated)
def test_no_secret_is_left_wherever_the_address_stands(
    before: str, user: str, host: str, path: str, query: str
) -> None:
    found = without_secrets(f"{before} https://{user}S3CRET@{host}/{path}?{query}S3CRET{query} after")
    assert "S3CRET" not in found
    assert found.endswith(" after")
    assert without_secrets(found) == found


def test_an_entry_is_cut_after_its_secrets_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MAX_MESSAGE", 20)
    assert "S3CRET" not in journal.shown("see https://me:S3CRET@host/" + "x" * 40)
    assert journal.shown("x" * 21) == "x" * 20 + " (and more)"


@pytest.fixture
def received(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], dict[str, list[str]]]]:
    """Stands for journald; a call takes the next entry, by field."""
    path = tmp_path / "journal"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(30)
        monkeypatch.setattr(journal, "SOCKET", path)

        def receive() -> dict[str, list[str]]:
            data, fds, _flags, _address = socket.recv_fds(sock, 1 << 20, 4)
            if fds:
                assert (len(fds), data) == (1, b"")
                with os.fdopen(fds[0], "rb+") as file:
                    with pytest.raises(OSError, match="Operation not permitted"):
                        os.pwrite(file.fileno(), b"forged", 0)
                    file.seek(0)  # as journald, which maps the file
                    data = file.read()
            found: dict[str, list[str]] = {}
            for name, value in parse(data):
                found.setdefault(name, []).append(value)
            return found

        yield receive


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    logger = logging.getLogger("luxusbd.test")
    handler = JournalHandler("luxusbd")
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.removeHandler(handler)
    logger.propagate = True
    handler.close()


def test_an_entry_has_its_fields(log: logging.Logger, received: Callable[[], dict[str, list[str]]]) -> None:
    log.info("hello %s", "wörld")
    assert received() == {
        "SYSLOG_IDENTIFIER": ["luxusbd"],
        "MESSAGE": ["hello wörld"],
        "PRIORITY": ["6"],
        "LOGGER": ["luxusbd.test"],
    }
    levels = [(logging.DEBUG, "7"), (logging.WARNING, "4"), (logging.ERROR, "3"), (logging.CRITICAL, "2")]
    for level, priority in levels:
        log.log(level, "x")
        assert received()["PRIORITY"] == [priority]


def test_an_error_says_where_it_comes_from(log: logging.Logger, received: Callable[[], dict[str, list[str]]]) -> None:
    try:
        raise ZeroDivisionError("of https://me:S3CRET@h/")
    except ZeroDivisionError:
        log.exception("a defect")
    found = received()
    assert found["CODE_FILE"] == [__file__]
    assert found["CODE_FUNC"] == ["test_an_error_says_where_it_comes_from"]
    assert int(found["CODE_LINE"][0]) > 0
    first, *others = found["MESSAGE"][0].splitlines()
    assert first == "a defect"
    assert others[-1] == "  ZeroDivisionError: of https://h/"
    assert all(line.startswith("  ") for line in others)


def test_what_is_done_is_in_the_fields(log: logging.Logger, received: Callable[[], dict[str, list[str]]]) -> None:
    def work() -> None:
        journal.concerns(Subject(job=7, devices=("usb-a", "usb-b\nLUXUSB_JOB=8"), uid=0, operation="create"))
        log.info("step")
        log.info("job 7 went on")
        log.info("job 70 is another one")

    contextvars.copy_context().run(work)
    found = received()
    assert found["MESSAGE"] == ["job 7: step"]
    assert found["LUXUSB_JOB"] == ["7"]
    assert found["LUXUSB_DEVICE"] == ["usb-a", "usb-b LUXUSB_JOB=8"]
    assert found["LUXUSB_UID"] == ["0"]
    assert found["LUXUSB_OPERATION"] == ["create"]
    assert received()["MESSAGE"] == ["job 7 went on"]
    assert received()["MESSAGE"] == ["job 7: job 70 is another one"]
    log.info("after")
    assert "LUXUSB_JOB" not in received()


def test_a_large_entry_goes_as_a_sealed_file(
    log: logging.Logger, received: Callable[[], dict[str, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "MAX_MESSAGE", 64 << 20)
    sent = "x" * (32 << 20)
    log.info("%s", sent)
    (message,) = received()["MESSAGE"]
    same = message == sent  # not in the assert: pytest would show both
    assert same


def test_a_journal_that_takes_nothing_holds_nobody_up(
    log: logging.Logger, received: Callable[[], dict[str, list[str]]]
) -> None:
    # the queue of a datagram socket is short (net.unix.max_dgram_qlen)
    limit = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) + 20
    for number in range(limit):
        log.info("%d", number)
    first = [received()["MESSAGE"][0] for _ in range(5)]
    assert first == ["0", "1", "2", "3", "4"]
    log.info("again")
    taken = 5
    while not (said := received()["MESSAGE"][0]).endswith("were lost: journald was busy"):
        taken += 1
    assert received()["MESSAGE"] == ["again"]
    assert int(said.split()[0]) == limit - taken > 0


def test_without_a_journal_it_is_told_on_standard_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SOCKET", tmp_path / "nothing")
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    handler = JournalHandler("luxusb-transfer")
    handler.emit(logging.LogRecord("x", logging.WARNING, "f", 1, "so\nfar", None, None))
    handler.close()
    assert stream.getvalue() == "luxusb-transfer: WARNING x: so\n  far\n"


def test_standard_error_is_the_journal_only_when_it_is_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "stream").open("w") as stream, (tmp_path / "other").open("w") as other:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        monkeypatch.setattr(sys, "stderr", stream)
        assert journal.to_journal()
        monkeypatch.setattr(sys, "stderr", other)
        assert not journal.to_journal()
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        assert not journal.to_journal()
        monkeypatch.setattr(sys, "stderr", None)
        assert not journal.to_journal()


@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.booleans(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["job", "devices", "uid", "operation"]), inner),
    )
)
def test_a_subject_of_nonsense_is_none(value: object) -> None:
    found = Subject.from_json(value)
    journal.entry(found.fields())
    assert Subject.from_json({**found.to_json(), "devices": list(found.devices)}) == found
