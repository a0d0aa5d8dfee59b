"""Recognitions and boot entries as JSON values.

Reading is strict: the values come from the unprivileged child, which reads foreign bytes, or from the store's files,
and end up in a boot menu. Lengths are bounded, texts lose their control characters, and the unexpected is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import StrEnum
from typing import Any, TypeVar

from luxusbd.errors import FailedError
from luxusbd.images.model import BootEntry, BootMethod, Firmware, Persistence, Recognition, Store, with_kinds_of_uefi
from luxusbd.images.startfile import startfile_from_json, startfile_to_json
from luxusbd.text import clean

MAX_ENTRIES = 128
MAX_INITRDS = 16
MAX_PARAMETERS = 128
MAX_PATH = 1024
MAX_WORD = 1024
MAX_TITLE = 200
MAX_TEXT = 1000
MAX_SIZE = 2**63 - 1
MAX_WAYS = 4
MAX_FILES = 16

_PATH = re.compile(r"(/[!-.0-~]+)+")
_WORD = re.compile(r"[!-~]+")
_ID = re.compile(r"([a-z0-9][a-z0-9-]{0,47})?")
_ARCHITECTURE = re.compile(r"(amd64|i386|arm64)?")
_SIGNER = re.compile(r"[a-z]{0,16}")
_UUID = re.compile(r"([0-9]{4}(-[0-9]{2}){6})?")
_FILESYSTEM = re.compile(r"[a-z0-9]{1,16}")
_STORE_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,31})?")
_STORE_PATH = re.compile(r"/[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")


def recognition_to_json(recognition: Recognition) -> dict[str, Any]:
    """A JSON object that `recognition_from_json` reads."""
    return {
        "size": recognition.size,
        "volume_id": recognition.volume_id,
        "iso_uuid": recognition.iso_uuid,
        "recipe": recognition.recipe,
        "family": recognition.family,
        "system": recognition.system,
        "version": recognition.version,
        "architecture": recognition.architecture,
        "entries": [boot_entry_to_json(entry) for entry in recognition.entries],
        "filesystems": sorted(recognition.filesystems),
        "reason": recognition.reason,
        "advice": recognition.advice,
        **({"companion": startfile_to_json(recognition.startfile)} if recognition.startfile else {}),
        # left out where there is none, for earlier versions
        **(
            {"persistence": [persistence_to_json(way) for way in recognition.persistence]}
            if recognition.persistence
            else {}
        ),
    }


def recognition_from_json(value: object) -> Recognition:
    """Read what `recognition_to_json` wrote; the firmware is worked out from the entries.

    Raises:
        FailedError: it is anything else; the text names the JSON path.
    """
    keys = (
        "size",
        "volume_id",
        "iso_uuid",
        "recipe",
        "family",
        "system",
        "version",
        "architecture",
        "entries",
        "filesystems",
        "reason",
        "advice",
    )
    fields = read_object(value, "$", _with_optional(value, keys, "persistence", "companion"))
    architecture = read_matching(fields["architecture"], "$.architecture", _ARCHITECTURE, 16)
    entries = tuple(
        replace(entry, firmware=with_kinds_of_uefi(entry.firmware, entry.method, architecture))
        for entry in read_list(fields["entries"], "$.entries", MAX_ENTRIES, boot_entry_from_json)
    )
    startfile = fields.get("companion")
    try:
        wanted = startfile_from_json(startfile) if startfile is not None else None
    except ValueError as error:
        raise wrong("$.companion", startfile, str(error)) from None
    return Recognition(
        size=read_size(fields["size"], "$.size"),
        volume_id=read_text(fields["volume_id"], "$.volume_id", MAX_TITLE),
        iso_uuid=read_matching(fields["iso_uuid"], "$.iso_uuid", _UUID, 32),
        recipe=read_matching(fields["recipe"], "$.recipe", _ID, 48),
        family=read_matching(fields["family"], "$.family", _ID, 48),
        system=read_text(fields["system"], "$.system", MAX_TITLE),
        version=read_text(fields["version"], "$.version", MAX_TITLE),
        architecture=architecture,
        entries=entries,
        filesystems=read_filesystems(fields["filesystems"], "$.filesystems"),
        reason=read_text(fields["reason"], "$.reason", MAX_TEXT),
        advice=read_text(fields["advice"], "$.advice", MAX_TEXT),
        firmware=frozenset(firmware for entry in entries for firmware in entry.firmware),
        startfile=wanted,
        persistence=tuple(read_list(fields.get("persistence", []), "$.persistence", MAX_WAYS, persistence_from_json)),
    )


def persistence_to_json(way: Persistence) -> dict[str, Any]:
    """A JSON object that `persistence_from_json` reads."""
    return {
        "entry": boot_entry_to_json(way.entry),
        "store": way.store.value,
        "name": way.name,
        "on": sorted(way.on),
        "files": [{"path": path, "text": text} for path, text in way.files],
    }


def persistence_from_json(value: object, path: str = "$") -> Persistence:
    """Read what `persistence_to_json` wrote; `path` is where it stood, for the error.

    Raises:
        FailedError: it is anything else.
    """
    fields = read_object(value, path, ("entry", "store", "name", "on", "files"))
    return Persistence(
        entry=boot_entry_from_json(fields["entry"], f"{path}.entry"),
        store=read_enum(fields["store"], f"{path}.store", Store),
        name=read_matching(fields["name"], f"{path}.name", _STORE_NAME, 32),
        on=read_filesystems(fields["on"], f"{path}.on"),
        files=tuple(read_list(fields["files"], f"{path}.files", MAX_FILES, _stored_file)),
    )


def _stored_file(value: object, path: str) -> tuple[str, str]:
    fields = read_object(value, path, ("path", "text"))
    text = fields["text"]
    # its lines are meant, so that it is not cleaned
    if not isinstance(text, str) or len(text) > MAX_TEXT or not all(c == "\n" or " " <= c <= "~" for c in text):
        raise wrong(f"{path}.text", text, f"lines of at most {MAX_TEXT} characters of ASCII")
    return read_matching(fields["path"], f"{path}.path", _STORE_PATH, 65), text


def _with_optional(value: object, keys: Iterable[str], *optional: str) -> tuple[str, ...]:
    return (*keys, *(key for key in optional if isinstance(value, dict) and key in value))


def boot_entry_to_json(entry: BootEntry) -> dict[str, Any]:
    """A JSON object that `boot_entry_from_json` reads."""
    return {
        "title": entry.title,
        "method": entry.method.value,
        "firmware": sorted(firmware.value for firmware in entry.firmware),
        "kernel": entry.kernel,
        "initrds": list(entry.initrds),
        "parameters": list(entry.parameters),
        # left out where it says nothing, so that earlier versions read what this one wrote about most images
        **({"signer": entry.signer} if entry.signer else {}),
    }


def boot_entry_from_json(value: object, path: str = "$") -> BootEntry:
    """Read what `boot_entry_to_json` wrote; `path` is where it stood, for the error.

    Raises:
        FailedError: it is anything else.
    """
    keys = ("title", "method", "firmware", "kernel", "initrds", "parameters")
    fields = read_object(value, path, _with_optional(value, keys, "signer"))
    firmware = read_list(fields["firmware"], f"{path}.firmware", len(Firmware), lambda v, p: read_enum(v, p, Firmware))
    if not firmware:
        raise wrong(f"{path}.firmware", fields["firmware"], "at least one firmware")
    return BootEntry(
        title=read_text(fields["title"], f"{path}.title", MAX_TITLE),
        method=read_enum(fields["method"], f"{path}.method", BootMethod),
        firmware=frozenset(firmware),
        kernel=_path(fields["kernel"], f"{path}.kernel"),
        initrds=tuple(read_list(fields["initrds"], f"{path}.initrds", MAX_INITRDS, _path)),
        parameters=tuple(
            read_list(
                fields["parameters"],
                f"{path}.parameters",
                MAX_PARAMETERS,
                lambda item, where: read_matching(item, where, _WORD, MAX_WORD),
            )
        ),
        signer=read_matching(fields.get("signer", ""), f"{path}.signer", _SIGNER, 16),
    )


def wrong(path: str, found: object, expected: str) -> FailedError:
    """The error for a value that is not what was expected at a JSON path."""
    shown = repr(found)
    return FailedError(f"a recognition record is malformed: {path}: found {clean(shown, 80)}, expected {expected}")


def read_object(value: object, path: str, keys: Iterable[str]) -> dict[str, object]:
    """A JSON object with exactly these keys."""
    wanted = tuple(keys)
    if not isinstance(value, dict) or set(value) != set(wanted):
        raise wrong(path, value, f"an object with exactly {', '.join(wanted)}")
    return value


def read_list(value: object, path: str, limit: int, read: Callable[[object, str], T]) -> list[T]:
    """A JSON list of at most `limit` items, each read by `read` with its path."""
    if not isinstance(value, list) or len(value) > limit:
        raise wrong(path, value, f"a list of at most {limit} items")
    return [read(item, f"{path}[{index}]") for index, item in enumerate(value)]


def read_filesystems(value: object, path: str) -> frozenset[str]:
    """Names of filesystems."""
    return frozenset(read_list(value, path, 16, lambda item, where: read_matching(item, where, _FILESYSTEM, 16)))


def read_size(value: object, path: str) -> int:
    """A whole number that is not negative."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SIZE:
        raise wrong(path, value, "a number of bytes")
    return value


def read_text(value: object, path: str, limit: int) -> str:
    """A text, cleaned, of at most `limit` characters."""
    if not isinstance(value, str) or len(value) > limit:
        raise wrong(path, value, f"a text of at most {limit} characters")
    return clean(value, limit)


def read_matching(value: object, path: str, regex: re.Pattern[str], limit: int) -> str:
    """A text of the form `regex`."""
    if not isinstance(value, str) or len(value) > limit or not regex.fullmatch(value):
        raise wrong(path, value, f"a text of the form {regex.pattern}")
    return value


def _path(value: object, path: str) -> str:
    text = read_matching(value, path, _PATH, MAX_PATH)
    if ".." in text.split("/"):
        raise wrong(path, value, "a path without ..")
    return text


def read_enum(value: object, path: str, kind: type[E]) -> E:
    """A value of the enumeration `kind`."""
    for member in kind:
        if member.value == value:
            return member
    raise wrong(path, value, f"one of {', '.join(member.value for member in kind)}")
