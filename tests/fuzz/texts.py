"""Targets that read texts and small documents: configuration, catalogue, signatures, what processes tell each other."""

from __future__ import annotations

import json
import random
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from luxusb_cli.catalog import DistroInfo, MirrorState
from luxusb_cli.images import ImageInfo
from luxusb_cli.inspection import InspectReport
from luxusb_cli.results import VerifyResult
from luxusb_cli.wire import ProtocolError, wire_of

from luxusbd import config, configfile, resources
from luxusbd.catalog import update
from luxusbd.catalog.cache import state_from
from luxusbd.catalog.mirrorlists import expanded, parse_lists
from luxusbd.catalog.model import Layer
from luxusbd.catalog.schema import MAX_RECIPES, decode, parse_document, read_document
from luxusbd.errors import CatalogError, ConfigError, FailedError, InterruptedJobError, VerificationError
from luxusbd.images.authenticode import signers
from luxusbd.images.codec import boot_entry_from_json, boot_entry_to_json
from luxusbd.images.derive import derive
from luxusbd.images.details import Container, Details, Inspection, Keeps, PartitionInfo, ProgramInfo, Toram
from luxusbd.images.details_codec import inspection_from_json, inspection_to_json
from luxusbd.images.eltorito import BootRecord
from luxusbd.images.match import apply
from luxusbd.images.model import BootEntry, BootMethod, Firmware, Recognition
from luxusbd.images.recipebook import read_documents
from luxusbd.images.recipes import STICK_PLACEHOLDERS, placeholders
from luxusbd.jobs.catalogrecipes import kept_text
from luxusbd.transfer.pairmodel import PairRequest, pair_from_json
from luxusbd.transfer.vouch import vouched_from_json
from tests.fuzz.engine import Target
from tests.fuzz.mutate import mutate, mutate_text
from tests.images.builders import DictTree

_LONG = b"9" * 5000
_TOML = (
    b"\n", b"=", b"[", b"]", b'"', b"'", b'"""', b"#", b"true", b"0x" + b"f" * 5000, _LONG, b"-" + _LONG, b"1e999",
    b"nan", b"1979-05-27T07:32:00Z", b"0000-00-00", b"99:99:99", b"\\u0000", b"\\UFFFFFFFF", b"{", b"}", b".", b"[[",
    b"\xff", b"\r", b"[" * 3000, b"daemon", b"idle_exit", b"\nidle_exit = ", b"[limits]\njobs = ", b"a.b.c = 1\n",
)  # fmt: skip
_JSON = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"null", b"true", b"1e400", b"-1", b"0", _LONG, b"1.0", b"NaN", b"[]",
    b"{}", b'""', b'"\\ud800"', b'"\\u0000"', b"[" * 3000, b'{"a":' * 3000, b"\xff", b'"https://[::1"', b'"2024-02-30"',
    b'"http://a:99999/"', b'"\\u202e"', b"18446744073709551616", b"1e15", b'"2.1"', b'"999.0"',
)  # fmt: skip


def _config_corpus() -> tuple[bytes, ...]:
    documented = configfile.document().encode()
    return (documented, documented.replace(b"\n#", b"\n"), b'[devices]\nallow_loop = ["/a", "b"]\n[daemon]\n')


def _check_config(data: bytes) -> None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    with suppress(ConfigError):
        configfile.parse(text, "fuzz", config.Config()).settings()


def _catalog_corpus() -> tuple[bytes, ...]:
    release = {
        "version": "12.5",
        "release_date": "2024-02-10",
        "iso_url": "https://one.example/a.iso",
        "sha256": "ab" * 32,
        "size_mb": 600,
        "mirrors": ["https://two.example/a.iso", {"url": "https://three.example/a.iso", "country": "DE"}],
        "architecture": "x86_64",
        "sums_url": "https://one.example/SHA256SUMS",
        "minimum_memory_mb": 512,
        "mirror_list": "debian",
        "mirror_path": "12.5/a.iso",
        "rolling": True,
    }
    entry = {
        "id": "debian",
        "name": "Debian",
        "description": "d",
        "homepage": "https://www.debian.org/",
        "logo_url": "",
        "category": "general",
        "popularity_rank": 1,
        "releases": [release, {**release, "version": "12.4"}],
    }
    document = {"version": "2.0", "last_updated": "2026-01-01T00:00:00Z", "distributions": [entry]}
    recipes = [json.loads(resources.data("recipes", name).read_bytes()) for name in ("core.json", "ipxe.json")]
    return tuple(
        json.dumps(value).encode()
        for value in (document, {**document, "version": "2.7", "new": 1}, {**document, "recipes": recipes})
    )


def _check_catalog(data: bytes) -> None:
    for layer in (Layer.PACKAGED, Layer.USER):
        with suppress(CatalogError):
            parse_document(data, "fuzz", layer)
    with suppress(CatalogError):
        recipes = read_document(data, "fuzz", Layer.CACHE).recipes
        kept = kept_text(recipes)
        assert len(kept) <= MAX_RECIPES
        again = read_documents(decode(kept, "fuzz"))
        assert again.recipes == read_documents(list(recipes)).recipes


def _lists_corpus() -> tuple[bytes, ...]:
    groups = [{"country": "DE", "urls": ["https://one.example/", "https://two.example/x/"]}, {"urls": ["https://x/"]}]
    document = {"version": "2.0", "lists": {"debian": groups, "arch": []}}
    return tuple(json.dumps(value).encode() for value in (document, {**document, "version": "2.7", "new": 1}))


def _check_lists(data: bytes) -> None:
    with suppress(CatalogError):
        for entry in parse_document(_catalog_corpus()[0], "fuzz", Layer.PACKAGED):
            expanded(entry, parse_lists(data, "fuzz"))


@cache
def _signature_corpus() -> tuple[bytes, ...]:
    """Real certificate tables would need a signing tool; openssl makes the same SignedData."""
    with tempfile.TemporaryDirectory(prefix="luxusb-fuzz-") as directory:
        key, certificate = Path(directory) / "k", Path(directory) / "c"
        made = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:1024",
            "-nodes",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ]
        subprocess.run([*made, "-subj", "/O=Our organisation/CN=Our Signer"], check=True, capture_output=True)
        sign = ["openssl", "cms", "-sign", "-nodetach", "-binary", "-outform", "DER", "-md", "sha256"]
        sign += ["-signer", str(certificate), "-inkey", str(key)]
        der = subprocess.run(sign, input=b"content", check=True, capture_output=True).stdout
    table = (8 + len(der)).to_bytes(4, "little") + b"\x00\x02\x02\x00" + der
    padded = table.ljust(-(-len(table) // 8) * 8, b"\0")
    return table, padded + table


def _mutate_bytes(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    return mutate(rng, data, corpus, ())


def _check_signatures(data: bytes) -> None:
    assert all(name.isprintable() and name for name in signers(data))


def _inspection() -> Inspection:
    recognition = Recognition(
        size=123,
        volume_id="d-live 12",
        iso_uuid="2024-10-24-13-58-33-00",
        recipe="live-boot",
        family="debian-live",
        system="Debian",
        version="12",
        architecture="amd64",
        entries=(
            BootEntry("D", BootMethod.LINUX, frozenset({Firmware.BIOS}), "/live/vmlinuz", ("/live/initrd",), ("a",)),
        ),
        filesystems=frozenset({"ext4"}),
        firmware=frozenset({Firmware.BIOS}),
    )
    details = Details(
        container=Container.BRIDGE,
        names="udf",
        recipe_version=1,
        minimum_memory=512,
        table="gpt",
        partitions=(PartitionInfo(1, "83", "root", "ext4", 0, 1, active=False),),
        boot_records=(BootRecord("bios", "", bootable=True, start=0, size=0),),
        programs=(ProgramInfo("/a", "amd64", signed=True, signers=("x",)),),
        toram=Toram.ALWAYS,
        persistence=Keeps.PARTITION,
        persistence_on=frozenset({"ext4"}),
    )
    return Inspection(recognition, details)


def _inspection_corpus() -> tuple[bytes, ...]:
    return (json.dumps(inspection_to_json(_inspection())).encode(),)


def _json_of(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _check_inspection(data: bytes) -> None:
    with suppress(FailedError):
        found = inspection_from_json(_json_of(data))
        assert inspection_from_json(inspection_to_json(found)) == found


def _model_corpus() -> tuple[bytes, ...]:
    values = (
        {"id": "a", "name": "b", "popularity_rank": 1, "releases": [{"version": "1", "size": 5, "mirrors": ["u", {}]}]},
        {"reference": "image:a", "size": 1, "added": 2, "bootable": True},
        {"label": "x", "entries": [{"title": "t", "firmware": ["bios"]}], "partitions": [{"number": 1}], "size": 1},
        {"url": "u", "rate": 1, "latency": 0.5, "success_rate": -1.0},
        {"ok": True, "images": [{"name": "n", "sha256": "s", "state": "ok"}]},
    )
    return tuple(json.dumps(value).encode() for value in values)


def _check_model(data: bytes) -> None:
    value = _json_of(data)
    for model in (DistroInfo, ImageInfo, InspectReport, MirrorState, VerifyResult):
        with suppress(ProtocolError):
            model.from_wire(wire_of(value, "the answer"))


def _mutate_toml(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    return mutate_text(rng, data, corpus, _TOML)


def mutate_json(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """Half as text, half by exchanging a value, which keeps it JSON."""
    value = _json_of(data)
    if value is None or rng.random() < 0.5:
        return mutate_text(rng, data, corpus, _JSON)
    for _ in range(rng.randint(1, 3)):
        value = _exchanged(rng, value)
    return json.dumps(value).encode()


_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1e308, 2**53, 2**63, 2**64, 10**30, "", "a", "\0", "\ud800", "x" * 5000, "../..",
    "https://a", "2024-02-30", [], {}, [[]], [{}], ["a"] * 300, {"": 0},
)  # fmt: skip


def _exchanged(rng: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {name: item for name, item in value.items() if name != key}
        if rng.random() < 0.1:
            return {**value, rng.choice(("", "new", "\ud800", key + "x")): value[key]}
        return {**value, key: _exchanged(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.85:
        index = rng.randrange(len(value))
        if rng.random() < 0.2:
            return [*value, value[index]]
        return [*value[:index], _exchanged(rng, value[index]), *value[index + 1 :]]
    return rng.choice(_VALUES)


_MADE = 1790000000
_RECORD = {
    "sha256": "ab" * 32,
    "url": "https://one.example/c.json",
    "fingerprint": "AB" * 20,
    "signing_key": "AB" * 20,
    "serial": 7,
    "made": _MADE,
    "expires": _MADE + 10**7,
    "fetched": _MADE,
    "checked": _MADE,
    "etag": '"v1"',
    "last_modified": "",
    "signature": "c2lnbmF0dXJl",
}


def _update_corpus() -> tuple[bytes, ...]:
    """A signed document, what the other processes answer about it, and what is kept of it."""
    document = json.loads(_catalog_corpus()[0]) | {"serial": 7, "expires": "2027-01-01T00:00:00Z"}
    values = (
        document,
        {"changed": True, "size": 100, "signature_size": 10, "etag": '"v1"', "last_modified": ""},
        {"sha256": "ab" * 32, "fingerprint": "AB" * 20, "signing_key": "CD" * 32},
        {"version": 1, "editions": [_RECORD, {**_RECORD, "serial": 6}]},
    )
    return tuple(json.dumps(value).encode() for value in values)


def _check_update(data: bytes) -> None:
    with suppress(CatalogError):
        stamp = read_document(data, "fuzz", Layer.CACHE).stamp
        assert update.moment(stamp.expires)
        assert update.moment(stamp.made)
        with suppress(VerificationError, FailedError):
            update.judge(update.Edition(stamp, "ab" * 32), None, _MADE + 86400)
            assert stamp.serial > 0
            assert stamp.expires > _MADE + 86400
    value = _json_of(data)
    with suppress(InterruptedJobError):
        assert pair_from_json(value, PairRequest("https://a", "https://b", 100, 10, "e")).size <= 100
    with suppress(InterruptedJobError):
        assert vouched_from_json(value).fingerprint
    with suppress(CatalogError):
        assert all(record.edition for record in state_from(data))


_MENU = (
    b"\n", b"{", b"}", b"'", b'"', b"\\", b"$", b"${a}", b"$a$a", b"set a=", b"linux /k ", b"initrd /i", b"menuentry ",
    b"boot=live", b"root=live:CDLABEL=", b"archisobasedir=x", b"#", b";", b"(loop)", b"/../", b"\0", b"\xff",
    b"append ", b"label x\n", b"kernel ", b"options ", b"title ", b"a" * 3000, b"\nset a=$a$a" * 60, b"{iso}",
    b"\xe2\x80\xae",
)  # fmt: skip
_GRUB = b"""set d=/k
menuentry 'A "b"' --class x {
  if [ -e /a ]; then linux ($root)$d/vmlinuz boot=live findiso=${iso_path} q="a b" --- ; fi
  initrd /k/initrd.img
}
"""
_SYSLINUX = b"label a\n menu label ^A\n kernel vmlinuz\n append initrd=initrd.img root=live:CDLABEL=A\\x20B quiet\n"


def _menu_corpus() -> tuple[bytes, ...]:
    return (_GRUB, _SYSLINUX, b"title A\nlinux /k/vmlinuz\ninitrd /k/initrd.img\noptions archisobasedir=a quiet\n")


def _mutate_menu(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    return mutate_text(rng, data, corpus, _MENU)


def _check_menu(data: bytes) -> None:
    """Whatever a menu holds, what is made of it passes the strict reader of the core, and GRUB changes none of it."""
    for file in ("/boot/grub/grub.cfg", "/k/boot/syslinux/syslinux.cfg", "/loader/entries/a.conf"):
        found = derive(DictTree({"/k/vmlinuz": b"", "/k/initrd.img": b"", file: data}, "LABEL")).match
        if found is None:
            continue
        for entry in found.entries:
            assert boot_entry_from_json(boot_entry_to_json(entry)) == entry
            assert entry.kernel == "/k/vmlinuz"
            for word in entry.parameters:
                assert not set(word) & set("'\"\\$`")
                assert set(placeholders(word)) <= STICK_PLACEHOLDERS


def _recipe_corpus() -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted(resources.data("recipes").glob("*.json"))[::8])


def _check_recipe(data: bytes) -> None:
    layer = read_documents([_json_of(data)])
    assert len(layer.recipes) + bool(layer.problems) >= 1
    for recipe in layer.recipes:
        apply(DictTree({"/live/vmlinuz": b"", "/.disk/info": "Debian 12 amd64"}, "LABEL"), recipe)


TARGETS = (
    Target("menus", _menu_corpus, _mutate_menu, _check_menu, ("luxusbd/images",)),
    Target("recipes", _recipe_corpus, mutate_json, _check_recipe, ("luxusbd/images",)),
    Target("config", _config_corpus, _mutate_toml, _check_config, ("luxusbd/config",)),
    Target("catalog", _catalog_corpus, mutate_json, _check_catalog, ("luxusbd/catalog",)),
    Target("catalog-mirrors", _lists_corpus, mutate_json, _check_lists, ("luxusbd/catalog",)),
    Target("catalog-update", _update_corpus, mutate_json, _check_update, ("luxusbd/catalog", "luxusbd/transfer")),
    Target("signatures", _signature_corpus, _mutate_bytes, _check_signatures, ("luxusbd/images/authenticode",)),
    Target("inspection", _inspection_corpus, mutate_json, _check_inspection, ("luxusbd/images/",)),
    Target("cli-model", _model_corpus, mutate_json, _check_model, ("luxusb_cli/",)),
)
