"""What an administrator demands, where keys are found, and what a job keeps of a release."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from luxusbd.catalog.model import Mirror, Release, Trust
from luxusbd.errors import UntrustedError
from luxusbd.jobs.keyring import Keyring, reachable
from luxusbd.jobs.trust import TrustPolicy
from luxusbd.jobs.vouching import name_in_lists, word_params_of
from luxusbd.transfer.makerscodec import claim_from_json
from luxusbd.transfer.model import Claim, Digest

FINGERPRINT = "AB" * 20
URL = "https://example.org/x%20y.iso"
RELEASE = Release(
    version="1",
    release_date="",
    iso_url=URL,
    sha256="a" * 64,
    size_mb=1,
    mirrors=(Mirror(URL),),
    trust=Trust.SIGNED,
    sha512="b" * 128,
    sums_url="https://example.org/SHA256SUMS",
    key_fingerprint=FINGERPRINT,
)


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    for name in ("admin", "packaged"):
        (tmp_path / name).mkdir()
    return Keyring(tmp_path / "admin", tmp_path / "cache", tmp_path / "packaged")


def read(keyring: Keyring) -> bytes | None:
    fd = keyring.open(FINGERPRINT)
    if fd is None:
        return None
    with os.fdopen(fd, "rb") as file:
        return file.read()


def test_the_administrator_s_key_comes_first(keyring: Keyring, tmp_path: Path) -> None:
    assert read(keyring) is None
    keyring.keep(FINGERPRINT, b"fetched")
    assert read(keyring) == b"fetched"
    keyring.keep(FINGERPRINT, b"newer")
    assert read(keyring) == b"newer"
    (tmp_path / "packaged" / f"{FINGERPRINT}.asc").write_bytes(b"packaged")
    assert read(keyring) == b"packaged"
    (tmp_path / "admin" / f"{FINGERPRINT}.gpg").write_bytes(b"admin")
    assert read(keyring) == b"admin"
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [f"{FINGERPRINT}.gpg"]


def test_keys_that_cannot_be_read_or_kept(keyring: Keyring, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "admin" / f"{FINGERPRINT}.asc").symlink_to(f"{FINGERPRINT}.asc")
    (tmp_path / "packaged" / f"{FINGERPRINT}.asc").write_bytes(b"packaged")
    assert read(keyring) == b"packaged"
    assert "a key cannot be read" in caplog.text
    (tmp_path / "cache").write_bytes(b"in the way")
    keyring.keep(FINGERPRINT, b"fetched")
    assert "cannot be kept" in caplog.text


def test_what_can_be_reached_depends_on_the_key(keyring: Keyring, tmp_path: Path) -> None:
    assert keyring.achievable(RELEASE) is Trust.HASH
    assert keyring.achievable(replace(RELEASE, key_url="https://example.org/key")) is Trust.SIGNED
    (tmp_path / "packaged" / f"{FINGERPRINT}.asc").write_bytes(b"key")
    assert keyring.achievable(RELEASE) is Trust.SIGNED
    assert keyring.achievable(replace(RELEASE, trust=Trust.HASH)) is Trust.HASH


def test_the_keys_that_are_held(keyring: Keyring, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert keyring.held() == frozenset()
    (tmp_path / "packaged" / f"{FINGERPRINT}.asc").write_bytes(b"key")
    (tmp_path / "packaged" / "README.txt").write_bytes(b"no key")
    keyring.keep("CD" * 20, b"key")
    assert keyring.held() == {FINGERPRINT, "CD" * 20}
    for release in (RELEASE, replace(RELEASE, key_fingerprint="EF" * 20), replace(RELEASE, trust=Trust.HASH)):
        assert reachable(release, keyring.held().__contains__) is keyring.achievable(release)
    (tmp_path / "admin").rmdir()
    (tmp_path / "admin").write_bytes(b"in the way")
    assert keyring.held() == {FINGERPRINT, "CD" * 20}
    assert "the keys cannot be listed" in caplog.text


@pytest.mark.parametrize("minimum", Trust)
@pytest.mark.parametrize("trust", Trust)
def test_the_order_of_trust(keyring: Keyring, trust: Trust, minimum: Trust) -> None:
    strength = {Trust.NONE: 0, Trust.TLS_ONLY: 1, Trust.HASH: 2, Trust.SIGNED: 3}
    policy = TrustPolicy(keyring, minimum)
    if strength[trust] >= strength[minimum]:
        policy.check("X", trust, "")
    else:
        with pytest.raises(
            UntrustedError, match=rf"X has the trust {trust.value!r}, .*demands {minimum.value!r}.*: why$"
        ):
            policy.check("X", trust, "why")


def test_a_release_that_cannot_be_signed_is_refused_with_the_reason(keyring: Keyring) -> None:
    policy = TrustPolicy(keyring, Trust.SIGNED)
    with pytest.raises(UntrustedError, match=f"no copy of its maker's key {FINGERPRINT} is here"):
        policy.check_release(RELEASE, "X 1")
    with pytest.raises(UntrustedError, match="the catalogue knows no signature for it"):
        policy.check_release(replace(RELEASE, trust=Trust.HASH), "X 1")
    policy.check_release(replace(RELEASE, key_url="https://example.org/key"), "X 1")


def test_what_a_job_keeps() -> None:
    params = word_params_of(RELEASE)
    digests = (Digest("sha256", "a" * 64), Digest("sha512", "b" * 128))
    assert claim_from_json(params["claim"]) == Claim(FINGERPRINT, ("x y.iso",), digests, RELEASE.sums_url, "", "")
    assert (params["file"], params["metalink"]) == ("x y.iso", "")
    assert word_params_of(replace(RELEASE, trust=Trust.HASH))["claim"] is None


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.example/b/c.iso", "c.iso"),
        ("https://sourceforge.net/projects/x/files/c.iso/download", "c.iso"),
        ("https://a.example/download", "download"),
        ("https://a.example/c%2Bd.iso?x=1", "c+d.iso"),
        ("https://a.example/", "image.iso"),
    ],
)
def test_names_in_lists(url: str, name: str) -> None:
    assert name_in_lists(url) == name
