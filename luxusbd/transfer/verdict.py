"""Whether what is there is the file that is wanted: the hashes of a complete file, and what an earlier run left."""

from __future__ import annotations

from collections.abc import Sequence

from luxusbd.errors import VerificationError
from luxusbd.transfer.model import Digest, DownloadRequest
from luxusbd.transfer.partstate import PartState


class ContradictionError(VerificationError):
    """The file has one of the hashes that it has to have and not another one: no mirror can have it."""


def check_digests(request: DownloadRequest, sha256: str, further: Sequence[Digest]) -> None:
    """Compare the hashes of a complete file with what `request` expects; `further` holds all but the sha256.

    Raises:
        VerificationError: it is not what was expected. A `ContradictionError` when one hash is right and another is
            not.
    """
    if request.sha256 and sha256 != request.sha256.lower():
        raise VerificationError(f"its sha256 is {sha256}, expected {request.sha256.lower()}")
    found = {"sha256": sha256, **{digest.algorithm: digest.value for digest in further}}
    right = ["sha256"] if request.sha256 else []
    wrong = ""
    for expected in request.digests:
        if found[expected.algorithm] == expected.value:
            right.append(expected.algorithm)
        else:
            wrong = f"its {expected.algorithm} is {found[expected.algorithm]}, expected {expected.value}"
    if wrong and right:
        raise ContradictionError(
            f"{request.name} is not the expected file: {wrong}, although its {' and '.join(right)} is right."
            " The hashes that it was to have contradict each other: the catalogue is wrong"
        )
    if wrong:
        raise VerificationError(wrong)


def foreign(request: DownloadRequest, state: PartState) -> str:
    """Why the claims of an earlier run are of no use for `request`; empty when they are."""
    if state.expected != request.identity:
        return "the partial file belongs to another version of this file"
    if request.size and state.total_size and state.total_size != request.size:
        return "the partial file belongs to a file of another size"
    if not request.hashed and state.url not in request.urls:
        return "the partial file came from another address, and there is no checksum to mix them by"
    return ""
