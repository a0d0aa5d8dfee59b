"""Random messages for the service: well framed, and wrong in every way that the bus lets through."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from luxusbd.bus.contract import interfaces, standard
from luxusbd.bus.members import RULES
from tests.bus import wire
from tests.bus.client import MANAGER_PATH, SERVICE
from tests.bus.examples import SHA
from tests.bus.wire import V

STRINGS = (
    *("", "debian", f"image:{SHA}", "distro:debian@12", "token", "org.luxusb.Manager", "org.luxusb.Job", "Version"),
    *("\x1b[31m", "\u202e", "ü" * 50, "a" * 300, "../../etc/passwd", "%s%n", "{0.__class__}", "'; DROP TABLE jobs"),
    *(
        "no_user_interaction",
        "all_users",
        "dry_run",
        "only",
        "limit",
        "priority",
        "sha256",
        "sums",
        "\uffff",
        "\U0010ffff",
    ),
)
DEVICE = "/org/luxusb/devices/usb_2dAcme_5fStick_2d1"
PATHS = (
    *("/", "/org", "/org/luxusb", MANAGER_PATH, DEVICE, "/org/luxusb/devices", "/org/luxusb/jobs", "/a/b/c"),
    *(f"/org/luxusb/jobs/_{number}" for number in (0, 1, 2, 3, 99999999999999999999)),
    *("/org/luxusb/jobs/x", "/org/luxusb/devices/_zz", "/org/luxusb/" + "d" * 4000),
)
BASIC = "ybnqiuxtdsogh"
EDGES = {"y": 8, "n": 16, "q": 16, "i": 32, "u": 32, "x": 64, "t": 64}
SIGNED = "nix"
MANY = 16
"""Descriptors that the bus lets one message carry."""


class Made(NamedTuple):
    """One message."""

    kind: str
    data: bytes
    fds: int


class Messages:
    """An endless row of them; the same for the same seed."""

    def __init__(self, seed: int, unique_name: str) -> None:
        self._random = Random(seed)
        self._unique_name = unique_name
        known = {**interfaces(), **standard()}
        self._members = [(name, method) for name, interface in known.items() for method in interface.methods.values()]
        self._kinds: tuple[tuple[int, Callable[[], Made]], ...] = (
            (40, self._known_call),
            (20, self._wrong_signature),
            (10, self._unknown),
            (12, self._descriptors),
            (12, self._unasked),
            (4, self._deep),
            (1, self._broken),
        )

    def next(self) -> Made:
        """The next message."""
        (make,) = self._random.choices([make for _, make in self._kinds], [weight for weight, _ in self._kinds])
        if self._random.random() < 0.0005:
            make = self._huge
        return make()

    # Values

    def signature(self, depth: int = 0) -> str:
        """One complete type."""
        chance = self._random.random()
        if depth > 3 or chance < 0.5:
            return self._random.choice(BASIC)
        if chance < 0.65:
            return "v"
        if chance < 0.8:
            return "a" + self.signature(depth + 1)
        if chance < 0.9:
            return "a{" + self._random.choice("sous") + self.signature(depth + 1) + "}"
        return "(" + "".join(self.signature(depth + 1) for _ in range(self._random.randint(1, 3))) + ")"

    def value(self, kind: str, depth: int = 0) -> Any:
        """A value of this type, often at an edge."""
        pick = self._random.choice
        if kind in EDGES:
            bits = EDGES[kind]
            low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if kind in SIGNED else (0, (1 << bits) - 1)
            return pick((0, 1, low, high, high - 1, self._random.randint(low, high)))
        simple: dict[str, Callable[[], Any]] = {
            "b": lambda: self._random.randint(0, 1),
            "d": lambda: pick((0.0, -0.0, 1.5, float("inf"), float("nan"), 1e308)),
            "h": lambda: pick((0, 0, 1, 15, 16, 0xFFFFFFFF)),
            "s": lambda: pick(STRINGS),
            "o": lambda: pick(PATHS),
            "g": lambda: self.signature(2),
        }
        if kind in simple:
            return simple[kind]()
        if kind == "v":
            inner = self.signature(depth + 1)
            return V(inner, self.value(inner, depth + 1))
        count = self._random.randint(0, 3) if depth < 4 else 0
        if kind.startswith("a{"):
            key, *rest = wire.types(kind[2:-1])
            return {self.value(key): self.value(rest[0], depth + 1) for _ in range(count)}
        if kind.startswith("a"):
            return [self.value(kind[1:], depth + 1) for _ in range(count)]
        return [self.value(inner, depth + 1) for inner in wire.types(kind[1:-1])]

    # Messages

    def _call(self, kind: str, interface: str | None, member: str, signature: str, fds: int = 0, **given: Any) -> Made:
        values = [self.value(inner) for inner in wire.types(signature)]
        named = {"path": self._path(interface or ""), "body": wire.encode(signature, values)} | given
        data = wire.build(
            wire.METHOD_CALL,
            self._destination(),
            flags=self._flags(),
            interface=interface,
            member=member,
            signature=signature,
            fds=fds,
            serial=self._random.randint(1, 0xFFFFFFFF),
            **named,
        )
        return Made(kind, data, fds)

    def _path(self, interface: str) -> str:
        own = {"org.luxusb.Manager": MANAGER_PATH, "org.luxusb.Job": "/org/luxusb/jobs/_1", "org.luxusb.Device": DEVICE}
        return own[interface] if interface in own and self._random.random() < 0.8 else self._random.choice(PATHS)

    def _flags(self) -> int:
        return self._random.choice((0, 0, 0, 1, 4, 5, self._random.randint(0, 255)))

    def _destination(self) -> str:
        return self._random.choices((SERVICE, self._unique_name, ":1.99999", "org.luxusb.Nobody"), (60, 36, 2, 2))[0]

    def _known_call(self) -> Made:
        interface, method = self._random.choice(self._members)
        signature, chance = method.in_signature, self._random.random()
        if not signature.endswith("a{sv}") or chance > 0.8:
            return self._call("known", interface, method.name, signature, signature.count("h"))
        values = [0 if kind == "h" else self.value(kind) for kind in wire.types(signature)]
        options: dict[str, V] = {}
        if chance > 0.4:
            rule = RULES[interface, method.name]
            chosen = self._random.sample(rule.options, k=min(len(rule.options), self._random.randint(0, 2)))
            options = {one.name: V(one.signature, self.value(one.signature)) for one in chosen}
        fds = signature.count("h") + sum(entry.signature == "h" for entry in options.values())
        body = wire.encode(signature, [*values[:-1], options])
        return self._call("known", interface, method.name, signature, fds, body=body)

    def _wrong_signature(self) -> Made:
        interface, method = self._random.choice(self._members)
        signature = "".join(self.signature() for _ in range(self._random.randint(0, 4)))
        return self._call("signature", interface, method.name, signature)

    def _unknown(self) -> Made:
        interface, method = self._random.choice(self._members)
        signature = self._random.choice(("", "s", method.in_signature))
        interface_or_not = self._random.choice((None, interface, "org.luxusb.Other", "a.b", "x." + "y" * 250))
        member = self._random.choice((method.name, "Nothing", "__init__", "m" * 255))
        return self._call("unknown", interface_or_not, member, signature)

    def _descriptors(self) -> Made:
        taking = [entry for entry in self._members if "h" in entry[1].in_signature]
        interface, method = self._random.choice(self._members if self._random.random() < 0.3 else taking)
        return self._call(
            "descriptors", interface, method.name, method.in_signature, self._random.choice((0, 1, 2, 4, 5, MANY))
        )

    def _unasked(self) -> Made:
        kind = self._random.choice((wire.METHOD_RETURN, wire.ERROR, wire.SIGNAL))
        signature = "".join(self.signature() for _ in range(self._random.randint(0, 2)))
        named: dict[str, Any] = {"reply": self._random.randint(1, 2000), "error": "org.x.Error"}
        if kind == wire.METHOD_RETURN:
            del named["error"]
        if kind == wire.SIGNAL:
            named = {"path": self._random.choice(PATHS), "interface": "org.freedesktop.DBus"}
            named["member"] = self._random.choice(("NameOwnerChanged", "NameLost", "Disconnected"))
            signature = self._random.choice(("sss", signature))
        body = wire.encode(signature, [self.value(inner) for inner in wire.types(signature)])
        destination = self._random.choice((SERVICE, self._unique_name))
        data = wire.build(kind, destination, flags=self._flags(), signature=signature, body=body, **named)
        return Made("unasked", data, 0)

    def _deep(self) -> Made:
        inner = V("u", 1)
        for _ in range(self._random.choice((1, 10, 50, 60, 61, 62))):
            inner = V("v", inner)
        interface, method = self._random.choice([one for one in self._members if one[1].in_signature.endswith("a{sv}")])
        values = [self.value(kind) for kind in wire.types(method.in_signature)]
        values[-1] = {self._random.choice(STRINGS): inner}
        body = wire.encode(method.in_signature, values)
        fds = method.in_signature.count("h")
        return self._call("deep", interface, method.name, method.in_signature, fds, body=body)

    def _huge(self) -> Made:
        signature, value = self._random.choice(
            (("as", ["x" * 100] * 5000), ("ay", bytes(1 << 20)), ("ao", ["/"] * 50000))
        )
        member = self._random.choice(("PlanStick", "ListJobs"))
        body = wire.encode(signature, [value])
        return self._call("huge", "org.luxusb.Manager", member, signature, body=body)

    def _broken(self) -> Made:
        """What the bus hangs up on."""
        made = self._known_call()
        data = bytearray(made.data)
        data[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)
        return Made("broken", bytes(data), made.fds)
