"""The interfaces that every D-Bus service has, on this service's objects."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luxusbd.bus import contract
from luxusbd.bus._lib import Variant
from luxusbd.bus.dispatcher import Answer, Call, Handler, Implementation, ProtocolError, standard_interfaces
from luxusbd.bus.tree import Exported, Tree

_MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


class StandardInterfaces:
    """Introspectable, Peer, Properties and ObjectManager, each showing a caller only what it may see."""

    def __init__(self, tree: Tree, implementations: Mapping[str, Implementation]) -> None:
        self._tree = tree
        self._implementations = implementations

    def handlers(self) -> Mapping[str, Mapping[str, Handler]]:
        """By interface and member."""
        return {
            contract.INTROSPECTABLE: {"Introspect": self._introspect},
            contract.PEER: {"Ping": self._ping, "GetMachineId": self._machine_id},
            contract.PROPERTIES: {"Get": self._get, "Set": self._set, "GetAll": self._get_all},
            contract.OBJECT_MANAGER: {"GetManagedObjects": self._managed_objects},
        }

    async def _introspect(self, call: Call) -> Answer:
        exported = self._tree.get(call.path)
        shown = [contract.standard()[name] for name in standard_interfaces(self._tree, call.path)]
        if exported is not None:
            shown.insert(0, self._implementations[exported.interface].interface)
        return Answer((contract.introspection(shown, self._tree.children(call.path, call.caller.uid)),))

    async def _ping(self, call: Call) -> Answer:
        del call
        return Answer()

    async def _machine_id(self, call: Call) -> Answer:
        del call
        return Answer((await asyncio.to_thread(_read_machine_id),))

    async def _get(self, call: Call) -> Answer:
        exported, prop = self._property(call)
        implementation = self._implementations[exported.interface]
        value = implementation.read(prop, exported.value)
        return Answer((wire_variant(prop.type, value),))

    async def _set(self, call: Call) -> Answer:
        exported, prop = self._property(call)
        raise ProtocolError("PropertyReadOnly", f"the property {prop.name} of {exported.interface} cannot be written")

    async def _get_all(self, call: Call) -> Answer:
        exported = self._exported(call)
        name = call.args[0]
        if name in contract.standard():
            return Answer(({},))
        self._check_interface(exported, name)
        return Answer((as_variants(self._implementations[exported.interface], exported.value),))

    async def _managed_objects(self, call: Call) -> Answer:
        objects = {
            exported.path: {exported.interface: as_variants(self._implementations[exported.interface], exported.value)}
            for exported in self._tree.visible(call.caller.uid)
        }
        return Answer((objects,))

    def _exported(self, call: Call) -> Exported:
        exported = self._tree.get(call.path)
        assert exported is not None  # the dispatcher offers Properties only where an object is
        return exported

    def _property(self, call: Call) -> tuple[Exported, contract.Property]:
        exported = self._exported(call)
        interface_name, name = call.args[:2]
        if interface_name not in contract.standard():
            self._check_interface(exported, interface_name)
            prop = self._implementations[exported.interface].interface.properties.get(name)
            if prop is not None:
                return exported, prop
        raise ProtocolError("UnknownProperty", f"{interface_name or call.path} has no property {name}")

    def _check_interface(self, exported: Exported, name: str) -> None:
        # The specification lets the interface be empty; then any interface with such a property will do.
        if name not in ("", exported.interface):
            raise ProtocolError("UnknownInterface", f"{exported.path} has no interface {name}")


def as_variants(implementation: Implementation, value: Any) -> dict[str, Variant]:
    """All properties of an object as the a{sv} of GetAll."""
    properties = implementation.interface.properties
    return {name: wire_variant(properties[name].type, entry) for name, entry in implementation.read_all(value).items()}


def wire_variant(signature: str, converted: Any) -> Variant:
    """A variant of a value that is in its wire shape already."""
    return Variant(signature, converted)


def _read_machine_id() -> str:
    for path in _MACHINE_ID_FILES:
        if path.is_file():
            return path.read_text(encoding="ascii").strip()
    raise ProtocolError("FileNotFound", "this system has no machine id")
