"""Real loop devices over files in a temporary directory, always taken down again."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from pathlib import Path

MIB = 1024**2


def call(*argv: str | Path, stdin: str | None = None) -> str:
    """Output of a program that must succeed."""
    done = subprocess.run([str(arg) for arg in argv], input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout.strip()


def quietly(*argv: str | Path) -> None:
    """Run a program of the clearing up, which may have nothing left to do."""
    subprocess.run([str(arg) for arg in argv], capture_output=True, check=False)


def holds(node: str, place: Path | str) -> bool:
    """Whether a loop device is over this file or device, or one below this directory.

    Another test may have got the node since it was taken down, and would lose its disk to whoever clears up blindly.
    """
    try:
        found = Path("/sys/block", Path(node).name, "loop/backing_file").read_text().strip().removesuffix(" (deleted)")
    except FileNotFoundError:
        return False
    wanted = Path(place).resolve()
    return wanted == Path(found) or wanted in Path(found).parents


def sequence(node: str) -> str:
    """Which of all disks that the kernel ever had is at a node."""
    return Path("/sys/block", Path(node).name, "diskseq").read_text()


def release(node: str, attached: str, directory: Path) -> None:
    """Take a loop device down, if it is still the one that was `attached`, or another one of this directory."""
    if sequence(node) == attached or holds(node, directory):
        quietly("losetup", "-d", node)


class Loops:
    """Makes loop devices, mounts and swap; `stack` undoes them in reverse order."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.stack = stack
        self._count = 0

    def image(self, size: int = 16 * MIB) -> Path:
        """A sparse file."""
        self._count += 1
        path = self.directory / f"disk{self._count}.img"
        with path.open("wb") as file:
            file.truncate(size)
        return path

    def attach(self, target: Path | str | None = None, *options: str) -> str:
        """A new loop device on a file or device."""
        node = call("losetup", "-f", "-P", "--show", *options, target or self.image())
        self.stack.callback(release, node, sequence(node), self.directory)
        return node

    def partitioned(self, size: int = 32 * MIB) -> tuple[str, str]:
        """A loop device with an ext4 in its only partition: both nodes."""
        image = self.image(size)
        call("sfdisk", "-q", image, stdin="label: gpt\nstart=2048\n")
        node = self.attach(image)
        # A kernel without a parser for GPT learns of the partitions from user space.
        call("partx", "-u", node)
        # The name of the partition's node is what the kernel says; here it only has to be found once.
        (part,) = [f"/dev/{path.name}" for path in Path("/sys/block", Path(node).name).glob("loop*p*")]
        call("mkfs.ext4", "-q", "-F", part)
        return node, part

    def mount(self, node: str, *options: str) -> Path:
        """A new mount point with the filesystem of a node on it."""
        self._count += 1
        point = self.directory / f"mnt{self._count}"
        point.mkdir()
        call("mount", *options, node, point)
        self.stack.callback(quietly, "umount", "-l", point)
        return point

    def swap(self, node: str) -> None:
        """Active swap on a node."""
        call("mkswap", node)
        call("swapon", node)
        self.stack.callback(quietly, "swapoff", node)
