"""Commands about the service: its images, its jobs and its settings."""

from __future__ import annotations

from tests.daemon.commands.case import Arguments, Cases, new_file, succeeded
from tests.daemon.images import MIB
from tests.daemon.shared import World

CASES = Cases()

CASES.plain("settings", says=["authorization.backend"], holds=lambda found: "limits.jobs" in found["settings"])
CASES.plain("completion", "bash", says=["luxusb"])
CASES.plain("report", says=["luxusbd"], holds=lambda found: bool(found["report"]))


async def stored(world: World) -> str:
    """An image that is stored; it is taken away before the next run."""
    world.undo.close()
    await world.cli.json("import", world.images.beta.path)
    return world.images.beta.reference


@CASES.case("images", says=["beta.iso"], holds=lambda found: "beta.iso" in {image["name"] for image in found["images"]})
async def _images(world: World) -> Arguments:
    await stored(world)
    return ()


@CASES.case("import", says=["Stored beta.iso"], holds=succeeded)
async def _import(world: World) -> Arguments:
    return (world.images.beta.path,)


@CASES.case("export", says=["Saved as"], holds=lambda found: found["size"] > 0)
async def _export(world: World) -> Arguments:
    return await stored(world), await new_file(world, "out.iso")


@CASES.case("inspect", says=["It starts from a file"], holds=lambda found: found["image"]["bootable"])
async def _inspect(world: World) -> Arguments:
    return (world.images.alpha.path,)


@CASES.case("delete", holds=lambda found: found["deleted"].startswith("image:"))
async def _delete(world: World) -> Arguments:
    return await stored(world), "--yes"


@CASES.case("pin", says=["beta.iso"], holds=lambda found: found["pinned"] is True)
async def _pin(world: World) -> Arguments:
    return (await stored(world),)


@CASES.case("unpin", says=["beta.iso"], holds=lambda found: found["pinned"] is False)
async def _unpin(world: World) -> Arguments:
    return (await stored(world),)


@CASES.case("download", says=["Stored alpha.iso"], holds=lambda found: found["jobs"][0]["state"] == "succeeded")
async def _download(_world: World) -> Arguments:
    return ("alpha",)


async def downloading(world: World, *options: str) -> int:
    """A download that goes on for as long as the mirror is slow."""
    unfinished = (await world.cli.json("jobs", "--unfinished"))["jobs"]
    for job in unfinished:
        await world.cli.run("cancel", str(job["id"]))
        await world.cli.run("watch", str(job["id"]))
    if any(image["name"] == "large.iso" for image in (await world.cli.json("images"))["images"]):
        await world.cli.json("delete", "large.iso", "--yes")
    # so that it cannot end before the command is there
    world.mirror.rate = MIB // 2
    number: int = (await world.cli.json("download", "large", "--no-wait", *options))["jobs"][0]["id"]
    return number


@CASES.case("jobs", says=["download"], holds=lambda found: len(found["jobs"]) > 0)
async def _jobs(world: World) -> Arguments:
    await world.cli.json("download", "alpha")
    return ()


@CASES.case("watch", says=["succeeded"], holds=lambda found: found[-1]["job"]["state"] == "succeeded")
async def _watch(world: World) -> Arguments:
    number = await downloading(world)
    world.mirror.rate = 8 * MIB
    return (str(number),)


@CASES.case("pause")
async def _pause(world: World) -> Arguments:
    return (str(await downloading(world)),)


@CASES.case("resume")
async def _resume(world: World) -> Arguments:
    number = str(await downloading(world))
    await world.cli.json("pause", number)
    return (number,)


@CASES.case("cancel")
async def _cancel(world: World) -> Arguments:
    return (str(await downloading(world)),)


@CASES.case("modify")
async def _modify(world: World) -> Arguments:
    return str(await downloading(world)), "--priority", "3"
