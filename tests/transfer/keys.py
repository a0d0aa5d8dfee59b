"""OpenPGP keys and signatures made by gpg for tests."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Keys:
    """A home of gpg with keys that have no passphrase; an agent runs as long as it is used."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def gpg(self, *arguments: str, data: bytes = b"") -> bytes:
        """Standard output of gpg."""
        return subprocess.run(
            ["gpg", "--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "", *arguments],
            env={**os.environ, "GNUPGHOME": str(self.home)},
            input=data,
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout

    def make(self, name: str, expires: str = "never", *, at: str = "", algorithm: str = "ed25519") -> str:
        """Make a key; its fingerprint. `at` is the time of its making, 20200101T000000."""
        clock = ["--faked-system-time", at] if at else []
        self.gpg(*clock, "--quick-gen-key", f"{name} <{name}@example.org>", algorithm, "sign", expires)
        lines = self.gpg("--list-keys", "--with-colons", f"{name}@example.org").decode().splitlines()
        return next(line.split(":")[9] for line in lines if line.startswith("fpr"))

    def export(self, key: str, *, armor: bool = False) -> bytes:
        return self.gpg(*(["--armor"] if armor else []), "--export", key)

    def add_subkey(self, primary: str) -> str:
        """Give a key one more that signs; its fingerprint."""
        self.gpg("--quick-add-key", primary, "ed25519", "sign", "never")
        lines = self.gpg("--list-keys", "--with-colons", primary).decode().splitlines()
        return [line.split(":")[9] for line in lines if line.startswith("fpr")][-1]

    def packet_of(self, primary: str, subkey: str) -> bytes:
        """The packet of a subkey as it stands in the exported key."""
        whole = self.export(primary)
        for start in range(len(whole) - 3):
            length = whole[start + 1]
            body = whole[start + 2 : start + 2 + length]
            framed = b"\x99" + len(body).to_bytes(2, "big") + body
            if whole[start] == 0xB8 and hashlib.sha1(framed).hexdigest().upper() == subkey:
                return whole[start : start + 2 + length]
        raise AssertionError(f"{subkey} is not in the key {primary}")

    def sign(self, data: bytes, *keys: str, armor: bool = False, at: str = "") -> bytes:
        """A detached signature."""
        users = [word for key in keys for word in ("--local-user", f"{key}!")]
        clock = ["--faked-system-time", at] if at else []
        return self.gpg(*clock, *users, *(["--armor"] if armor else []), "--detach-sign", data=data)

    def clearsign(self, data: bytes, key: str) -> bytes:
        return self.gpg("--local-user", f"{key}!", "--clearsign", data=data)

    def revoke(self, key: str) -> None:
        certificate = (self.home / "openpgp-revocs.d" / f"{key}.rev").read_text()
        self.gpg("--import", data=certificate.replace(":-----BEGIN", "-----BEGIN").encode())


@contextmanager
def made(home: Path) -> Iterator[Keys]:
    home.mkdir(mode=0o700)
    try:
        yield Keys(home)
    finally:
        subprocess.run(
            ["gpgconf", "--kill", "gpg-agent"], env={**os.environ, "GNUPGHOME": str(home)}, check=True, timeout=60
        )
