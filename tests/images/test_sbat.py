from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from luxusbd.images.sbat import levels, revoked
from tests.images.builders import x86_kernel

SBAT = "sbat,1,SBAT Version,sbat,1,https://example.org\ngrub,4,FSF,grub,2.06,url\ngrub.debian,5,Debian,grub2,2.06,url\n"


def of(data: bytes) -> dict[str, int]:
    return levels(lambda offset, limit: data[offset : offset + limit])


def test_the_levels_of_a_program() -> None:
    assert of(x86_kernel(sbat=SBAT)) == {"sbat": 1, "grub": 4, "grub.debian": 5}
    assert of(x86_kernel(signer=b"somebody")) == {}
    assert of(x86_kernel(sbat="grub\ngrub,x\ngrub,99999999999\n,\nshim,3")) == {"shim": 3}


def test_what_newer_machines_refuse() -> None:
    assert list(revoked({"shim": 4, "grub": 5, "grub.debian": 1})) == []
    assert list(revoked({"shim": 3, "grub": 4})) == [("shim", 3), ("grub", 4)]
    assert list(revoked({})) == []


@given(st.binary(max_size=200), st.integers(0, 600))
def test_broken_programs_have_none(noise: bytes, at: int) -> None:
    data = bytearray(x86_kernel(sbat=SBAT))
    data[at : at + len(noise)] = noise
    assert all(level >= 0 for level in of(bytes(data)).values())
    assert of(noise) == {}
    assert of(bytes(data[: at + 1])) == {}


def test_a_section_table_that_leaves_the_head() -> None:
    data = bytearray(x86_kernel(sbat=SBAT))
    struct.pack_into("<H", data, 0x94, 0xFFFF)
    assert of(bytes(data)) == {}
