"""The contract: `dbus/*.xml` as values, and as the text that Introspect serves."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from xml.sax.saxutils import quoteattr

from luxusbd import resources
from luxusbd.errors import InternalError

DOCTYPE = (
    '<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"\n'
    ' "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">\n'
)
MANAGER = "org.luxusb.Manager"
DEVICE = "org.luxusb.Device"
JOB = "org.luxusb.Job"

INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
PROPERTIES = "org.freedesktop.DBus.Properties"
PEER = "org.freedesktop.DBus.Peer"
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"

_STANDARD = """<node>
  <interface name="org.freedesktop.DBus.Introspectable">
    <method name="Introspect">
      <arg name="xml_data" type="s" direction="out"/>
    </method>
  </interface>
  <interface name="org.freedesktop.DBus.Peer">
    <method name="Ping"/>
    <method name="GetMachineId">
      <arg name="machine_uuid" type="s" direction="out"/>
    </method>
  </interface>
  <interface name="org.freedesktop.DBus.Properties">
    <method name="Get">
      <arg name="interface_name" type="s" direction="in"/>
      <arg name="property_name" type="s" direction="in"/>
      <arg name="value" type="v" direction="out"/>
    </method>
    <method name="Set">
      <arg name="interface_name" type="s" direction="in"/>
      <arg name="property_name" type="s" direction="in"/>
      <arg name="value" type="v" direction="in"/>
    </method>
    <method name="GetAll">
      <arg name="interface_name" type="s" direction="in"/>
      <arg name="props" type="a{sv}" direction="out"/>
    </method>
    <signal name="PropertiesChanged">
      <arg name="interface_name" type="s"/>
      <arg name="changed_properties" type="a{sv}"/>
      <arg name="invalidated_properties" type="as"/>
    </signal>
  </interface>
  <interface name="org.freedesktop.DBus.ObjectManager">
    <method name="GetManagedObjects">
      <arg name="objects" type="a{oa{sa{sv}}}" direction="out"/>
    </method>
    <signal name="InterfacesAdded">
      <arg name="object_path" type="o"/>
      <arg name="interfaces_and_properties" type="a{sa{sv}}"/>
    </signal>
    <signal name="InterfacesRemoved">
      <arg name="object_path" type="o"/>
      <arg name="interfaces" type="as"/>
    </signal>
  </interface>
</node>
"""


class Emits(StrEnum):
    """The annotation org.freedesktop.DBus.Property.EmitsChangedSignal."""

    TRUE = "true"
    INVALIDATES = "invalidates"
    CONST = "const"
    FALSE = "false"


@dataclass(frozen=True)
class Arg:
    """One argument of a method or a signal."""

    name: str
    type: str


@dataclass(frozen=True)
class Method:
    """One method."""

    name: str
    inputs: tuple[Arg, ...]
    outputs: tuple[Arg, ...]
    doc: str

    @property
    def in_signature(self) -> str:
        """What the body of a call looks like."""
        return "".join(arg.type for arg in self.inputs)

    @property
    def out_signature(self) -> str:
        """What the body of the reply looks like."""
        return "".join(arg.type for arg in self.outputs)


@dataclass(frozen=True)
class Signal:
    """One signal."""

    name: str
    args: tuple[Arg, ...]
    doc: str

    @property
    def signature(self) -> str:
        """What its body looks like."""
        return "".join(arg.type for arg in self.args)


@dataclass(frozen=True)
class Property:
    """One property."""

    name: str
    type: str
    access: str
    emits: Emits
    doc: str


@dataclass(frozen=True)
class Interface:
    """One interface, and the text it was read from."""

    name: str
    methods: Mapping[str, Method]
    signals: Mapping[str, Signal]
    properties: Mapping[str, Property]
    doc: str
    xml: str
    """The `<interface>` element, letter by letter."""


def parse(source: str, origin: str) -> tuple[Interface, ...]:
    """Read the interfaces of an introspection document.

    A comment in front of an element is its documentation. `origin` names the document in errors.

    Raises:
        InternalError: it is malformed.
    """
    try:
        # Comes out of the package, never from a peer.
        root = ET.fromstring(source, ET.XMLParser(target=ET.TreeBuilder(insert_comments=True)))  # noqa: S314
    except ET.ParseError as error:
        raise InternalError(f"{origin} is no XML: {error}") from error
    return tuple(_interface(element, doc, source, origin) for element, doc in _documented(root, "interface"))


@cache
def interfaces() -> Mapping[str, Interface]:
    """The interfaces of this service by name, read from `dbus/`."""
    found: dict[str, Interface] = {}
    for name in (MANAGER, DEVICE, JOB):
        path = resources.dbus(f"{name}.xml")
        for interface in parse(path.read_text(encoding="utf-8"), str(path)):
            found[interface.name] = interface
    missing = {MANAGER, DEVICE, JOB} - found.keys()
    if missing:
        raise InternalError(f"dbus/*.xml lacks the interfaces {', '.join(sorted(missing))}")
    return found


@cache
def standard() -> Mapping[str, Interface]:
    """The interfaces that every D-Bus service has."""
    return {interface.name: interface for interface in parse(_STANDARD, "the standard interfaces")}


def introspection(shown: Iterable[Interface], children: Iterable[str]) -> str:
    """The document that Introspect returns: the interfaces as they were written, and the names of child nodes."""
    parts = [DOCTYPE, "<node>\n"]
    parts += [interface.xml + "\n" for interface in shown]
    parts += [f"  <node name={quoteattr(child)}/>\n" for child in children]
    return "".join(parts) + "</node>\n"


def _interface(element: ET.Element, doc: str, source: str, origin: str) -> Interface:
    name = _attribute(element, "name", origin)
    match = re.search(rf'[ \t]*<interface name="{re.escape(name)}".*?</interface>', source, re.DOTALL)
    if match is None:
        raise InternalError(f"{origin}: the element of interface {name} is not written in the usual way")
    return Interface(
        name=name,
        methods={
            method.name: method
            for method in (_method(child, doc, origin) for child, doc in _documented(element, "method"))
        },
        signals={
            signal.name: signal
            for signal in (_signal(child, doc, origin) for child, doc in _documented(element, "signal"))
        },
        properties={
            prop.name: prop
            for prop in (_property(child, doc, origin) for child, doc in _documented(element, "property"))
        },
        doc=doc,
        xml=match.group(),
    )


def _method(element: ET.Element, doc: str, origin: str) -> Method:
    args = element.findall("arg")
    inputs = tuple(_arg(arg, origin) for arg in args if arg.get("direction", "in") == "in")
    outputs = tuple(_arg(arg, origin) for arg in args if arg.get("direction") == "out")
    return Method(_attribute(element, "name", origin), inputs, outputs, doc)


def _signal(element: ET.Element, doc: str, origin: str) -> Signal:
    args = tuple(_arg(arg, origin) for arg in element.findall("arg"))
    return Signal(_attribute(element, "name", origin), args, doc)


def _property(element: ET.Element, doc: str, origin: str) -> Property:
    emits = Emits.TRUE
    for annotation in element.findall("annotation"):
        if annotation.get("name") == "org.freedesktop.DBus.Property.EmitsChangedSignal":
            emits = Emits(_attribute(annotation, "value", origin))
    return Property(
        _attribute(element, "name", origin),
        _attribute(element, "type", origin),
        _attribute(element, "access", origin),
        emits,
        doc,
    )


def _arg(element: ET.Element, origin: str) -> Arg:
    return Arg(element.get("name", ""), _attribute(element, "type", origin))


def _attribute(element: ET.Element, name: str, origin: str) -> str:
    value = element.get(name)
    if value is None:
        raise InternalError(f"{origin}: an element <{element.tag}> lacks the attribute {name}")
    return value


def _documented(parent: ET.Element, tag: str) -> Iterable[tuple[ET.Element, str]]:
    doc = ""
    for child in parent:
        if child.tag is ET.Comment:  # type: ignore[comparison-overlap]
            doc = " ".join((child.text or "").split())
            continue
        if child.tag == tag:
            yield child, doc
        doc = ""
