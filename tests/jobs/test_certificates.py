"""The administrator's certificates for sticks."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from luxusbd.images import certificate
from luxusbd.images.model import Certificate
from luxusbd.jobs.certificates import AdminCertificates
from tests.images.test_certificate import made


async def read(fd: int) -> Certificate:
    return certificate.read(os.pread(fd, certificate.MAX_FILE + 1, 0))


async def test_every_certificate_of_the_directory_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "certificates.d"
    admin = AdminCertificates(place, read)
    assert await admin.all() == ()
    place.mkdir()
    first, second = made(tmp_path, "/CN=One"), made(tmp_path, "/CN=Two")
    (place / "b.PEM").write_bytes(first)
    (place / "a.cer").write_bytes(certificate.read(second).der)
    (place / "README").write_bytes(first)
    (place / "broken.der").write_bytes(b"no certificate")
    (place / "gone.crt").symlink_to(tmp_path / "nowhere")
    with caplog.at_level(logging.WARNING):
        found = await admin.all()
    assert found == (certificate.read(second), certificate.read(first))
    assert "broken.der: left out of sticks" in caplog.text
    assert "gone.crt: a certificate cannot be read" in caplog.text
