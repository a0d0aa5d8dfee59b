"""Downloads beside curl, wget and aria2: all of a case in turns, in one run, on loopback; medians and ratios."""

from __future__ import annotations

import asyncio
import hashlib
import math
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from tests.bench import servers, tools
from tests.bench.tools import Figures, Target

MIB = 1024 * 1024
SIZE = 1024 * MIB
SMALL = 256 * MIB
SLOW_RATES = (24 * MIB, 12 * MIB, 6 * MIB)
ROUNDS = 5
PATIENCE = 60.0
"""Seconds after which a run counts as not ending."""

Run = Callable[[], Awaitable[Figures]]


def make(path: Path, size: int) -> str:
    """A file of bytes that no compression shortens; its sha256."""
    hasher = hashlib.sha256()
    block = b"".join(hashlib.sha256(b"%d" % at).digest() for at in range(MIB // 32))
    with path.open("wb") as file:
        for number in range(size // MIB):
            piece = number.to_bytes(8, "big") + block[8:]
            file.write(piece)
            hasher.update(piece)
    return hasher.hexdigest()


async def turns(
    title: str, runs: Mapping[str, Run], rounds: int = ROUNDS, *, warm_up: bool = True
) -> dict[str, list[Figures]]:
    """Every command of a case once in each round; prints the medians. A round to warm up is not counted."""
    seen: dict[str, list[Figures]] = {name: [] for name in runs}
    for run in runs.values() if warm_up else ():
        await run()
    for _ in range(rounds):
        for name, run in runs.items():
            seen[name].append(await run())
    print(f"\n{title}, {rounds} rounds in turn (median; least and most):")
    for name, figures in seen.items():
        seconds = [one.seconds for one in figures]
        print(
            f"  {name:34} {_time(statistics.median(seconds))}   {_time(min(seconds))} .. {_time(max(seconds))}"
            f"   cpu {statistics.median(one.cpu for one in figures):5.2f} s"
        )
    return seen


def ratio(of: Sequence[Figures], to: Sequence[Figures]) -> float:
    """How many times faster the second is than the first, the median of the rounds."""
    pairs = [a.seconds / b.seconds for a, b in zip(of, to, strict=True) if math.isfinite(b.seconds)]
    return statistics.median(pairs) if pairs else 0.0


def goal(text: str, value: float, bound: float, *, most: bool = False) -> None:
    """Print whether a figure meets its goal."""
    met = value <= bound if most else value >= bound
    print(f"  => {text}: {value:.2f} (goal {'<=' if most else '>='} {bound:g}: {'met' if met else 'missed'})")


async def plain(work: Path, server: servers.Served, target: Target) -> None:
    """One server, as fast as it goes."""

    def fresh(command: tools.Command) -> Run:
        async def run() -> Figures:
            tools.clear(target.directory)
            return await tools.run(command(target), PATIENCE)

        return run

    seen = await turns(
        f"{target.size // MIB} MiB from one server",
        {
            "luxusbd (checked)": fresh(tools.ours),
            "aria2 -x4 (checked)": fresh(tools.aria2(checked=True)),
            "curl, then sha256sum (checked)": fresh(tools.curl_checked),
            "aria2 -x4": fresh(tools.aria2(checked=False)),
            "curl": fresh(tools.curl),
            "wget": fresh(tools.wget),
        },
    )
    mine = seen["luxusbd (checked)"]
    goal("checked, times as fast as aria2 -x4 with checksum", ratio(seen["aria2 -x4 (checked)"], mine), 2.0)
    goal("checked, times as fast as curl that checks nothing", ratio(seen["curl"], mine), 1.0)


async def uneven(work: Path, file: Path, sha256: str) -> None:
    """Four mirrors, of which one stalls."""
    ideal = SMALL / sum(SLOW_RATES)

    def against(command: tools.Command) -> Run:
        async def run() -> Figures:
            tools.clear(work / "to")
            async with AsyncExitStack() as stack:
                mirrors = [
                    await stack.enter_async_context(servers.mirror(file, rate, host=host))
                    for host, rate in enumerate(SLOW_RATES, 3)
                ]
                # within the first range of a mirror, wherever in the file that is
                stalling = await stack.enter_async_context(servers.mirror(file, 12 * MIB, host=2, stall_at=6 * MIB))
                urls = tuple(f"{one.url}/{file.name}" for one in (stalling, *mirrors))
                return await tools.run(command(Target(urls, sha256, SMALL, work / "to", "file")), PATIENCE)

        return run

    seen = await turns(
        f"{SMALL // MIB} MiB from mirrors of 24, 12 and 6 MiB/s and one that stalls (ideal {ideal:.2f} s)",
        {"luxusbd (checked)": against(tools.ours), "aria2 -x1 (checked)": against(tools.aria2(checked=True, each=1))},
        rounds=3,
        warm_up=False,
    )
    goal("time / ideal", statistics.median(one.seconds for one in seen["luxusbd (checked)"]) / ideal, 1.10, most=True)


async def death(work: Path, file: Path, sha256: str) -> None:
    """Two mirrors, of which one dies in the middle."""
    twice: dict[str, list[float]] = {}
    gaps: list[float] = []

    def against(name: str, command: tools.Command) -> Run:
        async def run() -> Figures:
            tools.clear(work / "to")
            logs = [work / "log-a", work / "log-b"]
            async with AsyncExitStack() as stack:
                pair = [
                    await stack.enter_async_context(servers.mirror(file, 24 * MIB, host=host, log=log))
                    for host, log in enumerate(logs, 2)
                ]
                urls = tuple(f"{one.url}/{file.name}" for one in pair)

                def kill() -> bool:
                    if logs[0].exists() and pair[0].sent() > SMALL // 4:
                        pair[0].kill()
                    return False

                figures = await tools.run(
                    command(Target(urls, sha256, SMALL, work / "to", "file")), PATIENCE, meanwhile=kill
                )
                await asyncio.sleep(0.2)
                twice.setdefault(name, []).append((sum(one.sent() for one in pair) - SMALL) / MIB)
            if figures.more is not None:
                gaps.append(figures.more["gap"])
            return figures

        return run

    await turns(
        f"{SMALL // MIB} MiB from two mirrors of 24 MiB/s, one dies",
        {
            "luxusbd (checked)": against("luxusbd", tools.ours),
            "aria2 -x1 (checked)": against("aria2", tools.aria2(checked=True, each=1)),
        },
        rounds=3,
        warm_up=False,
    )
    for name, values in twice.items():
        print(f"  sent beyond the file's size by the servers, {name}: {', '.join(f'{one:.1f}' for one in values)} MiB")
    goal(
        "MiB fetched twice (with what a dead server had sent and nobody received)",
        max(twice["luxusbd"]),
        1.0,
        most=True,
    )
    goal("longest time without a byte, s", max(gaps), 1.0, most=True)


async def restart(work: Path, server: servers.Served, target: Target) -> None:
    """Killed with SIGKILL at half of the file, then started again."""
    half = target.size // 2
    fetched: dict[str, list[float]] = {}

    def against(name: str, first: Sequence[str], second: Sequence[str], part: Path) -> Run:
        async def run() -> Figures:
            tools.clear(target.directory)

            def reached() -> bool:
                return part.exists() and part.stat().st_blocks * 512 >= half

            await tools.run(first, PATIENCE, meanwhile=None if name == "luxusbd" else reached)
            await asyncio.sleep(0.3)
            server.forget()
            figures = await tools.run(second, PATIENCE)
            await asyncio.sleep(0.1)
            fetched.setdefault(name, []).append(server.sent() / MIB)
            return figures

        return run

    file = target.directory / target.name
    # aria2 that allocates first shows nothing in the file's blocks, so that this one does not
    aria2 = [word for word in tools.aria2(checked=True)(target) if not word.startswith("--file-allocation")]
    aria2.insert(1, "--file-allocation=none")
    await turns(
        f"{target.size // MIB} MiB killed at half and started again",
        {
            "luxusbd (checked)": against("luxusbd", tools.engine([target], half), tools.ours(target), file),
            "aria2 -x4 -c (checked)": against("aria2", aria2, aria2, file),
            "curl -C - (nothing checked)": against("curl", tools.curl(target), tools.curl_again(target), file),
        },
        rounds=3,
        warm_up=False,
    )
    for name, values in fetched.items():
        print(f"  fetched by the second run of {name}: {', '.join(f'{one:.0f}' for one in values)} MiB")


async def eight(work: Path, server: servers.Served, target: Target) -> None:
    """Eight files at once: memory and the loop's lag."""
    tools.clear(work / "to")
    targets = [Target(target.urls, target.sha256, target.size, work / "to", f"file{number}") for number in range(8)]
    figures = await tools.run(tools.engine(targets), PATIENCE)
    assert figures.more is not None, "the engine failed"
    total = 8 * target.size / MIB
    rate = total / figures.seconds
    print(f"\neight files of {target.size // MIB} MiB at once: {figures.seconds:.2f} s, {rate:.0f} MiB/s")
    goal("peak memory, MiB", figures.more["rss"], 90, most=True)
    goal("99th percentile of the loop's lag, ms", figures.more["lag"], 50, most=True)


async def bench(directory: Path) -> None:
    """All cases; `directory` is on the filesystem that is measured."""
    source = directory / "served"
    tools.clear(source)
    large, small = make(source / "large", SIZE), make(source / "small", SMALL)
    async with servers.nginx(directory / "nginx", source) as server:
        target = Target((f"{server.url}/large",), large, SIZE, directory / "to", "file")
        await plain(directory, server, target)
        await restart(directory, server, target)
        await eight(directory, server, Target((f"{server.url}/small",), small, SMALL, directory / "to", "file"))
    await uneven(directory, source / "small", small)
    await death(directory, source / "small", small)


def _time(seconds: float) -> str:
    return f"{seconds:7.2f} s" if math.isfinite(seconds) else "   no end"
