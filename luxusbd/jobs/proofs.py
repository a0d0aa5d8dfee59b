"""What makers publish to vouch for their images, for a machine without network that is to look at it by itself.

The transfer process fetches it, as it does for a download. Whoever gets it checks it once more: here it is only made
sure that it belongs together, so that nothing useless is handed out.
"""

from __future__ import annotations

import asyncio
import os

from luxusbd.catalog.catalog import Catalog
from luxusbd.errors import UntrustedError
from luxusbd.jobs.checking import sealed_file, sealed_room
from luxusbd.jobs.downloadwords import release_title
from luxusbd.jobs.keyring import Keyring
from luxusbd.jobs.transfers import Transfers
from luxusbd.jobs.trust import NO_CLAIM
from luxusbd.jobs.vouching import claim_of
from luxusbd.transfer.openpgp import MAX_SIGNATURE
from luxusbd.transfer.pinned import MAX_PINNED
from luxusbd.transfer.sums import MAX_SUMS

AT_ONCE = 2
"""Releases whose proofs are fetched at a time; the others wait."""


class Proofs:
    """Hands out signed lists of hashes, signatures and the keys for them."""

    def __init__(self, transfers: Transfers, catalog: Catalog, keyring: Keyring) -> None:
        self._transfers = transfers
        self._catalog = catalog
        self._keyring = keyring
        self._free = asyncio.Semaphore(AT_ONCE)

    async def open(self, reference: str, uid: int) -> tuple[int, int, int]:
        """Read-only descriptors of sealed files, which the caller of this method closes.

        Returns:
            the list of hashes, empty where the image itself is signed; the signature, empty where the list holds it;
            the key that the catalogue pins, in binary and without any other.

        Raises:
            DistributionNotFoundError: the caller sees no such release.
            UntrustedError: the catalogue that all users share knows no signature for it, or there is none by its key.
            NetworkError: something cannot be had now.
            VerificationError: the maker signed another hash than the catalogue's.
        """
        distribution, release = self._catalog.resolve(reference, uid)
        claim = claim_of(release)
        if claim is None:
            raise UntrustedError(f"{release_title(distribution, release)}: {NO_CLAIM}")
        async with self._free:
            key = await asyncio.to_thread(self._keyring.open, claim.fingerprint)
            try:
                with (
                    sealed_room("sums", MAX_SUMS) as sums,
                    sealed_room("signature", MAX_SIGNATURE) as signature,
                    sealed_room("key", MAX_PINNED) as pinned,
                ):
                    rooms = (sums, signature, pinned)
                    sizes = await self._transfers.proofs(claim, key, rooms)
                    # copies of our own: the other process still holds the rooms
                    found = [os.pread(room, size, 0) for room, size in zip(rooms, sizes, strict=True)]
            finally:
                if key is not None:
                    os.close(key)
        opened: list[int] = []
        try:
            for name, data in zip(("sums", "signature", "key"), found, strict=True):
                opened.append(await asyncio.to_thread(sealed_file, name, data))
        except BaseException:
            for fd in opened:
                os.close(fd)
            raise
        first, second, third = opened
        return first, second, third
