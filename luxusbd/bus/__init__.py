"""The wire: XML-driven dispatch, authorisation and the exported objects; the only importer of dbus_next."""
