"""The command `luxusb-gtk`."""

from __future__ import annotations

import sys

from luxusb_cli import i18n


def main() -> int:
    """Run the app; its exit status."""
    i18n.begin(machine=False)
    from gi.repository import GLib

    from luxusb_gtk.application import Application

    GLib.set_prgname("org.luxusb.Luxusb")
    GLib.set_application_name("LUXusb")

    return int(Application().run(sys.argv))


if __name__ == "__main__":
    sys.exit(main())
