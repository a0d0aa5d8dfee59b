"""What a download job keeps of its release, and what is told of it: pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from luxusbd.catalog.catalog import PREFIX, reference_to
from luxusbd.catalog.model import Distribution, Mirror, Release
from luxusbd.errors import MalformedImageError
from luxusbd.images.model import CUSTOM, Recognition, StoredImage
from luxusbd.jobs.mirrors import is_custom, params_of
from luxusbd.jobs.model import MirrorShare
from luxusbd.jobs.renewal import renewal_params_of
from luxusbd.jobs.vouching import word_params_of
from luxusbd.text import clean
from luxusbd.transfer.codec import digests_from_json
from luxusbd.transfer.model import Digest, SourceShare

HOST_LIMIT = 253
"""Characters of a host's name (RFC 1035, section 2.3.4)."""
MIB = 1024 * 1024


@dataclass(frozen=True)
class Examined:
    """What a look at the bytes of a file says."""

    sha256: str
    recognition: Recognition
    sha512: str = ""
    """Where it was asked for."""


def release_title(distribution: Distribution, release: Release) -> str:
    """A release's name for people."""
    parts = [distribution.name, release.version, release.edition]
    return " ".join(part for part in parts if part)


def source_of(params: Mapping[str, Any]) -> str:
    """The source of the image that a download brings, see `StoredImage.source`."""
    reference = str(params["reference"])
    return reference.replace(PREFIX, CUSTOM, 1) if is_custom(params) else reference


def file_name(url: str) -> str:
    """The last part of a URL's path, as a name for the image."""
    return PurePosixPath(unquote(urlsplit(url).path)).name or "image.iso"


def params_for(distribution: Distribution, release: Release) -> dict[str, Any]:
    """What a download job keeps of its release."""
    return {
        "reference": reference_to(distribution, release),
        "sha256": release.sha256,
        "content": release.content,
        "size": release.size,
        "expected": release.size or release.size_mb * MIB,
        "name": file_name(release.iso_url),
        **params_of(release),
        **word_params_of(release),
        **renewal_params_of(release),
    }


def passes(params: Mapping[str, Any]) -> bool:
    """Whether the image of a download job only passes through this machine."""
    return bool(params.get("window"))


def further_digests(params: Mapping[str, Any]) -> tuple[Digest, ...]:
    """The hashes beside the sha256 that the image of a job has to have."""
    return tuple(digest for digest in digests_from_json(params.get("digests", [])) if digest.algorithm != "sha256")


def shown(sources: Sequence[SourceShare], mirrors: Sequence[Mirror]) -> tuple[MirrorShare, ...]:
    """What the mirrors of a job do, for people; `mirrors` are all that it may ask."""
    countries = {mirror.url: mirror.country for mirror in mirrors}
    return tuple(
        MirrorShare(
            clean(source.host, HOST_LIMIT),
            countries.get(source.url, ""),
            source.state.value,
            source.rate,
            source.bytes_done,
        )
        for source in sources
    )


def unrecognised(size: int, error: MalformedImageError) -> Recognition:
    """What is said of a file that cannot be read as an image."""
    return Recognition(
        size=size,
        volume_id="",
        iso_uuid="",
        recipe="",
        family="",
        system="",
        version="",
        architecture="",
        reason=error.message,
        advice="Check that the download is complete and that it is an ISO image.",
    )


def image_result(image: StoredImage) -> Mapping[str, Any]:
    """The Result of a job that brought an image in."""
    return {"image": image.reference, "name": image.name, "size": image.size, "trust": image.trust.value}
