"""The schemas of data/schemas/cli, and documents held against them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from luxusb_cli.app import cli
from referencing import Registry, Resource

DIRECTORY = Path(__file__).resolve().parents[2] / "data" / "schemas" / "cli"


@cache
def read(name: str) -> Any:
    return json.loads((DIRECTORY / f"{name}.schema.json").read_text("utf-8"))


@cache
def validator(command: str) -> Draft202012Validator:
    common = read("common")
    registry: Any = Registry().with_resource(common["$id"], Resource.from_contents(common))
    return Draft202012Validator(read(command), registry=registry)


def faults(command: str, document: object) -> list[str]:
    return [f"{fault.json_path}: {fault.message}" for fault in validator(command).iter_errors(document)]


def command_of(arguments: Sequence[str]) -> str:
    """The schema that belongs to a command line: that of its command, or of --version."""
    words = iter(arguments)
    for word in words:
        if word == "--address":
            next(words)
        elif word in cli.commands:
            below = getattr(cli.commands[word], "commands", {})
            inner = next((rest for rest in words if rest in below), "")
            return f"{word}-{inner}" if inner else word
    return "version" if "--version" in arguments else ""


def check_output(arguments: Sequence[str], output: str) -> None:
    """Hold what a command line with --json printed against its schema."""
    command = command_of(arguments)
    if "--json" not in arguments or not command or "--help" in arguments:
        return
    documents = output.splitlines() if command == "watch" else [output]
    for document in documents:
        assert faults(command, json.loads(document)) == [], f"luxusb {' '.join(arguments)}: {document}"
