"""Bytes from mirrors to a verified file."""
