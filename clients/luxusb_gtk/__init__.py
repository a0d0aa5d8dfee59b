"""The desktop app. It knows the daemon by D-Bus alone, and its words and values are those of the `luxusb` command."""

import gi

# each that a module of the app imports: any of them may be the first
for _namespace, _version in (
    ("Adw", "1"),
    ("Gdk", "4.0"),
    ("GdkPixbuf", "2.0"),
    ("Graphene", "1.0"),
    ("Gtk", "4.0"),
    ("Pango", "1.0"),
):
    gi.require_version(_namespace, _version)
