"""`import` from files, pipes and standard input, with files beside the image, and what is said of the end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dbus_next.signature import Variant
from luxusb_cli import beside
from luxusb_cli.errors import CliError
from luxusb_cli.references import LocalFile, classify

from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon

HASH = "ab" * 32
FINGERPRINT = "0123456789ABCDEF" * 2 + "01234567"


@pytest.fixture
def piped(environment: None) -> Iterator[None]:
    """Standard input of this process is a pipe with an image in it, whose writer has ended."""
    read, write = os.pipe()
    os.write(write, b"CD001")
    os.close(write)
    before = os.dup(0)
    os.dup2(read, 0)
    os.close(read)
    yield
    os.dup2(before, 0)
    os.close(before)


def options(daemon: FakeDaemon) -> dict[str, object]:
    return {name: option.value for name, option in daemon.called("ImportImage")[-1].body[2].items()}


def test_standard_input(luxusb: Run, daemon: FakeDaemon, piped: None) -> None:
    result = luxusb("import", "-", "--name", "x.iso", "--size", "5")
    assert result.code == 0, result.err
    assert "Stored x.iso (5 B, trust: none)" in result.out
    assert options(daemon) == {"size": 5}


def test_standard_input_without_a_name(luxusb: Run, daemon: FakeDaemon, piped: None) -> None:
    assert luxusb("import", "-", "--json").document["job"]["result"]["name"] == "imported.iso"
    assert options(daemon) == {}


def test_standard_input_that_is_a_file(luxusb: Run, daemon: FakeDaemon, iso: Path) -> None:
    command = [sys.executable, "-m", "luxusb_cli", "import", "-"]
    with iso.open("rb") as file:
        done = subprocess.run(command, stdin=file, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Stored imported.iso (500 B" in done.stdout


def test_standard_input_that_is_nothing(luxusb: Run, daemon: FakeDaemon) -> None:
    command = [sys.executable, "-m", "luxusb_cli", "import", "-"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "luxusb: Nothing can be imported from standard input",
        "  why: It is neither a file nor a pipe.",
        "  what to do: Write `curl ... | luxusb import -`, or name a file.",
    ]
    assert daemon.called("ImportImage") == []


def test_a_named_pipe(luxusb: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    both = os.open(path, os.O_RDWR)
    os.write(both, b"CD001")
    os.close(os.open(path, os.O_WRONLY))
    # the writer has to be gone before the fake daemon reads
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.close(both)
    try:
        assert luxusb("import", path, "--name", "x.iso").code == 0
    finally:
        os.close(reader)


@pytest.mark.parametrize(("interrupted", "cancelled"), [("-", 1), ("FILE", 0)])
def test_ctrl_c_ends_what_comes_through_a_pipe(
    spawn: object, daemon: FakeDaemon, iso: Path, interrupted: str, cancelled: int
) -> None:
    """The writer of the pipe got the same Ctrl-C: what came is not the whole image."""
    daemon.auto = False
    command = [sys.executable, "-m", "luxusb_cli", "import", str(iso) if interrupted == "FILE" else "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.close()
        daemon.wait_for_call("ImportImage")
        daemon.wait_for_call("GetAll")
        process.send_signal(2)
        process.wait(30)
    assert len(daemon.called("Cancel")) == cancelled


def test_files_beside_the_image(luxusb: Run, daemon: FakeDaemon, iso: Path, tmp_path: Path) -> None:
    arguments = []
    for name in ("sums", "signature", "key"):
        (tmp_path / name).write_text(f"the {name}")
        arguments += [f"--{name}", str(tmp_path / name)]
    before = set(Path("/proc/self/fd").iterdir())
    assert luxusb("import", iso, "--name", "Other", *arguments).code == 0
    assert set(Path("/proc/self/fd").iterdir()) == before
    assert daemon.beside == {"sums": b"the sums", "signature": b"the signature", "key": b"the key"}
    assert options(daemon)["sums_name"] == "my.iso"


def test_the_signature_of_an_image(luxusb: Run, daemon: FakeDaemon, iso: Path, tmp_path: Path) -> None:
    for name in ("signature", "key"):
        (tmp_path / name).write_text(f"the {name}")
    daemon.imported = {"signed_by": Variant("s", "AB" * 20)}
    done = luxusb("import", iso, "--signature", tmp_path / "signature", "--key", tmp_path / "key")
    assert f"The image is signed by the key you gave: {'AB' * 20}" in done.out
    assert daemon.beside == {"signature": b"the signature", "key": b"the key"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--key", "k"], "--key needs what was signed by it"),
        (["--signature", "s"], "without the key of its maker"),
        (["--sums", "auto", "--signature", "s"], "without the key of its maker"),
    ],
)
def test_options_that_do_not_go_together(
    luxusb: Run, daemon: FakeDaemon, iso: Path, arguments: list[str], said: str
) -> None:
    result = luxusb("import", iso, *arguments)
    assert result.code == 2
    assert said in result.err
    assert daemon.called("ImportImage") == []


def test_a_missing_list(luxusb: Run, daemon: FakeDaemon, iso: Path) -> None:
    result = luxusb("import", iso, "--sums", "auto")
    assert result.code == 1
    assert f"No list of hashes stands beside {iso}" in result.err
    assert "my.iso.sha256, " in result.err
    assert luxusb("import", iso, "--sums", str(iso.parent / "nothing")).code == 1
    assert "Nothing stands beside standard input" in luxusb("import", "-", "--sums", "auto").err
    assert daemon.called("ImportImage") == []


@pytest.mark.parametrize(
    "name",
    [
        *("my.iso.sha256", "SHA256SUMS", "SHA256SUM", "sha256sum.txt", "CHECKSUM", "SHA512SUMS"),
        "Fedora-Workstation-44-x86_64-CHECKSUM",
    ],
)
def test_the_list_beside_the_image(luxusb: Run, daemon: FakeDaemon, iso: Path, name: str) -> None:
    (iso.parent / name).write_text("the list")
    assert luxusb("import", iso, "--sums", "auto").code == 0
    assert daemon.beside == {"sums": b"the list"}


def test_the_list_that_names_the_image(iso: Path) -> None:
    for name in ("SHA256SUMS", "SHA512SUMS", "a-CHECKSUM"):
        (iso.parent / name).write_text("something else")
    assert beside.find_sums(iso).name == "SHA256SUMS"
    (iso.parent / "a-CHECKSUM").write_text(f"SHA256 (my.iso) = {HASH}")
    assert beside.find_sums(iso).name == "a-CHECKSUM"


def test_the_signature_beside_the_list(luxusb: Run, daemon: FakeDaemon, iso: Path) -> None:
    (iso.parent / "SHA256SUMS").write_text("the list")
    (iso.parent / "SHA256SUMS.gpg").write_text("its signature")
    (iso.parent / "key").write_text("a key")
    assert luxusb("import", iso, "--sums", "auto").code == 0
    assert daemon.beside == {"sums": b"the list"}
    assert luxusb("import", iso, "--sums", "auto", "--key", iso.parent / "key").code == 0
    assert daemon.beside == {"sums": b"the list", "signature": b"its signature", "key": b"a key"}


@pytest.mark.parametrize(
    ("result", "lines"),
    [
        (
            {"genuine": "Debian GNU/Linux 12.5 live", "genuine_reference": "distro:debian@12.5/live"},
            ["This is Debian GNU/Linux 12.5 live, genuine (sha256 matches the catalogue)."],
        ),
        ({}, ["Not in the catalogue: nobody vouches for it."]),
        (
            {"matched": "image"},
            [
                "The hash given is that of the image.",
                "Not in the catalogue: only the hash that you gave vouches for it.",
            ],
        ),
        (
            {"matched": "packed", "unpacked_from": "xz", "signed_by": FINGERPRINT},
            [
                "Unpacked from xz.",
                "The hash given is that of the compressed file.",
                f"SHA256SUMS is signed by the key you gave: {FINGERPRINT}",
                "Not in the catalogue: the signature alone vouches for it.",
            ],
        ),
    ],
)
def test_what_is_said_of_the_origin(
    luxusb: Run, daemon: FakeDaemon, iso: Path, result: dict[str, str], lines: list[str]
) -> None:
    (iso.parent / "SHA256SUMS").write_text("the list")
    daemon.imported = {name: Variant("s", value) for name, value in result.items()}
    shown = luxusb("import", iso, "--sums", "auto").out.splitlines()
    assert shown[-len(lines) :] == lines
    assert shown[-len(lines) - 1].startswith("Stored my.iso (")
    document = luxusb("import", iso, "--json").document
    assert {name: document["job"]["result"].get(name) for name in result} == result


def test_compressed_files_are_files() -> None:
    for name in ("x.iso.xz", "x.img.gz", "x.zst", "x.bz2", "x.ZIP"):
        assert classify(name) == LocalFile(Path(name))


def test_a_list_that_cannot_be_opened(tmp_path: Path, iso: Path) -> None:
    with pytest.raises(CliError, match="Could not open"), beside.open_beside(beside.Vouchers(str(tmp_path / "x")), iso):
        pass
