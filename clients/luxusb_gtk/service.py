"""The daemon over GDBus: calls, objects and their signals. The only module that speaks D-Bus.

Nothing here waits: an answer comes to one of two callbacks, in the main loop. The connection is made anew when it
breaks, and the daemon is asked for again and again while it is away.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

from gi.repository import Gio, GLib, GObject

NAME = "org.luxusb.Manager"
ROOT = "/org/luxusb"
MANAGER = "/org/luxusb/Manager"
MANAGER_INTERFACE = "org.luxusb.Manager"
DEVICE_INTERFACE = "org.luxusb.Device"
JOB_INTERFACE = "org.luxusb.Job"

FIRST_RETRY, LAST_RETRY = 1, 32
"""Seconds between two looks for a daemon that is away; each wait is twice the one before."""
NO_LIMIT = 2**31 - 1
"""Milliseconds: polkit may ask the user in between (G_MAXINT is "no timeout", GDBusConnection's documentation)."""

_PROGRESS = ("Progress", "BytesDone", "BytesTotal", "Rate", "Stage")
"""What ProgressChanged carries, in this order."""


class ServiceError(Exception):
    """A call failed. `str()` is what the daemon wrote for people; `name` is the D-Bus name of the error."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name

    @property
    def short_name(self) -> str:
        """The last part of the name, such as NotEnoughSpace."""
        return self.name.rpartition(".")[2]

    @property
    def refused_by_user(self) -> bool:
        """Whether nobody typed the password, or nobody may."""
        return self.short_name in ("NotAuthorized", "NotAuthorizedDismissed", "InteractiveAuthorizationRequired")

    @classmethod
    def of(cls, error: GLib.Error) -> ServiceError:
        """From what GDBus raises."""
        name = Gio.DBusError.get_remote_error(error) or "org.freedesktop.DBus.Error.NoReply"
        return cls(name, error.message.removeprefix(f"GDBus.Error:{name}: "))


class Presence(Enum):
    """Whether the daemon can be asked."""

    CONNECTING = "connecting"
    READY = "ready"
    ABSENT = "absent"


Done = Callable[[tuple[Any, ...]], None]
Failed = Callable[[ServiceError], None]
Options = Mapping[str, GLib.Variant]


class Service(GObject.Object):
    """The connection to the daemon, with its devices and jobs as they are now.

    Signals: `presence` when it came or went; `device` and `job` with a path when that one is there, changed or gone;
    `finished` with the path of a job and its state; `told` with the name of a signal of the Manager.
    """

    __gsignals__ = {  # noqa: RUF012  # GObject reads it
        "presence": (GObject.SignalFlags.RUN_FIRST, None, ()),
        "device": (GObject.SignalFlags.RUN_FIRST, None, (str,)),
        "job": (GObject.SignalFlags.RUN_FIRST, None, (str,)),
        "finished": (GObject.SignalFlags.RUN_FIRST, None, (str, str)),
        "told": (GObject.SignalFlags.RUN_FIRST, None, (str,)),
    }

    def __init__(self, address: str = "") -> None:
        super().__init__()
        self._address = address or os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", "")
        self._connection: Gio.DBusConnection | None = None
        self._objects: Gio.DBusObjectManagerClient | None = None
        self._signals: list[int] = []
        self._cancellable = Gio.Cancellable()
        self._retry = 0
        self._wait = FIRST_RETRY
        self._progress: dict[str, dict[str, Any]] = {}
        self.presence = Presence.CONNECTING
        self.reason = ""
        """Why it is absent, as D-Bus says it."""

    # ---- coming and going
    def start(self) -> None:
        """Connect; the answer is the signal `presence`."""
        if self._address:
            flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
            Gio.DBusConnection.new_for_address(self._address, flags, None, self._cancellable, self._connected)
        else:
            Gio.bus_get(Gio.BusType.SYSTEM, self._cancellable, self._connected)

    def stop(self) -> None:
        """Let go of everything; no signal comes any more."""
        self._cancellable.cancel()
        self._forget()
        if self._retry:
            GLib.source_remove(self._retry)
            self._retry = 0

    def try_again(self) -> None:
        """Look for the daemon now, and let the bus start it."""
        if self._retry:
            GLib.source_remove(self._retry)
            self._retry = 0
        if self._objects is None or self._connection is None or self._connection.is_closed():
            self._forget()
            self.start()
            return
        arguments = GLib.Variant("(su)", (NAME, 0))
        self._connection.call(
            *("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "StartServiceByName", arguments),
            *(None, Gio.DBusCallFlags.NONE, -1, self._cancellable, self._started),
        )

    def _connected(self, _source: object, result: Gio.AsyncResult) -> None:
        try:
            if self._address:
                self._connection = Gio.DBusConnection.new_for_address_finish(result)
            else:
                self._connection = Gio.bus_get_finish(result)
        except GLib.Error as error:
            self._failed(error)
            return
        self._connection.set_exit_on_close(False)
        Gio.DBusObjectManagerClient.new(
            *(self._connection, Gio.DBusObjectManagerClientFlags.NONE, NAME, ROOT),
            *(None, None, self._cancellable, self._listed),
        )

    def _listed(self, _source: object, result: Gio.AsyncResult) -> None:
        try:
            objects = Gio.DBusObjectManagerClient.new_finish(result)
        except GLib.Error as error:
            self._failed(error)
            return
        self._objects = objects
        self._signals = [
            objects.connect("notify::name-owner", lambda *_ignored: self._owner_changed()),
            objects.connect("object-added", lambda _manager, item: self._tell(item.get_object_path())),
            objects.connect("object-removed", lambda _manager, item: self._removed(item.get_object_path())),
            objects.connect("interface-added", lambda _manager, item, _face: self._tell(item.get_object_path())),
            objects.connect("interface-proxy-properties-changed", self._properties_changed),
            objects.connect("interface-proxy-signal", self._signalled),
        ]
        assert self._connection is not None
        self._connection.connect("closed", lambda *_ignored: self._closed())
        self._owner_changed()

    def _started(self, connection: Gio.DBusConnection, result: Gio.AsyncResult) -> None:
        try:
            connection.call_finish(result)
        except GLib.Error as error:
            self._failed(error)

    def _owner_changed(self) -> None:
        if self._objects is None:
            return
        if self._objects.get_name_owner():
            self._wait = FIRST_RETRY
            self._set(Presence.READY, "")
        else:
            self._progress.clear()
            self._set(Presence.ABSENT, "")
            self._later()

    def _closed(self) -> None:
        self._forget()
        if not self._cancellable.is_cancelled():
            self._set(Presence.ABSENT, "")
            self._later()

    def _failed(self, error: GLib.Error) -> None:
        if error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED):
            return
        self._set(Presence.ABSENT, ServiceError.of(error).args[0])
        self._later()

    def _later(self) -> None:
        if not self._retry and not self._cancellable.is_cancelled():
            self._retry = GLib.timeout_add_seconds(self._wait, self._retry_now)
            self._wait = min(2 * self._wait, LAST_RETRY)

    def _retry_now(self) -> bool:
        self._retry = 0
        self.try_again()
        return False

    def _forget(self) -> None:
        if self._objects is not None:
            for number in self._signals:
                self._objects.disconnect(number)
        self._signals, self._objects, self._connection = [], None, None
        self._progress.clear()

    def _set(self, presence: Presence, reason: str) -> None:
        changed = (presence, reason) != (self.presence, self.reason)
        self.presence, self.reason = presence, reason
        if changed:
            self.emit("presence")

    # ---- objects
    def paths(self, interface: str) -> list[str]:
        """The objects that have an interface."""
        if self._objects is None or self.presence is not Presence.READY:
            return []
        return [item.get_object_path() for item in self._objects.get_objects() if item.get_interface(interface)]

    def properties(self, path: str, interface: str) -> dict[str, Any]:
        """What an object says of itself; empty when there is none."""
        proxy = self._objects.get_interface(path, interface) if self._objects is not None else None
        if proxy is None:
            return {}
        found = {name: proxy.get_cached_property(name) for name in proxy.get_cached_property_names() or []}
        told = {name: value.unpack() for name, value in found.items() if value is not None}
        return told | self._progress.get(path, {})

    def _tell(self, path: str) -> None:
        if self._objects is None:
            return
        if self._objects.get_interface(path, DEVICE_INTERFACE) is not None:
            self.emit("device", path)
        elif self._objects.get_interface(path, JOB_INTERFACE) is not None:
            self.emit("job", path)

    def _removed(self, path: str) -> None:
        self._progress.pop(path, None)
        self.emit("job" if "/jobs/" in path else "device", path)

    def _properties_changed(
        self, _manager: object, item: Gio.DBusObjectProxy, _proxy: object, changed: GLib.Variant, _gone: list[str]
    ) -> None:
        path = item.get_object_path()
        for name in changed.unpack():
            # newer than the last ProgressChanged
            self._progress.get(path, {}).pop(name, None)
        self._tell(path)

    def _signalled(
        self,
        _manager: object,
        item: Gio.DBusObjectProxy,
        _proxy: object,
        _sender: str,
        signal: str,
        parameters: GLib.Variant,
    ) -> None:
        path = item.get_object_path()
        if signal == "ProgressChanged":
            self._progress[path] = dict(zip(_PROGRESS, parameters.unpack(), strict=True))
            self.emit("job", path)
        elif signal == "Finished":
            self.emit("finished", path, parameters.unpack()[0])
        elif path == MANAGER:
            self.emit("told", signal)

    # ---- calls
    def manager(
        self, method: str, parameters: GLib.Variant, done: Done, failed: Failed, *, files: Sequence[int] = ()
    ) -> None:
        """Call a method of the Manager.

        Args:
            method: its name.
            parameters: its arguments with their types; an `h` is an index into `files`.
            done: gets the results, without variants; an `h` among them is a descriptor that is now the caller's.
            failed: gets the error.
            files: descriptors, which stay the caller's own.
        """
        self._call(MANAGER, MANAGER_INTERFACE, method, parameters, done, failed, files)

    def job(self, path: str, method: str, options: Options, done: Done, failed: Failed) -> None:
        """Call a method of a job."""
        self._call(path, JOB_INTERFACE, method, GLib.Variant("(a{sv})", (dict(options),)), done, failed, ())

    def _call(
        self,
        path: str,
        interface: str,
        method: str,
        parameters: GLib.Variant,
        done: Done,
        failed: Failed,
        files: Sequence[int],
    ) -> None:
        if self._connection is None:
            failed(ServiceError("org.freedesktop.DBus.Error.NoServer", self.reason))
            return
        descriptors = Gio.UnixFDList.new()
        for file in files:
            descriptors.append(file)

        def answered(connection: Gio.DBusConnection, result: Gio.AsyncResult) -> None:
            try:
                answer, received = connection.call_with_unix_fd_list_finish(result)
            except GLib.Error as error:
                if not error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED):
                    failed(ServiceError.of(error))
                return
            values = answer.unpack()
            if answer.get_type_string() == "(h)":
                values = (received.get(values[0]),)
            done(values)

        self._connection.call_with_unix_fd_list(
            *(NAME, path, interface, method, parameters, None),
            *(Gio.DBusCallFlags.ALLOW_INTERACTIVE_AUTHORIZATION, NO_LIMIT, descriptors, self._cancellable, answered),
        )
