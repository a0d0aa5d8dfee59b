"""The catalogue of last resort, for an installation whose data files are missing: part of the code itself."""

from __future__ import annotations

from typing import Any

FALLBACK: dict[str, Any] = {
    "version": "2.0",
    "last_updated": "2026-10-01",
    "distributions": [
        {
            "id": "ubuntu",
            "name": "Ubuntu Desktop",
            "description": "Complete desktop Linux operating system by Canonical.",
            "homepage": "https://ubuntu.com",
            "logo_url": "",
            "category": "Desktop",
            "popularity_rank": 1,
            "recipe": "casper",
            "releases": [
                {
                    "version": "26.04.1",
                    "release_date": "",
                    "iso_url": "https://releases.ubuntu.com/26.04/ubuntu-26.04.1-desktop-amd64.iso",
                    "sha256": "601e30fbf5d97759367c632e2c33630665039b7e2158fd068403da3ccf1bda1f",
                    "size_mb": 6482,
                    "size": 6482409472,
                    "architecture": "amd64",
                    "mirrors": [],
                }
            ],
        },
        {
            "id": "systemrescue",
            "name": "SystemRescue",
            "description": "Rescue toolkit.",
            "homepage": "https://www.system-rescue.org",
            "logo_url": "",
            "category": "Utility",
            "popularity_rank": 0,
            "recipe": "systemrescue",
            "releases": [
                {
                    "version": "13.02",
                    "release_date": "",
                    "iso_url": "https://fastly-cdn.system-rescue.org/releases/13.02/systemrescue-13.02-amd64.iso",
                    "sha256": "ad4d670b72859d887c7960142a9a9d36a3e50446694a035e254442f65d6e7572",
                    "size_mb": 1382,
                    "size": 1381629952,
                    "architecture": "amd64",
                    "mirrors": [],
                }
            ],
        },
    ],
}
"""A document of schema 2.0. Its hashes are those of data/distros.json."""
