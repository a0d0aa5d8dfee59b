"""Lists of hashes in the ways in which they are published."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.errors import LuxusbError, MalformedImageError, VerificationError
from luxusbd.transfer.sums import Sum, find_sums, signed_part

A, B = "a1" * 32, "b2" * 32
LONG = "c3" * 64
NAMES = ("x.iso",)
RIGHT = (Sum("x.iso", "sha256", A),)


@pytest.mark.parametrize(
    "text",
    [
        f"{A}  x.iso\n{B}  y.iso\n",
        f"{B} *y.iso\r\n{A.upper()} *x.iso\r\n",
        f"{A}  ./amd64/x.iso",
        f"{A}\tx.iso",
        f"# a comment\nSHA256 (y.iso) = {B}\nSHA256 (x.iso) = {A}\n",
        f"SHA256(x.iso)= {A}",
        f"SHA2-256(dir/x.iso)= {A}",
        f"d41d8cd98f00b204e9800998ecf8427e  x.iso\n{A}  x.iso\n",
        f"\ufeff{B}  y.iso\n{A}  x.iso".lstrip("\ufeff"),
    ],
)
def test_a_name_that_is_there(text: str) -> None:
    assert find_sums(text, NAMES) == RIGHT


def test_names_with_odd_characters() -> None:
    assert find_sums(f"{A}  my own (1).iso\n{B}  y", ["my own (1).iso"])[0].digest == A
    assert find_sums(f"SHA256 (my own (1).iso) = {A}\nSHA256 (y) = {B}", ["my own (1).iso"])[0].digest == A
    assert find_sums(f"\\{A}  a\\\\b\\nc.iso\n{B}  y", ["a\\b\nc.iso"])[0].digest == A


def test_the_strongest_hash_counts() -> None:
    assert find_sums(f"{A}  x.iso\n{LONG}  x.iso\n", NAMES) == (Sum("x.iso", "sha512", LONG),)


def test_two_names_of_one_file() -> None:
    text = f"{A}  x.iso.xz\n{B}  x.iso\n{B}  z"
    assert find_sums(text, ("x.iso.xz", "x.iso")) == (Sum("x.iso.xz", "sha256", A), Sum("x.iso", "sha256", B))


@pytest.mark.parametrize("text", [A, f"\n{A.upper()}\n", f"{A}  other.iso\n", f"{A}  other.iso\n{A}  other.iso\n"])
def test_a_list_of_one_file_is_about_this_one(text: str) -> None:
    (found,) = find_sums(text, NAMES)
    assert (found.algorithm, found.digest) == ("sha256", A)


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("", MalformedImageError, "holds no hash"),
        ("<html>Not found</html>", MalformedImageError, "is it the right file"),
        ("d41d8cd98f00b204e9800998ecf8427e  x.iso", MalformedImageError, "MD5 alone, which prove nothing"),
        ("da39a3ee5e6b4b0d3255bfef95601890afd80709  x.iso", MalformedImageError, "SHA-1 alone"),
        (f"{A}  y.iso\n{B}  z.iso\n", VerificationError, r"does not name x\.iso; it names y\.iso, z\.iso\."),
        ("\n".join(f"{A}  {n}.iso" for n in range(50)), VerificationError, "5.iso and 44 more"),
        (f"{A}  x.iso\n{B}  x.iso\n", VerificationError, r"more than one sha256 for x\.iso"),
        (f"{A}  one/x.iso\n{B}  two/x.iso\n", VerificationError, "more than one sha256"),
        (f"{A}\n{B}\n", MalformedImageError, "holds no hash"),
        (f"{A[:-1]}  x.iso", MalformedImageError, "holds no hash"),
    ],
)
def test_lists_that_do_not_help(text: str, kind: type[LuxusbError], said: str) -> None:
    with pytest.raises(kind, match=said):
        find_sums(text, NAMES)


SIGNED = f"""{B}  x.iso
-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

# Fedora
- - dashes
SHA256 (x.iso) = {A}
-----BEGIN PGP SIGNATURE-----

iQ
-----END PGP SIGNATURE-----
{B}  x.iso
"""


def test_the_part_in_the_frame() -> None:
    assert find_sums(signed_part(SIGNED), NAMES) == RIGHT
    assert "\n- dashes\n" in signed_part(SIGNED)
    assert signed_part("no frame") == "no frame"


@given(st.text(max_size=400))
def test_any_text(text: str) -> None:
    try:
        found = find_sums(signed_part(text), NAMES)
    except (MalformedImageError, VerificationError):
        return
    assert found


@given(st.dictionaries(st.text("abc/ ()=*\\.", min_size=1, max_size=12), st.integers(0, 2**256 - 1), min_size=1))
def test_what_coreutils_writes(entries: dict[str, int]) -> None:
    """Every line of a list in the way of GNU is found under its name, unless two files of a name differ."""
    names = {
        name.strip(): number for name, number in entries.items() if not name.strip().endswith("/") and name.strip()
    }
    lines = []
    for name, number in names.items():
        escaped = name.replace("\\", "\\\\")
        lines.append(f"{chr(92) if escaped != name else ''}{number:064x}  {escaped}")
    for name, number in names.items():
        base = name.rpartition("/")[2]
        if sum(other.rpartition("/")[2] == base for other in names) == 1:
            assert find_sums("\n".join(lines), [base])[0].digest == f"{number:064x}"
