"""An installer whose start file is fetched with it, by the real daemon: from a signed archive, or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from luxusb_cli.model import JobState

from luxusbd.resources import data
from tests.daemon import sticks
from tests.daemon.caller import Caller
from tests.daemon.conftest import CONFIG
from tests.daemon.daemon import Daemon
from tests.harness.maker import Maker
from tests.harness.tls import Authority
from tests.images.builders import build_iso
from tests.images.systems.row import K
from tests.transfer.keys import Keys

INITRD = b"an initrd that looks for images in files" * 5000
NAME = f"initrd-{hashlib.sha256(INITRD).hexdigest()[:16]}.gz"
IMAGES = "dists/bookworm/main/installer-amd64/20240202/images"


@pytest.fixture(scope="module")
def pinned(keys: Keys) -> str:
    return keys.make("archive")


@pytest.fixture
async def archive(
    authority: Authority, keys: Keys, pinned: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Maker]:
    """One build of the installer, for the kernel of the image."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    kernel = hashlib.sha256(K).hexdigest()
    sums = f"{hashlib.sha256(INITRD).hexdigest()}  ./hd-media/initrd.gz\n{kernel}  ./hd-media/vmlinuz\n".encode()
    path = "main/installer-amd64/20240202/images/SHA256SUMS"
    release = f"Origin: Debian\nSHA256:\n {hashlib.sha256(sums).hexdigest()} {len(sums)} {path}\n".encode()
    async with Maker(authority.good) as running:
        running.put("dists/bookworm/InRelease", keys.clearsign(release, pinned))
        running.put(f"{IMAGES}/SHA256SUMS", sums)
        running.put(f"{IMAGES}/hd-media/initrd.gz", INITRD)
        yield running


@pytest.fixture
async def daemon(place: Path, catalogue: Path, archive: Maker, keys: Keys, pinned: str) -> AsyncIterator[Daemon]:
    """With a recipe of the administrator's that names this archive and its key."""
    recipe = json.loads(data("recipes", "debian-installer-cd.json").read_text("utf-8"))
    recipe["version"] += 1
    recipe["variants"][0]["fetch"] |= {"archives": [archive.url], "keys": [pinned]}
    for name, file, content in (
        ("recipes.d", "debian-installer-cd.json", json.dumps(recipe).encode()),
        ("keys.d", f"{pinned}.asc", keys.export(pinned, armor=True)),
    ):
        (place / "s" / name).mkdir(parents=True)
        (place / "s" / name / file).write_bytes(content)
    async with Daemon(place, catalogues=[catalogue], config=CONFIG.format(place=place)) as running:
        yield running


async def netinst(caller: Caller, place: Path) -> str:
    files = {
        ".disk/info": b'Debian GNU/Linux 12.5.0 "Bookworm" - Official amd64 NETINST 20240210-11:27',
        ".disk/cd_type": b"not_complete",
        "install.amd/vmlinuz": K,
        "dists/bookworm/Release": b"Origin: Debian\nCodename: bookworm\n",
    }
    job = await caller.imported(build_iso(place / "netinst.iso", files, "-R", volume_id="Debian"))
    return str(job.result["image"])


async def test_it_comes_with_the_image(caller: Caller, archive: Maker, place: Path, stick: Path) -> None:
    image = await netinst(caller, place)
    device = await caller.target(stick)
    plan = await caller.client.plan([device], [image], {})
    assert ["hd-media/initrd.gz" in warning for warning in plan.warnings if "is fetched" in warning] == [True]
    await caller.succeeded(await caller.client.create(plan.token))
    assert sticks.names(stick) == ["netinst.iso", NAME]
    assert sticks.grub_file(stick, f"/iso/{NAME}") == INITRD
    assert f'initrd "($data)/iso/{NAME}"' in sticks.grub_menu(stick)[1]
    listed = {each.name: each.trust for each in await caller.client.images()}
    assert listed[NAME] == "signed"
    # it is there now, and without the archive the stick can be made again
    archive.files.pop(f"{IMAGES}/hd-media/initrd.gz")
    await caller.succeeded(await caller.client.remove_images(device, ["netinst.iso"]))
    assert sticks.names(stick) == []
    await caller.succeeded(await caller.client.add_images(device, [image]))
    assert sticks.names(stick) == ["netinst.iso", NAME]


@pytest.mark.parametrize("fault", ["forged", "html", "gone"])
async def test_without_it_nothing_is_erased(
    caller: Caller, archive: Maker, place: Path, stick: Path, fault: str
) -> None:
    image = await netinst(caller, place)
    release = archive.files["dists/bookworm/InRelease"]
    assert isinstance(release, bytes)
    match fault:
        case "forged":
            archive.put("dists/bookworm/InRelease", release.replace(b"Debian", b"Nobody"))
        case "html":
            archive.put(f"{IMAGES}/hd-media/initrd.gz", b"<html>" * 100)
        case "gone":
            archive.files.pop(f"{IMAGES}/hd-media/initrd.gz")
    plan = await caller.client.plan([await caller.target(stick)], [image], {})
    job = await caller.finished(await caller.client.create(plan.token))
    assert job.state is JobState.FAILED
    assert "netinst.iso is started by a file that has to be fetched" in job.error_message
    assert "Nothing was written" in job.error_message
    with stick.open("rb") as file:
        assert not any(file.read(1 << 20)), "the stick was touched"
