"""The faults of real mirrors, one case each; numbers are those of the project's fault table.

Whatever happens, a finished file is the right one: `check` looks at that after every case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from luxusbd.errors import GoneError, LuxusbError, NetworkError, VerificationError
from luxusbd.transfer.limits import TransferLimits
from tests.transfer.conftest import DATA, FAST, IMPATIENT, Client, Outcome
from tests.transfer.fault_server import (
    LATER,
    FaultServer,
    Move,
    chunked,
    closing_while_idle,
    drip,
    file,
    flip,
    half,
    only_without_range,
    other,
    random_etag,
    raw,
    redirect,
    status,
    until_close,
)

SIZE = len(DATA)
CUT = 200_000
GOOD: tuple[Move, ...] = (file(),)
cut = file(cut=CUT)
new_version = file(etag='"v2"', date=LATER)
SILENCE = replace(FAST, stall_timeout=1.5)
"""For servers that fall silent, where each request is looked at: none may be given up because the machine is busy."""


def lying(*fields: str) -> Move:
    """206 with these headers in place of the right ones."""
    return file(fields=lambda first, last, size: [one.format(first=first, last=last, size=size) for one in fields])


def starts(server: FaultServer, path: str) -> list[int]:
    return [request.start for request in server.asked(path)]


# the first If-Range fails, so that this answer is a whole file, which is cut while it is compared; then no more of that
ETAGS = [0, 70_000, 70_000, 140_000, 210_000, 280_000]

Check = Callable[[FaultServer, Outcome], bool]


@dataclass(frozen=True)
class Case:
    """`a` is asked first; `b`, if there, is the second mirror."""

    name: str
    a: Sequence[Move]
    b: Sequence[Move] = ()
    error: type[LuxusbError] | None = None
    text: str = ""
    """Has to stand in the error, or in a note on the way."""
    size: int = 0
    limits: TransferLimits = FAST
    check: Check = lambda _server, _outcome: True


WEB_PAGE = status("200 OK", "Content-Type: text/html; charset=utf-8", body=b"<html>please log in</html>")
SHRUNK = status("416 Range Not Satisfiable", "Content-Range: bytes */1000")

CASES = [
    Case("37 nothing wrong", GOOD, check=lambda server, _: starts(server, "/a") == [0]),
    Case("37 nothing wrong, size known", GOOD, size=SIZE),
    Case(
        "1 changed, another mirror: nothing of the old version is kept",
        (file(change=other, cut=CUT), file(change=other, etag='"v2"', date=LATER)),
        GOOD,
        text="changed during the download",
        check=lambda server, _: starts(server, "/a") == [0, CUT] and starts(server, "/b") == [0],
    ),
    Case("1 changed to the right version, only mirror", (file(change=other, cut=CUT), new_version)),
    Case("1 touched, only mirror: equal bytes are kept", (cut, new_version)),
    Case(
        "1 changed, and the server ignores If-Range",
        (file(change=other, cut=CUT), file(etag='"v2"', date=LATER, if_range=False)),
        text="comparing from the start",
    ),
    Case(
        "2 grown, another mirror",
        (cut, file(change=lambda data: data + data, etag='"v2"')),
        GOOD,
        text=f"has {2 * SIZE} bytes",
        check=lambda server, _: starts(server, "/b") == [CUT],
    ),
    Case(
        "2 grown, only mirror",
        (cut, file(change=lambda data: data + data, etag='"v2"')),
        error=NetworkError,
        text=f"has {2 * SIZE} bytes, expected {SIZE}",
        size=SIZE,
    ),
    Case(
        "2 grown, only mirror, size only known from it",
        (cut, file(change=lambda data: data + data, etag='"v2"')),
        error=VerificationError,
    ),
    Case(
        "3 shrunk, another mirror",
        (cut, SHRUNK),
        GOOD,
        text="has 1000 bytes",
        check=lambda server, _: starts(server, "/b") == [CUT],
    ),
    Case("3 shrunk, the part is kept", (cut, SHRUNK), error=NetworkError, size=SIZE, text="has 1000 bytes"),
    Case(
        "4 range ignored, another mirror",
        (cut, file(ranges=False)),
        GOOD,
        text="no ranges",
        check=lambda server, _: starts(server, "/b") == [CUT],
    ),
    Case(
        "4 range ignored, only mirror",
        (cut, file(ranges=False)),
        check=lambda server, outcome: len(server.log) == 2,
    ),
    Case(
        "4 range ignored early in the file: reading it again is cheaper",
        (file(cut=20_000), file(ranges=False)),
        GOOD,
        check=lambda server, _: starts(server, "/b") == [],
    ),
    Case(
        "4 range ignored and other bytes, another mirror",
        (file(cut=20_000), file(ranges=False, change=lambda data: flip(data, 0.01))),
        GOOD,
        text="differs from the bytes that are there",
    ),
    Case(
        "4 range ignored and other bytes, only mirror: its bytes count",
        (file(change=lambda data: flip(data, 0.1), cut=CUT), file(ranges=False)),
    ),
    Case(
        "5 complete, and 416 says so",
        (chunked(terminated=False), file(etag="", date="")),
        check=lambda server, _: starts(server, "/a") == [0, SIZE],
    ),
    Case(
        "5 416 without a size: asks again without range",
        (chunked(part=0.5, terminated=False), status("416 No"), file()),
    ),
    Case("5 416 for bytes that the file has", (cut, status("416 No", f"Content-Range: bytes */{SIZE}"), file())),
    Case(
        "6 range from the start instead",
        (cut, lying("Content-Range: bytes 0-{last}/{size}", "Content-Length: {size}")),
        GOOD,
        text="sent the bytes 0 to",
        check=lambda server, _: starts(server, "/b") == [CUT],
    ),
    Case("6 range from the start, only mirror", (cut, lying("Content-Range: bytes 0-9/{size}"), file())),
    Case("7 wrong bytes, another mirror", (file(change=other),), GOOD, text="wrong bytes from"),
    Case("7 wrong bytes, only mirror", (file(change=other),), error=VerificationError, text="/a"),
    Case("7 wrong bytes everywhere", (file(change=other),), (file(change=flip),), error=VerificationError, text="/b"),
    Case("8 no Content-Range", (lying("Content-Length: {size}"),), GOOD, text="without saying which"),
    Case("8 no Content-Range, only mirror: without range", (lying("X: y"), file())),
    Case(
        "9 another total",
        (cut, lying("Content-Range: bytes {first}-{last}/999999")),
        GOOD,
        text="has 999999 bytes",
    ),
    Case("10 unknown total, size known", (lying("Content-Range: bytes {first}-{last}/*"),), size=SIZE),
    Case(
        "10 unknown total, size unknown", (lying("Content-Range: bytes {first}-{last}/*"), file()), text="does not tell"
    ),
    Case(
        "11 shorter than asked",
        (file(clamp=100_000),),
        check=lambda server, outcome: starts(server, "/a") == [0, 100_000, 200_000],
    ),
    Case(
        "12 part without a Range header",
        (
            lying("X: y"),
            raw(b"HTTP/1.1 206 Partial\r\nContent-Length: 9\r\n\r\n123456789"),
            raw(b"HTTP/1.1 206 Partial\r\nContent-Length: 9\r\nContent-Range: bytes 1-9/300000\r\n\r\n123456789"),
        ),
        GOOD,
    ),
    Case(
        "12 part of a part",
        (cut, lying("X: y"), raw(b"HTTP/1.1 206 P\r\nContent-Range: bytes 0-8/300000\r\n\r\n123456789")),
        error=NetworkError,
        text="sent a part where the whole file",
    ),
    Case(
        "13 multipart",
        (file(extra=("Content-Type: multipart/byteranges; boundary=x",)),),
        GOOD,
        text="several parts",
    ),
    Case("14 encoded part", (file(extra=("Content-Encoding: gzip",)),), GOOD, text="encoded as gzip"),
    Case("14 encoded whole", (file(ranges=False, extra=("Content-Encoding: br",)),), error=NetworkError, text="br"),
    Case("14 identity is no encoding", (file(extra=("Content-Encoding: identity",)),)),
    Case("15 captive portal at one mirror", (WEB_PAGE,), GOOD, text="web page"),
    Case("15 captive portal everywhere", (WEB_PAGE,), (WEB_PAGE,), error=NetworkError, text="captive portal"),
    Case("15 captive portal until somebody logs in", (WEB_PAGE, file())),
    Case(
        "15 captive portal in the middle",
        (cut, chunked(part=0.1, extra=("Content-Type: text/html",)), file()),
        check=lambda server, _: starts(server, "/a") == [0, CUT, CUT],
    ),
    Case("16 cut once", (cut, file()), check=lambda server, _: starts(server, "/a") == [0, CUT]),
    Case("16 cut once, stays with the mirror", (cut, file()), GOOD, check=lambda server, _: not starts(server, "/b")),
    Case("16 cut always, with progress", (file(cut=60_000),)),
    Case(
        "16 cut always, without progress",
        (file(cut=0),),
        error=NetworkError,
        text="closed the connection before the end of the file (5 times)",
    ),
    Case("17 no length, cut, then better", (until_close(0.5), file())),
    Case("17 no length, complete", (until_close(),)),
    Case("17 no length, always cut", (until_close(0.5),), error=NetworkError, text="not complete"),
    Case("17 no length, cut, size known", (until_close(0.5),), error=NetworkError, size=SIZE, text="of 300000 bytes"),
    Case("18 chunked, cut", (chunked(part=0.5, terminated=False), file()), check=lambda s, _: starts(s, "/a")[1] > 0),
    Case("18 chunked, complete", (chunked(),)),
    Case("19 chunked and short", (chunked(part=0.5),), error=NetworkError, size=SIZE, text="ended after 150000"),
    Case("19 chunked and short, another mirror", (chunked(part=0.5),), GOOD),
    Case("19 chunked and exact", (chunked(),), size=SIZE),
    Case("20 length and chunked", (chunked(extra=("Content-Length: 300000",)),), GOOD),
    Case(
        "21 two lengths",
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 300000\r\n\r\n", DATA),),
        GOOD,
    ),
    Case("22 bytes beyond the length", (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n", DATA, b"more"),)),
    Case(
        "22 bytes beyond the range",
        (
            raw(
                b"HTTP/1.1 206 P\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes 0-99999/300000\r\n\r\n",
                b"1d4c0\r\n" + DATA[:120_000] + b"\r\n0\r\n\r\n",
            ),
            file(),
        ),
        check=lambda server, _: starts(server, "/a") == [0, 100_000],
    ),
    Case("23 reset", (half("reset"), file()), check=lambda server, _: starts(server, "/a")[1] > 0),
    Case(
        "24 stall, another mirror",
        (half("hang"),),
        GOOD,
        limits=SILENCE,
        text="sent nothing for",
        check=lambda server, _: starts(server, "/b") == [SIZE // 2],
    ),
    Case(
        "24 stall, only mirror",
        (half("hang"), file()),
        limits=SILENCE,
        check=lambda server, _: starts(server, "/a")[1] == SIZE // 2,
    ),
    Case("25 no headers, another mirror", (raw(then="hang"),), GOOD, limits=IMPATIENT, text="no answer within"),
    Case(
        "26 drip, another mirror",
        (drip(2000),),
        GOOD,
        limits=replace(FAST, slow_window=0.3),
        text="sent less than",
    ),
    Case(
        "26 drip, only mirror: slow is better than nothing",
        (drip(400_000),),
        limits=replace(FAST, slow_window=0.1, slow_rate=10**9),
        check=lambda server, _: starts(server, "/a") == [0],
    ),
    Case("27 503, another mirror", (status("503 Busy", "Retry-After: 600"),), GOOD, text="503"),
    Case("27 503, comes back", (status("503 Busy", "Retry-After: 1"), file())),
    Case("28 429, another mirror", (status("429 Slow down", "Retry-After: 600"),), GOOD, text="429"),
    Case("28 429 without a time", (status("429 Slow down"), file())),
    Case("29 403 once", (status("403 No"), file())),
    Case("29 403 with a range alone", (only_without_range(),)),
    Case("29 403 always", (status("403 No"),), error=NetworkError, text="403", check=lambda s, _: len(s.log) == 3),
    Case("30 redirect loop", (redirect("/a"),), GOOD, text="redirects more than 10 times"),
    Case("31 redirect to a file", (redirect("file:///etc/passwd"),), error=NetworkError, text="neither http nor https"),
    Case("31 redirect to ftp, another mirror", (redirect("ftp://127.0.0.1/x"),), GOOD),
    Case("31 redirect to nowhere", (status("302 Found"),), GOOD, text="without saying where"),
    Case("32 huge header", (raw(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 2_000_000, b"\r\n\r\n"),), GOOD),
    Case("33 garbage", (raw(b"\x00\xff\x01SSH-2.0-OpenSSH\r\n" * 50),), GOOD, text="HTTP"),
    Case(
        "33 garbage, only mirror", (raw(b"220 ftp ready\r\n\r\n"),), error=NetworkError, text="not answer in valid HTTP"
    ),
    Case(
        "34 many informational answers",
        (
            raw(
                b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 50,
                b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n",
                DATA,
            ),
        ),
        check=lambda server, _: len(server.log) == 1,
    ),
    Case("35 one flipped bit, another mirror", (file(change=flip),), GOOD),
    Case("35 one flipped bit, only mirror", (file(change=flip),), error=VerificationError, text="sha256"),
    Case("36 new ETag on every answer", (random_etag(cut=70_000),), check=lambda s, _: starts(s, "/a") == ETAGS),
    Case(
        "36 new ETag on every answer, no date", (random_etag(cut=70_000, date=""),), check=lambda s, _: len(s.log) <= 12
    ),
    Case(
        "39 a weak ETag is no condition",
        (file(etag='W/"v1"', cut=CUT), file(etag='W/"v1"')),
        check=lambda server, _: not any("if-range" in request.headers for request in server.log),
    ),
    Case(
        "39 a strong ETag is one",
        (cut, file()),
        check=lambda server, _: [one.headers.get("if-range") for one in server.log] == [None, '"v1"'],
    ),
    Case("40 never HEAD", GOOD, check=lambda server, _: {request.method for request in server.log} == {"GET"}),
    Case(
        "41 changes between two ranges",
        (file(clamp=100_000), file(clamp=100_000, change=flip, etag='"v2"', date=LATER)),
        GOOD,
        check=lambda server, _: len(starts(server, "/a")) == 2 and starts(server, "/b") == [0],
    ),
    Case(
        "43 burst, then slow",
        (drip(2000, burst=100_000),),
        GOOD,
        limits=replace(FAST, slow_window=0.3, slow_rate=400_000),
        text="sent less than",
        check=lambda server, _: starts(server, "/b")[0] >= 100_000,
    ),
    Case(
        "48 404 at one mirror",
        (status("404 Not Found"),),
        GOOD,
        text="404",
        check=lambda s, _: len(starts(s, "/a")) == 1,
    ),
    Case(
        "48 404 everywhere",
        (status("404 No"),),
        (status("410 Gone"),),
        error=GoneError,
        text="no mirror has this file",
    ),
    Case("49 407", (status("407 Proxy Authentication Required"),), error=NetworkError, text="a proxy on the way"),
    Case(
        "50 closed while idle",
        (closing_while_idle(),),
        check=lambda _, outcome: not any("broke" in one.note for one in outcome.seen),
    ),
    Case("51 ranges work though the header denies it", (file(clamp=100_000, extra=("Accept-Ranges: none",)),)),
    Case("5xx once", (status("500 Oops"), file())),
    Case("5xx always", (status("502 Oops"),), error=NetworkError, text="502"),
    Case("401", (status("401 No"),), error=NetworkError, text="401", check=lambda server, _: len(server.log) == 1),
    Case("204", (status("204 No Content"),), GOOD, text="no answer to a download"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_fault(case: Case, client: Client, server: FaultServer) -> None:
    urls = [server.route("/a", *case.a)]
    if case.b:
        urls.append(server.route("/b", *case.b))
    outcome = await client.fetch(urls, size=case.size, limits=case.limits)
    if case.error is None:
        assert outcome.error is None
        assert outcome.content == DATA
        assert outcome.left == {"file.iso"}
        assert outcome.seen[-1].bytes_done == SIZE
    else:
        assert type(outcome.error) is case.error
        assert outcome.content is None
        assert not (case.error is VerificationError and outcome.left)
    said = str(outcome.error or "") + "\n".join(one.note for one in outcome.seen)
    assert case.text in said
    assert case.check(server, outcome), [(one.path, one.headers.get("range")) for one in server.log]
