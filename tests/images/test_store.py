from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import time
from pathlib import Path

import pytest

from luxusbd.catalog.model import Trust
from luxusbd.errors import (
    FailedError,
    ImageInUseError,
    ImageNotFoundError,
    ImagePinnedError,
    InvalidArgumentError,
)
from luxusbd.images import store as module
from luxusbd.images.model import Recognition, StoredImage
from luxusbd.images.store import ImageStore
from luxusbd.images.storefiles import StoreFiles

ALICE, BOB, ROOT = 1000, 1001, 0
CONTENT = b"an image"
SHA = hashlib.sha256(CONTENT).hexdigest()


def recognition(size: int = len(CONTENT)) -> Recognition:
    return Recognition(size, "LABEL", "", "", "", "System", "1", "amd64", reason="no recipe", advice="none")


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


def add(
    store: ImageStore,
    directory: Path,
    owner: int | None,
    *,
    content: bytes = CONTENT,
    name: str = "Name",
    trust: Trust = Trust.NONE,
) -> StoredImage:
    path = directory / "incoming.part"
    path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    source = "import" if owner is not None else "distro:x@1"
    image = store.add(path, sha256, name, source, trust, recognition(len(content)), owner)
    assert not path.exists()
    return image


def names(store: ImageStore, uid: int) -> list[str]:
    return [image.name for image in store.list(uid)]


def test_imported_images_are_seen_by_their_uid_and_root_alone(store: ImageStore, tmp_path: Path) -> None:
    image = add(store, tmp_path, ALICE)
    assert image == store.get(ALICE, SHA) == store.get(ROOT, SHA)
    assert (image.reference, image.size, image.source, image.trust) == (f"image:{SHA}", 8, "import", Trust.NONE)
    assert store.list(BOB) == ()
    for use in (
        lambda: store.get(BOB, SHA),
        lambda: store.open(BOB, SHA),
        lambda: store.delete(BOB, SHA),
    ):
        with pytest.raises(ImageNotFoundError):
            use()


def test_two_uids_with_the_same_bytes_keep_their_own_names(store: ImageStore, tmp_path: Path) -> None:
    add(store, tmp_path, ALICE, name="Alice's")
    add(store, tmp_path, BOB, name="Bob's")
    assert (names(store, ALICE), names(store, BOB)) == (["Alice's"], ["Bob's"])
    assert len(names(store, ROOT)) == 1
    assert len(list((tmp_path / "store").glob("*.iso"))) == 1
    assert store.delete(ALICE, SHA) is False
    assert (names(store, ALICE), names(store, BOB)) == ([], ["Bob's"])
    assert store.delete(BOB, SHA) is True
    assert list((tmp_path / "store").iterdir()) == []


def test_downloaded_images_are_seen_by_all_and_lend_their_trust(store: ImageStore, tmp_path: Path) -> None:
    add(store, tmp_path, ALICE, name="mine")
    add(store, tmp_path, None, name="Debian", trust=Trust.SIGNED)
    assert (names(store, ALICE), names(store, BOB)) == (["mine"], ["Debian"])
    assert store.get(ALICE, SHA).trust is Trust.SIGNED
    assert store.delete(BOB, SHA) is False
    assert (names(store, ALICE), names(store, BOB)) == (["mine"], [])
    assert store.get(ALICE, SHA).trust is Trust.NONE


def test_an_image_becomes_surer_in_the_views_of_who_asked(store: ImageStore, tmp_path: Path) -> None:
    add(store, tmp_path, ALICE, name="mine")
    add(store, tmp_path, BOB, name="his")
    assert store.vouch(ALICE, SHA, Trust.SIGNED).trust is Trust.SIGNED
    assert store.vouch(ALICE, SHA, Trust.HASH).trust is Trust.SIGNED
    assert store.get(BOB, SHA).trust is Trust.NONE
    assert ImageStore(tmp_path / "store").get(ALICE, SHA).trust is Trust.SIGNED
    with pytest.raises(ImageNotFoundError):
        store.vouch(4711, SHA, Trust.SIGNED)
    add(store, tmp_path, None, name="Debian", trust=Trust.HASH)
    store.vouch(4711, SHA, Trust.SIGNED)
    assert store.get(BOB, SHA).trust is Trust.SIGNED


def test_bytes_that_come_again_lose_no_trust(store: ImageStore, tmp_path: Path) -> None:
    add(store, tmp_path, ALICE, name="signed", trust=Trust.SIGNED)
    add(store, tmp_path, ALICE, name="again", trust=Trust.NONE)
    add(store, tmp_path, BOB, trust=Trust.NONE)
    assert [(image.name, image.trust) for image in store.list(ALICE)] == [("again", Trust.SIGNED)]
    assert store.get(BOB, SHA).trust is Trust.NONE
    add(store, tmp_path, BOB, trust=Trust.HASH)
    assert store.get(BOB, SHA).trust is Trust.HASH


def test_root_takes_an_image_from_everybody(store: ImageStore, tmp_path: Path) -> None:
    add(store, tmp_path, ALICE)
    add(store, tmp_path, None)
    assert store.delete(ROOT, SHA) is True
    assert store.list(ROOT) == ()


def test_image_in_use_stays(store: ImageStore, tmp_path: Path) -> None:
    add(store, tmp_path, ALICE)
    with pytest.raises(ImageInUseError, match="Name is needed by job 7"):
        store.delete(ALICE, SHA, held_by="job 7")
    assert names(store, ALICE) == ["Name"]


def test_open_gives_a_read_only_descriptor(store: ImageStore, tmp_path: Path) -> None:
    add(store, tmp_path, ALICE)
    fd = store.open(ALICE, SHA)
    try:
        assert os.read(fd, 100) == CONTENT
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(fd, b"x")
    finally:
        os.close(fd)
    assert stat.S_IMODE((tmp_path / "store" / f"{SHA}.iso").stat().st_mode) == 0o400
    assert stat.S_IMODE((tmp_path / "store" / f"{SHA}.json").stat().st_mode) == 0o600


def test_names_are_cleaned(store: ImageStore, tmp_path: Path) -> None:
    assert add(store, tmp_path, ALICE, name="a\x1b[1m\u202eb\n").name == "a[1mb"
    assert add(store, tmp_path, BOB, name="\x00").name == SHA[:12]


def test_everything_is_there_after_reopening(store: ImageStore, tmp_path: Path) -> None:
    add(store, tmp_path, ALICE, name="a")
    add(store, tmp_path, None, name="b", content=b"other")
    again = ImageStore(tmp_path / "store")
    for uid in (ALICE, BOB, ROOT):
        assert again.list(uid) == store.list(uid)


def test_what_is_not_one_regular_file_of_that_size_is_refused(store: ImageStore, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    link = tmp_path / "link"
    link.symlink_to(path)
    hard = tmp_path / "hard"

    def attempt(where: Path, size: int = len(CONTENT)) -> None:
        store.add(where, SHA, "n", "import", Trust.NONE, recognition(size), ALICE)

    with pytest.raises(FailedError, match="regular file"):
        attempt(link)
    with pytest.raises(FailedError, match="8 bytes, and 9"):
        attempt(path, 9)
    hard.hardlink_to(path)
    with pytest.raises(FailedError, match="one name"):
        attempt(path)
    with pytest.raises(FailedError, match="moving n into the image store"):
        attempt(tmp_path / "missing")
    with pytest.raises(InvalidArgumentError):
        store.add(path, "../../etc/passwd", "n", "import", Trust.NONE, recognition(), ALICE)
    assert path.read_bytes() == CONTENT
    assert list((tmp_path / "store").iterdir()) == []
    assert store.list(ROOT) == ()


def test_temporary_files_are_removed_at_start(store: ImageStore, tmp_path: Path) -> None:
    directory = tmp_path / "store"
    for name in (f".tmp-{SHA}", f".incoming-{SHA}", f"{SHA}.json"):
        (directory / name).write_bytes(b"torn")
    (directory / f"{SHA}.json").rename(directory / f"{'0' * 64}.json")
    (directory / "notes.txt").write_text("kept")
    ImageStore(directory)
    assert [path.name for path in directory.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"format": 1}', b"\xff", b"[" * 100_000])
def test_corrupt_sidecar_is_set_aside_and_the_image_adopted(store: ImageStore, tmp_path: Path, damage: bytes) -> None:
    add(store, tmp_path, ALICE)
    sidecar = tmp_path / "store" / f"{SHA}.json"
    sidecar.write_bytes(damage)
    again = ImageStore(tmp_path / "store")
    assert again.list(ROOT) == ()
    assert [(orphan.sha256, orphan.size) for orphan in again.orphans()] == [(SHA, 8)]
    assert sidecar.with_suffix(".json.corrupt").read_bytes() == damage
    again.adopt(SHA, "found", "import", Trust.NONE, recognition(), ALICE)
    assert again.orphans() == ()
    assert names(again, ALICE) == ["found"]
    assert names(again, BOB) == []
    with pytest.raises(ImageNotFoundError):
        again.adopt(SHA, "found", "import", Trust.NONE, recognition(), BOB)
    assert names(ImageStore(tmp_path / "store"), ALICE) == ["found"]


@pytest.mark.parametrize("key", ["size", "sha256", "format", "views", "recognition"])
def test_sidecar_that_does_not_fit_its_image_is_set_aside(store: ImageStore, tmp_path: Path, key: str) -> None:
    add(store, tmp_path, ALICE)
    sidecar = tmp_path / "store" / f"{SHA}.json"
    document = json.loads(sidecar.read_text())
    document[key] = {"uid": {}} if key == "views" else 7
    sidecar.write_text(json.dumps(document))
    again = ImageStore(tmp_path / "store")
    assert again.list(ROOT) == ()
    assert len(again.orphans()) == 1


OLD_SIDECAR = {
    "format": 1,
    "sha256": SHA,
    "size": 8,
    "views": {
        "*": {"name": "Debian", "source": "distro:x@1", "trust": "hash", "added": 1000},
        "1000": {"name": "mine", "source": "import", "trust": "none", "added": 2000},
    },
}


def test_a_sidecar_of_the_first_format_is_read(store: ImageStore, tmp_path: Path) -> None:
    add(store, tmp_path, ALICE)
    sidecar = tmp_path / "store" / f"{SHA}.json"
    recognised = json.loads(sidecar.read_text())["recognition"]
    sidecar.write_text(json.dumps({**OLD_SIDECAR, "recognition": recognised}))
    again = ImageStore(tmp_path / "store")
    assert (again.get(BOB, SHA).last_used, again.get(ALICE, SHA).last_used) == (1000, 2000)
    assert again.get(ROOT, SHA).pinned is False
    (record,) = again.records()
    assert record.charged == {ALICE}
    again.pin(BOB, SHA, pinned=True)
    written = json.loads(sidecar.read_text())
    assert (written["format"], written["pins"], written["requested_by"]) == (2, [BOB], [])
    assert ImageStore(tmp_path / "store").get(BOB, SHA).pinned is True


@pytest.mark.parametrize(("key", "value"), [("pins", ["1000"]), ("pins", [-1]), ("requested_by", 7), ("pins", [True])])
def test_uids_that_are_none_are_refused(store: ImageStore, tmp_path: Path, key: str, value: object) -> None:
    add(store, tmp_path, ALICE)
    sidecar = tmp_path / "store" / f"{SHA}.json"
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), key: value}))
    assert len(ImageStore(tmp_path / "store").orphans()) == 1


def test_pins_hold_until_their_users_let_go(store: ImageStore, tmp_path: Path) -> None:
    add(store, tmp_path, None, name="Debian")
    store.pin(ALICE, SHA, pinned=True)
    assert [store.get(uid, SHA).pinned for uid in (ALICE, BOB, ROOT)] == [True, False, False]
    with pytest.raises(ImagePinnedError, match="luxusb unpin"):
        store.delete(ALICE, SHA)
    with pytest.raises(ImagePinnedError, match="another user"):
        store.delete(BOB, SHA)
    add(store, tmp_path, BOB, name="Bob's")
    assert store.delete(BOB, SHA) is False
    assert names(store, BOB) == ["Debian"]
    store.pin(ALICE, SHA, pinned=False)
    store.pin(ROOT, SHA, pinned=True)
    assert [store.get(uid, SHA).pinned for uid in (ALICE, BOB, ROOT)] == [True, True, True]
    store.pin(ROOT, SHA, pinned=False)
    store.pin(ALICE, SHA, pinned=True)
    assert store.delete(ROOT, SHA) is True
    with pytest.raises(ImageNotFoundError):
        store.pin(ALICE, SHA, pinned=True)


def test_a_pin_goes_with_the_view(store: ImageStore, tmp_path: Path) -> None:
    add(store, tmp_path, ALICE)
    add(store, tmp_path, BOB)
    store.pin(BOB, SHA, pinned=True)
    assert store.get(ALICE, SHA).pinned is False
    assert store.delete(ALICE, SHA) is False
    store.pin(BOB, SHA, pinned=False)
    assert store.delete(BOB, SHA) is True


def test_whose_quota_bytes_count_for(store: ImageStore, tmp_path: Path) -> None:
    def charged() -> frozenset[int]:
        return store.records()[0].charged

    add(store, tmp_path, None)
    assert charged() == frozenset()
    assert store.request(BOB, SHA) is not None
    assert charged() == {BOB}
    store.request(ROOT, SHA)
    assert charged() == frozenset()
    store.pin(ALICE, SHA, pinned=True)
    add(store, tmp_path, BOB)
    assert charged() == {ALICE, BOB}


def test_an_own_import_needs_no_download_and_anothers_does(store: ImageStore, tmp_path: Path) -> None:
    add(store, tmp_path, ALICE)
    assert [store.held(uid, SHA) is None for uid in (ALICE, BOB, ROOT)] == [False, True, True]
    assert store.request(BOB, SHA) is None
    assert store.records()[0].requested_by == frozenset()


def test_an_image_is_found_by_the_sha512_that_vouches_for_it(store: ImageStore, tmp_path: Path) -> None:
    sha512 = hashlib.sha512(CONTENT).hexdigest()
    content = f"sha512-{sha512}"
    assert (store.held(ALICE, content), store.named(content), store.named(SHA)) == (None, content, SHA)
    path = tmp_path / "x"
    path.write_bytes(CONTENT)
    store.add(path, SHA, "Name", "import", Trust.HASH, recognition(), ALICE, sha512=sha512)
    # another user's import is no more his business than by the other hash
    assert [store.held(uid, content) is None for uid in (ALICE, BOB, ROOT)] == [False, True, True]
    assert store.request(BOB, content) is None
    add(store, tmp_path, None)
    again = ImageStore(tmp_path / "store")
    for one in (store, again):
        image = one.held(BOB, content)
        assert image is not None
        assert (image.sha256, image.sha512, one.named(content)) == (SHA, sha512, SHA)
        assert one.held(BOB, f"sha512-{'0' * 128}") is None
    again.pin(BOB, SHA, pinned=True)
    assert json.loads((tmp_path / "store" / f"{SHA}.json").read_text())["sha512"] == sha512


@pytest.mark.parametrize("value", ["0" * 127, "G" * 128, 7, None])
def test_a_sha512_that_is_none_is_refused(store: ImageStore, tmp_path: Path, value: object) -> None:
    add(store, tmp_path, ALICE)
    sidecar = tmp_path / "store" / f"{SHA}.json"
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "sha512": value}))
    assert len(ImageStore(tmp_path / "store").orphans()) == 1
    (tmp_path / "x").write_bytes(CONTENT)
    with pytest.raises(InvalidArgumentError):
        store.add(tmp_path / "x", SHA, "N", "import", Trust.HASH, recognition(), ALICE, sha512="0" * 127)


def test_use_is_written_now_and_then_and_seen_by_the_user_alone(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000_000
    monkeypatch.setattr(time, "time", lambda: now)
    add(store, tmp_path, ALICE)
    add(store, tmp_path, BOB)
    sidecar = tmp_path / "store" / f"{SHA}.json"
    before = sidecar.stat().st_ino
    now += module.USE_GRAIN - 1
    os.close(store.open(ALICE, SHA))
    assert sidecar.stat().st_ino == before
    now += 1
    os.close(store.open(ALICE, SHA))
    assert (store.get(ALICE, SHA).last_used, store.get(BOB, SHA).last_used) == (now, 1_000_000)
    assert ImageStore(tmp_path / "store").records()[0].last_used == now
    now += module.USE_GRAIN
    monkeypatch.setattr(StoreFiles, "write", refuse)
    os.close(store.open(ALICE, SHA))
    assert store.get(ALICE, SHA).last_used == now
    with pytest.raises(FailedError, match="No space"):
        store.pin(ALICE, SHA, pinned=True)
    assert store.get(ALICE, SHA).pinned is False


def refuse(*_arguments: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_withdrawn_image_may_come_again_before_its_bytes_are_gone(store: ImageStore, tmp_path: Path) -> None:
    add(store, tmp_path, None)
    withdrawn = store.withdraw(SHA)
    assert store.list(ROOT) == ()
    assert store.orphans() == ()
    with pytest.raises(ImageNotFoundError):
        store.withdraw(SHA)
    add(store, tmp_path, ALICE, name="again")
    store.discard(withdrawn)
    assert names(ImageStore(tmp_path / "store"), ALICE) == ["again"]
    assert (tmp_path / "store" / f"{SHA}.iso").read_bytes() == CONTENT
    assert len(list((tmp_path / "store").iterdir())) == 2


def test_an_orphan_is_removed(store: ImageStore, tmp_path: Path) -> None:
    add(store, tmp_path, ALICE)
    with pytest.raises(ImageNotFoundError):
        store.remove_orphan(SHA)
    (tmp_path / "store" / f"{SHA}.json").write_text("{")
    again = ImageStore(tmp_path / "store")
    again.remove_orphan(SHA)
    assert list((tmp_path / "store").iterdir()) == []
