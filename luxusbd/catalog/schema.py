"""Checks a catalogue document of schema 2.0 and turns it into values. Pure, apart from reading the schema itself.

The format is enforced by `data/schemas/catalog.schema.json`; what a JSON Schema cannot say is checked here. Other
documents of that version are checked with the same helpers, so that they are refused in the same words.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from luxusbd import resources
from luxusbd.catalog.model import Distribution, Document, Layer, Mirror, Origin, Release, Stamp, Trust
from luxusbd.errors import CatalogError
from luxusbd.nesting import check_levels
from luxusbd.text import clean, natural_key

MAX_DOCUMENT = 32 * 1024 * 1024
MAX_RECIPES = 2 * 1024 * 1024
"""Bytes of all boot recipes of a document; twenty times what those of this version have."""
MAX_PROBLEMS = 20
MAJOR = 2
KNOWN_MINOR = 0

INSECURE_LAYERS = frozenset({Layer.MIGRATED, Layer.ADMIN, Layer.COMMAND_LINE, Layer.USER})
"""Layers in which plain http is fine, because every release carries the full hash and a person chose the address."""

ARCHITECTURES = {"x86_64": "amd64", "i686": "i386", "aarch64": "arm64"}
"""Other names of architectures, which count the same."""
_VERSION = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})")


def parse_document(data: bytes, name: str, layer: Layer) -> tuple[Distribution, ...]:
    """Decode and check a catalogue; `name` is what errors call the document, usually its path.

    Raises:
        CatalogError: one line a fault: document, JSON path, what was found, what was expected.
    """
    return read_document(data, name, layer).distributions


def read_document(data: bytes, name: str, layer: Layer) -> Document:
    """As `parse_document`, with what the document says of itself.

    Raises:
        CatalogError: as `parse_document`.
    """
    document = decode(data, name)
    warnings: list[str] = []
    distributions = validate(document, name, layer, warnings)
    assert isinstance(document, dict)
    return Document(_stamp(document), distributions, tuple(warnings), tuple(document.get("recipes", ())))


def decode(data: bytes, name: str) -> object:
    """The JSON value of a document, unchecked.

    Raises:
        CatalogError: it is too large, or no JSON.
    """
    if len(data) > MAX_DOCUMENT:
        raise CatalogError(f"{name}: larger than {MAX_DOCUMENT // 2**20} MiB")
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise CatalogError(f"{name}: not UTF-8 text: {error.reason} at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise CatalogError(f"{name}: not valid JSON: {error}") from error


def validate(document: object, name: str, layer: Layer, warnings: list[str] | None = None) -> tuple[Distribution, ...]:
    """Check a decoded catalogue and return its distributions, the releases of each newest first.

    Fields that a newer minor version of the schema adds are ignored and named in `warnings`, a line each; a newer major
    version is refused.

    Raises:
        CatalogError: as `parse_document`.
    """
    checked = check_format(document, name, "catalog.schema.json", warnings)
    refuse(list(_meaning_problems(checked, layer)), name)
    if warnings is not None and checked.get("recipes") and layer is not Layer.CACHE:
        # they steer what root writes into boot menus, which not everybody may who may add to the catalogue
        warnings.append(
            f"{name}: $.recipes: only those of a signed catalogue that is followed are used; an administrator's own"
            " recipes belong in /etc/luxusb/recipes.d"
        )
    return distributions_of(checked, name, layer)


def distributions_of(document: Mapping[str, Any], name: str, layer: Layer) -> tuple[Distribution, ...]:
    """The distributions of a document that is known to be right."""
    return tuple(_distribution(entry, name, layer) for entry in document["distributions"])


def check_format(document: object, name: str, schema: str, warnings: list[str] | None = None) -> Mapping[str, Any]:
    """Check a decoded document against a file of `data/schemas`; its fields then have the types that stand there.

    Raises:
        CatalogError: as `parse_document`; or the schema cannot be read.
    """
    unknown: list[str] | None = [] if _is_newer(document, name) else None
    check_levels(document, name)
    # The library reports every missing field by itself, in the same words.
    refuse(list(dict.fromkeys(_schema_problems(document, schema, unknown))), name)
    assert isinstance(document, dict)
    if warnings is not None and unknown:
        warnings += [f"{name}: {each}" for each in shortened(list(dict.fromkeys(unknown)))]
    return document


def shortened(problems: Sequence[str]) -> list[str]:
    """At most `MAX_PROBLEMS` lines, and one that tells of the rest."""
    rest = len(problems) - MAX_PROBLEMS
    return [*problems[:MAX_PROBLEMS], *([f"and {rest} more"] if rest > 0 else [])]


def refuse(problems: Sequence[str], name: str) -> None:
    """Do nothing without problems.

    Raises:
        CatalogError: there are some; it names the first ones.
    """
    if not problems:
        return
    raise CatalogError("\n".join(f"{name}: {problem}" for problem in shortened(problems)))


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is no JSON number")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object whose keys differ, because which of two would count differs from reader to reader (RFC 8259, 4)."""
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"an object has the key {clean(repr(key), 60)} twice")
        found[key] = value
    return found


def _is_newer(document: object, name: str) -> bool:
    """Whether it is of a newer minor version, whose unknown fields are tolerated."""
    if isinstance(document, dict) and "version" not in document and "id" in document and "releases" in document:
        raise CatalogError(
            f"{name}: $: found a distribution by itself, which is the format of LUXusb before 1.0, expected a catalogue"
            " of schema 2.0; `luxusb catalog migrate` makes one of it"
        )
    if not isinstance(document, dict) or "version" not in document:
        raise CatalogError(f'{name}: $: found {shown(document)}, expected an object with version "2.0"')
    found = _VERSION.fullmatch(document["version"]) if isinstance(document["version"], str) else None
    if found is None:
        raise CatalogError(f'{name}: $.version: found {shown(document["version"])}, expected the text "2.0"')
    major, minor = int(found[1]), int(found[2])
    if major > MAJOR:
        raise CatalogError(f"{name}: $.version: found {found[0]}, expected 2.x; update luxusbd to read this catalogue")
    if major < MAJOR:
        raise CatalogError(f"{name}: $.version: found {found[0]}, expected 2.0; the older format is not read")
    return minor > KNOWN_MINOR


@cache
def _validator(schema: str) -> Any:
    from jsonschema import Draft202012Validator

    path = resources.data("schemas", schema)
    try:
        return Draft202012Validator(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise CatalogError(f"{path}: the format itself cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CatalogError(f"{path}: the format itself cannot be read: {error}") from error


def _schema_problems(document: object, schema: str, unknown: list[str] | None) -> Iterator[str]:
    """What is wrong; with a list, fields that are not known are put there and are no problem."""
    for fault in _validator(schema).iter_errors(document):
        if fault.validator == "additionalProperties":
            known = fault.schema["properties"]
            extra = ", ".join(sorted(clean(repr(key), 60) for key in fault.instance if key not in known))
            found = f"{fault.json_path}: found the unknown field {extra}"
            if unknown is None:
                yield f"{found}, expected only {', '.join(known)}"
            else:
                unknown.append(f"{found}, which a newer version may have added; it is ignored")
        elif fault.validator == "required":
            missing = ", ".join(key for key in fault.schema["required"] if key not in fault.instance)
            yield f"{fault.json_path}: found no {missing}, expected {fault.schema.get('description', 'it')}"
        elif fault.validator == "dependentRequired":
            for key, others in fault.validator_value.items():
                for other in others:
                    if key in fault.instance and other not in fault.instance:
                        yield f"{fault.json_path}: found {key} without {other}, expected both or neither"
        elif fault.validator == "oneOf" and unknown is not None and _only_additions(fault.context):
            unknown.append(f"{fault.json_path}: found unknown fields, which a newer version may have added")
        else:
            expected = fault.schema.get("description", clean(fault.message, 200))
            yield f"{fault.json_path}: found {shown(fault.instance)}, expected {expected}"


def _only_additions(context: Any) -> bool:
    """Whether a mirror object fails for new fields alone."""
    inner = [fault for fault in context if fault.schema_path[0] == 1]
    return bool(inner) and all(fault.validator == "additionalProperties" for fault in inner)


def _meaning_problems(document: Mapping[str, Any], layer: Layer) -> Iterator[str]:
    if "expires" in document and _moment(document["expires"]) is None:
        yield f"$.expires: found {shown(document['expires'])}, expected a date of the calendar"
    size = len(json.dumps(document.get("recipes", [])))
    if size > MAX_RECIPES:
        yield f"$.recipes: found {size} bytes of boot recipes, expected at most {MAX_RECIPES}"
    ids: dict[str, int] = {}
    for index, entry in enumerate(document["distributions"]):
        at = f"$.distributions[{index}]"
        if entry["id"] in ids:
            first = f"$.distributions[{ids[entry['id']]}]"
            yield f"{at}.id: found {entry['id']!r} again, expected an id that {first} does not have"
        ids.setdefault(entry["id"], index)
        for key in ("homepage", "logo_url", "feed", "key_url"):
            if entry.get(key):
                yield from url_problems(entry[key], f"{at}.{key}", secure=key == "key_url")
        seen: dict[tuple[str, str, str], int] = {}
        for number, release in enumerate(entry["releases"]):
            where = f"{at}.releases[{number}]"
            yield from _release_problems(release, where, layer)
            architecture = release.get("architecture", "")
            key3 = (release["version"], release.get("edition", ""), ARCHITECTURES.get(architecture, architecture))
            if key3 in seen:
                yield (
                    f"{where}: found version {key3[0]!r} again, expected it to differ from releases[{seen[key3]}]"
                    " in version, edition or architecture"
                )
            seen.setdefault(key3, number)


def _release_problems(release: Mapping[str, Any], where: str, layer: Layer) -> Iterator[str]:
    secure = layer not in INSECURE_LAYERS
    yield from url_problems(release["iso_url"], f"{where}.iso_url", secure=secure)
    for index, mirror in enumerate(release["mirrors"]):
        url = mirror if isinstance(mirror, str) else mirror["url"]
        yield from url_problems(url, f"{where}.mirrors[{index}]", secure=secure)
    for key in ("sums_url", "signature_url", "key_url", "metalink"):
        if key in release:
            yield from url_problems(release[key], f"{where}.{key}", secure=True)
    for key in ("release_date", "end_of_life"):
        if release.get(key) and not is_date(release[key]):
            yield f"{where}.{key}: found {shown(release[key])}, expected a date of the calendar"


def url_problems(url: str, where: str, *, secure: bool) -> Iterator[str]:
    """What is wrong with a URL of the form that the schema demands; `secure` when plain http is."""
    try:
        parts = urlsplit(url)
        sane = bool(parts.hostname) and parts.username is None and parts.password is None and parts.port != 0
    except ValueError:
        yield f"{where}: found {shown(url)}, expected a URL with a valid host and port"
        return
    if not sane:
        yield f"{where}: found {shown(url)}, expected a URL with a host and without user name and password"
    elif secure and parts.scheme != "https":
        yield f"{where}: found {shown(url)}, expected an https URL"


def is_date(text: str) -> bool:
    """Whether it is a day of the calendar."""
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _stamp(document: Mapping[str, Any]) -> Stamp:
    return Stamp(
        made=_moment(document["last_updated"]) or 0,
        serial=int(document.get("serial", 0)),
        expires=_moment(document["expires"]) or 0 if "expires" in document else 0,
    )


def _moment(text: str) -> int | None:
    """Unix seconds of a date, or of a date with a time, in UTC where no zone stands; None when there is no such."""
    try:
        moment = datetime.datetime.fromisoformat(text)
        zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)
        return int(zoned.timestamp())
    except (ValueError, OverflowError):
        return None


FIELDS = ("name", "description", "homepage", "logo_url", "category", "popularity_rank", "feed")
"""Fields of a distribution that are called as in the document, and of which each may come from another layer."""


def _distribution(entry: Mapping[str, Any], name: str, layer: Layer) -> Distribution:
    releases = [_release(release, entry, name, layer) for release in entry["releases"]]
    releases.sort(key=lambda release: (natural_key(release.version), release.release_date), reverse=True)
    return Distribution(
        id=entry["id"],
        name=clean(entry["name"], 100) or entry["id"],
        description=clean(entry["description"], 2000),
        homepage=entry["homepage"],
        logo_url=entry["logo_url"],
        category=clean(entry["category"], 50),
        popularity_rank=int(entry["popularity_rank"]),  # JSON Schema takes 3.0 for an integer
        releases=tuple(releases),
        layer=layer,
        feed=entry.get("feed", ""),
        replaces=entry.get("replace", False),
        origins=tuple(Origin(key, layer, name) for key in FIELDS if entry.get(key)),
    )


def _release(release: Mapping[str, Any], entry: Mapping[str, Any], name: str, layer: Layer) -> Release:
    mirrors = {release["iso_url"]: Mirror(release["iso_url"])}
    for item in release["mirrors"]:
        mirror = Mirror(item) if isinstance(item, str) else Mirror(item["url"], item.get("country", ""))
        if mirror.url not in mirrors or mirror.country:
            mirrors[mirror.url] = mirror
    architecture = release.get("architecture", "")
    return Release(
        version=release["version"],
        release_date=release["release_date"],
        iso_url=release["iso_url"],
        sha256=release["sha256"],
        size_mb=int(release["size_mb"]),
        mirrors=tuple(mirrors.values()),
        size=int(release.get("size", 0)),
        architecture=ARCHITECTURES.get(architecture, architecture),
        edition=release.get("edition", ""),
        trust=Trust.SIGNED if _may_be_signed(release, entry, layer) else Trust.HASH,
        sha512=release.get("sha512", ""),
        blake2b=release.get("blake2b", ""),
        sums_url=release.get("sums_url", ""),
        signature_url=release.get("signature_url", ""),
        key_fingerprint=release.get("key_fingerprint", entry.get("key_fingerprint", "")),
        key_url=release.get("key_url", entry.get("key_url", "")),
        metalink=release.get("metalink", ""),
        recipe=release.get("recipe", entry.get("recipe", "")),
        minimum_memory_mb=int(release.get("minimum_memory_mb", 0)),
        end_of_life=release.get("end_of_life", ""),
        mirror_list=release.get("mirror_list", ""),
        mirror_path=release.get("mirror_path", ""),
        rolling=release.get("rolling", False),
        layer=layer,
        document=name,
    )


def _may_be_signed(release: Mapping[str, Any], entry: Mapping[str, Any], layer: Layer) -> bool:
    # a download is for everybody, so that a key which one user chose signs nothing for the others
    if layer is Layer.USER:
        return False
    key = release.get("key_fingerprint") or entry.get("key_fingerprint")
    return bool(key and (release.get("sums_url") or release.get("signature_url")))


def shown(value: object) -> str:
    """A decoded value for people, in one short line."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False)
    return clean(text, 100) if len(text) <= 100 else clean(text, 97) + "..."
