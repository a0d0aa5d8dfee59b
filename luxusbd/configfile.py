"""The configuration file, /etc/luxusb/luxusbd.toml: reading, checking and printing it."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from luxusbd.config import Config, Value
from luxusbd.countries import country_code
from luxusbd.errors import ConfigError
from luxusbd.text import exact_size, parse_size

DEFAULT_PATH = Path("/etc/luxusb/luxusbd.toml")


def changed(base: Config, values: Mapping[str, object], name: str) -> Config:
    """`base` with other values, by `section.key`; `name` stands in the error messages.

    Raises:
        ConfigError: as for `load`.
    """
    nested: dict[str, dict[str, object]] = {}
    for key, value in values.items():
        section, dot, rest = key.partition(".")
        if not dot:
            raise ConfigError(f"{name}: unknown key {_shown(key)}{_nearest(key, base.settings())}")
        nested.setdefault(section, {})[rest] = value
    return _over(base, nested, name)


def load(path: Path, base: Config | None = None) -> Config:
    """Read a TOML file over `base`.

    Raises:
        ConfigError: unreadable, not TOML, an unknown key (with the nearest valid name) or a wrong value.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    return parse(text, str(path), base or Config())


def parse(text: str, name: str, base: Config) -> Config:
    """Read TOML text over `base`; `name` stands in the error messages.

    Raises:
        ConfigError: as for `load`.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a ValueError too: of a number with thousands of digits
        raise ConfigError(f"{name}: is not valid TOML: {error}") from error
    return _over(base, document, name)


def document() -> str:
    """The default configuration file with every key and its meaning."""
    lines = ["# luxusbd.toml: the configuration of luxusbd. What is commented out here is the default.", ""]
    config = Config()
    for section in fields(config):
        lines += [f"[{section.name}]"]
        part = getattr(config, section.name)
        for key in fields(part):
            lines += [
                f"# {key.metadata['doc']}{_range(key.metadata)}",
                f"#{key.name} = {written(getattr(part, key.name), key.metadata)}",
            ]
        lines.append("")
    return "\n".join(lines)


def written(value: Value, metadata: Mapping[str, Any]) -> str:
    """A value as it stands in the file, sizes with their unit; `metadata` is that of the key's field."""
    if "unit" in metadata and isinstance(value, int) and value:
        return f'"{exact_size(value)}"'
    return _toml(value)


def highest(metadata: Mapping[str, Any]) -> str:
    """The largest value that a key takes, for people."""
    return str(metadata.get("unit", metadata["high"]))


def _over(base: Config, document: Mapping[str, Any], name: str) -> Config:
    sections = {section.name: getattr(base, section.name) for section in fields(base)}
    for section_name, values in document.items():
        if section_name not in sections:
            raise ConfigError(f"{name}: unknown section [{section_name}]{_nearest(section_name, sections)}")
        if not isinstance(values, dict):
            raise ConfigError(f"{name}: {section_name} has to be a section: write [{section_name}]")
        sections[section_name] = _section(name, section_name, values, sections[section_name])
    return replace(base, **sections)


def _section(name: str, section: str, values: Mapping[str, Any], base: Any) -> Any:
    known = {key.name: key for key in fields(base)}
    hints = get_type_hints(type(base))
    changed: dict[str, Value] = {}
    for key_name, value in values.items():
        where = f"{name}: {section}.{key_name}"
        if key_name not in known:
            raise ConfigError(f"{name}: unknown key {section}.{key_name}{_nearest(key_name, known)}")
        changed[key_name] = _value(where, value, hints[key_name], known[key_name].metadata)
    return replace(base, **changed)


def _value(where: str, value: Any, kind: Any, limits: Mapping[str, Any]) -> Value:
    if kind is bool:
        if isinstance(value, bool):
            return value
        raise ConfigError(f"{where}: has to be true or false, not {_shown(value)}")
    if kind is int and "unit" in limits and isinstance(value, str):
        try:
            value = parse_size(value)
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from error
    if kind is int:
        low, high = limits["low"], limits["high"]
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise ConfigError(f"{where}: has to be a whole number from {low} to {high}, not {_shown(value)}")
    if kind is str:
        choices = limits["choices"]
        if isinstance(value, str) and (not choices or value in choices):
            return _text(where, value, limits)
        expected = "one of " + ", ".join(choices) if choices else "a text in quotes"
        raise ConfigError(f"{where}: has to be {expected}, not {_shown(value)}")
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(_text(where, item, limits) for item in value)
    raise ConfigError(f'{where}: has to be a list of texts such as ["/dev/loop7"], not {_shown(value)}')


def _shown(value: object) -> str:
    """A value in a message; of a number with thousands of digits Python makes no text at all (sys.int_info)."""
    try:
        text = repr(value)
    except ValueError:
        return "a number that is too long"
    return text if len(text) <= 200 else text[:197] + "..."


def _text(where: str, value: str, limits: Mapping[str, Any]) -> str:
    if not value.isprintable():
        raise ConfigError(f"{where}: {value!r} has a character that cannot be shown; write it without")
    if limits.get("check") and value and (fault := limits["check"](value)):
        raise ConfigError(f"{where}: {fault}")
    if limits["country"] and value:
        try:
            return country_code(value)
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from error
    if limits["path"] and not value.startswith("/") and not (limits["optional"] and not value):
        # relative to what would depend on who starts the daemon
        raise ConfigError(f"{where}: has to be a whole path, which begins with /, not {value!r}")
    return value


def _nearest(word: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"


def _range(limits: Mapping[str, Any]) -> str:
    return f" ({limits['low']} to {highest(limits)})" if limits["low"] is not None else ""


def _toml(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{item}"' for item in value) + "]"
    return str(value) if isinstance(value, int) else f'"{value}"'
