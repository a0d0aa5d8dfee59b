"""A certificate authority of our own, and server certificates by it."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Authority:
    """What clients trust, and what servers show."""

    file: Path
    """The authority's certificate (PEM)."""
    client: ssl.SSLContext
    good: ssl.SSLContext
    wrong_host: ssl.SSLContext
    expired: ssl.SSLContext


def make_authority(folder: Path) -> Authority:
    """A new authority; its files stay in `folder`."""
    ca = str(folder / "ca")
    openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{ca}.key", "-out", f"{ca}.crt"),
        *("-days", "2", "-subj", "/CN=test authority", "-addext", "keyUsage=critical,keyCertSign"),
    )
    return Authority(
        file=folder / "ca.crt",
        client=ssl.create_default_context(cafile=f"{ca}.crt"),
        good=_server_context(folder, "good", "IP:127.0.0.1,DNS:localhost", "2"),
        wrong_host=_server_context(folder, "wrong", "DNS:mirror.invalid", "2"),
        expired=_server_context(folder, "expired", "IP:127.0.0.1", "-1"),
    )


def openssl(*args: str) -> None:
    """Run openssl(1)."""
    subprocess.run(["openssl", *args], check=True, capture_output=True)


def _server_context(folder: Path, name: str, host: str, days: str) -> ssl.SSLContext:
    key, csr, crt, ext = (str(folder / f"{name}.{end}") for end in ("key", "csr", "crt", "ext"))
    Path(ext).write_text(f"subjectAltName={host}\n")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", csr, "-subj", f"/CN={name}")
    ca = str(folder / "ca")
    openssl(
        *("x509", "-req", "-in", csr, "-CA", f"{ca}.crt", "-CAkey", f"{ca}.key", "-CAcreateserial"),
        *("-days", days, "-extfile", ext, "-out", crt),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    return context
