"""A remote that publishes signed catalogues, well and badly."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.catalog.test_catalog import named
from tests.transfer.fault_server import Connection, FaultServer, Move, Request
from tests.transfer.keys import Keys, made

NAME = "/distros.json"
SIGNATURE = NAME + ".asc"


@dataclass(frozen=True)
class Edition:
    """A document and a signature that may be for it."""

    data: bytes
    signature: bytes

    @property
    def etag(self) -> str:
        return f'"{len(self.data)}-{hash(self.data) & 0xFFFFFF:x}"'


@dataclass
class Remote:
    """Server, signer, and what of both a client has to be told."""

    server: FaultServer
    keys: Keys
    maker: str
    other: str
    directory: Path
    serials: int = field(default=0)

    @property
    def config(self) -> str:
        """What the administrator writes."""
        return (
            f'[catalog]\nupdate_url = "{self.server.base}{NAME}"\nupdate_key = "{self.directory}/key"\n'
            f'update_fingerprints = ["{self.maker}"]\n'
        )

    def document(self, *ids: str, serial: int = 0, days: float = 30, **changes: Any) -> bytes:
        """A catalogue with these entries; None for a field leaves it out."""
        self.serials = serial or self.serials + 1
        now = datetime.now(UTC)
        entries = [named(each, each.title())["distributions"][0] for each in ids]
        fields: dict[str, Any] = {
            "version": "2.0",
            "last_updated": _text(now),
            "serial": self.serials,
            "expires": _text(now + timedelta(days=days)),
            "distributions": entries,
            **changes,
        }
        return json.dumps({key: value for key, value in fields.items() if value is not None}).encode()

    def edition(self, *ids: str, signer: str = "", **changes: Any) -> Edition:
        """A signed one."""
        return self.signed(self.document(*ids, **changes), signer)

    def signed(self, data: bytes, signer: str = "") -> Edition:
        return Edition(data, self.keys.sign(data, signer or self.maker, armor=True))

    def publish(self, *editions: Edition) -> None:
        """Serve the n-th edition to the n-th who asks, the last one to all further ones."""
        self.server.route(NAME, *(content(each.data, each.etag) for each in editions))
        self.server.route(SIGNATURE, *(content(each.signature) for each in editions))

    def asked(self) -> tuple[int, int]:
        """How often document and signature were asked for since they were published."""
        return self.server._hits.get(NAME, 0), self.server._hits.get(SIGNATURE, 0)


def content(data: bytes, etag: str = "") -> Move:
    """A server that knows conditional requests."""

    async def move(_server: FaultServer, request: Request, connection: Connection) -> None:
        fields = [f"ETag: {etag}"] if etag else []
        if etag and request.headers.get("if-none-match") == etag:
            await connection.head("304 Not Modified", *fields)
            return
        await connection.head("200 OK", *fields, f"Content-Length: {len(data)}")
        await connection.send(data)

    return move


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@contextlib.asynccontextmanager
async def remote() -> AsyncIterator[Remote]:
    """A running one."""
    # gpg's agent needs a short path
    with tempfile.TemporaryDirectory(prefix="lux-") as place, made(Path(place) / "gpg") as keys:
        maker, other = keys.make("maker"), keys.make("other")
        Path(place).chmod(0o755)
        (Path(place) / "key").write_bytes(keys.export(maker, armor=True))
        async with FaultServer(b"") as server:
            yield Remote(server, keys, maker, other, Path(place))
