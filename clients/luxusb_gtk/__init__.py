"""The desktop app. It knows the daemon by D-Bus alone, and its words and values are those of the `luxusb` command."""

import gi

gi.require_version("Gtk", "4.0")
gi.require_version("Adw", "1")
gi.require_version("Graphene", "1.0")
