"""What `report` collects, and how everything that names a person or a machine is taken out of it."""

from __future__ import annotations

import os
import platform
import pwd
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

PROGRAMS: Mapping[str, Sequence[str]] = {
    "mkfs.fat": ("mkfs.fat", "--help"),
    "mke2fs": ("mke2fs", "-V"),
    "mtools": ("mtools", "--version"),
    "sfdisk": ("sfdisk", "--version"),
    "grub-mkimage": ("grub-mkimage", "--version"),
    "gpgv": ("gpgv", "--version"),
    "dbus-daemon": ("dbus-daemon", "--version"),
    "systemctl": ("systemctl", "--version"),
    "qemu-system-x86_64": ("qemu-system-x86_64", "--version"),
}
"""Programs that the daemon or this command runs, and how each tells its version."""
_OS_RELEASE = frozenset({"NAME", "ID", "ID_LIKE", "VERSION", "VERSION_ID", "VERSION_CODENAME", "PRETTY_NAME"})
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]*@")
_QUERY = re.compile(r"(https?://[^\s?\"']+)\?[^\s\"']*")
_ADDRESS = re.compile(r"\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b|\b(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}\b")
_HOME = re.compile(r"(?<![\w.])/(?:home|var/home)/[^/\s\"',;:]+")


class Redactor:
    """Replaces names of people and machines by words that stay the same within one report."""

    def __init__(self, serials: Sequence[str] = ()) -> None:
        words: dict[str, str] = {}
        user = pwd.getpwuid(os.getuid())
        homes = {str(Path.home()), user.pw_dir}
        self._homes = sorted((home for home in homes if home.count("/") > 1 or home == "/root"), key=len, reverse=True)
        people = {user.pw_name, os.environ.get("SUDO_USER", ""), os.environ.get("USER", "")}
        for name in people - {"", "root"}:
            words[name] = "USER"
        host = socket.gethostname()
        for name in {host, host.partition(".")[0]} - {"", "localhost"}:
            words[name] = "HOST"
        for index, serial in enumerate(dict.fromkeys(serials), 1):
            if len(serial) >= 3:
                words[serial] = f"SERIAL{index}"
        self._words = sorted(words.items(), key=lambda pair: len(pair[0]), reverse=True)

    def text(self, text: str) -> str:
        """The text without them."""
        for home in self._homes:
            text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
        text = _HOME.sub("/home/USER", text)
        text = _QUERY.sub(r"\1?REMOVED", _CREDENTIALS.sub("", text))
        for word, instead in self._words:
            # A serial number stands in an id between underscores and dashes, so only letters and digits delimit it.
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", instead, text)
        return _ADDRESS.sub("ADDRESS", text)

    def value(self, value: object) -> object:
        """The same for everything in a document."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value


def system() -> dict[str, object]:
    """The operating system, without the host's name."""
    release: dict[str, str] = {}
    try:
        lines = Path("/etc/os-release").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _equals, value = line.partition("=")
        if key in _OS_RELEASE:
            release[key] = value.strip("\"'")
    return {
        "os_release": release,
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "language": os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or "C",
        "root": os.geteuid() == 0,
    }


def tools() -> dict[str, str]:
    """First line of each program's version; empty where it is not installed."""
    return {name: _version(command) for name, command in PROGRAMS.items()}


def _version(command: Sequence[str]) -> str:
    # Root's own directories are not in every user's PATH.
    where = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    program = shutil.which(command[0], path=where)
    if program is None:
        return ""
    try:
        ended = subprocess.run(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": where, "LC_ALL": "C"},
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not tell: {error}"
    lines = ended.stdout.decode(errors="replace").strip().splitlines()
    return lines[0].strip() if lines else "installed"
