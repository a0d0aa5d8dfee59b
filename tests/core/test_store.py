"""The job database."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from luxusbd.errors import FailedError
from luxusbd.store import Row, Store


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
        database.execute("PRAGMA user_version = 2")
    database.close()
    before = path.read_bytes()
    store = Store(path)
    with pytest.raises(FailedError, match="newer luxusbd"):
        await store.open()
    await store.close()
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["jobs.sqlite"]


@pytest.mark.parametrize("change", ["DROP TABLE jobs", "ALTER TABLE jobs RENAME COLUMN document TO text"])
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
