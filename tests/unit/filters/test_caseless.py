"""Letters and names that are equal without case."""

import unicodedata

import pytest

from watcher.filters.caseless import fold, folded, folds_outside
from watcher.filters.path_filter import PathFilter
from watcher.spec import Filter


@pytest.mark.parametrize(
    ("letters", "other"),
    [
        ("aA", "bB"),
        ("kK\u212a", "x"),
        ("s\u017fS", "ß"),
        ("ß\u1e9e", "s"),
        ("σςΣ", "s"),
        ("iI", "\u0131\u0130"),
        ("\u0131", "i"),
        ("\u0130", "i"),
        ("éÉ", "e"),
        ("å\u212bÅ", "a"),
        ("ᾳᾼ", "ω"),
        ("\u0149", "n"),
        ("дД", "т"),
        ("\uab70\u13a0", "a"),
    ],
)
def test_letters_that_are_equal(letters: str, other: str) -> None:
    """As globs, in classes and as expressions; no other letter is equal."""
    assert len({folded(letter.encode()) for letter in letters}) == 1
    for pattern in letters:
        for text in (
            pattern,
            f"[{pattern}]",
            f"re:^{pattern}$",
            f"re:^[{pattern}]$",
            f"*{pattern}",
        ):
            admits = PathFilter(Filter((text,), match_case=False)).admits
            assert all(admits(letter.encode()) for letter in letters), text
            assert not any(admits(letter.encode()) for letter in other), text
        admits = PathFilter(Filter((f"[!{pattern}]",), match_case=False)).admits
        assert not any(admits(letter.encode()) for letter in letters)
        assert all(admits(letter.encode()) for letter in other)


def test_folding_keeps_the_length() -> None:
    text = "".join(map(chr, range(0x3000)))
    assert len(fold(text)) == len(text)
    assert fold(fold(text)) == fold(text)
    assert folded(b"A\xc3\xff") == b"a\xc3\xff"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        ("A", "Z", [("a", "z")]),
        ("Q", "q", [("r", "z")]),
        ("a", "z", []),
        ("À", "Þ", [("à", "ö"), ("ø", "þ")]),
        ("\u0170", "\u017f", [("s", "s"), ("ÿ", "ÿ")]),
        ("\0", "\U0010ffff", []),
        ("\u2100", "\u2130", [("k", "k"), ("å", "å"), ("ω", "ω")]),
    ],
)
def test_what_a_range_is_without_case(low: str, high: str, expected: list[tuple[str, str]]) -> None:
    assert folds_outside(low, high) == expected


CASELESS = [
    ("*.csv", "A.CSV", True),
    ("*.CSV", "x/a.cSv", True),
    ("TMP/", "x/tmp/a", True),
    ("/Old/**", "OLD/a/b", True),
    ("/Old/**", "x/OLD/a", False),
    ("[A-C]x", "bX", True),
    ("[!A-C]x", "bX", False),
    ("[!A-C]x", "dX", True),
    ("[Z-a]x", "zx", True),
    ("[Z-a]x", "_x", True),
    ("[Z-a]x", "bx", False),
    ("[.-0]", "/", False),
    ("r?sum?.csv", "RE\u0301SUME\u0301.CSV", True),
    ("r?sum?.csv", "R\u00c9SUM\u00c9.CSV", True),
    ("re\u0301sume\u0301*", "R\u00c9SUM\u00c9.CSV", True),
    ("[e\u0301]*a", "\u00c9cola", True),
    ("*\u00e9", "e\u0301", True),
    ("*\u00e9", "e", False),
    ("?", "e\u0301", True),
    ("?", "q\u0301", False),
    ("??", "q\u0301", True),
    ("straße", "STRA\u1e9eE", True),
    ("straße", "STRASSE", False),
    ("ab*BA", "aBA", False),
    ("ab*BA", "aBbA", True),
]


@pytest.mark.parametrize(("pattern", "path", "expected"), CASELESS)
def test_globs_without_case(pattern: str, path: str, *, expected: bool) -> None:
    for form in ("NFC", "NFD"):
        raw = unicodedata.normalize(form, path).encode()
        assert PathFilter(Filter((pattern,), match_case=False)).admits(raw) is expected
        excluding = PathFilter(Filter(exclude=(pattern,), match_case=False))
        assert excluding.admits(raw) is not expected


def test_directories_without_case() -> None:
    """Few names and many, which are found in different ways; and what is not read."""
    for count in (1, 5):
        globs = tuple(f"Tmp\u00c9{number}/" for number in range(count))
        excluding = PathFilter(Filter(exclude=globs, match_case=False))
        assert not excluding.admits("x/tMPe\u03010/a".encode())
        assert not excluding.admits_directory("x/tMPe\u03010".encode())
        assert excluding.admits_directory(b"x/tmp0")


def test_temporary_names_have_their_case() -> None:
    """They are what programs write, whatever the case of the patterns."""
    skipping = PathFilter(Filter(("*.PART",), match_case=False), skips_temporary=True)
    assert not skipping.admits(b"a.part")
    assert skipping.admits(b"a.PART")


def test_bytes_that_are_no_text() -> None:
    folding = PathFilter(Filter(("A?\u00c9",), match_case=False))
    assert folding.admits(b"a\xffe\xcc\x81")
    assert folding.admits(b"A\xc3\xc3\xa9")
    assert not folding.admits(b"a\xff\xff\xc3\xa9")
