"""Taking what a feed said into the catalogue."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from luxusbd.catalog.feeds.definitions import parse_feed
from luxusbd.catalog.feeds.merge import merge, successor
from luxusbd.catalog.feeds.model import FeedRelease, HashTrust
from luxusbd.catalog.model import Distribution, Layer, Mirror, Release, Trust

KEY = "AB" * 20
A, B, LONG = "a" * 64, "b" * 64, "c" * 128
SITE = "https://x.example/"
ENTRY = {
    "id": "x", "strategy": "page_index", "url": SITE, "images": [{"file": r"(?P<version>x)", "architecture": "amd64"}],
}  # fmt: skip
FEED = parse_feed(ENTRY, "test")
IMAGE_SIGNED = parse_feed({**ENTRY, "signature": {"kind": "image", "address": "{file}.sig", "keys": [KEY]}}, "test")


def release(version: str, **fields: Any) -> Release:
    url = f"{SITE}{version}.iso"
    known = Release(
        version, "2026-01-01", url, A, 5, (Mirror(url), Mirror("https://y.example/x", "DE")), architecture="amd64",
        recipe="debian-live", minimum_memory_mb=512,
    )  # fmt: skip
    return replace(known, **fields)


def distribution(*releases: Release) -> Distribution:
    return Distribution("x", "X", "", "", "", "", 1, releases, Layer.PACKAGED)


def told(version: str, **fields: Any) -> FeedRelease:
    return replace(FeedRelease("x", "", "amd64", version, f"{SITE}{version}.iso", sha256=B, size=7_000_000), **fields)


def test_a_newer_release_takes_the_place_of_the_older() -> None:
    merged = merge(distribution(release("1")), FEED, [told("2")])
    (found,) = merged.distribution.releases
    assert (found.version, found.sha256, found.size, found.size_mb) == ("2", B, 7_000_000, 7)
    assert found.mirrors == (Mirror(SITE + "2.iso"),)
    assert (found.recipe, found.minimum_memory_mb, found.release_date) == ("debian-live", 512, "")
    assert merged.notes == ()


def test_a_respin_is_other_bytes_under_the_same_version() -> None:
    (found,) = merge(distribution(release("1")), FEED, [told("1")]).distribution.releases
    assert (found.sha256, found.mirrors) == (B, (Mirror(SITE + "1.iso"),))


def test_the_same_bytes_keep_their_mirrors_and_gain_what_was_unknown() -> None:
    (found,) = merge(distribution(release("1")), FEED, [told("1", sha256=A, sha512=LONG)]).distribution.releases
    assert found.mirrors == release("1").mirrors
    assert (found.size, found.sha512, found.release_date) == (7_000_000, LONG, "2026-01-01")


def test_an_older_release_takes_nothing_away() -> None:
    before = distribution(release("10"))
    merged = merge(before, FEED, [told("9")])
    assert merged.distribution == before
    assert merged.notes == ("x 9 amd64: older than 10; what was known before stays",)


def test_series_editions_and_architectures_stand_beside_each_other() -> None:
    before = distribution(
        release("26.04.1"), release("24.04.5"), release("240"), release("24.04", edition="kde"),
        release("24.04", architecture="arm64"), release("24.04", architecture=""),
    )  # fmt: skip
    merged = merge(before, FEED, [told("24.04.5.1", series="24.04")])
    assert sorted((one.version, one.edition, one.architecture) for one in merged.distribution.releases) == [
        ("24.04", "", ""), ("24.04", "", "arm64"), ("24.04", "kde", "amd64"), ("24.04.5.1", "", "amd64"),
        ("240", "", "amd64"), ("26.04.1", "", "amd64"),
    ]  # fmt: skip
    assert [one.version for one in merged.distribution.releases][:2] == ["240", "26.04.1"]


def test_what_was_signed_does_not_become_unsigned() -> None:
    before = distribution(release("1", trust=Trust.SIGNED, key_fingerprint=KEY, key_url=SITE + "key"))
    merged = merge(before, FEED, [told("2")])
    assert merged.distribution == before
    assert "not signed, and the one before was" in merged.notes[0]
    signed = told("2", trust=HashTrust.SIGNED, signed_by=KEY, sums_url=SITE + "SUMS", signature_url=SITE + "SUMS.gpg")
    (found,) = merge(before, FEED, [signed]).distribution.releases
    assert (found.trust, found.key_fingerprint, found.key_url) == (Trust.SIGNED, KEY, SITE + "key")
    assert (found.sums_url, found.signature_url) == (SITE + "SUMS", SITE + "SUMS.gpg")


def test_a_signature_of_the_image_is_one_that_a_download_can_ask_for() -> None:
    before = distribution(release("1", trust=Trust.SIGNED, key_fingerprint=KEY))
    image = told("2", signature_url=SITE + "2.iso.sig", sums_url=SITE + "SUMS")
    (found,) = merge(before, IMAGE_SIGNED, [image]).distribution.releases
    # an unsigned list beside it must not be taken for what is signed
    assert (found.trust, found.signature_url, found.sums_url) == (Trust.SIGNED, SITE + "2.iso.sig", "")


def test_sha512_alone_is_enough() -> None:
    merged = merge(
        distribution(release("1", sha512=LONG)), FEED, [told("1", sha256="", sha512=LONG, metalink=SITE + "m")]
    )
    (found,) = merged.distribution.releases
    assert (found.sha256, found.metalink) == (A, SITE + "m")
    merged = merge(distribution(release("1")), FEED, [told("2", sha256="", sha512=LONG)])
    (found,) = merged.distribution.releases
    assert (found.version, found.sha256, found.sha512, merged.notes) == ("2", "", LONG, ())


def test_hashes_that_cannot_be_compared_are_not_put_side_by_side() -> None:
    """The bytes may be others under the same version: one hash of each would be right for neither."""
    (found,) = merge(
        distribution(release("1")), FEED, [told("1", sha256="", sha512=LONG, size=0)]
    ).distribution.releases
    assert (found.sha256, found.sha512, found.size) == ("", LONG, 0)
    known = distribution(release("1", sha256="", sha512=LONG))
    (found,) = merge(known, FEED, [told("1", sha256=A, sha512="", size=0)]).distribution.releases
    assert (found.sha256, found.sha512, found.size) == (A, "", 0)


def test_a_respin_told_with_sha512_alone_is_noticed() -> None:
    known = distribution(release("1", sha256="", sha512=LONG))
    other = "d" * 128
    (found,) = merge(known, FEED, [told("1", sha256="", sha512=other, size=0)]).distribution.releases
    assert (found.sha512, found.content, found.size) == (other, f"sha512-{other}", 0)


def test_what_is_soon_out_of_date_stays_so() -> None:
    (found,) = merge(distribution(release("1", rolling=True)), FEED, [told("2")]).distribution.releases
    assert found.rolling
    (found,) = merge(distribution(release("1")), FEED, [told("2", rolling=True)]).distribution.releases
    assert found.rolling
    (found,) = merge(distribution(release("1")), FEED, [told("2")]).distribution.releases
    assert not found.rolling


def test_a_respin_of_before_takes_no_newer_one_away() -> None:
    before = distribution(release("1", release_date="2026-05-01"))
    merged = merge(before, FEED, [told("1", release_date="2026-04-01")])
    assert merged.distribution == before
    assert merged.notes == (
        "x 1 amd64: of 2026-04-01, and the one before is of 2026-05-01; what was known before stays",
    )
    (found,) = merge(before, FEED, [told("1", release_date="2026-05-02")]).distribution.releases
    assert found.sha256 == B


def shared(version: str, **fields: Any) -> Release:
    return release(version, **{"mirror_list": "x", "mirror_path": f"{version}.iso", **fields})


def test_shared_mirrors_have_the_newer_release_where_its_maker_has_it() -> None:
    def place(known: Release, found: FeedRelease) -> tuple[str, str]:
        (made,) = merge(distribution(known), FEED, [found]).distribution.releases
        return made.mirror_list, made.mirror_path

    assert place(shared("1"), told("2")) == ("x", "2.iso")
    assert place(shared("1"), told("1", sha256=A)) == ("x", "1.iso")
    # the same name with other bytes: the mirrors have those of before for some days
    assert place(shared("1"), told("1")) == ("", "")
    assert place(shared("1"), told("2", iso_url="https://x.example.org/2.iso")) == ("", "")
    assert place(shared("1", mirror_path="y/1.iso"), told("2")) == ("", "")
    assert place(release("1"), told("2")) == ("", "")


def test_the_successor_is_of_the_same_kind_and_series() -> None:
    feed = [told("24.04.6", series="24.04"), told("26.04.1", series="26.04"), told("26.04.1", edition="kde")]
    known = distribution(release("24.04.5"), release("26.04.1", sha256=B), release("25.10"))
    after = merge(known, FEED, feed).distribution

    def next_of(version: str, **fields: Any) -> str:
        found = successor(after, feed, release(version, **fields))
        return f"{found.version} {found.edition}" if found is not None else ""

    assert next_of("24.04.5") == "24.04.6 "
    assert next_of("26.04") == "26.04.1 "
    assert next_of("26.04", edition="kde") == "26.04.1 kde"
    # the same bytes, another series, a newer one, another architecture, and one that the feed is silent about
    assert [next_of("26.04.1", sha256=B), next_of("25.10"), next_of("26.04.2")] == ["", "", ""]
    assert [next_of("26.04", architecture="arm64"), next_of("26.04", edition="xfce")] == ["", ""]
    # what the catalogue did not take is no successor
    assert successor(known, feed, release("24.04.5")) is None
