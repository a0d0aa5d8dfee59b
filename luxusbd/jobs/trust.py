"""What an administrator demands of images, and what can be reached."""

from __future__ import annotations

from dataclasses import dataclass

from luxusbd.catalog.model import Release, Trust
from luxusbd.errors import UntrustedError
from luxusbd.images.model import StoredImage
from luxusbd.jobs.keyring import Keyring

NO_CLAIM = "the catalogue knows no signature for it"


@dataclass(frozen=True)
class TrustPolicy:
    """How sure images have to be."""

    keyring: Keyring
    minimum: Trust = Trust.NONE

    def check_release(self, release: Release, title: str) -> None:
        """Refuse a release that cannot become as sure as is demanded, before anything is fetched.

        Raises:
            UntrustedError: it cannot.
        """
        why = NO_CLAIM
        if release.trust is Trust.SIGNED:
            why = f"no copy of its maker's key {release.key_fingerprint} is here"
        self.check(title, self.keyring.achievable(release), why)

    def check_image(self, image: StoredImage) -> None:
        """Refuse a stored image that is less sure than is demanded.

        Raises:
            UntrustedError: it is.
        """
        self.check(image.name, image.trust, "")

    def check(self, title: str, trust: Trust, why: str) -> None:
        """Refuse what is less sure than is demanded; `why` is what keeps it from being surer.

        Raises:
            UntrustedError: it is.
        """
        if not trust.reaches(self.minimum):
            because = f": {why}" if why else ""
            raise UntrustedError(
                f"{title} has the trust {trust.value!r}, and the administrator demands {self.minimum.value!r}"
                f" ([verification] minimum_trust in the configuration of luxusbd){because}"
            )
