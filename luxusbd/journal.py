"""The log: entries with fields for the journal where standard error is the journal, lines of text where it is not.

The journal takes entries as datagrams (systemd's "Native Journal Protocol"): `KEY=value` lines, and a key alone before
a value with line breaks, which its length as a little-endian 64-bit number precedes. What is too large for a datagram
goes as a sealed memfd.

What is logged may come from strangers: a mirror, an image, a stick. So control characters are shown as escapes, a line
cannot begin like another entry, and the secrets of addresses are left out.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import socket
import struct
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from luxusbd.text import without_secrets

SOCKET = Path("/run/systemd/journal/socket")
LEVEL_VARIABLE = "LUXUSBD_LOG_LEVEL"
"""Tells children of ours how much is logged."""
STREAM_VARIABLE = "JOURNAL_STREAM"
LEVELS = ("debug", "info", "warning", "error")

MAX_MESSAGE = 64 * 1024
"""Characters of one entry; a stranger's text must not fill the journal."""
SEND_BUFFER = 8 * 1024 * 1024
"""Bytes that wait while journald is busy; what does not fit is counted and told."""

_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_MAX_JOB = 1 << 63

Field = tuple[str, str]


@dataclass(frozen=True)
class Subject:
    """What is being done while something is logged."""

    job: int = 0
    """0 outside of jobs."""
    devices: tuple[str, ...] = ()
    uid: int = -1
    """Whose job or call it is, -1 where it is the service's own work."""
    operation: str = ""

    def fields(self) -> list[Field]:
        """The fields of a journal entry for what is known."""
        found = [("LUXUSB_JOB", str(self.job))] if self.job else []
        found += [("LUXUSB_DEVICE", device) for device in self.devices]
        found += [("LUXUSB_UID", str(self.uid))] if self.uid >= 0 else []
        return found + ([("LUXUSB_OPERATION", self.operation)] if self.operation else [])

    def to_json(self) -> dict[str, Any]:
        """For a request to a child."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> Subject:
        """What a request of the core names; nothing where it names nothing that can be."""
        if not isinstance(value, Mapping):
            return cls()
        job, devices, uid, operation = (value.get(key) for key in ("job", "devices", "uid", "operation"))
        return cls(
            job=job if type(job) is int and 0 <= job < _MAX_JOB else 0,
            devices=tuple(str(device)[:255] for device in devices[:64]) if isinstance(devices, list) else (),
            uid=uid if type(uid) is int and 0 <= uid < 1 << 32 else -1,
            operation=operation[:64] if isinstance(operation, str) else "",
        )


_NOTHING = Subject()
_subject: ContextVar[Subject] = ContextVar("subject", default=_NOTHING)


def subject() -> Subject:
    """What this task works on."""
    return _subject.get()


def concerns(now: Subject) -> None:
    """Let the log name this for the rest of the running task, and in the tasks that it makes."""
    _subject.set(now)


def set_up(identifier: str, chosen: str = "") -> None:
    """Send this process's log to the journal when standard error is it, else to standard error.

    Args:
        identifier: under which name entries are found, such as `luxusbd`.
        chosen: one of `LEVELS`; empty for what `LEVEL_VARIABLE` says, or info.
    """
    root = logging.getLogger()
    for handler in tuple(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.addHandler(JournalHandler(identifier) if to_journal() else _plain(identifier))
    follow(chosen or os.environ.get(LEVEL_VARIABLE, ""))
    sys.excepthook = _uncaught


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        logging.getLogger(__name__).critical("this process ends because of a defect", exc_info=(kind, error, trace))


def follow(chosen: object) -> None:
    """Log from this level on; anything else than one of `LEVELS` means info."""
    logging.getLogger().setLevel(chosen.upper() if isinstance(chosen, str) and chosen in LEVELS else logging.INFO)


def level() -> str:
    """The level that is logged now, for a child to follow."""
    return str(logging.getLevelName(logging.getLogger().level)).lower()


def environment() -> dict[str, str]:
    """The variables by which a child with our standard error logs as we do."""
    stream = os.environ.get(STREAM_VARIABLE)
    return {LEVEL_VARIABLE: level(), **({STREAM_VARIABLE: stream} if stream else {})}


def to_journal() -> bool:
    """Whether standard error is the journal: systemd names its device and inode (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):
        return False  # there is no standard error
    return os.environ.get(STREAM_VARIABLE) == f"{status.st_dev}:{status.st_ino}"


def entry(fields: Iterable[Field]) -> bytes:
    """Fields as one entry of the native protocol.

    Raises:
        ValueError: the name of a field is none.
    """
    parts = []
    for name, value in fields:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a journal field")
        data = value.encode("utf-8", "replace")
        if b"\n" in data:
            parts.append(name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n")
        else:
            parts.append(name.encode() + b"=" + data + b"\n")
    return b"".join(parts)


def shown(text: str) -> str:
    """Text for a log: no secrets of addresses, control and format characters as escapes, line breaks kept."""
    # not cut before: half an address would not be known for one
    text = without_secrets(text).replace("\t", "    ")
    if len(text) > MAX_MESSAGE:
        text = text[:MAX_MESSAGE] + " (and more)"
    if text.isprintable():
        return text
    return "".join(char if char == "\n" or not _hidden(char) else _escaped(char) for char in text)


def _hidden(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def priority(levelno: int) -> int:
    """The syslog(3) priority of a level of `logging`."""
    steps = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
    return next((number for least, number in steps if levelno >= least), 7)


class _Text(logging.Formatter):
    """One entry as text: what follows the first line is indented, so that it cannot pass for an entry."""

    def format(self, record: logging.LogRecord) -> str:
        """The text of an entry."""
        job = subject().job
        text = shown(super().format(record))
        if job and not re.match(rf"job {job}\b", text):
            text = f"job {job}: {text}"
        return text.replace("\n", "\n  ")


class _Line(_Text):
    def __init__(self, prefix: str) -> None:
        super().__init__("%(message)s")
        self._prefix = prefix

    def format(self, record: logging.LogRecord) -> str:
        return f"{self._prefix}{record.levelname} {record.name}: {super().format(record)}"


def _plain(identifier: str) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line("" if identifier == "luxusbd" else f"{identifier}: "))
    return handler


class JournalHandler(logging.Handler):
    """Sends entries to journald, without ever waiting for it."""

    def __init__(self, identifier: str) -> None:
        super().__init__()
        self._identifier = identifier
        self._lost = 0
        self._fallback = _plain(identifier)
        self._plain = _Text("%(message)s")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one entry; where there is no journald it goes to standard error."""
        try:
            if self._lost:
                self._send([("MESSAGE", f"{self._lost} entries were lost: journald was busy"), ("PRIORITY", "4")])
                self._lost = 0
            self._send(self.fields(record))
        except BlockingIOError:
            self._lost += 1
        except OSError:
            self._fallback.emit(record)
        except Exception:  # noqa: BLE001 - the contract of logging: an entry that cannot be made ends nobody's work
            self.handleError(record)

    def fields(self, record: logging.LogRecord) -> list[Field]:
        """What an entry consists of, without what every entry of this process has."""
        found = [
            ("MESSAGE", self._plain.format(record)),
            ("PRIORITY", str(priority(record.levelno))),
            ("LOGGER", shown(record.name)),
        ]
        if record.levelno >= logging.ERROR:
            found += [
                ("CODE_FILE", record.pathname),
                ("CODE_LINE", str(record.lineno)),
                ("CODE_FUNC", record.funcName or ""),
            ]
        return found + [(name, shown(value).replace("\n", " ")) for name, value in subject().fields()]

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()
        super().close()

    def _send(self, fields: Iterable[Field]) -> None:
        data = entry((("SYSLOG_IDENTIFIER", self._identifier), *fields))
        try:
            self._socket.sendto(data, str(SOCKET))
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
            self._send_file(data)

    def _send_file(self, data: bytes) -> None:
        fd = os.memfd_create("luxusb-log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(data)
            # journald reads only what nobody can change any more
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))]
            self._socket.sendmsg([], rights, 0, str(SOCKET))
        finally:
            os.close(fd)
