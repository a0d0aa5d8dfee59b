"""Bundles through real daemons: made beside a mirror, used by one that has none, from a directory and over http."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.daemon.cli import Cli, Refusal
from tests.daemon.daemon import Daemon
from tests.daemon.images import Images
from tests.harness.maker import Maker
from tests.harness.mirrors import Mirror, catalogue
from tests.harness.tls import Authority
from tests.transfer.keys import Keys

pytestmark = pytest.mark.asyncio(loop_scope="module")

BAD = "org.luxusb.Client.BadBundle"


@dataclass(frozen=True)
class Made:
    """A bundle of alpha, with a list of hashes that `maker` signed, and beta, which he signed; `teacher` signed it."""

    directory: Path
    maker: str
    teacher: str
    catalogue: Path
    """The one of the machine that made it; its servers are gone."""
    document: dict[str, object]
    """What the command told."""


@contextmanager
def short_place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lux-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@asynccontextmanager
async def machine(place: Path, **options: object) -> AsyncIterator[Cli]:
    """A daemon with an empty store, and the command for it."""
    async with Daemon(place, **options) as daemon:  # type: ignore[arg-type]
        yield Cli(daemon.address, place / "home")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(images: Images, keys: Keys, authority: Authority) -> AsyncIterator[Made]:
    maker_key, teacher_key = keys.make("maker"), keys.make("teacher")
    with short_place() as place:
        served = {image.path.name: image.path for image in (images.alpha, images.beta)}
        async with Mirror(served) as mirror, Maker(authority.good) as maker:
            document = catalogue([image.for_catalogue() for image in (images.alpha, images.beta)], [mirror])
            sums = f"{images.alpha.sha256} *alpha.iso\n".encode()
            release = document["distributions"][0]["releases"][0]
            release["sums_url"] = maker.put("SHA256SUMS", sums)
            release["signature_url"] = maker.put("SHA256SUMS.gpg", keys.sign(sums, maker_key))
            release["key_fingerprint"] = maker_key
            release["key_url"] = maker.put("maker.asc", keys.export(maker_key, armor=True))
            # the maker of beta signs images and no lists
            release = document["distributions"][1]["releases"][0]
            release["signature_url"] = maker.put("beta.iso.sig", keys.sign(images.beta.path.read_bytes(), maker_key))
            release["key_fingerprint"] = maker_key
            release["key_url"] = maker.at("maker.asc")
            file = place / "catalogue.json"
            file.write_text(json.dumps(document))
            config = f'[network]\nca_file = "{authority.file}"\n'
            async with machine(place, catalogues=[file], config=config) as cli:
                cli.settings = {"GNUPGHOME": str(keys.home)}
                told = await cli.json("bundle", "create", place / "bundle", "alpha", "beta", "--sign", teacher_key)
        yield Made(place / "bundle", maker_key, teacher_key, file, told)


@pytest.fixture
def copy(made: Made, tmp_path: Path) -> Path:
    """The bundle elsewhere, to be changed."""
    return shutil.copytree(made.directory, tmp_path / "copy")


@asynccontextmanager
async def web_server(directory: Path) -> AsyncIterator[str]:
    """The web server that comes with Python, which knows no ranges; its address."""
    command = (sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(directory), "0")
    server = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        assert server.stdout is not None
        line = (await server.stdout.readline()).decode()
        yield f"http://127.0.0.1:{line.split(' port ')[1].split()[0]}/"
    finally:
        server.kill()
        await server.communicate()


def trusts(document: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {image["name"]: image["trust"] for image in document["images"]}


def spoil(file: Path) -> None:
    """Change a byte in the middle."""
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        byte = opened.read(1)
        opened.seek(-1, 1)
        opened.write(bytes([byte[0] ^ 1]))


def sign_anew(bundle: Path, signature: bytes) -> None:
    """Put another signature of beta into a bundle, which nobody has signed then."""
    document = json.loads((bundle / "bundle.json").read_bytes())
    (beta,) = [image for image in document["images"] if image["distribution"] == "beta"]
    part = beta["proofs"]["signature"]
    (bundle / part["path"]).write_bytes(signature)
    part |= {"size": len(signature), "sha256": hashlib.sha256(signature).hexdigest()}
    (bundle / "bundle.json").write_text(json.dumps(document))
    (bundle / "bundle.json.asc").unlink()


async def test_what_is_in_it(made: Made, images: Images) -> None:
    bundle = made.document["bundle"]
    assert isinstance(bundle, dict)
    assert made.document["warnings"] == []
    assert bundle["signed_by"] == made.teacher
    listed = {image["reference"]: (image["sha256"], image["signed_by"]) for image in bundle["images"]}
    assert listed == {"alpha@1.0": (images.alpha.sha256, made.maker), "beta@1.0": (images.beta.sha256, made.maker)}
    for image in bundle["images"]:
        data = (made.directory / image["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == image["sha256"]
    assert not [path for path in made.directory.rglob("*") if path.name.startswith(".")]
    assert f"luxusb bundle use DIRECTORY --fingerprint {made.teacher}" in (made.directory / "README.txt").read_text()


@pytest.mark.root
async def test_a_machine_without_any_network(made: Made, copy: Path) -> None:
    with short_place() as place:
        stick = place / "stick.img"
        async with machine(place, network=False) as cli:
            # nobody but the bundle vouches for the key of alpha's maker
            used = await cli.json("bundle", "use", copy, "alpha")
            assert [made.maker in line for line in used["warnings"]] == [True]
            assert trusts(await cli.json("images")) == {"alpha.iso": "hash"}
            await cli.json("delete", "alpha.iso", "--yes")
            used = await cli.json("bundle", "use", copy, "--fingerprint", made.teacher)
            assert [job["state"] for job in used["jobs"]] == ["succeeded", "succeeded"]
            assert used["warnings"] == []
            assert trusts(await cli.json("images")) == {"alpha.iso": "signed", "beta.iso": "signed"}
            assert {each["id"] for each in (await cli.json("distros"))["distributions"]} >= {"alpha", "beta"}
            # the medium is taken out again
            shutil.rmtree(copy)
            created = await cli.json("create", "--image-file", stick, "--size", "256MiB", "--yes", "alpha", "beta")
            assert created["job"]["state"] == "succeeded"
            assert (await cli.json("verify", "--image-file", stick))["job"]["state"] == "succeeded"
            feeds = await cli.run("catalog", "update", "--feeds", "kali")
            assert (feeds.code, "kali" in feeds.err) == (1, True)
            # it is there already, and nobody waits for its maker
            assert "Stored alpha.iso" in (await cli.run("download", "alpha")).out
            left = await cli.json("bundle", "leave")
            assert sorted(left["distributions"]) == ["alpha", "beta"]
            assert "alpha" not in {each["id"] for each in (await cli.json("distros"))["distributions"]}


async def test_over_http_from_a_plain_web_server(made: Made, copy: Path) -> None:
    spoil(copy / "images" / "beta.iso")
    with short_place() as place:
        stick = place / "stick.img"
        async with web_server(copy) as address, machine(place) as cli:
            used = await cli.json("bundle", "use", address, "--fingerprint", made.teacher)
            assert used["jobs"] == []
            said = await cli.run("download", "beta")
            assert (said.code, "sha256" in said.err, address.split("/")[2] in said.err) == (1, True, True)
            created = await cli.json("create", "--image-file", stick, "--size", "256MiB", "--yes", "alpha")
            assert created["job"]["state"] == "succeeded"
            assert trusts(await cli.json("images")) == {"alpha.iso": "hash"}
            spoil(copy / "bundle.json")
            await cli.refused(Refusal(BAD, ["signature"], ["get the bundle again"]), "bundle", "use", address)


async def test_tampered_directories(made: Made, copy: Path, images: Images, keys: Keys) -> None:
    beta = copy / "images" / "beta.iso"
    spoil(beta)
    with short_place() as place:
        async with machine(place, catalogues=[made.catalogue]) as cli:
            said = await cli.run("bundle", "check", copy)
            assert (said.code, beta.name in said.err, "alpha" in said.err) == (1, True, False)
            changed = hashlib.sha256(beta.read_bytes()).hexdigest()
            wrong = Refusal("VerificationFailed", [changed, images.beta.sha256], ["bundle check"])
            await cli.refused(wrong, "bundle", "use", copy)
            # the catalogue of this machine knows the maker's key, so that nobody has to name the teacher's
            assert trusts(await cli.json("images")) == {"alpha.iso": "signed"}
            assert (await cli.json("catalog", "status"))["status"]["own"] == ""
            # the other one can be had all the same
            assert (await cli.json("bundle", "use", copy, "alpha"))["jobs"] == []
            assert (await cli.json("catalog", "status"))["status"]["own"] != ""
            # beta is whole again, with a signature by somebody else in an index that is unsigned
            spoil(beta)
            sign_anew(copy, keys.sign(beta.read_bytes(), keys.make("somebody")))
            other = Refusal("NotTrusted", [made.teacher, "nobody"], ["bundle leave"])
            await cli.refused(other, "bundle", "use", copy, "beta")
            await cli.json("bundle", "leave")
            used = await cli.json("bundle", "use", copy, "beta")
            assert ["beta@1.0" in line for line in used["warnings"]] == [True]
            assert trusts(await cli.json("images")) == {"alpha.iso": "signed", "beta.iso": "hash"}


async def test_changing_one_signs_it_again(made: Made, copy: Path, keys: Keys, images: Images) -> None:
    with short_place() as place:
        served = {image.path.name: image.path for image in (images.alpha, images.rescue)}
        async with Mirror(served) as mirror:
            document = catalogue([image.for_catalogue() for image in (images.alpha, images.rescue)], [mirror])
            # the maker of alpha has published a newer one
            document["distributions"][0]["releases"][0] |= {
                "version": "2.0",
                "iso_url": f"{mirror.url}/{images.rescue.path.name}",
                "sha256": images.rescue.sha256,
                "size": images.rescue.size,
                "mirrors": [],
            }
            del document["distributions"][1]
            file = place / "catalogue.json"
            file.write_text(json.dumps(document))
            async with machine(place, catalogues=[file]) as cli:
                cli.settings = {"GNUPGHOME": str(keys.home)}
                said = await cli.run("bundle", "update", copy, "--check", "--json")
                assert said.code == 6
                assert json.loads(said.out)["updates"] == [{"reference": "alpha@1.0", "version": "2.0"}]
                told = await cli.json("bundle", "update", copy)
                assert (told["added"], told["removed"]) == (["alpha@2.0"], ["alpha@1.0"])
                assert told["bundle"]["signed_by"] == made.teacher
                assert "whole" in await cli.text("bundle", "check", copy, "--fingerprint", made.teacher)
                await cli.json("bundle", "use", copy)
                # the edition from before is refused as long as nobody asks for it
                old = Refusal("NotTrusted", ["serial", "newer images back"], ["--older"])
                await cli.refused(old, "bundle", "use", made.directory)
                assert len((await cli.json("bundle", "use", made.directory, "--older"))["warnings"]) == 1
                removed = await cli.json("bundle", "remove", copy, "alpha")
                assert [image["reference"] for image in removed["bundle"]["images"]] == ["beta@1.0"]
                assert [path.name for path in copy.glob("images/*")] == ["beta.iso"]
                assert [path.name for path in copy.glob("proofs/*/*")] == ["beta.iso.sig"]
