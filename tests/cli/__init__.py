"""The command against a fake daemon on a private bus."""

import warnings

with warnings.catch_warnings():
    # dbus_next imports gi where it is installed, and gi's importer is of an old kind.
    warnings.simplefilter("ignore", ImportWarning)
    import dbus_next.aio  # noqa: F401
