"""Lists of hashes in the ways in which they are published."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luxusbd.errors import LuxusbError, MalformedImageError, VerificationError
from luxusbd.transfer.sums import ALGORITHMS, Sum, all_sums, find_sums, hinted, signed_part

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


# Which algorithm a hash is of

OTHER_LONG = "d4" * 64
SECTIONED = f"""### MD5SUMS:
{"0" * 32}  x.iso

### SHA256SUMS:
{A}  x.iso
{B}  y.iso

### BLAKE3SUMS:
{B}  x.iso
{A}  y.iso

### SHA512SUMS:
{LONG}  x.iso

### BLAKE2bSUMS:
{OTHER_LONG}  x.iso
"""
COMMENTED = f"""# BLAKE2B HASH
{OTHER_LONG}  x.iso
# SHA512 HASH
{LONG}  x.iso
# WHIRLPOOL HASH
{OTHER_LONG}  x.iso
"""
ALL = {("sha512", LONG), ("blake2b", OTHER_LONG)}


def test_headings_decide_and_not_the_length() -> None:
    assert {(entry.algorithm, entry.digest) for entry in all_sums(SECTIONED, NAMES)} == {("sha256", A), *ALL}
    assert {(entry.algorithm, entry.digest) for entry in all_sums(COMMENTED, NAMES)} == ALL
    assert find_sums(SECTIONED, NAMES) == (Sum("x.iso", "sha512", LONG),)


@pytest.mark.parametrize("heading", ["# Fedora", "# x.iso: 123456 bytes", "#", "note:", "Hash: SHA512", "# comment"])
def test_what_is_no_heading(heading: str) -> None:
    assert all_sums(f"SHA256SUMS:\n{heading}\n{A}  x.iso\n", NAMES) == RIGHT


@pytest.mark.parametrize(
    ("line", "algorithm"),
    [
        (f"SHA256 (x.iso) = {A}", "sha256"),
        (f"SHA2-256 (x.iso) = {A}", "sha256"),
        (f"BLAKE2b (x.iso) = {LONG}", "blake2b"),
        (f"BLAKE2b-512 (x.iso) = {LONG}", "blake2b"),
        (f"SHA512 (x.iso) = {LONG}", "sha512"),
        (f"SHA384(x.iso)= {'e5' * 48}", "sha384"),
        (f"BLAKE3 (x.iso) = {A}", ""),
        (f"SHA512/256 (x.iso) = {A}", ""),
        (f"SHA3-256 (x.iso) = {A}", ""),
        (f"BLAKE2b-256 (x.iso) = {A}", ""),
        (f"SHA256 (x.iso) = {LONG}", ""),
        (f"SM3 (x.iso) = {A}", ""),
    ],
)
def test_the_algorithm_in_front_of_the_name(line: str, algorithm: str) -> None:
    if algorithm:
        assert [entry.algorithm for entry in all_sums(line, NAMES)] == [algorithm]
    else:
        with pytest.raises(MalformedImageError, match="holds no hash"):
            all_sums(line, NAMES)


@pytest.mark.parametrize(
    ("listed_as", "digest", "algorithm"),
    [
        ("SHA512SUMS", LONG, "sha512"),
        ("b2sums.txt", LONG, "blake2b"),
        ("B2SUMS", LONG, "blake2b"),
        ("x.iso.blake2b", LONG, "blake2b"),
        ("CHECKSUM", LONG, "sha512"),
        ("sha256-of-b2sums", LONG, "blake2b"),
        ("x.iso.sha256", A, "sha256"),
        ("b2sums.txt", A, "sha256"),
        ("x.blake3", A, ""),
        ("SHA3-512SUMS", LONG, ""),
    ],
)
def test_the_name_of_the_list(listed_as: str, digest: str, algorithm: str) -> None:
    for text in (f"{digest}  x.iso\n{digest}  y.iso\n", digest):
        if algorithm:
            assert [entry.algorithm for entry in all_sums(text, NAMES, listed_as)] == [algorithm]
        else:
            with pytest.raises(MalformedImageError, match="holds no hash"):
                all_sums(text, NAMES, listed_as)


def test_guesses_about_lists() -> None:
    assert hinted("https://a.example/sha256/SHA512SUMS") == "sha512"
    assert hinted("https://a.example/b2sums.txt") == "blake2b"
    assert hinted("https://a.example/x-CHECKSUM") == hinted("https://a.example/x.sha384") == hinted("") == ""


DIALECTS = {
    "gnu": lambda name, algorithm, digest: f"{digest}  {name}",
    "gnu-binary": lambda name, algorithm, digest: f"{digest} *{name}",
    "bsd": lambda name, algorithm, digest: f"{algorithm.upper()} ({name}) = {digest}",
    "openssl": lambda name, algorithm, digest: f"{algorithm.upper()}({name})= {digest}",
    "in-a-directory": lambda name, algorithm, digest: f"{digest}  ./images/{name}",
    "sectioned": lambda name, algorithm, digest: f"### {algorithm.upper()}SUMS:\n{digest}  {name}\n",
    "commented": lambda name, algorithm, digest: f"# {algorithm.upper()} HASH\n{digest}  {name}",
}
FILES = st.dictionaries(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,20}\.iso", fullmatch=True),
    st.tuples(st.sampled_from(["sha256", "sha384", "sha512", "blake2b"]), st.binary(min_size=64, max_size=64)),
    min_size=2,
    max_size=6,
)


@pytest.mark.parametrize("dialect", DIALECTS)
@given(files=FILES, ending=st.sampled_from(["\n", "\r\n"]), framed=st.booleans(), noise=st.booleans())
def test_every_dialect_is_read_as_it_was_written(
    dialect: str, files: dict[str, tuple[str, bytes]], ending: str, framed: bool, noise: bool
) -> None:
    digests = {
        name: (algorithm, raw.hex()[: ALGORITHMS[algorithm]])
        for name, (algorithm, raw) in files.items()
        # a plain line of 128 digits is SHA-512
        if algorithm != "blake2b" or dialect in ("bsd", "openssl", "sectioned", "commented")
    }
    lines = [DIALECTS[dialect](name, algorithm, digest) for name, (algorithm, digest) in digests.items()]
    if noise:
        lines = [line for written in lines for line in ("# a file: 123 bytes", written, "")]
    text = "\n".join(lines) + "\n"
    if framed:
        text = (
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n"
            + text
            + "-----BEGIN PGP SIGNATURE-----\n\niQ\n-----END PGP SIGNATURE-----\n"
        )
    text = text.replace("\n", ending)
    for name, (algorithm, digest) in digests.items():
        assert all_sums(signed_part(text), [name]) == (Sum(name, algorithm, digest),)
