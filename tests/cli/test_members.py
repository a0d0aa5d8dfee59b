"""Every member of the D-Bus interfaces can be reached with a command."""

from __future__ import annotations

from pathlib import Path

import pytest
from luxusb_cli.app import cli

from tests.cli import contract, schemas, world
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.test_schemas import COMMANDS, documents

MANAGER, DEVICE, JOB = "org.luxusb.Manager", "org.luxusb.Device", "org.luxusb.Job"
METHODS: dict[tuple[str, str], str] = {
    (MANAGER, "ListDistributions"): "distros",
    (MANAGER, "GetDistribution"): "info",
    (MANAGER, "UpdateCatalog"): "catalog-update",
    (MANAGER, "GetCatalogStatus"): "catalog-status",
    (MANAGER, "ListRecipes"): "recipes-list",
    (MANAGER, "SetCatalogRemote"): "catalog remote https://school.example/d.json",
    (MANAGER, "ImportCatalog"): "catalog-import",
    (MANAGER, "GetLogo"): "logo",
    (MANAGER, "GetProofs"): "bundle-create",
    (MANAGER, "Download"): "download",
    (MANAGER, "ImportImage"): "import",
    (MANAGER, "InspectImage"): "inspect",
    (MANAGER, "ListImages"): "images",
    (MANAGER, "OpenImage"): "export",
    (MANAGER, "DeleteImage"): "delete",
    (MANAGER, "PinImage"): "pin",
    (MANAGER, "PruneImages"): "images --prune --dry-run",
    (MANAGER, "ListMirrors"): "mirrors",
    (MANAGER, "RaceMirrors"): "mirrors",
    (MANAGER, "SetMirrorPreference"): "mirrors --country DE",
    (MANAGER, "PlanStick"): "plan",
    (MANAGER, "CreateStick"): "create",
    (MANAGER, "AddImages"): "add",
    (MANAGER, "RemoveImages"): "remove",
    (MANAGER, "UpdateStick"): "update",
    (MANAGER, "RefreshStick"): "refresh",
    (MANAGER, "RepairStick"): "repair",
    (MANAGER, "VerifyStick"): "verify",
    (MANAGER, "RescanStick"): "rescan",
    (MANAGER, "AdoptStick"): "adopt",
    (MANAGER, "ListStickImages"): "contents",
    (MANAGER, "SetPersistence"): "persistence",
    (MANAGER, "OpenImageTarget"): "plan --image-file NEW --size 1MiB ubuntu",
    (MANAGER, "WriteRaw"): "write-raw",
    (MANAGER, "RestoreDisk"): "restore",
    (MANAGER, "ProbeCapacity"): "probe",
    (MANAGER, "Eject"): "eject",
    (MANAGER, "ListJobs"): "jobs",
    (MANAGER, "GetSettings"): "settings",
    (MANAGER, "SetSettings"): "settings downloads.max_parallel=2",
    (MANAGER, "ResetSettings"): "settings --reset",
    (JOB, "Pause"): "pause",
    (JOB, "Resume"): "resume",
    (JOB, "Cancel"): "cancel",
    (JOB, "Modify"): "modify",
}
"""The command that calls a method: a name in `COMMANDS`, or a line."""
PROPERTIES: dict[str, dict[str, str]] = {
    MANAGER: {"Version": "luxusbd", "Features": "features", "Busy": "busy"},
    DEVICE: {
        "Id": "id",
        "DeviceNode": "node",
        "Vendor": "vendor",
        "Model": "model",
        "Serial": "serial",
        "Bus": "bus",
        "Size": "size",
        "DiskSeq": "disk_seq",
        "ReadOnly": "read_only",
        "Removable": "removable",
        "Large": "large",
        "State": "state",
        "Images": "images",
        "FreeBytes": "free_bytes",
        "UnlistedImages": "unlisted_images",
        "StrayChanges": "stray_changes",
        "Foreign": "foreign",
        "Contents": "contents",
        "Damage": "damage",
        "Firmware": "firmware",
        "BootWarning": "boot_warning",
        "Updates": "updates",
        "BlockedReason": "blocked_reason",
        "Mounts": "mounts",
        "CurrentJob": "current_job",
    },
    JOB: {
        "Operation": "operation",
        "State": "state",
        "Stage": "stage",
        "Progress": "progress",
        "BytesDone": "bytes_done",
        "BytesTotal": "bytes_total",
        "ResumedBytes": "resumed_bytes",
        "Rate": "rate",
        "ExpectedEnd": "expected_end",
        "OwnerUid": "owner_uid",
        "Devices": "devices",
        "Parent": "parent",
        "Details": "details",
        "ErrorName": "error_name",
        "ErrorMessage": "error_message",
        "Result": "result",
    },
}
"""The key that shows a property in the JSON of --version, devices and jobs."""
SIGNALS = {
    *((MANAGER, "CatalogChanged"), (MANAGER, "SettingsChanged")),
    *((JOB, "ProgressChanged"), (JOB, "Finished")),
}
"""The two of the Manager tell programs that keep a list; every command asks anew. The others are what `watch` shows."""


def test_the_tables_name_every_member_and_no_other() -> None:
    interfaces = [contract.interface(name) for name in (MANAGER, DEVICE, JOB)]
    assert set(METHODS) == {(found.name, name) for found in interfaces for name in found.methods}
    assert {name: set(keys) for name, keys in PROPERTIES.items()} == {
        found.name: set(found.properties) for found in interfaces
    }
    assert {(found.name, name) for found in interfaces for name in found.signals} == SIGNALS
    assert {command.split()[0].partition("-")[0] for command in METHODS.values()} <= {
        name.partition("-")[0] for name in cli.commands
    }


@pytest.mark.parametrize(("member", "command"), METHODS.items(), ids=lambda value: value[-1] if value else "")
def test_a_command_calls_it(luxusb: Run, daemon: FakeDaemon, iso: Path, member: tuple[str, str], command: str) -> None:
    arguments = COMMANDS.get(command) or [word.replace("NEW", str(iso) + ".new") for word in command.split()]
    documents(luxusb, daemon, iso, arguments)
    assert daemon.called(member[1])


def test_properties_are_in_the_json(luxusb: Run, daemon: FakeDaemon) -> None:
    daemon.do(lambda: daemon.new_job("download", "ubuntu"))
    shown = {
        MANAGER: luxusb("--version", "--json").document,
        DEVICE: luxusb("devices", "--json").document["devices"][0],
        JOB: luxusb("jobs", "--json").document["jobs"][0],
    }
    for name, keys in PROPERTIES.items():
        assert set(keys.values()) <= set(shown[name])


@pytest.mark.parametrize(
    ("member", "command"), [(name, command) for (owner, name), command in METHODS.items() if owner == MANAGER]
)
def test_a_missing_engine_is_told(luxusb: Run, daemon: FakeDaemon, iso: Path, member: str, command: str) -> None:
    daemon.missing.add(member)
    daemon.images[f"image:{world.IMAGE_SHA}"] = world.stored("good.iso", world.IMAGE_SHA)
    words = COMMANDS.get(command) or [word.replace("NEW", str(iso) + ".new") for word in command.split()]
    files = {"ISO": str(iso), "NEW": str(iso) + ".new", "CATALOGUE": str(schemas.DIRECTORY.parents[1] / "distros.json")}
    arguments = [files.get(word, word) for word in words]
    result = luxusb(*arguments)
    assert result.code == 1
    assert result.err.startswith("luxusb: ")
    assert "  what to do: This daemon cannot do that; `luxusb --version` shows its version.\n" in result.err
    document = luxusb(*arguments, "--json").document
    assert document["error"]["name"] == "org.luxusb.Error.NotSupported"
    assert [path.name for path in iso.parent.glob("*new*")] == []
    assert daemon.jobs == {} or member in {"ListMirrors", "PlanStick", "CreateStick", "AddImages"}
    assert world.USB in daemon.devices
