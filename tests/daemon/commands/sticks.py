"""Commands about sticks, and about disks that are to be one."""

from __future__ import annotations

from pathlib import Path

from tests.daemon.commands.case import Arguments, Cases, new_file, succeeded
from tests.daemon.images import debian_live
from tests.daemon.shared import World
from tests.images.test_certificate import made as certificate
from tests.stick import oldsticks

CASES = Cases()

CASES.plain("devices", holds=lambda found: isinstance(found["devices"], list))


async def stick(world: World, *images: str) -> tuple[str, Path]:
    """An image file that is a stick with these images."""
    world.undo.close()
    file = world.disk_file("stick")
    await world.cli.json("create", "--image-file", file, "--yes", *images)
    return "--image-file", file


async def blank(world: World) -> tuple[str, Path]:
    world.undo.close()
    return "--image-file", world.disk_file("stick")


@CASES.case(
    "plan", says=["needs", "alpha.iso", "Kernels-of-a-vendor"], holds=lambda found: len(found["plan"]["images"]) == 1
)
async def _plan(world: World) -> Arguments:
    of_admin = world.daemon.state / "certificates.d" / "vendor.pem"
    of_admin.parent.mkdir(exist_ok=True)
    of_admin.write_bytes(certificate(world.place, "/CN=Kernels of a vendor"))
    return *(await blank(world)), "alpha"


@CASES.case("create", says=["is ready, written and read back"], holds=succeeded)
async def _create(world: World) -> Arguments:
    return *(await blank(world)), "--yes", "alpha"


@CASES.case(
    "contents", says=["alpha.iso"], holds=lambda found: [image["name"] for image in found["images"]] == ["alpha.iso"]
)
async def _contents(world: World) -> Arguments:
    return await stick(world, "alpha")


@CASES.case("add", says=["Added to"], holds=succeeded)
async def _add(world: World) -> Arguments:
    return *(await stick(world, "alpha")), "memtest"


@CASES.case("remove", says=["Removed from"], holds=succeeded)
async def _remove(world: World) -> Arguments:
    return *(await stick(world, "alpha", "memtest")), "alpha.iso", "--yes"


@CASES.case("refresh", says=["are new"], holds=succeeded)
async def _refresh(world: World) -> Arguments:
    given = world.place / "authority.pem"
    given.write_bytes(certificate(world.place, "/CN=Somebody"))
    return *(await stick(world, "alpha")), "--certificate", given


@CASES.case("rescan", says=["fits what is on it"], holds=succeeded)
async def _rescan(world: World) -> Arguments:
    return await stick(world, "alpha")


@CASES.case("adopt", says=["is taken over, with 1 image"], holds=succeeded)
async def _adopt(world: World) -> Arguments:
    old = oldsticks.old(await new_file(world, "old.img"), {"rescue/rescue.iso": world.images.rescue.path})
    return "--image-file", old, "--yes"


@CASES.case("verify", says=["is sound"], holds=lambda found: found["job"]["result"]["ok"])
async def _verify(world: World) -> Arguments:
    return await stick(world, "alpha")


@CASES.case("update", says=["There is nothing newer"], holds=lambda found: found["job"]["result"]["updates"] == [])
async def _update(world: World) -> Arguments:
    return await stick(world, "alpha")


@CASES.case(
    "repair",
    says=["the first copy of the partition table is broken", "is mended"],
    holds=lambda found: not found["job"]["result"]["sound"],
)
async def _repair(world: World) -> Arguments:
    made = await stick(world, "alpha")
    with made[1].open("r+b") as file:
        file.seek(512)
        file.write(bytes(512))
    return made


@CASES.case("persistence", feature="SetPersistence")
async def _persistence(world: World) -> Arguments:
    image = str(debian_live(world.place))
    return *(await stick(world, image, "--persistence-partition", "16MiB")), "debian.iso", "16MiB", "--yes"


@CASES.case("write-raw", feature="WriteRaw")
async def _write_raw(world: World) -> Arguments:
    return *(await blank(world)), "--yes", "memtest"


@CASES.case("restore", holds=lambda found: found["job"]["result"]["filesystem"] == "exfat")
async def _restore(world: World) -> Arguments:
    return *(await stick(world, "alpha")), "--yes"


@CASES.case(
    "probe", says=["holds what it says"], holds=lambda found: found["job"]["result"]["verdict"] in ("genuine", "slow")
)
async def _probe(world: World) -> Arguments:
    return *(await blank(world)), "--yes"


@CASES.case("eject")
async def _eject(world: World) -> Arguments:
    _, file = await stick(world, "alpha")
    node = world.attach(file)
    await world.shown(node)
    return "--device", node


@CASES.case("try", says=["nothing on it is changed"], holds=lambda found: found["firmware"] == "bios")
async def _try(world: World) -> Arguments:
    """Instead of QEMU a program that ends at once: what is booted is the business of other tests."""
    world.undo.close()
    programs = world.place / "bin"
    programs.mkdir(exist_ok=True)
    program = programs / "qemu-system-x86_64"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    world.cli.settings = {"PATH": f"{programs}:/usr/bin:/bin", "DISPLAY": ":9"}
    world.undo.callback(world.cli.settings.clear)
    return (world.disk_file("stick"),)
