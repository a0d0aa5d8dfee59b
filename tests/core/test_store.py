"""The job database."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from luxusbd.errors import FailedError
from luxusbd.store import SCHEMA_VERSION, MirrorRow, Row, Store, WishRow


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "jobs.sqlite")
    await store.open()
    yield store
    await store.close()


async def test_what_is_stored_is_found_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "jobs.sqlite")
    await store.open()
    first = await store.insert(1000, {"a": 1})
    second = await store.insert(0, {"a": 2})
    await store.save(Row(first, 1000, True, {"a": 3}))
    await store.close()
    again = Store(tmp_path / "jobs.sqlite")
    await again.open()
    assert await again.rows() == [Row(second, 0, False, {"a": 2}), Row(first, 1000, True, {"a": 3})]
    assert await again.rows(unfinished=True) == [Row(second, 0, False, {"a": 2})]
    await again.close()


async def test_writes_keep_the_order_of_the_calls(store: Store) -> None:
    job = await store.insert(0, {})
    saved = [store.save(Row(job, 0, False, {"n": number})) for number in range(100)]
    await saved[-1]
    assert (await store.rows())[0].document == {"n": 99}


async def test_ids_are_never_reused_also_after_corruption(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    store = Store(path)
    await store.open()
    first = await store.insert(0, {})
    await store.close()
    path.write_bytes(b"this is no database" * 1000)
    again = Store(path)
    await again.open()
    assert again.rebuilt_from is not None
    assert again.rebuilt_from.read_bytes().startswith(b"this is no database")
    assert await again.rows() == []
    assert await again.insert(0, {}) > first
    await again.close()


async def test_a_torn_database_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    store = Store(path)
    await store.open()
    for _ in range(200):
        await store.insert(0, {"text": "x" * 500})
    await store.close()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    again = Store(path)
    await again.open()
    assert again.rebuilt_from is not None
    assert await again.insert(0, {}) > 200
    await again.close()


async def test_a_directory_that_is_missing_is_an_error(tmp_path: Path) -> None:
    store = Store(tmp_path / "none" / "jobs.sqlite")
    with pytest.raises(FailedError, match="cannot be used"):
        await store.open()
    await asyncio.shield(store.close())


async def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE jobs (id INTEGER)")
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    database.close()
    before = path.read_bytes()
    store = Store(path)
    with pytest.raises(FailedError, match="newer luxusbd"):
        await store.open()
    await store.close()
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["jobs.sqlite"]


@pytest.mark.parametrize(
    "change",
    ["DROP TABLE jobs", "ALTER TABLE jobs RENAME COLUMN document TO text", "ALTER TABLE mirrors ADD COLUMN more TEXT"],
)
async def test_a_database_with_other_tables_is_set_aside(tmp_path: Path, change: str) -> None:
    path = tmp_path / "jobs.sqlite"
    store = Store(path)
    await store.open()
    await store.close()
    with sqlite3.connect(path) as database:
        database.execute(change)
    database.close()
    again = Store(path)
    await again.open()
    assert again.rebuilt_from is not None
    assert await again.rows() == []
    await again.close()


async def test_what_was_not_yet_in_the_file_is_set_aside_with_it(tmp_path: Path) -> None:
    path, log = tmp_path / "jobs.sqlite", tmp_path / "jobs.sqlite-wal"
    path.write_bytes(b"this is no database" * 1000)
    log.write_bytes(b"nor is this its log")
    store = Store(path)
    await store.open()
    assert store.rebuilt_from is not None
    aside = store.rebuilt_from.with_name(store.rebuilt_from.name + "-wal")
    assert aside.read_bytes() == b"nor is this its log"
    await store.close()


FORMAT_1 = """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner_uid INTEGER NOT NULL,
    finished INTEGER NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX jobs_unfinished ON jobs (finished) WHERE finished = 0;
INSERT INTO jobs (id, owner_uid, finished, document) VALUES (41, 1000, 0, '{"a": 1}');
PRAGMA user_version = 1;
"""
"""As the first version wrote it."""


def of_format_1(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.executescript(FORMAT_1)
    database.close()


async def test_a_database_of_the_first_version_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    of_format_1(path)
    store = Store(path)
    await store.open()
    assert store.rebuilt_from is None
    assert await store.rows() == [Row(41, 1000, False, {"a": 1})]
    assert await store.insert(0, {}) == 42
    assert await store.mirrors() == []
    await store.save_wish(WishRow(1000, "", {"a": 1}))
    await store.close()
    again = Store(path)
    await again.open()
    assert await again.wishes() == [WishRow(1000, "", {"a": 1})]
    await again.close()


async def test_a_first_version_with_other_columns_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    of_format_1(path)
    with sqlite3.connect(path) as database:
        database.execute("ALTER TABLE jobs ADD COLUMN more TEXT")
    database.close()
    store = Store(path)
    await store.open()
    assert store.rebuilt_from is not None
    assert await store.mirrors() == []
    await store.close()


async def test_a_step_that_fails_leaves_the_old_format(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    of_format_1(path)
    with sqlite3.connect(path) as database:
        # the second table of the step cannot be made, so that the first one must not stay
        database.execute("CREATE TABLE mirror_wishes (something TEXT)")
    database.close()
    store = Store(path)
    with pytest.raises(FailedError, match="already exists"):
        await store.open()
    await store.close()
    with sqlite3.connect(path) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        assert database.execute("SELECT id FROM jobs").fetchall() == [(41,)]
    database.close()
    assert "mirrors" not in tables


async def test_what_is_known_of_mirrors_is_bounded(store: Store) -> None:
    rows = [MirrorRow(f"m{number}", number, {"n": number}) for number in range(10)]
    await store.save_mirrors(rows, most=100, not_before=0)
    await store.save_mirrors([MirrorRow("m3", 20, {"n": 33})], most=4, not_before=8)
    assert await store.mirrors() == [MirrorRow("m3", 20, {"n": 33}), rows[9], rows[8]]
    await store.save_mirrors([MirrorRow("new", 21, {})], most=2, not_before=0)
    assert [row.address for row in await store.mirrors()] == ["new", "m3"]


async def test_wishes_are_of_one_user_and_one_distribution(store: Store) -> None:
    await store.save_wish(WishRow(1, "debian", {"a": 1}))
    await store.save_wish(WishRow(2, "debian", {"a": 2}))
    await store.save_wish(WishRow(1, "", {"a": 3}))
    await store.save_wish(WishRow(1, "debian", {"a": 4}))
    await store.save_wish(WishRow(2, "debian", {}))
    assert {(row.owner_uid, row.distribution): row.document for row in await store.wishes()} == {
        (1, "debian"): {"a": 4},
        (1, ""): {"a": 3},
    }
