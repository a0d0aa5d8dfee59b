"""Boot recipes: values, and reading them from `data/recipes/*.json`.

A recipe says how a family of images is recognised by its content and how it is started from a file. The format is
described and enforced by `data/schemas/recipe.schema.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from luxusbd import resources
from luxusbd.errors import CatalogError
from luxusbd.images.globs import path_regex
from luxusbd.images.model import BootMethod, Firmware, Store
from luxusbd.nesting import check_levels

STICK_PLACEHOLDERS = frozenset({"iso", "data_uuid", "iso_uuid", "volume_id", "blank"})
"""Placeholders that stay in a boot entry and are filled in when the menu is written."""
PERSISTENCE = "persistence"
"""Placeholder of the words for persistence: the directory of one image's changes, from the root of the stick."""
PERSISTENCE_MB = "persistence_mb"
"""Placeholder of the words for persistence: MiB that the user gave."""
DERIVED = "derived"
"""What an image is said to be recognised by when its entries come from its own menus; no recipe is called so."""
WILD = "{wild}"
MAX_RECIPE = 256 * 1024

_PLACEHOLDER = re.compile(r"\{([a-z0-9_]+)\}")


class Source(Enum):
    """Where a rule looks."""

    FILE = "file"
    PATH = "path"
    VOLUME_ID = "volume_id"
    TEXT = "text"


@dataclass(frozen=True)
class Rule:
    """One attempt to find a value."""

    source: Source
    pattern: str = ""
    """A path pattern for FILE and PATH, the value itself for TEXT."""
    regex: re.Pattern[str] | None = None


@dataclass(frozen=True)
class Condition:
    """When a recipe applies; everything given must hold."""

    all: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    volume_id: re.Pattern[str] | None = None
    name: re.Pattern[str] | None = None
    """Searched in the label, and in the first line of /.disk/info."""
    udf: bool | None = None
    files: tuple[tuple[str, re.Pattern[str]], ...] = ()


@dataclass(frozen=True)
class Choice:
    """Alternatives, the first usable one counts."""

    options: tuple[str, ...]
    required: bool


@dataclass(frozen=True)
class Fetch:
    """A file that starts the image and has to be fetched; see `images.startfile`, with placeholders for captures."""

    archives: tuple[str, ...]
    release: str
    sums: str
    kernel: str
    file: str
    keys: tuple[str, ...]
    size_mb: int

    @property
    def texts(self) -> tuple[str, ...]:
        """Where placeholders may stand."""
        return (self.release, self.sums, self.kernel, self.file)


@dataclass(frozen=True)
class Variant:
    """One way to start an image."""

    id: str
    title: str
    method: BootMethod
    firmware: frozenset[Firmware]
    vendors: frozenset[str]
    """Whose signature the kernel usually carries (`kernel.SIGNERS`); what an image really has, the kernel says."""
    kernel: tuple[str, ...]
    initrds: tuple[Choice, ...]
    parameters: tuple[Choice, ...]
    fetch: Fetch | None = None
    """What it is started with beside its own kernel; it then has no initrd of its own."""


@dataclass(frozen=True)
class Extra:
    """A variant made from the one named `of` by adding parameters."""

    of: str
    title: str
    add: tuple[str, ...]


@dataclass(frozen=True)
class KeepsChanges:
    """How changes survive a restart."""

    of: str
    """The variant that the words are added to."""
    store: Store
    add: tuple[str, ...]
    """Words of the command line; `{persistence}` stands for the directory of the image's changes, `{persistence_mb}`
    for its size."""
    name: str = ""
    """Label of the partition, or name of the file."""
    on: frozenset[str] = frozenset()
    """Filesystems of the data partition on which it works; empty means all from which the system reads the image."""
    files: tuple[tuple[str, str], ...] = ()
    """(path, text) of what the new filesystem or directory has to hold; without a text it is a directory."""
    file_on: frozenset[str] = frozenset()
    """Filesystems of the data partition on which a file called `name` does what the partition does elsewhere."""
    file_add: tuple[str, ...] = ()
    """The words for that file."""
    where: tuple[Condition, ...] = ()
    """One of them has to hold; empty means that all images of the recipe keep changes in this way."""


@dataclass(frozen=True)
class System:
    """A system of a family that has a name of its own; what it leaves out is that of the family."""

    name: str
    condition: Condition
    version: tuple[Rule, ...] = ()
    filesystems: frozenset[str] = frozenset()
    minimum_memory: int = 0
    reason: str = ""
    advice: str = ""


@dataclass(frozen=True)
class Recipe:
    """A family of images."""

    id: str
    version: int
    family: str
    priority: int
    system: str
    condition: Condition
    identify: Mapping[str, tuple[Rule, ...]]
    captures: Mapping[str, tuple[Rule, ...]]
    filesystems: frozenset[str]
    variants: tuple[Variant, ...] = ()
    extras: tuple[Extra, ...] = ()
    reason: str = ""
    advice: str = ""
    minimum_memory: int = 0
    """MiB that the system needs to start; 0 when unknown."""
    systems: tuple[System, ...] = ()
    toram: Extra | None = None
    """The entry that runs from memory, or None."""
    always_in_ram: bool = False
    """Whether it runs from memory in any case."""
    persistence: KeepsChanges | None = None


def parse_recipe(document: object, name: str) -> Recipe:
    """Turn a decoded JSON document into a recipe; `name` is what errors call it.

    Raises:
        CatalogError: it breaks the schema, or refers to something that is not there.
    """
    from jsonschema.exceptions import best_match

    check_levels(document, name)
    fault = best_match(_validator().iter_errors(document))
    if fault is not None:
        expected = fault.schema.get("description") if isinstance(fault.schema, dict) else None
        detail = f"expected {expected}; {fault.message}" if expected else fault.message
        raise CatalogError(f"{name}: {fault.json_path}: {_short(detail)}")
    assert isinstance(document, dict)
    try:
        recipe = _recipe(document)
    except (re.error, ValueError) as error:
        raise CatalogError(f"{name}: a pattern is malformed: {error}") from error
    _check_references(recipe, name)
    return recipe


def read_document(path: Path) -> object:
    """The decoded JSON of a recipe file.

    Raises:
        CatalogError: it cannot be read, is too large, or is no JSON.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_RECIPE + 1)
    except OSError as error:
        raise CatalogError(f"{path}: {error.strerror}") from error
    if len(data) > MAX_RECIPE:
        raise CatalogError(f"{path}: larger than {MAX_RECIPE} bytes")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CatalogError(f"{path}: not valid JSON: {error}") from error


def read_recipe(path: Path) -> Recipe:
    """Read one recipe file, whose name has to be `<id>.json`.

    Raises:
        CatalogError: it cannot be read, is no JSON, or is not a valid recipe.
    """
    recipe = parse_recipe(read_document(path), str(path))
    if path.name != f"{recipe.id}.json":
        raise CatalogError(f"{path}: $.id: found {recipe.id!r}, expected the name of the file")
    return recipe


def load_recipes(directories: Iterable[Path]) -> tuple[Recipe, ...]:
    """All recipes of the directories, highest priority first; of equal ids the highest version is taken.

    Raises:
        CatalogError: a file is malformed.
    """
    chosen: dict[str, Recipe] = {}
    for directory in directories:
        for path in sorted(directory.glob("*.json")):
            recipe = read_recipe(path)
            known = chosen.get(recipe.id)
            if known is None or known.version < recipe.version:
                chosen[recipe.id] = recipe
    return tuple(sorted(chosen.values(), key=lambda recipe: (-recipe.priority, recipe.id)))


@cache
def packaged_recipes() -> tuple[Recipe, ...]:
    """The recipes that come with this version."""
    return load_recipes((resources.data("recipes"),))


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(resources.data("schemas", "recipe.schema.json").read_text("utf-8")))


def _recipe(data: dict[str, Any]) -> Recipe:
    refuse, toram = data.get("refuse", {}), data.get("toram", {})
    return Recipe(
        id=data["id"],
        version=data["version"],
        family=data["family"],
        priority=data["priority"],
        system=data["system"],
        condition=_condition(data["match"]),
        identify={key: _rules(value) for key, value in data.get("identify", {}).items()},
        captures={key: _rules(value) for key, value in data.get("capture", {}).items()},
        systems=tuple(_system(system) for system in data.get("systems", ())),
        filesystems=frozenset(data.get("filesystems", ())),
        variants=tuple(_variant(variant) for variant in data.get("variants", ())),
        extras=tuple(Extra(extra["of"], extra["title"], tuple(extra["add"])) for extra in data.get("extras", ())),
        reason=refuse.get("reason", ""),
        advice=refuse.get("advice", ""),
        minimum_memory=int(data.get("minimum_memory_mb", 0)),
        toram=Extra(toram["of"], "run from memory", tuple(toram["add"])) if "of" in toram else None,
        always_in_ram="always" in toram,
        persistence=_persistence(data["persistence"]) if "persistence" in data else None,
    )


def _system(data: dict[str, Any]) -> System:
    refuse = data.get("refuse", {})
    return System(
        name=data["name"],
        condition=_condition(data["match"]),
        version=_rules(data.get("version", [])),
        filesystems=frozenset(data.get("filesystems", ())),
        minimum_memory=int(data.get("minimum_memory_mb", 0)),
        reason=refuse.get("reason", ""),
        advice=refuse.get("advice", ""),
    )


def _persistence(data: dict[str, Any]) -> KeepsChanges:
    file = data.get("file", {})
    return KeepsChanges(
        of=data["of"],
        store=Store(data["store"]),
        add=tuple(data["add"]),
        name=data.get("name", ""),
        on=frozenset(data.get("on", ())),
        files=tuple((each["path"], each["text"]) for each in data.get("files", ())),
        file_on=frozenset(file.get("on", ())),
        file_add=tuple(file.get("add", ())),
        where=tuple(_condition(each) for each in data.get("where", ())),
    )


def _condition(data: dict[str, Any]) -> Condition:
    return Condition(
        all=_paths(data.get("all", ())),
        any=_paths(data.get("any", ())),
        none=_paths(data.get("none", ())),
        volume_id=re.compile(data["volume_id"]) if "volume_id" in data else None,
        name=re.compile(data["name"]) if "name" in data else None,
        udf=data.get("udf"),
        files=tuple(
            (_paths([file["path"]])[0], re.compile(file["regex"], re.MULTILINE)) for file in data.get("files", ())
        ),
    )


def _paths(paths: Iterable[str]) -> tuple[str, ...]:
    checked = tuple(paths)
    for path in checked:
        path_regex(path)  # a malformed pattern is to be found now, not when an image is looked at
    return checked


def _rules(rules: list[dict[str, str]]) -> tuple[Rule, ...]:
    found = []
    for rule in rules:
        regex = re.compile(rule["regex"], re.MULTILINE) if "regex" in rule else None
        if "file" in rule:
            found.append(Rule(Source.FILE, _paths([rule["file"]])[0], regex))
        elif "path" in rule:
            found.append(Rule(Source.PATH, _paths([rule["path"]])[0], regex))
        elif "volume_id" in rule:
            found.append(Rule(Source.VOLUME_ID, regex=re.compile(rule["volume_id"])))
        else:
            found.append(Rule(Source.TEXT, rule["text"]))
    return tuple(found)


def _variant(data: dict[str, Any]) -> Variant:
    initrds = []
    for entry in data.get("initrd", ()):
        options = entry if isinstance(entry, list) else entry["first_of"]
        _paths(option.replace(WILD, "") for option in options)
        initrds.append(Choice(tuple(options), isinstance(entry, list) or not entry["optional"]))
    parameters = tuple(
        Choice((entry,), False)
        if isinstance(entry, str)
        else Choice(tuple(entry["first_of"]), bool(entry.get("required", False)))
        for entry in data.get("parameters", ())
    )
    return Variant(
        id=data["id"],
        title=data.get("title", ""),
        method=BootMethod(data["method"]),
        firmware=frozenset(Firmware(name) for name in data["firmware"]),
        vendors=frozenset(data.get("secure_boot", {}).get("vendors", ())),
        kernel=_paths(data["kernel"]),
        initrds=tuple(initrds),
        parameters=parameters,
        fetch=_fetch(data["fetch"]) if "fetch" in data else None,
    )


def _fetch(data: dict[str, Any]) -> Fetch:
    return Fetch(
        archives=tuple(data["archives"]),
        release=data["release"],
        sums=data["sums"],
        kernel=data["kernel"],
        file=data["file"],
        keys=tuple(data["keys"]),
        size_mb=int(data["size_mb"]),
    )


def _check_references(recipe: Recipe, name: str) -> None:
    if recipe.id == DERIVED:
        raise CatalogError(f"{name}: $.id: found {DERIVED!r}, which is kept for entries that no recipe made")
    ids = [variant.id for variant in recipe.variants]
    if len(set(ids)) != len(ids):
        raise CatalogError(f"{name}: $.variants: two have the same id")
    known = STICK_PLACEHOLDERS | set(recipe.captures)
    if clash := (STICK_PLACEHOLDERS | {PERSISTENCE, PERSISTENCE_MB, "wild"}) & set(recipe.captures):
        raise CatalogError(f"{name}: $.capture: {min(clash)!r} is a placeholder of its own")
    added = [(f"$.extras[{at}]", extra.of, extra.add, known) for at, extra in enumerate(recipe.extras)]
    if recipe.toram is not None:
        added.append(("$.toram", recipe.toram.of, recipe.toram.add, known))
    if (lasting := recipe.persistence) is not None:
        usable = known | {PERSISTENCE, PERSISTENCE_MB}
        added.append(("$.persistence", lasting.of, lasting.add, usable))
        added.append(("$.persistence.file", lasting.of, lasting.file_add, usable))
    for path, of, words, allowed in added:
        if of not in ids:
            raise CatalogError(f"{name}: {path}.of: found the variant {of!r}, expected one of {', '.join(ids)}")
        for at, word in enumerate(words):
            _check_placeholders(word, f"{name}: {path}.add[{at}]", allowed)
    for at, variant in enumerate(recipe.variants):
        for index, choice in enumerate(variant.parameters):
            for word in choice.options:
                _check_placeholders(word, f"{name}: $.variants[{at}].parameters[{index}]", known)
        for word in variant.fetch.texts if variant.fetch is not None else ():
            _check_placeholders(word, f"{name}: $.variants[{at}].fetch", {"architecture", *recipe.captures})


def _check_placeholders(word: str, where: str, known: Set[str]) -> None:
    for placeholder in placeholders(word):
        if placeholder not in known:
            expected = ", ".join(sorted(known))
            raise CatalogError(f"{where}: the parameter {word!r} uses {{{placeholder}}}, expected one of {expected}")


def placeholders(word: str) -> tuple[str, ...]:
    """Names in braces."""
    return tuple(_PLACEHOLDER.findall(word))


def _short(text: str) -> str:
    return text if len(text) <= 400 else text[:397] + "..."
