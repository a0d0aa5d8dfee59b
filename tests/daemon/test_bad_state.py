"""What the daemon finds at its start and cannot use: a malformed configuration, a broken state, another daemon."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from luxusbd.store import SCHEMA_VERSION
from tests.daemon.cli import Cli, Refusal, Said, fingerprint
from tests.daemon.daemon import Daemon
from tests.daemon.images import Images
from tests.daemon.shared import World, world_of
from tests.daemon.sticks import run
from tests.harness.mirrors import Mirror
from tests.harness.service import ROOT, environment

EX_CONFIG = 78


async def luxusbd(*arguments: str | Path, before: str = "") -> Said:
    """Run the daemon to its end, which has to come by itself."""
    command = [sys.executable, "-m", "luxusbd", *map(str, arguments)]
    if before:
        script = f'{before}\nexec "$@"'
        command = ["unshare", "--mount", "--propagation", "slave", "sh", "-ec", script, "sh", *command]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
    )
    try:
        async with asyncio.timeout(40):
            out, err = await process.communicate()
    except TimeoutError:
        process.terminate()
        out, err = await process.communicate()
        raise AssertionError(f"it runs: {out!r} {err!r}") from None
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())


def check_end(said: Said, code: int, *words: str | Path) -> None:
    """It ended with one line that says what, on what, and what to do."""
    assert said.code == code, said
    assert said.out == ""
    # what the log says before is of no matter here
    last = said.err.splitlines()[-1]
    assert last.startswith("luxusbd: "), said.err
    assert "Traceback" not in said.err, said.err
    missing = [str(word) for word in words if str(word) not in last]
    assert not missing, f"{missing} missing in {last!r}"


CONFIGS: list[tuple[str, bytes, tuple[str, ...]]] = [
    ("syntax", b"[limits]\njobs = = 3\n", ("not valid TOML", "line 2", "column 8")),
    ("unfinished", b'[paths]\nstate_dir = "/var\n', ("not valid TOML", "line 2")),
    ("twice", b"[limits]\njobs = 3\njobs = 4\n", ("not valid TOML", "line 3")),
    ("not-utf8", b"[limits]\n# \xff\xfe\njobs = 3\n", ("not UTF-8", "byte 11")),
    ("nul", b"\0\0\0\0", ("not valid TOML",)),
    ("section", b"[limit]\njobs = 3\n", ("unknown section [limit]", "did you mean limits?")),
    ("section-far", b"[zzz]\njobs = 3\n", ("unknown section [zzz]", "known are daemon")),
    ("key", b"[limits]\njob_per_uid = 3\n", ("unknown key limits.job_per_uid", "did you mean jobs_per_uid?")),
    ("no-section", b"jobs = 3\n", ("unknown section [jobs]",)),
    ("value-for-section", b"limits = 3\n", ("has to be a section", "[limits]")),
    ("wrong-type", b'[limits]\njobs = "many"\n', ("limits.jobs", "whole number from 1 to 10000", "'many'")),
    ("boolean", b"[limits]\njobs = true\n", ("limits.jobs", "whole number")),
    ("too-small", b"[limits]\njobs = 0\n", ("limits.jobs", "from 1 to 10000", "not 0")),
    ("too-large", b"[transfer]\nmemory = 9999999\n", ("transfer.memory", "from 128 to 65536")),
    ("choice", b'[daemon]\nlog_level = "loud"\n', ("daemon.log_level", "one of debug, info, warning, error")),
    ("no-list", b'[devices]\nallow_loop = "/dev/loop7"\n', ("devices.allow_loop", "list of texts")),
    ("mixed-list", b"[devices]\nallow_loop = [7]\n", ("devices.allow_loop", "list of texts")),
    ("relative-path", b'[paths]\nstate_dir = "state"\n', ("paths.state_dir", "whole path", "begins with /")),
    ("empty-path", b'[paths]\nstate_dir = ""\n', ("paths.state_dir", "whole path")),
    ("nul-in-path", b'[paths]\ncache_dir = "/a\\u0000b"\n', ("paths.cache_dir", "cannot be shown")),
    ("deep", b"a = " + b"[" * 5000, ("not valid TOML",)),
]


@pytest.mark.parametrize(("text", "words"), [case[1:] for case in CONFIGS], ids=[case[0] for case in CONFIGS])
async def test_a_malformed_configuration(tmp_path: Path, text: bytes, words: tuple[str, ...]) -> None:
    file = tmp_path / "luxusbd.toml"
    file.write_bytes(text)
    state = tmp_path / "state"
    check_end(await luxusbd("--private", state, "--config", file), EX_CONFIG, file, *words)
    # not even its directory was made
    assert not state.exists()
    check_end(await luxusbd("--check-config", file), EX_CONFIG, file, *words)


async def test_a_configuration_that_cannot_be_read(tmp_path: Path) -> None:
    absent = tmp_path / "absent.toml"
    for file, word in ((absent, "No such file"), (tmp_path, "Is a directory")):
        for command in (("--private", tmp_path / "state", "--config", file), ("--check-config", file)):
            check_end(await luxusbd(*command), EX_CONFIG, file, "cannot be read", word)


async def test_a_good_configuration_is_said_to_be_good(tmp_path: Path) -> None:
    file = tmp_path / "luxusbd.toml"
    file.write_text((await luxusbd("--print-config")).out)
    said = await luxusbd("--check-config", file)
    assert (said.code, said.out, said.err) == (0, f"{file}: no mistakes found\n", "")


@pytest.mark.root
async def test_a_user_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "luxusbd.toml"
    file.write_text('[transfer]\nuser = "nobody-of-that-name"\n')
    said = await luxusbd("--private", tmp_path / "state", "--config", file)
    check_end(said, EX_CONFIG, "transfer.user", "'nobody-of-that-name'", "create it")


@dataclass(frozen=True)
class Damage:
    """What was done to the job database, and whether it is kept aside or refused."""

    id: str
    do: Callable[[Path], None]
    refused: tuple[str, ...] = ()
    """Words of the refusal; empty where a new database is begun."""
    keeps_jobs: bool = False


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database\n" * 1000)


def truncated(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2 // 4096 * 4096 + 100])


def torn(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))


def foreign_tables(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.executescript("DROP TABLE jobs; CREATE TABLE jobs (id INTEGER PRIMARY KEY, something TEXT);")
    database.close()


def no_tables(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.executescript("DROP TABLE jobs;")
    database.close()


def newer(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    database.close()


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [
    Damage("garbage", garbage),
    Damage("truncated", truncated),
    Damage("torn", torn),
    Damage("foreign-tables", foreign_tables),
    Damage("no-tables", no_tables),
    Damage(
        "newer",
        newer,
        ("newer luxusbd", f"format {SCHEMA_VERSION + 1}", "install that version", "move the file away"),
        True,
    ),
    Damage("directory", directory, ("cannot be used", "whether it is a file")),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.id)
async def test_a_database_that_cannot_be_used(images: Images, damage: Damage) -> None:
    async with world_of(images) as world:
        await world.cli.json("import", images.alpha.path)
        # so that it cannot end before it is stopped
        world.mirror.rate = 512 * 1024
        job = (await world.cli.json("download", "large", "--no-wait"))["jobs"][0]
        await begun(world)
        assert await world.daemon.stop() == 0
        database = world.daemon.state / "jobs.sqlite"
        good = database.read_bytes()
        damage.do(database)
        broken = fingerprint(database)
        if damage.refused:
            check_end(
                await luxusbd("--private", world.daemon.state),
                1,
                *(str(database), *damage.refused),
            )
            assert fingerprint(database) == broken
            assert aside(world) == []
            if database.is_dir():
                database.rmdir()
            if not damage.keeps_jobs:
                database.write_bytes(good)
            else:
                with sqlite3.connect(database) as connection:
                    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                connection.close()
        await world.daemon.start()
        world.cli.address = world.daemon.address
        if damage.refused:
            jobs = (await world.cli.json("jobs"))["jobs"]
            assert [found["id"] for found in jobs] == [job["id"], job["id"] - 1]
        else:
            (kept,) = aside(world)
            assert fingerprint(kept) == {str(kept): broken[str(database)]}
            assert re.fullmatch(r"jobs\.sqlite\.corrupt-\d{8}T\d{6}", kept.name)
            assert f"kept as {kept}" in world.daemon.log
            assert (await world.cli.json("jobs"))["jobs"] == []
        # images are there as before, and what was downloaded is gone on with
        assert [image["sha256"] for image in (await world.cli.json("images"))["images"]] == [images.alpha.sha256]
        world.mirror.rate = 0
        if damage.refused:
            # the job of before goes on by itself
            assert (await world.cli.run("watch", str(job["id"]))).code == 0
            (again,) = [found for found in (await world.cli.json("jobs"))["jobs"] if found["id"] == job["id"]]
        else:
            (again,) = (await world.cli.json("download", "large"))["jobs"]
        assert (again["state"], again["resumed_bytes"] > 0) == ("succeeded", True)
        await world.check_well()


async def begun(world: World) -> None:
    """Wait until the unfinished download has safe bytes on the disk."""
    from tests.daemon.caller import Caller

    async with Caller.connect(world.daemon.address) as caller:
        (job,) = [job for job in await caller.client.jobs(unfinished=True) if job.operation == "download"]
        await caller.progress(job.path, 1)


def aside(world: World) -> list[Path]:
    return sorted(path for path in world.daemon.state.iterdir() if ".corrupt-" in path.name)


async def test_a_database_that_another_program_has_locked(images: Images) -> None:
    async with world_of(images) as world:
        await world.cli.json("import", images.alpha.path)
        await world.daemon.stop()
        database = world.daemon.state / "jobs.sqlite"
        holder = sqlite3.connect(database, isolation_level=None)
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        try:
            said = await luxusbd("--private", world.daemon.state)
            check_end(said, 1, database, "locked", "end the program that has it open")
            assert aside(world) == []
        finally:
            holder.close()
        await world.daemon.start()
        world.cli.address = world.daemon.address
        assert len((await world.cli.json("jobs"))["jobs"]) == 1


@pytest.mark.root
@pytest.mark.parametrize("there", [False, True], ids=["new", "used"])
async def test_a_read_only_directory(images: Images, tmp_path: Path, there: bool) -> None:
    state = tmp_path / "state"
    state.mkdir()
    if there:
        async with Daemon(tmp_path, before=f"mount --bind {state} {state}"):
            pass
        run("cp", "-a", f"{tmp_path}/s/.", str(state))
    before = fingerprint(state)
    said = await luxusbd("--private", state, before=f"mount --bind {state} {state}; mount -o remount,ro,bind {state}")
    check_end(said, 1 if there else EX_CONFIG, state, "read-only" if there else "Read-only")
    assert fingerprint(state) == before


async def test_a_state_directory_that_is_a_file(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_text("in the way")
    check_end(await luxusbd("--private", state), EX_CONFIG, state, "cannot be made")
    assert state.read_text() == "in the way"


async def test_two_daemons_on_one_directory(world: World) -> None:
    """The second one, with a bus of its own or the same one, ends at once; the first notices nothing."""
    state = world.daemon.state
    config = world.place / "second.toml"
    config.write_text(f'[paths]\nstate_dir = "{state}"\ndownload_dir = "{state}/incoming"\n')
    world.undo.callback(config.unlink)
    other = world.place / "other"
    for command in (("--private", state), ("--private", other, "--config", config)):
        before = fingerprint(state / "images", state / "incoming")
        check_end(await luxusbd(*command), 1, "another luxusbd already uses", state, "stop it first")
        assert fingerprint(state / "images", state / "incoming") == before
        await world.check_well()
    assert (await world.cli.json("--version"))["luxusbd"]


test_two_daemons_on_one_directory = pytest.mark.asyncio(loop_scope="module")(test_two_daemons_on_one_directory)


@pytest.mark.root
async def test_a_foreign_job(images: Images, mirror: Mirror) -> None:
    """A job of root is none for another user: not to be seen, paused, ended or changed."""
    nobody = 65534
    from luxusbd.bus.private import private_bus

    async with world_of(images) as world:
        del mirror
        await world.daemon.stop()
        bus = world.place / "b"
        async with private_bus(bus, users=[nobody]) as address:
            bus.chmod(0o755)
            state = world.daemon.state
            system = Daemon(
                world.place,
                catalogues=world.daemon.catalogues,
                config=f"""
[daemon]
idle_exit = 0
[authorization]
backend = "private"
[transfer]
user = ""
[paths]
state_dir = "{state}"
download_dir = "{state}/incoming"
cache_dir = "{state}/cache"
catalog_dir = "{state}/distros.d"
""",
                address=address,
            )
            # so that it lasts longer than all that the other user tries
            world.mirror.rate = 128 * 1024
            async with system:
                home = world.place / "nobody"
                home.mkdir()
                os.chown(home, nobody, nobody)
                root, other = Cli(address, world.place / "home"), Cli(address, home, nobody)
                job = (await root.json("download", "large", "--no-wait"))["jobs"][0]
                number = str(job["id"])
                refusal = Refusal("org.freedesktop.DBus.Error.UnknownObject", [number], ["luxusb jobs"])
                for command in ("pause", "resume", "cancel", "watch"):
                    await other.refused(refusal, command, number)
                await other.refused(refusal, "modify", number, "--priority", "5")
                assert (await other.json("jobs"))["jobs"] == []
                denied = Refusal("NotAuthorized", [], ["sudo"], code=3)
                await other.refused(denied, "jobs", "--all-users")
                await other.refused(denied, "download", "alpha")
                (seen,) = (await root.json("jobs"))["jobs"]
                assert (seen["state"], seen["details"]["priority"]) == ("running", 0)
                world.mirror.rate = 0
                assert (await root.run("watch", number)).code == 0
                assert (await root.json("jobs"))["jobs"][0]["state"] == "succeeded"
        await world.daemon.start()
