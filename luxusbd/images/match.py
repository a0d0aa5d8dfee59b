"""Finds the recipe for a tree of files and works out its boot entries. Pure: a tree is whatever answers `Tree`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from luxusbd.images.globs import has_wildcard, path_regex
from luxusbd.images.kernel import SHIM_VENDORS, KernelFacts, inspect_kernel
from luxusbd.images.model import SECURED, BootEntry, BootMethod, Firmware, Persistence, Store, kinds_of_uefi
from luxusbd.images.recipes import (
    PERSISTENCE,
    PERSISTENCE_MB,
    STICK_PLACEHOLDERS,
    WILD,
    Condition,
    Extra,
    Fetch,
    Recipe,
    Rule,
    Source,
    Variant,
    placeholders,
)
from luxusbd.images.startfile import PLACE, StartFile
from luxusbd.text import clean, natural_key

TEXT_LIMIT = 64 * 1024
"""Bytes of a file in which rules and conditions search."""
LINE_LIMIT = 2000
"""Characters of a line in which they do."""

_SAFE_VALUE = re.compile(r"[A-Za-z0-9._/+:=,@-]{1,200}")
"""What may become part of a kernel command line: GRUB escapes or splits everything else."""
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
"""What may become part of an address."""
KERNEL_LIMIT = 64 * 1024 * 1024
_SAFE_LABEL = re.compile(r"[A-Za-z0-9._-]{1,32}")
_SAFE_PATH = re.compile(r"(/[!-.0-~]+)+")
_DASHES = re.compile(r"-+")
KEEPS = "with saved changes"
"""What the title of an entry says that keeps changes."""
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
    entries: tuple[BootEntry, ...] = ()
    reason: str = ""
    advice: str = ""
    refused: bool = False
    """Whether `reason` is the recipe's own, and not that something was missing."""
    filesystems: frozenset[str] = frozenset()
    """From which it reads the image; empty means all that GRUB reads."""
    minimum_memory: int = 0
    """MiB; 0 when unknown."""
    startfile: StartFile | None = None
    """What has to be fetched for the entries that are started by a file beside the image."""
    persistence: tuple[Persistence, ...] = ()
    """Ways of keeping changes, of which the first counts that works on a stick."""


def matching(tree: Tree, recipes: Sequence[Recipe]) -> tuple[Recipe, ...]:
    """The recipes whose conditions hold, highest priority first."""
    found = [recipe for recipe in recipes if holds(tree, recipe.condition)]
    return tuple(sorted(found, key=lambda recipe: -recipe.priority))


def match(tree: Tree, recipes: Sequence[Recipe]) -> Match | None:
    """Apply the best recipe; one that finds no kernel yields to the next, and counts only when all fail so."""
    failed: Match | None = None
    for recipe in matching(tree, recipes):
        found = apply(tree, recipe)
        if found.entries or found.refused:
            return found
        failed = failed or found
    return failed


def apply(tree: Tree, recipe: Recipe) -> Match:
    """Work out what `recipe`, whose conditions hold, says about the tree."""
    own = next((system for system in recipe.systems if holds(tree, system.condition)), None)
    names = {key: _first(tree, recipe.identify.get(key, ())) for key in ("system", "version", "architecture")}
    system = own.name if own is not None else clean(names["system"], 80) or recipe.system
    version = clean(_first(tree, own.version) if own is not None and own.version else names["version"], 40)
    found = Match(
        recipe,
        system,
        version,
        normalise_architecture(names["architecture"]) or guess_architecture(tree),
        filesystems=own.filesystems if own is not None and own.filesystems else recipe.filesystems,
        minimum_memory=own.minimum_memory if own is not None and own.minimum_memory else recipe.minimum_memory,
    )
    if own is not None and own.reason:
        return replace(found, reason=own.reason, advice=own.advice, refused=True)
    if recipe.reason:
        return replace(found, reason=recipe.reason, advice=recipe.advice, refused=True)
    made, architecture = _entries(tree, recipe, found, normalise_architecture(names["architecture"]))
    entries = tuple(entry for _variant, entry in made)
    found = replace(found, entries=entries, architecture=architecture or found.architecture)
    found = replace(found, startfile=_startfile(tree, recipe, found))
    if entries:
        return replace(found, persistence=_persistence(tree, recipe, found, dict(reversed(made))))
    return replace(
        found,
        reason=f"It looks like {system}, but its kernel is not where the recipe {recipe.id} expects it.",
        advice="Update the catalogue, which brings newer recipes, or write the image to a stick of its own.",
    )


def _startfile(tree: Tree, recipe: Recipe, found: Match) -> StartFile | None:
    """What has to be fetched, by the kernel that the image brings."""
    for entry in found.entries:
        for path in entry.initrds:
            variant = next((one for one in recipe.variants if one.fetch and path == _beside(one.fetch)), None)
            if variant is None or variant.fetch is None:
                continue
            captures = _captured(tree, recipe)
            texts = [_filled(text, captures, found.architecture) for text in variant.fetch.texts]
            release, sums, kernel, file = (text or "" for text in texts)
            data = tree.read(entry.kernel, KERNEL_LIMIT)
            sha256 = hashlib.sha256(data).hexdigest()
            keys = variant.fetch.keys
            size = variant.fetch.size_mb << 20
            return StartFile(variant.fetch.archives, release, sums, kernel, sha256, file, keys, size)
    return None


def _beside(fetch: Fetch) -> str:
    return PLACE + fetch.file.rpartition("/")[2]


def _filled(text: str, captures: Mapping[str, str], architecture: str) -> str | None:
    values = {**captures, "architecture": architecture}
    for name in placeholders(text):
        if not values.get(name) or not _SAFE_NAME.fullmatch(values[name]):
            return None
        text = text.replace(f"{{{name}}}", values[name])
    return text


def _entries(
    tree: Tree, recipe: Recipe, found: Match, architecture: str
) -> tuple[tuple[tuple[str, BootEntry], ...], str]:
    """Everything that the recipe makes of the tree, with the variants' ids, and the architecture of the kernel."""
    captures = _captured(tree, recipe)
    title = _title(found)
    extras = (*recipe.extras, recipe.toram) if recipe.toram is not None else recipe.extras
    entries: list[tuple[str, BootEntry]] = []
    for variant in recipe.variants:
        built = _entry(tree, variant, title, captures, architecture)
        if built is None:
            continue
        entry, facts = built
        architecture = facts.architecture or architecture
        entries.append((variant.id, entry))
        entries += [
            (variant.id, added)
            for extra in extras
            if extra.of == variant.id and (added := _with_extra(tree, entry, title, extra, captures)) is not None
        ]
    return tuple(entries), architecture


def _persistence(tree: Tree, recipe: Recipe, found: Match, entries: Mapping[str, BootEntry]) -> tuple[Persistence, ...]:
    """The ways of keeping changes; `entries` are the plain ones of the variants."""
    rule = recipe.persistence
    if rule is None or rule.of not in entries:
        return ()
    if rule.where and not any(holds(tree, condition) for condition in rule.where):
        return ()
    ways = [(rule.store, rule.add, rule.on)]
    if rule.file_add:
        ways.insert(0, (Store.FILE, rule.file_add, rule.file_on))
    captures = {**_captured(tree, recipe), **{name: f"{{{name}}}" for name in (PERSISTENCE, PERSISTENCE_MB)}}
    made = []
    for store, words, on in ways:
        entry = _with_extra(tree, entries[rule.of], _title(found), Extra(rule.of, KEEPS, words), captures)
        if entry is not None:
            made.append(Persistence(entry, store, rule.name, on, rule.files))
    return tuple(made)


def _title(found: Match) -> str:
    return found.system if not found.version or found.version in found.system else f"{found.system} {found.version}"


def _captured(tree: Tree, recipe: Recipe) -> dict[str, str]:
    captures = {}
    for key, rules in recipe.captures.items():
        value = _first(tree, rules)
        if _SAFE_VALUE.fullmatch(value):
            captures[key] = value
    return captures


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


def holds(tree: Tree, condition: Condition) -> bool:
    """Whether everything that a condition asks for is there."""
    if condition.udf is not None and condition.udf != tree.udf:
        return False
    if condition.volume_id is not None and not condition.volume_id.search(tree.volume_id):
        return False
    if condition.name is not None and not any(condition.name.search(text) for text in _names(tree)):
        return False
    if not all(_present(tree, path) for path in condition.all):
        return False
    if condition.any and not any(_present(tree, path) for path in condition.any):
        return False
    if any(_present(tree, path) for path in condition.none):
        return False
    return all(any(regex.search(text) for text in _texts(tree, path)) for path, regex in condition.files)


def _names(tree: Tree) -> tuple[str, ...]:
    """What an image calls itself: its label, and the first line of what Debian's and Ubuntu's tools put on discs."""
    if not tree.exists("/.disk/info"):
        return (tree.volume_id,)
    info = tree.read("/.disk/info", TEXT_LIMIT).decode("utf-8", "replace").strip()
    return (tree.volume_id, info.partition("\n")[0])


def _texts(tree: Tree, pattern: str) -> list[str]:
    paths = tree.glob(pattern)
    texts = [tree.read(path, TEXT_LIMIT).decode("utf-8", "replace") for path in sorted(paths)[:8]]
    # an expression may take a time that grows with the square of a line
    return ["\n".join(line[:LINE_LIMIT] for line in text.split("\n")) for text in texts]


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
    if variant.fetch is not None:
        if any(_filled(text, captures, facts.architecture or architecture) is None for text in variant.fetch.texts):
            return None
        initrds.append(_beside(variant.fetch))
    shown = f"{title} ({variant.title})" if variant.title else title
    signer = facts.vendor if firmware - {Firmware.BIOS} else ""
    return BootEntry(shown, variant.method, firmware, kernel, tuple(initrds), tuple(parameters), signer), facts


def _firmware(variant: Variant, facts: KernelFacts, architecture: str) -> frozenset[Firmware]:
    firmware = variant.firmware - {Firmware.UEFI}
    if architecture == "arm64":
        firmware -= {Firmware.BIOS}
    if Firmware.UEFI in variant.firmware:
        kinds = kinds_of_uefi(variant.method, architecture)
        firmware |= kinds
        # the recipe knows a family, and what a builder of images puts there is what the kernel itself says
        if facts.vendor in SHIM_VENDORS:
            firmware |= {SECURED[kind] for kind in kinds}
    return firmware


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


def _with_extra(
    tree: Tree, entry: BootEntry, title: str, extra: Extra, captures: Mapping[str, str]
) -> BootEntry | None:
    filled = [_fill(tree, word, captures) for word in extra.add]
    words = [word for word in filled if word is not None]
    if len(words) < len(filled):
        return None
    at = next((index for index, word in enumerate(entry.parameters) if _DASHES.fullmatch(word)), len(entry.parameters))
    parameters = (*entry.parameters[:at], *words, *entry.parameters[at:])
    return replace(entry, title=f"{title} ({extra.title})", parameters=parameters)
