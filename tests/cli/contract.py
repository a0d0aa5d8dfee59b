"""The members of dbus/*.xml, for a daemon that must not accept what the contract does not have."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import cache
from pathlib import Path

DIRECTORY = Path(__file__).resolve().parents[2] / "dbus"


@dataclass(frozen=True)
class Interface:
    """Signatures of one interface."""

    name: str
    methods: dict[str, tuple[str, str]]
    """In and out signature by name."""
    signals: dict[str, str]
    properties: dict[str, str]


@cache
def interface(name: str) -> Interface:
    root = ET.parse(DIRECTORY / f"{name}.xml").getroot()
    node = root.find(f"interface[@name='{name}']")
    assert node is not None
    return Interface(
        name,
        {
            method.attrib["name"]: (_arguments(method, "in"), _arguments(method, "out"))
            for method in node.findall("method")
        },
        {signal.attrib["name"]: _arguments(signal, None) for signal in node.findall("signal")},
        {prop.attrib["name"]: prop.attrib["type"] for prop in node.findall("property")},
    )


def _arguments(member: ET.Element, direction: str | None) -> str:
    return "".join(
        argument.attrib["type"]
        for argument in member.findall("arg")
        if direction is None or argument.attrib.get("direction") == direction
    )


OPTIONS: dict[str, dict[str, str]] = {
    "ListDistributions": {
        "text": "s",
        "category": "s",
        "architecture": "s",
        "family": "s",
        "secure_boot": "b",
        "device": "o",
        "hide_end_of_life": "b",
        "sort": "s",
    },
    "UpdateCatalog": {"feeds": "b", "ids": "as"},
    "Download": {"priority": "i", "bandwidth": "t"},
    "ImportImage": {
        "sha256": "s",
        "size": "t",
        "sums": "h",
        "sums_name": "s",
        "signature": "h",
        "key": "h",
        "keep_packed": "b",
    },
    "InspectImage": {"sha256": "s"},
    "PruneImages": {"dry_run": "b", "older_than": "t", "imports": "b", "only": "as"},
    "PlanStick": {
        "filesystem": "s",
        "companion": "t",
        "share": "t",
        "persistence": "a{st}",
        "persistence_partition": "t",
        "serial_console": "b",
        "theme": "s",
        "remember": "b",
        "language": "s",
        "timeout": "u",
        "label": "s",
        "raw": "b",
        "bmap": "h",
        "unbootable": "b",
        "allow_large": "b",
        "dry_run": "b",
        "probe": "b",
        "download_first": "b",
        "keep_images": "b",
        "certificates": "ah",
    },
    "RestoreDisk": {"filesystem": "s", "label": "s", "allow_large": "b"},
    "ProbeCapacity": {"mode": "s", "allow_large": "b"},
    "AddImages": {"keep_images": "b"},
    "UpdateStick": {
        "check": "b",
        "images": "as",
        "one_at_a_time": "b",
        "same_series": "b",
        "less_trust": "b",
        "replace": "b",
        "keep_images": "b",
    },
    "RescanStick": {"thorough": "b"},
    "AdoptStick": {"dry_run": "b"},
    "SetMirrorPreference": {"mode": "s", "url": "s", "prefer": "as", "exclude": "as"},
    "ListJobs": {"unfinished": "b", "all_users": "b", "limit": "u"},
    "GetSettings": {"origins": "b"},
    "GetDistribution": {"origins": "b"},
    "ImportCatalog": {"name": "s"},
    "SetCatalogRemote": {"key": "h", "fingerprints": "as", "signature_url": "s", "configured": "b"},
    "Cancel": {"keep_partial": "b"},
    "Modify": {"priority": "i", "bandwidth": "t"},
}
"""Options by member, as the comments of the contract name them."""
COMMON_OPTIONS = {"no_user_interaction": "b"}
