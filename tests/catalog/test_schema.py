from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luxusbd.catalog.model import Layer, Mirror, Trust
from luxusbd.catalog.schema import MAX_RECIPES, parse_document, read_document, validate
from luxusbd.errors import CatalogError


def document(**release: Any) -> dict[str, Any]:
    return {
        "version": "2.0",
        "last_updated": "2026-10-01",
        "distributions": [
            {
                "id": "mine",
                "name": "Mine",
                "description": "A system.",
                "homepage": "https://example.org",
                "logo_url": "",
                "category": "Desktop",
                "popularity_rank": 3,
                "releases": [
                    {
                        "version": "1.0",
                        "release_date": "2026-09-30",
                        "iso_url": "https://example.org/mine.iso",
                        "sha256": "a" * 64,
                        "size_mb": 700,
                        "mirrors": [],
                        **release,
                    }
                ],
            }
        ],
    }


def test_the_users_own_fields_are_enough() -> None:
    (entry,) = validate(document(), "mine.json", Layer.ADMIN)
    (release,) = entry.releases
    assert (entry.id, entry.layer, entry.popularity_rank) == ("mine", Layer.ADMIN, 3)
    assert release.mirrors == (Mirror("https://example.org/mine.iso"),)
    assert (release.size, release.architecture, release.edition, release.sha512) == (0, "", "", "")


def test_a_maker_may_publish_sha512_alone() -> None:
    (entry,) = validate(document(sha256="", sha512="b" * 128), "mine.json", Layer.CACHE)
    (release,) = entry.releases
    assert (release.sha256, release.content) == ("", "sha512-" + "b" * 128)
    assert validate(document(sha512="b" * 128), "x", Layer.CACHE)[0].releases[0].content == "a" * 64
    # the key itself has to be there, and blake2b takes nobody's place
    for fields in ({"sha256": "", "blake2b": "b" * 128}, {"sha256": None, "sha512": "b" * 128}):
        with pytest.raises(CatalogError, match="found"):
            validate(document(**fields), "mine.json", Layer.CACHE)


def test_optional_fields() -> None:
    data = document(
        size=734003200,
        architecture="x86_64",
        edition="gnome",
        sha512="b" * 128,
        sums_url="https://example.org/SHA512SUMS",
        signature_url="https://example.org/SHA512SUMS.sign",
        minimum_memory_mb=2048,
        end_of_life="2030-01-31",
        mirrors=[
            "https://a.example/mine.iso",
            {"url": "https://b.example/mine.iso", "country": "DE"},
            {"url": "https://example.org/mine.iso", "country": "SE"},
            "https://a.example/mine.iso",
        ],
    )
    data["distributions"][0].update(feed="https://example.org/feed", key_fingerprint="AB" * 20, recipe="casper")
    (entry,) = validate(data, "mine.json", Layer.PACKAGED)
    release = entry.releases[0]
    assert entry.feed == "https://example.org/feed"
    assert release.mirrors == (
        Mirror("https://example.org/mine.iso", "SE"),
        Mirror("https://a.example/mine.iso"),
        Mirror("https://b.example/mine.iso", "DE"),
    )
    assert (release.architecture, release.edition, release.size) == ("amd64", "gnome", 734003200)
    assert (release.key_fingerprint, release.recipe, release.end_of_life) == ("AB" * 20, "casper", "2030-01-31")


def test_whole_numbers_written_as_fractions() -> None:
    (entry,) = validate(document(size_mb=700.0, size=1e9), "x", Layer.ADMIN)
    assert repr((entry.releases[0].size_mb, entry.releases[0].size)) == "(700, 1000000000)"


def test_releases_are_sorted_newest_first() -> None:
    data = document()
    template = data["distributions"][0]["releases"][0]
    data["distributions"][0]["releases"] = [{**template, "version": v} for v in ("1.9", "1.10", "1.2", "1.10.1")]
    (entry,) = validate(data, "x", Layer.ADMIN)
    assert [release.version for release in entry.releases] == ["1.10.1", "1.10", "1.9", "1.2"]


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (
            ("sha256",),
            "A" * 64,
            r'mine\.json: \$\.distributions\[0\]\.releases\[0\]\.sha256: found "A+"?.*, expected 64',
        ),
        (("sha256",), "", r"releases\[0\]: found no sha512, expected 128 lower-case hex digits of sha512 where sha256"),
        (("sha256",), "b" * 63, "expected 64 lower-case hex digits, or an empty text where sha512 is given"),
        (("sha512",), "a" * 64, "expected 128 lower-case hex digits"),
        (("blake2b",), "a" * 64, "expected 128 lower-case hex digits"),
        (("key_url",), "http://example.org/key.asc", "expected an https URL"),
        (("metalink",), "http://example.org/mine.meta4", "expected an https URL"),
        (("iso_url",), "ftp://x/y", r"iso_url: found \"ftp://x/y\", expected an http or https URL"),
        (("iso_url",), "https://", "expected an http or https URL"),
        (("iso_url",), "https://u:p@host/x", "without user name"),
        (("iso_url",), "https://host:99999/x", "valid host and port"),
        (("iso_url",), "https://[::1/x", "valid host"),
        (("size_mb",), "700", r"size_mb: found \"700\", expected a whole number of megabytes"),
        (("size_mb",), -1, "size_mb: found -1"),
        (("version",), "1/2", "without / and @"),
        (("release_date",), "30.9.2026", "expected a date such as"),
        (("release_date",), "2026-02-30", "expected a date of the calendar"),
        (("mirrors",), ["x"], r"mirrors\[0\]: found \"x\", expected an http or https URL, or an object"),
        (("mirrors",), [{"url": "https://x/", "country": "Germany"}], r"mirrors\[0\]"),
        (("mirror_list",), "debian", r"releases\[0\]: found mirror_list without mirror_path, expected both or neither"),
        (("mirror_path",), "a.iso", r"releases\[0\]: found mirror_path without mirror_list, expected both or neither"),
        (("mirror_list",), "De bian", r"mirror_list: found \"De bian\", expected an identifier"),
        (("mirror_path",), "/etc/a.iso", r"mirror_path: found \"/etc/a.iso\", expected a path below the addresses"),
        (("mirror_path",), "../a.iso", r"mirror_path: found \"../a.iso\", expected a path below"),
        (("mirror_path",), "a/./b.iso", r"mirror_path: .*, expected a path below"),
        (("mirror_path",), "a/b/..", r"mirror_path: .*, expected a path below"),
        (("mirror_path",), "a b.iso", r"mirror_path: .*, expected a path below"),
        (("mirror_path",), "a.iso?x=1", r"mirror_path: .*, expected a path below"),
        (("mirror_path",), "a.iso#x", r"mirror_path: .*, expected a path below"),
        (("mirror_path",), "a\\b.iso", r"mirror_path: .*, expected a path below"),
        (("mirror_path",), "", r"mirror_path: found \"\", expected a path below"),
        (("rolling",), "yes", r"rolling: found \"yes\", expected true or false"),
        (("mirrors",), {}, r"mirrors: found an object, expected a list"),
        (("architecture",), "vax", "expected one of amd64"),
        (("signature_url",), "http://x/y", "expected an https URL"),
        (("key_fingerprint",), "6294BE9B", "expected the full fingerprint"),
        (("surprise",), 1, "unknown field 'surprise', expected only version"),
    ],
)
def test_faults_name_document_path_found_and_expected(path: tuple[str], value: object, text: str) -> None:
    with pytest.raises(CatalogError, match=text) as caught:
        validate(document(**{path[0]: value}), "mine.json", Layer.ADMIN)
    assert caught.value.message.startswith("mine.json: $.distributions[0].releases[0]")


def test_missing_and_repeated_things() -> None:
    data = document()
    data["distributions"] += copy.deepcopy(data["distributions"])
    with pytest.raises(CatalogError, match=r"\$\.distributions\[1\]\.id: found 'mine' again.*\[0\] does not have"):
        validate(data, "x", Layer.ADMIN)
    data = document()
    data["distributions"][0]["releases"] *= 2
    with pytest.raises(CatalogError, match=r"releases\[1\]: found version '1.0' again"):
        validate(data, "x", Layer.ADMIN)
    data = document()
    del data["distributions"][0]["name"], data["distributions"][0]["category"]
    with pytest.raises(CatalogError, match=r"\$\.distributions\[0\]: found no name, category"):
        validate(data, "x", Layer.ADMIN)


def test_all_faults_are_listed_up_to_a_limit() -> None:
    data = document(sha256="", size_mb="x")
    with pytest.raises(CatalogError) as caught:
        validate(data, "x", Layer.ADMIN)
    assert len(caught.value.message.splitlines()) == 2
    data["distributions"] *= 30
    with pytest.raises(CatalogError, match="and 40 more"):
        validate(data, "x", Layer.ADMIN)


def test_plain_http_is_for_the_layers_that_a_person_wrote() -> None:
    data = document(iso_url="http://example.org/x.iso")
    for layer in (Layer.ADMIN, Layer.COMMAND_LINE, Layer.USER):
        assert validate(data, "x", layer)[0].releases[0].iso_url.startswith("http:")
    for layer in (Layer.FALLBACK, Layer.PACKAGED, Layer.CACHE):
        with pytest.raises(CatalogError, match=r"iso_url: .*expected an https URL"):
            validate(data, "x", layer)


def test_newer_minor_versions_may_add_fields_and_newer_major_ones_are_refused() -> None:
    data = document(colour="blue", mirrors=[{"url": "https://x.example/y", "speed": 5}])
    data.update(version="2.7", serial=12)
    (entry,) = validate(data, "x", Layer.CACHE)
    assert entry.releases[0].mirrors[1] == Mirror("https://x.example/y")
    data["version"] = "3.0"
    with pytest.raises(CatalogError, match="update luxusbd"):
        validate(data, "x", Layer.CACHE)
    data["version"] = "1.0"
    with pytest.raises(CatalogError, match=r"expected 2\.0"):
        validate(data, "x", Layer.CACHE)
    for wrong in (2, None, "two"):
        data["version"] = wrong
        with pytest.raises(CatalogError, match=r"\$\.version"):
            validate(data, "x", Layer.CACHE)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[]", b"NaN", b"[" * 200_000, b'{"version": NaN}', b"null"])
def test_what_is_no_catalogue_at_all(data: bytes) -> None:
    with pytest.raises(CatalogError, match=r"^mine\.json: "):
        parse_document(data, "mine.json", Layer.ADMIN)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
RELEASE_KEYS = ["version", "release_date", "iso_url", "sha256", "size_mb", "mirrors", "size", "edition", "sums_url"]


@settings(deadline=None)
@given(key=st.sampled_from(RELEASE_KEYS), value=json_values, minor=st.sampled_from(["2.0", "2.4"]))
def test_any_value_is_accepted_or_refused_with_its_path(key: str, value: object, minor: str) -> None:
    data = document(**{key: value})
    data["version"] = minor
    try:
        entries = parse_document(json.dumps(data).encode(), "x.json", Layer.ADMIN)
    except CatalogError as error:
        lines = error.message.splitlines()
    else:
        lines = []
        assert entries[0].releases[0].mirrors
    for line in lines:
        assert line.startswith(f"x.json: $.distributions[0].releases[0].{key}")
        assert line.isprintable()


@settings(deadline=None)
@given(json_values)
def test_any_document_is_refused_properly(value: object) -> None:
    with pytest.raises(CatalogError):
        parse_document(json.dumps(value).encode(), "x.json", Layer.ADMIN)


SIGNABLE = {"sums_url": "https://example.org/SHA256SUMS", "key_fingerprint": "AB" * 20}


@pytest.mark.parametrize(
    ("fields", "layer", "trust"),
    [
        (SIGNABLE, Layer.PACKAGED, Trust.SIGNED),
        ({"signature_url": "https://example.org/x.sig", "key_fingerprint": "AB" * 20}, Layer.ADMIN, Trust.SIGNED),
        ({"sums_url": "https://example.org/SHA256SUMS"}, Layer.PACKAGED, Trust.HASH),
        ({"key_fingerprint": "AB" * 20}, Layer.PACKAGED, Trust.HASH),
        ({}, Layer.PACKAGED, Trust.HASH),
        # a key of a user's own choice
        (SIGNABLE, Layer.USER, Trust.HASH),
    ],
)
def test_what_a_download_can_reach(fields: dict[str, str], layer: Layer, trust: Trust) -> None:
    (entry,) = validate(document(**fields), "x", layer)
    assert entry.releases[0].trust is trust


def test_where_keys_and_metalinks_are() -> None:
    (entry,) = validate(
        document(key_url="https://example.org/k", metalink="https://example.org/m", blake2b="c" * 128),
        "x",
        Layer.PACKAGED,
    )
    release = entry.releases[0]
    assert (release.key_url, release.metalink, release.blake2b) == (
        "https://example.org/k",
        "https://example.org/m",
        "c" * 128,
    )


STRANGE = [
    "1" * 5000, "-" + "9" * 400, "1e999", "-1e999", "1e308", "0.1e-400", "NaN", "Infinity", "-Infinity", "-0", "true",
    '"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"\\u202e"', '"' + "x" * 100_000 + '"', '{"a": 1, "a": 2}', "[]",
    "[" * 3000 + "]" * 3000, "[" * 200_000, '{"a":' * 3000 + "1" + "}" * 3000, '"' + "../" * 50_000 + '"', "\u00e9",
    "{}", "'x'",
]  # fmt: skip


def refusal(data: bytes) -> str:
    try:
        read_document(data, "x.json", Layer.USER)
    except CatalogError as error:
        return error.message
    return ""


@pytest.mark.parametrize("text", STRANGE, ids=range(len(STRANGE)))
@pytest.mark.parametrize("minor", ["2.0", "2.9"])
def test_strange_values_in_every_place_are_taken_or_refused(text: str, minor: str) -> None:
    template = document(
        size=1, edition="x", sums_url="https://x.example/s", mirror_list="debian", mirror_path="x", surprise=1
    )
    template["version"] = minor
    template["distributions"][0].update(feed="https://x.example/f", surprise=1)
    whole = json.dumps(template)
    places = [template, template["distributions"][0], template["distributions"][0]["releases"][0]]
    count = 0
    for place in places:
        for key in list(place):
            before = place[key]
            place[key] = "@@"
            data = json.dumps(template).replace('"@@"', text).encode("utf-8", "surrogatepass")
            place[key] = before
            said = refusal(data)
            assert all(line.startswith("x.json: ") and line.isprintable() for line in said.splitlines())
            assert len(said) < 20_000
            count += 1
    assert count > 20
    assert json.dumps(template) == whole


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"version": "2.0", "version": "2.0"}', "the key 'version' twice"),
        ('[{"a": {"b": 1, "b": 2}}]', "the key 'b' twice"),
    ],
)
def test_a_key_that_is_there_twice_is_refused(text: str, path: str) -> None:
    with pytest.raises(CatalogError, match=path):
        parse_document(text.encode(), "x", Layer.USER)


def test_what_a_newer_version_added_is_a_warning_and_nothing_else() -> None:
    data = document(colour="red")
    data["version"] = "2.7"
    data["motto"] = "x"
    for index in range(30):
        data["distributions"].append({**data["distributions"][0], "id": f"more{index}"})
    found = read_document(json.dumps(data).encode(), "x.json", Layer.ADMIN)
    assert len(found.distributions) == 31
    assert found.warnings[0] == (
        "x.json: $: found the unknown field 'motto', which a newer version may have added; it is ignored"
    )
    assert found.warnings[-1] == "x.json: and 12 more"
    data["version"] = "2.0"
    with pytest.raises(CatalogError, match="unknown field 'motto', expected only"):
        read_document(json.dumps(data).encode(), "x.json", Layer.ADMIN)


@pytest.mark.parametrize("size_mb", [0, 1, 700, 9_999_999])
def test_the_hint_of_the_size_is_never_compared(size_mb: int) -> None:
    (entry,) = validate(document(size_mb=size_mb, size=5), "x", Layer.ADMIN)
    assert (entry.releases[0].size_mb, entry.releases[0].size) == (size_mb, 5)


def test_recipes_are_taken_along_unread() -> None:
    data = json.dumps(document() | {"recipes": [{"id": "torn"}, 7]}).encode()
    found = read_document(data, "mine.json", Layer.CACHE)
    assert (found.recipes, found.warnings) == (({"id": "torn"}, 7), ())


@pytest.mark.parametrize("layer", [Layer.PACKAGED, Layer.ADMIN, Layer.COMMAND_LINE, Layer.USER])
def test_recipes_count_in_a_signed_catalogue_alone(layer: Layer) -> None:
    found = read_document(json.dumps(document() | {"recipes": [{}]}).encode(), "mine.json", layer)
    (warning,) = found.warnings
    assert warning.startswith("mine.json: $.recipes: only those of a signed catalogue that is followed are used")
    assert len(found.distributions) == 1
    assert read_document(json.dumps(document() | {"recipes": []}).encode(), "x", layer).warnings == ()


@pytest.mark.parametrize(
    ("recipes", "text"),
    [
        ({}, r"\$\.recipes: found an object, expected a list of at most 256 boot recipes"),
        ([{}] * 257, r"\$\.recipes: found a list, expected a list of at most 256 boot recipes"),
        (["x" * MAX_RECIPES], r"\$\.recipes: found \d+ bytes of boot recipes, expected at most \d+"),
    ],
)
def test_recipes_are_bounded(recipes: object, text: str) -> None:
    with pytest.raises(CatalogError, match=text):
        validate(document() | {"recipes": recipes}, "mine.json", Layer.CACHE)


@pytest.mark.parametrize("levels", [70, 500, 985, 989, 990, 992])
@pytest.mark.parametrize("key", ["expires", "distributions", "recipes", "else"])
def test_values_inside_of_each_other_are_a_fault_and_no_crash(key: str, levels: int) -> None:
    """Near the limit of the decoder, the words for a fault would go deeper than Python does."""
    data = json.dumps(document() | {key: "@"}).replace('"@"', "[" * levels + "]" * levels)
    with pytest.raises(CatalogError, match=r"at most 64 levels|maximum recursion depth exceeded while decoding"):
        read_document(data.encode(), "mine.json", Layer.USER)
