"""The image store when its process is killed at any step of a change."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from luxusbd.catalog.model import Trust
from luxusbd.images.store import ImageStore
from tests.images.test_store import ALICE, BOB, CONTENT, SHA, add, names, recognition

KILLER = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from luxusbd.catalog.model import Trust
    from luxusbd.images.model import Recognition
    from luxusbd.images import store as module

    point, action, directory, source = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
    store = module.ImageStore(directory)
    calls = 0

    def dying(function):
        def wrapper(*args, **kwargs):
            global calls
            if calls == point:
                os.kill(os.getpid(), signal.SIGKILL)
            calls += 1
            return function(*args, **kwargs)
        return wrapper

    for owner, names in ((os, ("open", "fsync", "fchmod", "fchown")), (Path, ("rename", "unlink"))):
        for name in names:
            setattr(owner, name, dying(getattr(owner, name)))
    sha = sys.argv[5]
    recognition = Recognition(8, "LABEL", "", "", "", "System", "1", "amd64", reason="r", advice="a")
    if action == "add":
        store.add(source, sha, "Name", "import", Trust.NONE, recognition, 1000)
    elif action == "pin":
        store.pin(1000, sha, pinned=True)
    elif action == "withdraw":
        store.discard(store.withdraw(sha))
    else:
        store.delete(1000, sha)
    """
)


def killed_at(point: int, action: str, directory: Path, source: Path) -> bool:
    """Run the action in a process that is killed before its system call number `point`; False when it got through."""
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(point), action, str(directory), str(source), SHA], check=False, timeout=60
    )
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode != 0


@pytest.mark.chaos
@pytest.mark.parametrize("shared", [False, True])
def test_a_kill_while_adding_loses_neither_file_nor_owner(tmp_path: Path, shared: bool) -> None:
    point = 0
    while True:
        directory, source = tmp_path / f"store{point}", tmp_path / f"file{point}"
        if shared:
            add(ImageStore(directory), tmp_path, BOB, name="Bob's")
        source.write_bytes(CONTENT)
        killed = killed_at(point, "add", directory, source)
        store = ImageStore(directory)
        assert store.orphans() == ()
        assert not list(directory.glob(".*"))
        stored = names(store, ALICE)
        assert names(store, BOB) == (["Bob's"] if shared else [])
        if not stored:
            assert source.read_bytes() == CONTENT
        if source.exists():
            store.add(source, SHA, "Name", "import", Trust.NONE, recognition(), ALICE)
        assert names(store, ALICE) == ["Name"]
        assert (directory / f"{SHA}.iso").read_bytes() == CONTENT
        if not killed:
            break
        point += 1
    assert point > 5


@pytest.mark.chaos
def test_a_kill_while_deleting_leaves_all_or_nothing(tmp_path: Path) -> None:
    point = 0
    while True:
        directory = tmp_path / f"store{point}"
        add(ImageStore(directory), tmp_path, ALICE)
        killed = killed_at(point, "delete", directory, tmp_path)
        store = ImageStore(directory)
        assert store.orphans() == ()
        assert names(store, ALICE) == (["Name"] if (directory / f"{SHA}.iso").exists() else [])
        if not killed:
            assert list(directory.iterdir()) == []
            break
        point += 1
    assert point > 2


@pytest.mark.chaos
def test_a_kill_while_pinning_keeps_the_old_or_the_new_mark(tmp_path: Path) -> None:
    point = 0
    while True:
        directory = tmp_path / f"store{point}"
        add(ImageStore(directory), tmp_path, ALICE)
        killed = killed_at(point, "pin", directory, tmp_path)
        store = ImageStore(directory)
        assert names(store, ALICE) == ["Name"]
        assert killed or store.get(ALICE, SHA).pinned
        assert len(list(directory.iterdir())) == 2
        if not killed:
            break
        point += 1
    assert point > 2


@pytest.mark.chaos
def test_a_kill_while_making_room_leaves_all_or_nothing(tmp_path: Path) -> None:
    point = 0
    while True:
        directory = tmp_path / f"store{point}"
        add(ImageStore(directory), tmp_path, None)
        killed = killed_at(point, "withdraw", directory, tmp_path)
        store = ImageStore(directory)
        assert store.orphans() == ()
        assert names(store, ALICE) == (["Name"] if (directory / f"{SHA}.iso").exists() else [])
        assert len(list(directory.iterdir())) == 2 * len(names(store, ALICE))
        if not killed:
            break
        point += 1
    assert point > 4
