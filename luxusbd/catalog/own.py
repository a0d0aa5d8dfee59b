"""What a user imports for himself. Pure.

Anybody on the machine may import one, unasked, and the service keeps it in its memory: it is bounded more tightly than
what the administrator trusts.
"""

from __future__ import annotations

from luxusbd.catalog.model import Document, Layer
from luxusbd.catalog.schema import read_document
from luxusbd.errors import CatalogError

MAX_OWN = 512 * 1024
"""Bytes; five times what the packaged catalogue has."""
MAX_RELEASES = 300
"""Each may have some hundred addresses when it names a list of shared mirrors."""


def read_own(data: bytes, name: str) -> Document:
    """Decode and check a user's catalogue; `name` is what errors call it.

    Raises:
        CatalogError: as `luxusbd.catalog.schema.read_document`, or it is larger than a user's may be.
    """
    if len(data) > MAX_OWN:
        raise CatalogError(f"{name}: larger than {MAX_OWN // 1024} KiB, which is what a user's own catalogue may have")
    document = read_document(data, name, Layer.USER)
    count = sum(len(entry.releases) for entry in document.distributions)
    if count > MAX_RELEASES:
        raise CatalogError(
            f"{name}: $.distributions: found {count} releases, expected at most {MAX_RELEASES}, which is what a user's"
            " own catalogue may have"
        )
    return document
