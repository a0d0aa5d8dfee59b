"""Certificates that a user puts onto a stick, so that MokManager can enrol them: read, and looked at from outside.

Nothing is verified: whoever enrols one decides at that computer whom to trust. Sources: RFC 5280 (certificates),
RFC 7468 (the textual form), X.690 (DER).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence

from luxusbd.errors import InvalidArgumentError
from luxusbd.images.authenticode import subject_of
from luxusbd.images.kernel import SIGNERS
from luxusbd.images.model import Certificate

MAX_FILE = 32 * 1024
"""Bytes of a file with one certificate."""
MAX_DER = 8 * 1024
MAX_CERTIFICATES = 8
"""On one stick."""

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_AUTHORITIES = {"ubuntu": ("Canonical Ltd. Master Certificate Authority",)}
"""Subjects that do not begin like those of the certificates below them."""


def vendor_of(certificate: Certificate) -> str:
    """The vendor of kernels that the subject names, or empty; only a name, which anybody can take."""
    for vendor, names in SIGNERS.items():
        if certificate.subject.startswith((*names, *_AUTHORITIES.get(vendor, ()))):
            return vendor
    return ""


def read(data: bytes) -> Certificate:
    """The certificate in a file, as DER or as PEM.

    Raises:
        InvalidArgumentError: it is none, more than one, or too large.
    """
    if len(data) > MAX_FILE:
        raise InvalidArgumentError(f"a certificate has at most {MAX_FILE} bytes")
    der = data
    if b"-----BEGIN" in data:
        found = _PEM.findall(data)
        if len(found) != 1:
            raise InvalidArgumentError(f"the file holds {len(found)} certificates; give each one in a file of its own")
        try:
            der = base64.b64decode(b"".join(found[0].split()), validate=True)
        except binascii.Error:
            raise InvalidArgumentError("the certificate is no valid PEM") from None
    if len(der) > MAX_DER:
        raise InvalidArgumentError(f"the certificate has {len(der)} bytes; at most {MAX_DER} are allowed")
    subject = subject_of(der)
    if subject is None:
        raise InvalidArgumentError("the file is no X.509 certificate, neither as DER nor as PEM")
    return Certificate(subject, der)


def check_certificates(certificates: Sequence[Certificate]) -> None:
    """Refuse more than a stick takes.

    Raises:
        InvalidArgumentError: there are more.
    """
    if len(certificates) > MAX_CERTIFICATES:
        raise InvalidArgumentError(f"{len(certificates)} certificates are more than the {MAX_CERTIFICATES} of a stick")


def to_json(certificate: Certificate) -> dict[str, str]:
    """A JSON object that `from_json` reads."""
    subject = certificate.subject.encode("utf-8", "replace").decode()
    return {"subject": subject, "der": base64.b64encode(certificate.der).decode("ascii")}


def from_json(document: dict[str, str]) -> Certificate:
    """A certificate from an object that fits the schema of a stick's manifest; its bytes are untrusted.

    Raises:
        InvalidArgumentError: its bytes are not as `to_json` writes them.
    """
    try:
        return Certificate(document["subject"], base64.b64decode(document["der"], validate=True))
    except binascii.Error:
        raise InvalidArgumentError("a certificate is no valid base64") from None
