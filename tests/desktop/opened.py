"""The real app, which opens by itself the pages that are empty before; a screen reader then finds all of them.

Usage: python -m tests.desktop.opened, on a display and with the daemon at DBUS_SYSTEM_BUS_ADDRESS, which has to show
one disk that can be used.
"""

from __future__ import annotations

import sys
from typing import Any


def open_pages(app: Any) -> bool:
    """Open them once there is what they are about; whether that is still to come."""
    from luxusb_gtk.basket import choice_of

    model, window = app.model, app.window
    disks = [device for device in model.devices.values() if not device.blocked_reason]
    if not disks or not model.systems:
        return True
    system = model.systems[0]
    model.choose(choice_of(system, system.releases[0]))
    window.manage(disks[0])
    window.go("sticks")
    window.review_raw(disks[0])
    window.raw.all_the_same.set_active(True)
    window.go("systems")
    return False


def main() -> int:
    """Run it."""
    from luxusb_cli import i18n

    i18n.begin(machine=False)
    from gi.repository import Gio, GLib
    from luxusb_gtk.application import Application

    app = Application(flags=Gio.ApplicationFlags.NON_UNIQUE)
    app.connect_after("activate", lambda _app: GLib.timeout_add(100, open_pages, app))
    return int(app.run([]))


if __name__ == "__main__":
    sys.exit(main())
