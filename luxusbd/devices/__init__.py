"""Disks: monitoring, description and the guard."""
