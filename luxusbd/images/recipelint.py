"""What is wrong with a recipe beyond what its schema says: words that GRUB would spoil, methods that do not fit, and
expressions that could run for ever."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from luxusbd.errors import CatalogError
from luxusbd.images.globs import has_wildcard
from luxusbd.images.model import BootMethod, Firmware, Store
from luxusbd.images.recipes import WILD, Recipe, parse_recipe, placeholders, read_document

_parser: Any = import_module("re._parser")
_SPOILED = re.compile(r"['\"\\$`]")
"""What GRUB's `linux` escapes, or its script would expand."""
_FIRMWARE = {
    BootMethod.LINUX16: Firmware.BIOS,
    BootMethod.MEMDISK: Firmware.BIOS,
    BootMethod.EFI: Firmware.UEFI,
}
_TAKES_WORDS = frozenset({BootMethod.LINUX, BootMethod.LINUX16})
_CHARACTERS = frozenset(range(0x100))
_IN_CONDITION = re.compile(r"\.(?:match|where\[\d+\])$")
_MANY = 64
"""A repetition up to so often is as good as one without end."""


def check_files(paths: Sequence[Path]) -> list[tuple[Path, Recipe | None, list[str]]]:
    """Every file with its recipe, if it is one, and its problems: file, JSON path, what was found and expected."""
    found: list[tuple[Path, Recipe | None, list[str]]] = []
    ids: dict[str, Path] = {}
    for path in paths:
        try:
            document = read_document(path)
            recipe = parse_recipe(document, str(path))
        except CatalogError as error:
            found.append((path, None, error.message.splitlines()))
            continue
        problems = lint(document, recipe, str(path))
        if path.stem != recipe.id:
            problems.append(f"{path}: $.id: found {recipe.id!r}, expected {path.stem!r}, the name of the file")
        if (other := ids.setdefault(recipe.id, path)) is not path:
            problems.append(f"{path}: $.id: found {recipe.id!r}, which {other} has, expected one of its own")
        found.append((path, recipe, problems))
    return found


def lint(document: object, recipe: Recipe, name: str) -> list[str]:
    """Problems of a recipe that fits its schema; `name` is what they call it."""
    assert isinstance(document, dict)
    found = [*_words(document), *_variants(recipe), *_globs(recipe), *_captures(document, recipe)]
    found += [*_expressions(document, "$"), *_lasting(recipe)]
    return [f"{name}: {problem}" for problem in found]


def _words(document: dict[str, Any]) -> Iterator[str]:
    lists = [
        (f"$.variants[{at}].parameters", variant.get("parameters", []))
        for at, variant in enumerate(document.get("variants", []))
    ]
    lists += [(f"$.extras[{at}].add", extra["add"]) for at, extra in enumerate(document.get("extras", []))]
    lists += [(f"$.{key}.add", document.get(key, {}).get("add", [])) for key in ("toram", "persistence")]
    lists.append(("$.persistence.file.add", document.get("persistence", {}).get("file", {}).get("add", [])))
    for path, items in lists:
        for at, item in enumerate(items):
            options = [item] if isinstance(item, str) else item["first_of"]
            for index, word in enumerate(options):
                where = f"{path}[{at}]" if isinstance(item, str) else f"{path}[{at}].first_of[{index}]"
                if _SPOILED.search(word):
                    yield f"{where}: found {word!r}, expected a word without quotes, backslashes, $ and `"
                if index < len(options) - 1 and not placeholders(word):
                    yield f"{where}: found {word!r}, which is always usable, expected it at the end of the list"


def _variants(recipe: Recipe) -> Iterator[str]:
    for at, variant in enumerate(recipe.variants):
        path = f"$.variants[{at}]"
        only = _FIRMWARE.get(variant.method)
        if only is not None and variant.firmware != {only}:
            named = ", ".join(sorted(variant.firmware))
            yield f"{path}.firmware: found {named}, expected {only} alone, for the method {variant.method}"
        if variant.initrds and variant.method is not BootMethod.LINUX:
            yield f"{path}.initrd: found one, expected none, for the method {variant.method}"
        if variant.fetch is not None and (variant.initrds or variant.method is not BootMethod.LINUX):
            yield f"{path}.fetch: found one, expected the method linux and no initrd to go with it"
        if variant.parameters and variant.method not in _TAKES_WORDS:
            yield f"{path}.parameters: found some, expected none, for the method {variant.method}"
        if variant.vendors and variant.method not in (BootMethod.LINUX, BootMethod.EFI):
            yield f"{path}.secure_boot: found one, expected none, for the method {variant.method}"
        wild = any("*" in pattern for pattern in variant.kernel)
        if not wild and any(WILD in option for choice in variant.initrds for option in choice.options):
            yield f"{path}.initrd: found {WILD}, expected a * in one of the patterns of the kernel"
        words = [word for choice in variant.parameters for word in choice.options]
        if variant.method is BootMethod.LINUX and recipe.filesystems and not any("{iso}" in word for word in words):
            yield (
                f"{path}.parameters: found no word with {{iso}} although $.filesystems says that the system reads the"
                " image, expected one"
            )


def _globs(recipe: Recipe) -> Iterator[str]:
    condition = recipe.condition
    if condition.all or condition.any or condition.files:
        return
    for at, variant in enumerate(recipe.variants):
        if variant.method is not BootMethod.MEMDISK and any(has_wildcard(pattern) for pattern in variant.kernel):
            yield f"$.variants[{at}].kernel: found a pattern, expected `all`, `any` or `files` in $.match to go with it"


def _captures(document: dict[str, Any], recipe: Recipe) -> Iterator[str]:
    words = [word for variant in recipe.variants for choice in variant.parameters for word in choice.options]
    words += [word for variant in recipe.variants if variant.fetch for word in variant.fetch.texts]
    words += [word for extra in recipe.extras for word in extra.add]
    words += recipe.toram.add if recipe.toram is not None else ()
    if recipe.persistence is not None:
        words += (*recipe.persistence.add, *recipe.persistence.file_add)
    used = {name for word in words for name in placeholders(word)}
    for name in document.get("capture", {}):
        if name not in used:
            yield f"$.capture.{name}: found no word that uses it, expected one with {{{name}}}"


def _lasting(recipe: Recipe) -> Iterator[str]:
    lasting = recipe.persistence
    if lasting is None:
        return
    if recipe.filesystems and not lasting.on <= recipe.filesystems:
        extra = ", ".join(sorted(lasting.on - recipe.filesystems))
        yield f"$.persistence.on: found {extra}, expected filesystems from which it reads the image"
    if recipe.filesystems and not lasting.file_on <= recipe.filesystems:
        extra = ", ".join(sorted(lasting.file_on - recipe.filesystems))
        yield f"$.persistence.file.on: found {extra}, expected filesystems from which it reads the image"
    if lasting.file_add and lasting.store is not Store.PARTITION:
        yield f"$.persistence.file: found one, expected none, for the store {lasting.store}"
    for at, (path, _text) in enumerate(lasting.files):
        if has_wildcard(path):
            yield f"$.persistence.files[{at}].path: found the pattern {path!r}, expected the path of one file"
        elif path.count("/") != 1:
            yield f"$.persistence.files[{at}].path: found {path!r}, expected a name at the root of what is kept"


def _expressions(value: object, path: str) -> Iterator[str]:
    """Every regular expression of the document that could take time without end."""
    if isinstance(value, list):
        for at, item in enumerate(value):
            yield from _expressions(item, f"{path}[{at}]")
    if isinstance(value, dict):
        for key, item in value.items():
            where = f"{path}.{key}"
            own = key in ("regex", "volume_id") or (key == "name" and _IN_CONDITION.search(path) is not None)
            if isinstance(item, str) and own:
                if runs_away(item):
                    yield f"{where}: found {item!r}, expected no repetition in a repetition, which may take for ever"
            else:
                yield from _expressions(item, where)


def runs_away(regex: str) -> bool:
    """Whether an expression, which compiles, could try exponentially many ways on a text that it does not match.

    A repetition inside a repetition does so when what it repeats can end with a character with which it can begin.
    """
    return any(_risky(node) for node in _nodes(_parser.parse(regex)))


def _nodes(tree: Any) -> Iterator[tuple[Any, Any]]:
    for code, argument in tree:
        yield code, argument
        for inner in _inner(code, argument):
            yield from _nodes(inner)


def _inner(code: Any, argument: Any) -> list[Any]:
    match str(code):
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return [argument[2]]
        case "SUBPATTERN":
            return [argument[3]]
        case "BRANCH":
            return list(argument[1])
        case "ASSERT" | "ASSERT_NOT":
            return [argument[1]]
        case "ATOMIC_GROUP":
            return [argument]
        case "GROUPREF_EXISTS":
            return [part for part in argument[1:] if part is not None]
    return []


def _is_repeat(code: Any, argument: Any) -> bool:
    return str(code) in ("MAX_REPEAT", "MIN_REPEAT") and int(argument[1]) >= _MANY


def _risky(node: tuple[Any, Any]) -> bool:
    code, argument = node
    if str(code) == "GROUPREF":
        return True
    if not _is_repeat(code, argument):
        return False
    body = argument[2]
    if not any(_is_repeat(*inner) for inner in _nodes(body)):
        # alternatives that begin alike are as bad as a repetition
        return any(str(inner[0]) == "BRANCH" and _alike(inner[1][1]) for inner in _nodes(body))
    first, empty = _edge(body, last=False)
    last, _ = _edge(body, last=True)
    return empty or bool(first & last)


def _alike(branches: Sequence[Any]) -> bool:
    seen: set[int] = set()
    for branch in branches:
        first, empty = _edge(branch, last=False)
        if empty or seen & first:
            return True
        seen |= first
    return False


def _edge(tree: Any, *, last: bool) -> tuple[frozenset[int], bool]:
    """The characters with which a match can begin, or end, and whether it can be empty."""
    characters: frozenset[int] = frozenset()
    for code, argument in reversed(list(tree)) if last else list(tree):
        found, empty = _edge_of(code, argument, last=last)
        characters |= found
        if not empty:
            return characters, False
    return characters, True


def _edge_of(code: Any, argument: Any, *, last: bool) -> tuple[frozenset[int], bool]:
    match str(code):
        case "LITERAL":
            return _both_cases(int(argument)), False
        case "AT" | "ASSERT" | "ASSERT_NOT":
            return frozenset(), True
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            found, empty = _edge(argument[2], last=last)
            return found, empty or int(argument[0]) == 0
        case "SUBPATTERN" | "BRANCH" | "ATOMIC_GROUP":
            parts = [_edge(inner, last=last) for inner in _inner(code, argument)]
            return frozenset().union(*(found for found, _ in parts)), any(empty for _, empty in parts)
        case "IN":
            return _set(argument), False
    return _CHARACTERS, False


def _set(items: Sequence[tuple[Any, Any]]) -> frozenset[int]:
    found: frozenset[int] = frozenset()
    negated = False
    for code, argument in items:
        match str(code):
            case "NEGATE":
                negated = True
            case "LITERAL":
                found |= _both_cases(int(argument))
            case "RANGE":
                found |= frozenset().union(*(_both_cases(one) for one in range(argument[0], min(argument[1], 255) + 1)))
            case "CATEGORY":
                found |= _category(str(argument))
    return _CHARACTERS - found if negated else found


def _category(name: str) -> frozenset[int]:
    kind = name.removeprefix("CATEGORY_")
    escape = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}[kind.removeprefix("NOT_")]
    found = frozenset(one for one in _CHARACTERS if re.fullmatch(escape, chr(one)))
    return _CHARACTERS - found if kind.startswith("NOT_") else found


def _both_cases(one: int) -> frozenset[int]:
    char = chr(one)
    return frozenset(ord(form) for form in (char, char.lower(), char.upper()) if len(form) == 1)
