"""The desktop app before the real daemon, on an X server without a screen."""

import luxusb_gtk  # noqa: F401  # chooses the versions of GTK
