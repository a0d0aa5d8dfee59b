"""The Python packages from PyPI that come inside the Debian package: which they are, to the byte, and where they go.

`packaging/debian/wheels.lock` names each with the SHA-256 of every file that may be used. `lock` writes it anew out of
pyproject.toml (what a maintainer does for an update), `fetch DIR` brings the files, `unpack DIR TARGET` puts what is in
them below a directory. Uses nothing but the standard library and pip, and pip for `lock` and `fetch` alone, so that the
package itself is built without network.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "packaging" / "debian" / "wheels.lock"
PYTHONS = ("3.11", "3.12", "3.13")
"""Of Debian 12, Ubuntu 24.04 and Debian 13: what is compiled is there for each, side by side under other names."""
WITHOUT = frozenset({"markdown-it-py", "mdurl", "pygments"})
"""What rich wants for source code and Markdown, which nobody here shows."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux2014_x86_64", "manylinux_2_17_x86_64", "any")
_HEAD = """\
# What comes from PyPI inside the Debian package, and every file that may be used for it.
# Written by `python packaging/wheels.py lock`; packaging/debian/copyright names the licences.
"""
_LINE = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?P<hashes>(?: --hash=sha256:[0-9a-f]{64})+)")


class WheelError(Exception):
    """A wheel is missing, is another one, or cannot be unpacked."""


def locked() -> dict[str, tuple[str, frozenset[str]]]:
    """What the lock names: the version and the SHA-256 of its files for each package.

    Raises:
        WheelError: a line is malformed.
    """
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for line in LOCK.read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise WheelError(f"{LOCK}: cannot read {line!r}")
        hashes = frozenset(part.removeprefix("--hash=sha256:") for part in match["hashes"].split())
        found[match["name"]] = (match["version"], hashes)
    return found


def name_of(wheel: Path) -> str:
    """The package in a wheel, as PyPI writes names."""
    return re.sub(r"[-_.]+", "-", wheel.name.split("-")[0]).lower()


def missing(directory: Path) -> set[str]:
    """Hashes that the lock names and no file in the directory has."""
    wanted = {digest for _, hashes in locked().values() for digest in hashes}
    return wanted - {_sha256(path) for path in directory.glob("*.whl")}


def write_lock() -> None:
    """Resolve what pyproject.toml wants for each Python, and write down what was found."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    hashes: dict[tuple[str, str], set[str]] = defaultdict(set)
    with tempfile.TemporaryDirectory() as place:
        for python in PYTHONS:
            _download(Path(place), python, wanted)
        for wheel in Path(place).glob("*.whl"):
            hashes[name_of(wheel), wheel.name.split("-")[1]].add(_sha256(wheel))
    lines = [
        f"{name}=={version}" + "".join(f" --hash=sha256:{digest}" for digest in sorted(found))
        for (name, version), found in sorted(hashes.items())
        if name not in WITHOUT
    ]
    LOCK.write_text(_HEAD + "\n".join(lines) + "\n", "utf-8")


def fetch(directory: Path) -> None:
    """Bring the locked files that are not there yet, from where pip is told to get packages.

    Raises:
        WheelError: pip brought something else, or not all.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if missing(directory):
        for python in PYTHONS:
            _download(directory, python, ["--require-hashes", "--no-deps", "--requirement", str(LOCK)])
    if lacking := missing(directory):
        raise WheelError(f"no file was brought for these hashes of {LOCK.name}: {', '.join(sorted(lacking))}")


def unpack(directory: Path, target: Path, only: Iterable[str] = ()) -> None:
    """Put the content of the locked files below `target`; what two of them share has to be the same.

    Args:
        directory: where the files are.
        target: where their packages go, beside what is there.
        only: names of packages; all of the lock if there is none.

    Raises:
        WheelError: a file is missing, or is no wheel that is locked.
    """
    known = locked()
    chosen = frozenset(only) or frozenset(known)
    if unknown := chosen - known.keys():
        raise WheelError(f"{LOCK.name} does not name {', '.join(sorted(unknown))}")
    wheels = [path for path in sorted(directory.glob("*.whl")) if name_of(path) in chosen]
    lacking = {digest for name in chosen for digest in known[name][1]}
    for wheel in wheels:
        digest = _sha256(wheel)
        if digest not in known[name_of(wheel)][1]:
            raise WheelError(f"{wheel.name} is not the file that {LOCK.name} names")
        lacking.discard(digest)
        _unpack_one(wheel, target)
    if lacking:
        raise WheelError(f"{directory} lacks the files with these hashes: {', '.join(sorted(lacking))}")


def _unpack_one(wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            inside = PurePosixPath(member.filename)
            # programs of theirs, which nobody calls; lists of the files, which differ from one Python to the next
            if member.is_dir() or inside.parts[0].endswith(".data") or inside.name in ("RECORD", "WHEEL"):
                continue
            if inside.is_absolute() or ".." in inside.parts:
                raise WheelError(f"{wheel.name} has a file at {inside}")
            place = target / inside
            content = archive.read(member)
            if place.exists() and place.read_bytes() != content:
                raise WheelError(f"{inside} is another file for another Python")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)


def _download(directory: Path, python: str, what: Sequence[str]) -> None:
    platforms = [f"--platform={platform}" for platform in PLATFORMS]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    command = [*pip, f"--python-version={python}", "--implementation=cp", *platforms, f"--dest={directory}", *what]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise WheelError(f"pip could not bring the packages for Python {python}: {done.stderr.strip()}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(arguments: list[str]) -> int:
    """Do what the command line says; its exit status."""
    parser = argparse.ArgumentParser(description="The Python packages inside the Debian package.")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("lock", help="write the lock anew out of pyproject.toml")
    actions.add_parser("fetch", help="bring the locked files").add_argument("directory", type=Path)
    unpacking = actions.add_parser("unpack", help="put what is in them below a directory")
    unpacking.add_argument("directory", type=Path)
    unpacking.add_argument("target", type=Path)
    unpacking.add_argument("only", nargs="*")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.action == "lock":
            write_lock()
        elif chosen.action == "fetch":
            fetch(chosen.directory)
        else:
            unpack(chosen.directory, chosen.target, chosen.only)
    except WheelError as error:
        sys.stderr.write(f"wheels: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
