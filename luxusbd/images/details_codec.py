"""Inspections as JSON values, between the unprivileged child and the core; reading is as strict as in `codec`."""

from __future__ import annotations

import re
from typing import Any

from luxusbd.images.codec import (
    MAX_PATH,
    MAX_TITLE,
    read_enum,
    read_filesystems,
    read_list,
    read_matching,
    read_object,
    read_size,
    read_text,
    recognition_from_json,
    recognition_to_json,
    wrong,
)
from luxusbd.images.details import Container, Details, Inspection, Keeps, PartitionInfo, ProgramInfo, Toram
from luxusbd.images.disk import MAX_PARTITIONS
from luxusbd.images.eltorito import MAX_RECORDS, BootRecord

MAX_PROGRAMS = 64
MAX_SIGNERS = 16

_NAMES = re.compile(r"(rock-ridge|joliet|iso9660|udf)?")
_TABLE = re.compile(r"(mbr|gpt)?")
_WORD = re.compile(r"[a-z0-9.-]{0,32}")
_KIND = re.compile(r"[0-9A-Fa-f-]{1,36}")
_ARCHITECTURE = re.compile(r"(amd64|i386|arm64)?")


def inspection_to_json(inspection: Inspection) -> dict[str, Any]:
    """A JSON object that `inspection_from_json` reads; hash and name come from elsewhere and are left out."""
    details = inspection.details
    return {
        "recognition": recognition_to_json(inspection.recognition),
        "container": details.container.value,
        "names": details.names,
        "recipe_version": details.recipe_version,
        "minimum_memory": details.minimum_memory,
        "table": details.table,
        "partitions": [dict(vars(part)) for part in details.partitions],
        "boot_records": [dict(vars(record)) for record in details.boot_records],
        "programs": [{**vars(program), "signers": list(program.signers)} for program in details.programs],
        "toram": details.toram.value,
        "persistence": details.persistence.value,
        "persistence_on": sorted(details.persistence_on),
    }


def inspection_from_json(value: object) -> Inspection:
    """Read what `inspection_to_json` wrote.

    Raises:
        FailedError: it is anything else; the text names the JSON path.
    """
    keys = ("recognition", "container", "names", "recipe_version", "minimum_memory", "table", "partitions")
    fields = read_object(value, "$", (*keys, "boot_records", "programs", "toram", "persistence", "persistence_on"))
    details = Details(
        container=read_enum(fields["container"], "$.container", Container),
        names=read_matching(fields["names"], "$.names", _NAMES, 16),
        recipe_version=read_size(fields["recipe_version"], "$.recipe_version"),
        minimum_memory=read_size(fields["minimum_memory"], "$.minimum_memory"),
        table=read_matching(fields["table"], "$.table", _TABLE, 8),
        partitions=tuple(read_list(fields["partitions"], "$.partitions", MAX_PARTITIONS, _partition)),
        boot_records=tuple(read_list(fields["boot_records"], "$.boot_records", MAX_RECORDS, _boot_record)),
        programs=tuple(read_list(fields["programs"], "$.programs", MAX_PROGRAMS, _program)),
        toram=read_enum(fields["toram"], "$.toram", Toram),
        persistence=read_enum(fields["persistence"], "$.persistence", Keeps),
        persistence_on=read_filesystems(fields["persistence_on"], "$.persistence_on"),
    )
    return Inspection(recognition_from_json(fields["recognition"]), details)


def _partition(value: object, path: str) -> PartitionInfo:
    fields = read_object(value, path, ("number", "kind", "label", "filesystem", "start", "size", "active"))
    return PartitionInfo(
        number=read_size(fields["number"], f"{path}.number"),
        kind=read_matching(fields["kind"], f"{path}.kind", _KIND, 36),
        label=read_text(fields["label"], f"{path}.label", MAX_TITLE),
        filesystem=read_text(fields["filesystem"], f"{path}.filesystem", MAX_TITLE),
        start=read_size(fields["start"], f"{path}.start"),
        size=read_size(fields["size"], f"{path}.size"),
        active=_flag(fields["active"], f"{path}.active"),
    )


def _boot_record(value: object, path: str) -> BootRecord:
    fields = read_object(value, path, ("platform", "emulation", "bootable", "start", "size"))
    return BootRecord(
        platform=read_matching(fields["platform"], f"{path}.platform", _WORD, 32),
        emulation=read_matching(fields["emulation"], f"{path}.emulation", _WORD, 32),
        bootable=_flag(fields["bootable"], f"{path}.bootable"),
        start=read_size(fields["start"], f"{path}.start"),
        size=read_size(fields["size"], f"{path}.size"),
    )


def _program(value: object, path: str) -> ProgramInfo:
    fields = read_object(value, path, ("path", "architecture", "signed", "signers"))
    return ProgramInfo(
        path=read_text(fields["path"], f"{path}.path", MAX_PATH),
        architecture=read_matching(fields["architecture"], f"{path}.architecture", _ARCHITECTURE, 16),
        signed=_flag(fields["signed"], f"{path}.signed"),
        signers=tuple(
            read_list(
                fields["signers"], f"{path}.signers", MAX_SIGNERS, lambda item, where: read_text(item, where, MAX_TITLE)
            )
        ),
    )


def _flag(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise wrong(path, value, "true or false")
    return value
