"""Whether what a mirror sends now belongs to what it sent before; only where the hash of the whole file is known."""

from __future__ import annotations

from luxusbd.transfer.answers import Answer, AnswerKind, Change, FailureKind, SourceError, compare
from luxusbd.transfer.mirrors import Mirror
from luxusbd.transfer.work import Work


async def check_version(work: Work, mirror: Mirror, answer: Answer) -> None:
    """Withdraw the bytes of `mirror` that `answer` shows to be of another version.

    Raises:
        SourceError: the answer cannot be used.
    """
    known = work.keeper.origins.validators(mirror.url)
    if known is None or known.identity != answer.validators.identity or mirror.etag_unreliable:
        return
    change = compare(known, answer.validators)
    if change is Change.ETAG_ONLY or (change is Change.DIFFERENT and mirror.restarts > 0):
        mirror.etag_unreliable = True
    elif change is Change.DIFFERENT:
        await _differs(work, mirror, answer)


async def _differs(work: Work, mirror: Mirror, answer: Answer) -> None:
    if work.book.others(mirror):
        await work.keeper.drop_source(mirror.url)
        work.book.drop(mirror, "its file changed during the download")
        raise SourceError(FailureKind.CHANGED, "its file changed during the download")
    # the only source there is: read its file from the start, keep what is equal, replace what is not
    mirror.restarts += 1
    if answer.kind is not AnswerKind.WHOLE:
        mirror.without_range = True
        raise SourceError(FailureKind.CHANGED, "its file changed during the download: comparing from the start")
