"""Finds the recipe for a tree of files and works out its boot entries. Pure: a tree is whatever answers `Tree`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from luxusbd.images.globs import has_wildcard, path_regex
from luxusbd.images.kernel import KernelFacts, inspect_kernel
from luxusbd.images.model import BootEntry, BootMethod, Firmware
from luxusbd.images.recipes import (
    STICK_PLACEHOLDERS,
    WILD,
    Condition,
    Extra,
    Recipe,
    Rule,
    Source,
    Variant,
    placeholders,
)
from luxusbd.text import clean, natural_key

TEXT_LIMIT = 64 * 1024
"""Bytes of a file in which rules and conditions search."""

_SAFE_VALUE = re.compile(r"[A-Za-z0-9._/+:=,@-]{1,200}")
"""What may become part of a kernel command line: GRUB escapes or splits everything else."""
_SAFE_LABEL = re.compile(r"[A-Za-z0-9._-]{1,32}")
_SAFE_PATH = re.compile(r"(/[!-.0-~]+)+")
_DASHES = re.compile(r"-+")
_ARCHITECTURES = {
    "amd64": re.compile(r"(?i)amd64|x86[_-]64|(?<![a-z0-9])x64|64[_-]?bit"),
    "arm64": re.compile(r"(?i)arm64|aarch64"),
    "i386": re.compile(r"(?i)i[3-6]86|(?<![a-z0-9])ia32|32[_-]?bit"),
}
_EFI_PROGRAMS = {"bootx64.efi": "amd64", "bootaa64.efi": "arm64"}


class Tree(Protocol):
    """The files of an image."""

    @property
    def volume_id(self) -> str:
        """The label."""

    @property
    def uuid(self) -> str:
        """The filesystem UUID, or empty."""

    udf: bool

    def exists(self, path: str) -> bool:
        """Whether there is anything at `path`."""

    def glob(self, pattern: str) -> Sequence[str]:
        """Paths that match."""

    def read(self, path: str, limit: int, offset: int = 0) -> bytes:
        """Bytes of a file."""


@dataclass(frozen=True)
class Match:
    """A recipe applied to a tree."""

    recipe: Recipe
    system: str
    version: str
    architecture: str
    entries: tuple[BootEntry, ...]
    reason: str
    advice: str


def matching(tree: Tree, recipes: Sequence[Recipe]) -> tuple[Recipe, ...]:
    """The recipes whose conditions hold, highest priority first."""
    found = [recipe for recipe in recipes if _holds(tree, recipe.condition)]
    return tuple(sorted(found, key=lambda recipe: -recipe.priority))


def match(tree: Tree, recipes: Sequence[Recipe]) -> Match | None:
    """Apply the best recipe; one that finds no kernel yields to the next, and counts only when all fail so."""
    failed: Match | None = None
    for recipe in matching(tree, recipes):
        found = apply(tree, recipe)
        if found.entries or recipe.reason:
            return found
        failed = failed or found
    return failed


def apply(tree: Tree, recipe: Recipe) -> Match:
    """Work out what `recipe`, whose conditions hold, says about the tree."""
    names = {key: _first(tree, recipe.identify.get(key, ())) for key in ("system", "version", "architecture")}
    system = clean(names["system"], 80) or recipe.system
    version = clean(names["version"], 40)
    captures = {}
    for key, rules in recipe.captures.items():
        value = _first(tree, rules)
        if _SAFE_VALUE.fullmatch(value):
            captures[key] = value
    title = system if not version or version in system else f"{system} {version}"
    architecture = normalise_architecture(names["architecture"])
    entries: list[BootEntry] = []
    for variant in recipe.variants:
        built = _entry(tree, variant, title, captures, architecture)
        if built is None:
            continue
        entry, facts = built
        architecture = facts.architecture or architecture
        entries.append(entry)
        entries += [_with_extra(entry, title, extra) for extra in recipe.extras if extra.of == variant.id]
    reason, advice = recipe.reason, recipe.advice
    if not entries and not reason:
        reason = f"It looks like {system}, but its kernel is not where the recipe {recipe.id} expects it."
        advice = "Update the catalogue, which brings newer recipes, or write the image to a stick of its own."
    return Match(recipe, system, version, architecture or guess_architecture(tree), tuple(entries), reason, advice)


def normalise_architecture(text: str) -> str:
    """amd64, arm64, i386 or empty."""
    return next((name for name, regex in _ARCHITECTURES.items() if regex.search(text)), "")


def guess_architecture(tree: Tree) -> str:
    """From the EFI programs and the label."""
    programs = {path.rsplit("/", 1)[1].lower() for path in tree.glob("/[Ee][Ff][Ii]/*/*")}
    for program, architecture in _EFI_PROGRAMS.items():
        if program in programs:
            return architecture
    return normalise_architecture(tree.volume_id)


def _present(tree: Tree, pattern: str) -> bool:
    return bool(tree.glob(pattern)) if has_wildcard(pattern) else tree.exists(pattern)


def _holds(tree: Tree, condition: Condition) -> bool:
    if condition.udf is not None and condition.udf != tree.udf:
        return False
    if condition.volume_id is not None and not condition.volume_id.search(tree.volume_id):
        return False
    if not all(_present(tree, path) for path in condition.all):
        return False
    if condition.any and not any(_present(tree, path) for path in condition.any):
        return False
    if any(_present(tree, path) for path in condition.none):
        return False
    return all(any(regex.search(text) for text in _texts(tree, path)) for path, regex in condition.files)


def _texts(tree: Tree, pattern: str) -> list[str]:
    paths = tree.glob(pattern)
    return [tree.read(path, TEXT_LIMIT).decode("utf-8", "replace") for path in sorted(paths)[:8]]


def _first(tree: Tree, rules: Sequence[Rule]) -> str:
    for rule in rules:
        if rule.source is Source.TEXT:
            return rule.pattern
        if rule.source is Source.VOLUME_ID:
            texts = [tree.volume_id]
        elif rule.source is Source.FILE:
            texts = _texts(tree, rule.pattern)
        else:
            texts = sorted(tree.glob(rule.pattern))
        for text in texts:
            if rule.regex is None:
                return text
            if found := rule.regex.search(text):
                value = found.group("value") if "value" in rule.regex.groupindex else found.group()
                if value:
                    return value
    return ""


def _entry(
    tree: Tree, variant: Variant, title: str, captures: Mapping[str, str], architecture: str
) -> tuple[BootEntry, KernelFacts] | None:
    chosen = _kernel(tree, variant.kernel)
    if chosen is None:
        return None
    kernel, wild = chosen
    initrds = []
    for initrd in variant.initrds:
        path = _initrd(tree, initrd.options, wild)
        if path is not None:
            initrds.append(path)
        elif initrd.required:
            return None
    parameters = []
    for parameter in variant.parameters:
        word = next((w for w in (_fill(tree, option, captures) for option in parameter.options) if w is not None), None)
        if word is not None:
            parameters.append(word)
        elif parameter.required:
            return None
    facts = KernelFacts("", b"")
    if variant.method in (BootMethod.LINUX, BootMethod.LINUX16, BootMethod.EFI):
        facts = inspect_kernel(lambda offset, limit: tree.read(kernel, limit, offset))
    firmware = _firmware(variant, facts, facts.architecture or architecture)
    if not firmware:
        return None
    shown = f"{title} ({variant.title})" if variant.title else title
    return BootEntry(shown, variant.method, firmware, kernel, tuple(initrds), tuple(parameters)), facts


def _firmware(variant: Variant, facts: KernelFacts, architecture: str) -> frozenset[Firmware]:
    firmware = set(variant.firmware)
    if variant.method is BootMethod.LINUX:
        if architecture == "i386":
            firmware.discard(Firmware.UEFI)  # GRUB on 64-bit firmware refuses a 32-bit kernel
        elif architecture == "arm64":
            firmware.discard(Firmware.BIOS)
    if variant.signer and Firmware.UEFI in firmware and facts.signed_by(variant.signer):
        firmware.add(Firmware.UEFI_SECURE_BOOT)
    return frozenset(firmware)


def _kernel(tree: Tree, patterns: Sequence[str]) -> tuple[str, str | None] | None:
    for pattern in patterns:
        paths = [path for path in tree.glob(pattern) if _SAFE_PATH.fullmatch(path)]
        if paths:
            path = max(paths, key=natural_key)
            found = path_regex(pattern).fullmatch(path)
            return path, found.group(1) if found and found.re.groups else None
    return None


def _initrd(tree: Tree, patterns: Sequence[str], wild: str | None) -> str | None:
    for pattern in patterns:
        if WILD in pattern and wild is None:
            continue
        # what the kernel's name held is literal here: brackets make its own wildcards harmless
        literal = "".join(f"[{char}]" if char in "*?[" else char for char in wild or "")
        paths = [path for path in tree.glob(pattern.replace(WILD, literal)) if _SAFE_PATH.fullmatch(path)]
        if paths:
            return max(paths, key=natural_key)
    return None


def _fill(tree: Tree, word: str, captures: Mapping[str, str]) -> str | None:
    for name in placeholders(word):
        if name == "volume_id":
            usable = _SAFE_LABEL.fullmatch(tree.volume_id) is not None
        elif name == "iso_uuid":
            usable = bool(tree.uuid)
        else:
            usable = name in STICK_PLACEHOLDERS or name in captures
        if not usable:
            return None
    for name, value in captures.items():
        word = word.replace(f"{{{name}}}", value)
    return word


def _with_extra(entry: BootEntry, title: str, extra: Extra) -> BootEntry:
    at = next((index for index, word in enumerate(entry.parameters) if _DASHES.fullmatch(word)), len(entry.parameters))
    parameters = (*entry.parameters[:at], *extra.add, *entry.parameters[at:])
    return BootEntry(f"{title} ({extra.title})", entry.method, entry.firmware, entry.kernel, entry.initrds, parameters)
