from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd import config, resources
from luxusbd.bus import apidoc, contract, logind
from luxusbd.bus.dispatcher import Answer, Call, Implementation
from luxusbd.bus.members import RULES, Action
from luxusbd.bus.tree import device_path, escape, job_id_of, job_path
from luxusbd.errors import InternalError

ROOT = resources.root()


def test_every_method_of_the_contract_has_a_rule_and_no_rule_is_left_over() -> None:
    methods = {(name, member) for name, interface in contract.interfaces().items() for member in interface.methods}
    assert methods == set(RULES)


def test_every_documented_option_is_declared() -> None:
    for (name, member), rule in RULES.items():
        doc = contract.interfaces()[name].methods[member].doc
        documented = re.search(r"Options: (.*?)(?:\.|$)", doc)
        keys = (
            set(re.findall(r"(\w+) \((?:b|i|u|t|s|as|a\{st\}|o|h)[,):]", documented.group(1))) if documented else set()
        )
        # SetPersistence and PlanStick talk about values elsewhere in their text; only the Options sentence counts.
        assert keys == {option.name for option in rule.options}, member


def test_types_and_annotations_are_read() -> None:
    manager = contract.interfaces()[contract.MANAGER]
    assert manager.methods["ImportImage"].in_signature == "hsa{sv}"
    assert manager.methods["ImportImage"].out_signature == "o"
    job = contract.interfaces()[contract.JOB]
    assert job.properties["Progress"].emits is contract.Emits.FALSE
    assert job.properties["OwnerUid"].emits is contract.Emits.CONST
    assert job.properties["State"].emits is contract.Emits.TRUE
    assert job.signals["ProgressChanged"].signature == "dttts"
    assert "Exactly once" in job.signals["Finished"].doc


@pytest.mark.parametrize("name", [contract.MANAGER, contract.DEVICE, contract.JOB])
def test_introspection_serves_the_file_letter_by_letter(name: str) -> None:
    interface = contract.interfaces()[name]
    shown = contract.introspection([interface], ["a&b"])
    source = resources.dbus(f"{name}.xml").read_text(encoding="utf-8")
    assert interface.xml in source
    assert interface.xml in shown
    node = ET.fromstring(shown)
    assert [child.get("name") for child in node.findall("node")] == ["a&b"]
    assert node.find("interface/property/annotation") is not None


def test_a_malformed_contract_is_refused() -> None:
    with pytest.raises(InternalError, match=r"x\.xml is no XML"):
        contract.parse("<node>", "x.xml")
    with pytest.raises(InternalError, match="lacks the attribute type"):
        contract.parse('<node><interface name="a.b"><property name="P" access="read"/></interface></node>', "x.xml")


async def _nothing(call: Call) -> Answer:
    return Answer()


def test_code_that_does_not_match_the_contract_is_an_error_at_start() -> None:
    job = contract.interfaces()[contract.JOB]
    handlers: dict[str, Callable[[Call], Awaitable[Answer]]] = dict.fromkeys(job.methods, _nothing)
    getters = dict.fromkeys(job.properties, str)
    Implementation(job, handlers, getters)
    with pytest.raises(InternalError, match="method without code: Pause; code without method: none"):
        Implementation(job, {name: code for name, code in handlers.items() if name != "Pause"}, getters)
    with pytest.raises(InternalError, match="code without method: Explode"):
        Implementation(job, {**handlers, "Explode": _nothing}, getters)
    with pytest.raises(InternalError, match="property without code: State"):
        Implementation(job, handlers, {name: code for name, code in getters.items() if name != "State"})


def test_the_page_is_up_to_date() -> None:
    intro = apidoc.intro_path().read_text(encoding="utf-8")
    page = (ROOT / "docs" / "dbus-api.md").read_text(encoding="utf-8")
    assert page == apidoc.document(intro), "run python -m luxusbd.bus.apidoc > docs/dbus-api.md"


def test_the_polkit_policy_defines_exactly_the_actions() -> None:
    policy = ET.parse(ROOT / "polkit" / "org.luxusb.policy").getroot()
    actions = {action.get("id"): action for action in policy.findall("action")}
    assert actions.keys() == {action.value for action in Action}
    for name, action in actions.items():
        defaults = {child.tag: child.text for child in action.find("defaults") or []}
        free = name in (Action.DOWNLOAD, Action.IMPORT_IMAGE)
        assert defaults == {
            "allow_any": "auth_admin",
            "allow_inactive": "auth_admin",
            "allow_active": "yes" if free else "auth_admin_keep",
        }
        assert action.findtext("description")
    message = actions[Action.WRITE_DEVICE].findtext("message") or ""
    assert "$(device)" in message
    assert "$(model)" in message


def test_the_bus_policy_lets_descriptors_through_for_exactly_the_members_that_take_one() -> None:
    config = ET.parse(resources.dbus("org.luxusb.Manager.conf")).getroot()
    sends = [rule for rule in config.iter("allow") if rule.get("send_destination")]
    # beside calls there is one signal, which only root may send
    (signal,) = [rule for rule in sends if rule.get("send_type") == "signal"]
    assert signal in list(config.findall("policy[@user='root']/allow"))
    assert (signal.get("send_interface"), signal.get("send_member")) == (logind.MANAGER, "PrepareForSleep")
    allows = [rule for rule in sends if rule is not signal]
    assert {rule.get("send_interface") for rule in allows} == {*contract.interfaces(), *contract.standard()}
    # Calls and nothing else: replies that nobody waits for and types that do not exist stay outside.
    assert {rule.get("send_type") for rule in allows} == {"method_call"}
    with_fd = {rule.get("send_member") for rule in allows if rule.get("max_fds") != "0"}
    takes_fd = {
        method.name
        for method in contract.interfaces()[contract.MANAGER].methods.values()
        if "h" in [arg.type for arg in method.inputs]
    }
    assert with_fd == takes_fd
    for rule in allows:
        taken = contract.interfaces()[contract.MANAGER].methods.get(rule.get("send_member", ""))
        if taken is not None:
            options = RULES[contract.MANAGER, taken.name].options
            most = sum(arg.type == "h" for arg in taken.inputs) + sum(option.signature == "h" for option in options)
            assert rule.get("max_fds") == str(most)
    assert [rule.get("user") for rule in config.iter("policy")] == ["root", None]


def test_only_one_module_imports_the_library() -> None:
    importers = set()
    for path in (ROOT / "luxusbd").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(name.split(".")[0] in ("dbus_next", "dbus_fast") for name in names):
                importers.add(path.relative_to(ROOT).as_posix())
    assert importers == {"luxusbd/bus/_lib.py"}


def test_the_package_imports_without_a_bus() -> None:
    modules = [f"luxusbd.bus.{path.stem}" for path in Path(contract.__file__).parent.glob("*.py")]
    code = f"import {', '.join(modules)}, sys; sys.exit('gi' in sys.modules)"
    env = {key: value for key, value in os.environ.items() if not key.startswith("DBUS_")}
    env |= {"PYTHONPATH": os.pathsep.join(sys.path), "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"}
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env=env)


def test_path_labels_are_those_of_sd_bus() -> None:
    # The examples of sd_bus_path_encode(3) and of systemd's own unit objects.
    assert escape("dbus.service") == "dbus_2eservice"
    assert escape("1abc") == "_31abc"
    assert escape("") == "_"
    assert escape("a_b-c") == "a_5fb_2dc"
    assert escape("ü") == "_c3_bc"
    assert device_path("x/y") == "/org/luxusb/devices/x_2fy"


@given(st.text(), st.text())
def test_different_ids_have_different_paths(one: str, other: str) -> None:
    for label in (one, other):
        try:
            label.encode()
        except UnicodeEncodeError:
            return
    assert re.fullmatch("[A-Za-z0-9_]+", escape(one))
    assert (escape(one) == escape(other)) == (one == other)


def test_job_paths() -> None:
    assert job_path(None) == "/"
    assert job_id_of(job_path(17)) == 17
    assert job_id_of("/org/luxusb/jobs/17") is None


def test_what_can_be_set_is_documented() -> None:
    doc = " ".join(contract.interfaces()[contract.MANAGER].methods["SetSettings"].doc.split())
    (listed,) = re.findall(r"What can be changed: (.*)\.$", doc)
    assert tuple(listed.split(", ")) == tuple(sorted(config.changeable()))
