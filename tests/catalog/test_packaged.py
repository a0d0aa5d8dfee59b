"""The catalogue that comes with the program: what every entry has to be, and known mistakes that must not get in."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from luxusbd import resources
from luxusbd.catalog.catalog import Catalog, Sources
from luxusbd.catalog.mirrorlists import MAX_MIRRORS, MirrorLists, read_lists, unknown_lists
from luxusbd.catalog.model import Distribution, Layer, Release, Trust
from luxusbd.catalog.schema import parse_document
from luxusbd.countries import CODES
from luxusbd.images.recipes import packaged_recipes
from luxusbd.jobs.keyring import Keyring
from luxusbd.jobs.mirrorchoice import CANDIDATES
from luxusbd.jobs.vouching import name_in_lists, word_params_of
from luxusbd.transfer.openpgp import binary_keys
from luxusbd.transfer.pinned import pinned_key
from luxusbd.transfer.sums import all_sums

NOWHERE = Path("/nonexistent")
MIB = 2**20

ENTRIES = parse_document(resources.data("distros.json").read_bytes(), "distros.json", Layer.PACKAGED)
LISTS: MirrorLists = read_lists(resources.data("mirrors.json"))
PAIRS = [(entry, release) for entry in ENTRIES for release in entry.releases]
ADDRESSES = [mirror.url for _entry, release in PAIRS for mirror in release.mirrors]
BASES = [mirror for mirrors in LISTS.values() for mirror in mirrors]


def named(pair: tuple[Distribution, Release]) -> str:
    return f"{pair[0].id}@{pair[1].version}/{pair[1].edition or pair[1].architecture}"


def one(identifier: str) -> Distribution:
    return next(entry for entry in ENTRIES if entry.id == identifier)


def releases_of(identifier: str) -> tuple[Release, ...]:
    return one(identifier).releases


def release(identifier: str, version: str, edition: str) -> Release:
    return next(each for each in releases_of(identifier) if (each.version, each.edition) == (version, edition))


def keys_of(identifier: str) -> set[str]:
    return {found.key_fingerprint for found in releases_of(identifier)}


def test_there_is_enough_to_choose_from() -> None:
    assert len(ENTRIES) >= 40
    assert len({entry.id for entry in ENTRIES}) == len(ENTRIES)
    assert sum(1 for mirror in BASES if mirror.country) >= 800
    assert len({mirror.url for mirror in BASES}) == len(BASES)


def test_the_catalogue_loads_without_a_complaint() -> None:
    catalog = Catalog.load(Sources(cache=NOWHERE, admin=NOWHERE))
    assert catalog.problems == ()
    found = catalog.distributions()
    assert {entry.layer for entry in found} == {Layer.PACKAGED}
    assert max(len(each.mirrors) for entry in found for each in entry.releases) <= MAX_MIRRORS
    arch = catalog.get("arch").releases[0]
    assert len(arch.mirrors) > 20 * CANDIDATES
    assert {name_in_lists(mirror.url) for mirror in arch.mirrors} == {name_in_lists(arch.iso_url)}


@pytest.mark.parametrize("pair", PAIRS, ids=named)
def test_every_release_can_be_checked(pair: tuple[Distribution, Release]) -> None:
    entry, found = pair
    assert re.fullmatch("[0-9a-f]{64}|sha512-[0-9a-f]{128}", found.content)
    assert found.architecture
    urls = [mirror.url for mirror in found.mirrors]
    urls += [found.sums_url, found.signature_url, found.key_url, found.metalink, entry.feed]
    assert {urlsplit(url).scheme for url in urls if url} == {"https"}
    if found.sums_url or found.signature_url:
        assert found.trust is Trust.SIGNED
        assert re.fullmatch("[0-9A-F]{40}", found.key_fingerprint)
        assert word_params_of(found)["claim"]["fingerprint"] == found.key_fingerprint
    else:
        assert found.trust is Trust.HASH
    assert found.size == 0 or found.size_mb == round(found.size / 1e6)
    assert found.size or found.size_mb == 0


@pytest.mark.parametrize("pair", PAIRS, ids=named)
def test_the_mirrors_of_a_release_have_the_same_file(pair: tuple[Distribution, Release]) -> None:
    entry, found = pair
    assert unknown_lists(entry, LISTS) == ()
    file = name_in_lists(found.iso_url)
    assert {name_in_lists(mirror.url) for mirror in found.mirrors} == {file}
    if found.mirror_list:
        assert found.mirror_path.rpartition("/")[2] == file
        assert found.iso_url.endswith("/" + found.mirror_path)


def test_all_countries_exist() -> None:
    assert {mirror.country for mirror in BASES} <= CODES | {""}
    assert {mirror.country for _entry, found in PAIRS for mirror in found.mirrors} <= CODES | {""}


@pytest.mark.parametrize("name", ["distros.json", "mirrors.json"])
def test_the_files_are_formatted_alike(name: str) -> None:
    text = resources.data(name).read_text("utf-8")
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"


def test_packaged_keys_are_what_they_are_called() -> None:
    pinned = {found.key_fingerprint for _entry, found in PAIRS}
    fetched = [variant.fetch for recipe in packaged_recipes() for variant in recipe.variants]
    pinned |= {key for fetch in fetched if fetch is not None for key in fetch.keys}
    keys = sorted(resources.data("keys").glob("*.asc"))
    assert {key.stem for key in keys} == {
        "DF9B9C49EAA9298432589D76DA87E80D6294BE9B",
        "3E80CA1A8B89F69CBA57D98A76A5EF9054449A5C",
        # of Debian's archive
        "04B54C3CDCA79751B16BC6B5225629DF75B188BD",
        "4D64FEC119C2029067D6E791F8D2585B8783D481",
        "B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8",
    }
    for key in keys:
        assert key.stem in pinned
        data = key.read_bytes()
        # the whole file is this one key
        assert pinned_key(data, key.stem) == binary_keys(data)


def test_debian_and_arch_need_no_key_from_the_network(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path, tmp_path)
    for identifier in ("debian-live", "debian-netinst", "arch"):
        for found in releases_of(identifier):
            assert keyring.achievable(replace(found, key_url="")) is Trust.SIGNED


# What follows keeps out mistakes that are known from other lists.


def test_keys_are_not_copied_from_other_lists() -> None:
    pinned = {found.key_fingerprint for _entry, found in PAIRS}
    # Fedora 38's, and a key that is not openSUSE's, both of which a list of others calls the current one
    assert not [key for key in pinned if key.startswith(("6A51BBAB", "3DBDC284"))]
    for identifier in ("opensuse-tumbleweed", "opensuse-leap"):
        assert {found.key_fingerprint for found in releases_of(identifier)} == {
            "AD485664E901B867051AB15F35A2F86E29B700A4"
        }
    for identifier in ("fedora-workstation", "fedora-kde", "fedora-server", "fedora-spins"):
        for found in releases_of(identifier):
            assert found.key_fingerprint == {
                "43": "C6E7F081CF80E13146676E88829B606631645531",
                "44": "36F612DCF27F7D1A48A835E4DBFCF71C6D9F90A6",
            }.get(found.version.partition("-")[0])
    # one key for each major version
    for identifier in ("rocky", "almalinux"):
        assert [found.version for found in releases_of(identifier) if found.key_fingerprint] == [
            found.version for found in releases_of(identifier) if found.version.startswith("10")
        ]


def test_what_sources_contradict_each_other_about_is_left_out() -> None:
    hashes = {found.content for _entry, found in PAIRS}
    assert not [
        digest
        for digest in hashes
        if digest.startswith(("a0ef38", "a0e1c5e391062c79", "670ba1", "0567c61f21622e5b", "8d78e5"))
    ]
    assert not [url for url in ADDRESSES if "_intel_20." in url or "handheld-linux-260628" in url]
    assert not [url for url in ADDRESSES if "_generic_28." in url]
    assert len(hashes) == len(PAIRS)


def test_sizes_are_those_of_the_images() -> None:
    # the vendor's list gives this one the size of another file
    assert release("rocky", "9.8", "minimal").size == 2755067904
    assert release("rocky", "9.8", "boot").size == 1480048640
    # that of a torrent file stands where others have the size of the image
    assert [named(pair) for pair in PAIRS if 0 < pair[1].size < 100 * MIB] == []
    for entry in ENTRIES:
        sizes = [found.size for found in entry.releases if found.size]
        assert len(set(sizes)) == len(sizes), entry.id


@pytest.mark.parametrize("identifier", ["gparted", "clonezilla"])
def test_hashes_of_sectioned_lists_are_what_their_heading_says(identifier: str) -> None:
    found = one(identifier).releases[0]
    file = name_in_lists(found.iso_url)
    listed = "\n".join(
        f"### {heading}:\n{digest}  {file}\n"
        for heading, digest in [
            ("BLAKE3SUMS", "e" * 64),
            ("BLAKE2BSUMS", "d" * 128),
            ("SHA256SUMS", found.sha256),
            ("SHA512SUMS", "c" * 128),
        ]
    )
    said = {each.algorithm: each.digest for each in all_sums(listed, (file,), found.sums_url.rpartition("/")[2])}
    assert said == {"sha256": found.sha256, "sha512": "c" * 128, "blake2b": "d" * 128}
    assert found.sums_url.endswith("/CHECKSUMS.TXT")


def test_pinned_keys_are_primary_keys() -> None:
    subkeys = {"A013A001BEDF1AFADF0B0B3AE26AE7BE8FA5B8D1", "62989046EB5C7E985ECDF5DD3B0FEA9BE13CA3C9"}
    assert not subkeys & {found.key_fingerprint for _entry, found in PAIRS}
    assert {found.key_fingerprint for found in releases_of("tails")} == {"A490D0F4D311A4153E2BB7CADBB802B258ACD84F"}
    assert {found.key_fingerprint for found in releases_of("systemrescue")} == {
        "0FF11AF081E98345594812037091115F8320B897"
    }


def test_what_is_published_with_sha512_alone_is_there() -> None:
    alone = {(entry.id, found.edition): found for entry, found in PAIRS if not found.sha256}
    assert alone.keys() == {
        ("endeavouros", ""),
        ("qubes", ""),
        # its SHA-256 has one source, and not the maker
        ("opensuse-leap", "offline"),
        *(("parrot", edition) for edition in ("home", "mate", "lxqt", "enlightenment", "htb")),
    }
    assert {found.trust for found in alone.values()} == {Trust.SIGNED}
    # a mirror of packages has images only where somebody saw them
    hosts = {urlsplit(mirror.url).hostname for mirror in alone["endeavouros", ""].mirrors}
    assert hosts == {"ftp.belnet.be", "mirror.alpix.eu", "mirrors.jlu.edu.cn", "mirrors.gigenet.com"}
    # since 4.3.1 the list does not hold its signature any more
    assert alone["qubes", ""].signature_url == alone["qubes", ""].sums_url + ".asc"
    assert releases_of("parrot")[0].edition == "security"


def test_no_image_lies_in_an_archive() -> None:
    # the hash would be that of the archive, as with memtest86+
    assert {name_in_lists(url).rpartition(".")[2] for url in ADDRESSES} == {"iso"}


def test_nothing_is_offered_that_only_a_torrent_has() -> None:
    assert not [url for url in ADDRESSES if "torrent" in url]
    assert not {found.edition for found in releases_of("kali")} & {"live", "everything"}
    assert [type(found.size) for _entry, found in PAIRS] == [int] * len(PAIRS)


def test_what_is_soon_out_of_date_is_marked() -> None:
    moving = re.compile(r"current|latest|/stable/|bluefin-stable|stable-webui|-stable-", re.IGNORECASE)
    for entry, found in PAIRS:
        if moving.search(urlsplit(found.iso_url).path) and entry.id != "linuxmint":
            assert found.rolling, found.iso_url
    for identifier in ("opensuse-tumbleweed", "nixos", "bazzite", "gentoo", "tails", "debian-live"):
        assert all(found.rolling for found in releases_of(identifier)), identifier
    assert one("arch").releases[0].rolling


def test_an_address_that_changes_its_content_has_no_mirrors() -> None:
    # those are at different snapshots, and would be banned for bytes that were right yesterday
    for _entry, found in PAIRS:
        numbers = set(re.findall(r"\d\d+", found.version)) & set(re.findall(r"\d\d+", name_in_lists(found.iso_url)))
        if found.rolling and not numbers:
            assert [mirror.url for mirror in found.mirrors] == [found.iso_url]
            assert found.mirror_list == ""


def test_dates_are_dates_of_the_release() -> None:
    """Not the days on which some feed saw them first: makers put the date into the name, or say it elsewhere."""
    said_elsewhere = {"kali": {"2026-06-16"}, "clonezilla": {"2026-09-13"}, "mx": {"2026-05-23", "2026-05-24"}}
    for entry, found in PAIRS:
        if not found.release_date or found.release_date in said_elsewhere.get(entry.id, ()):
            continue
        digits = re.sub(r"\D", "", name_in_lists(found.iso_url))
        assert found.release_date.replace("-", "")[2:] in digits, named((entry, found))


def test_mirrors_of_packages_are_not_taken_for_mirrors_of_images() -> None:
    assert not {"ubuntu-archive", "manjaro-packages", "kali-packages", "cachyos-packages", "endeavouros"} & LISTS.keys()
    packages = re.compile(r"/(ubuntu|kali|repo|manjaro|endeavouros(/iso)?)/$", re.IGNORECASE)
    assert [mirror.url for mirror in BASES if packages.search(mirror.url)] == []
    for name in ("ubuntu", "kali"):
        assert [mirror.url for mirror in LISTS[name] if re.search(r"archive\.ubuntu|/debian", mirror.url)] == []
