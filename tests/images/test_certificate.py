"""Certificates that a user puts onto a stick."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from luxusbd.errors import InvalidArgumentError
from luxusbd.images import certificate


def made(directory: Path, subject: str = "/O=Somewhere/CN=Fedora Secure Boot CA") -> bytes:
    """A certificate in PEM, as openssl makes it."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    key, out = directory / "key.pem", directory / "cert.pem"
    subprocess.run(
        [*command, "-keyout", key, "-out", out, "-subj", subject, "-days", "2"], check=True, capture_output=True
    )
    return out.read_bytes()


def test_pem_and_der_are_the_same_certificate(tmp_path: Path) -> None:
    pem = made(tmp_path)
    convert = ["openssl", "x509", "-outform", "DER"]
    der = subprocess.run(convert, input=pem, check=True, capture_output=True).stdout
    said = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256"], input=pem, check=True, capture_output=True
    )
    found = certificate.read(pem)
    assert found == certificate.read(der)
    assert (found.subject, certificate.vendor_of(found), found.der) == ("Fedora Secure Boot CA", "fedora", der)
    assert found.sha256.upper() == said.stdout.decode().strip().rpartition("=")[2].replace(":", "")
    assert found.file_name == f"Fedora-Secure-Boot-CA-{found.sha256[:8]}.cer"
    assert certificate.from_json(certificate.to_json(found)) == found


def test_what_names_nobody_is_nobodys(tmp_path: Path) -> None:
    odd = certificate.read(made(tmp_path, "/CN=..\\/\\/ \u00fc"))
    assert certificate.vendor_of(odd) == ""
    assert "/" not in odd.file_name
    assert odd.file_name.isascii()
    canonical = certificate.read(made(tmp_path, "/CN=Canonical Ltd. Master Certificate Authority"))
    assert certificate.vendor_of(canonical) == "ubuntu"


def test_anything_else_is_refused(tmp_path: Path) -> None:
    pem = made(tmp_path)
    der = certificate.read(pem).der
    key = (tmp_path / "key.pem").read_bytes()
    broken = pem.replace(b"\nMI", b"\n!!", 1)
    for data in (
        b"",
        b"\x30",
        der[:-1],
        der + b"\0",
        key,
        pem + pem,
        broken,
        bytes(certificate.MAX_FILE + 1),
        b"\x30\x84" * 9,
    ):
        with pytest.raises(InvalidArgumentError):
            certificate.read(data)
    one = certificate.read(pem)
    certificate.check_certificates([one] * certificate.MAX_CERTIFICATES)
    with pytest.raises(InvalidArgumentError):
        certificate.check_certificates([one] * (certificate.MAX_CERTIFICATES + 1))
