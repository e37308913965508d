"""Globs and expressions, with case and without, admit what a plain model says."""

import re
import unicodedata
from contextlib import suppress
from functools import cache

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from support.examples import examples
from support.slow_glob import matches
from watcher.filters.expressions import check_expression
from watcher.filters.glob import components_of
from watcher.filters.path_filter import PathFilter
from watcher.spec import Filter

LETTERS = "aAbBkK\u212aeEéÉßẞςΣ\u0131\u0130/-._\n\xe5\u212b"
"""Letters of which several are one without case, some of them only when composed."""

names = st.text(st.sampled_from(LETTERS), max_size=4)
marks = st.lists(
    st.sampled_from([*LETTERS, "e\u0301", "E\u0301", "a\u030a", "q\u0301"]), max_size=6
)
paths = marks.map("".join).filter(bool)
raw_paths = paths.map(str.encode) | st.tuples(
    paths, st.sampled_from([b"\xff", b"\xc3", b"\x80"]), paths
).map(lambda parts: parts[0].encode() + parts[1] + parts[2].encode())

literals = st.sampled_from(["a", "B", "k", "é", "E\u0301", "ß", "Σ", "\u0131", "_", "-"])
classes = st.sampled_from(
    ["[a-c]", "[A-C]", "[!a-c]", "[Z-a]", "[é]", "[!É]", "[à-ü]", "[k_]", "[ς]"]
)
globs = st.lists(
    literals | classes | st.sampled_from(["*", "**/", "/", "?"]), min_size=1, max_size=5
).map("".join)

ATOMS = {
    ".": ".",
    "[a-c]": "[a-c]",
    "[^a-c]": "[^a-c]",
    "[éß]": "[éß]",
    r"\.": r"\.",
    "/": "/",
    "(?:a|É)": "(?:a|É)",
    "Σ": "Σ",
    "k": "k",
    "^": r"\A",
    "$": r"\Z",
}
"""Pieces of expressions as RE2 has them, and as Python does."""
atoms = st.sampled_from(list(ATOMS.items()))
pieces = st.tuples(atoms, st.sampled_from(["", "", "*", "+?", "{2}"])).filter(
    lambda piece: piece[0][0] not in "^$" or not piece[1]
)
expressions = st.lists(pieces, min_size=1, max_size=4).map(
    lambda chosen: tuple("".join(atom[side] + again for atom, again in chosen) for side in (0, 1))
)


@cache
def variants(char: str) -> tuple[str, ...]:
    """Return the letters that are one with a letter, of all below U+2200."""
    folded = char.casefold()
    return tuple(each for each in map(chr, range(0x2200)) if each.casefold() == folded) or (char,)


def is_in_class(symbol: str, char: str) -> bool:
    members = symbol.strip("[]").removeprefix("!")
    found = any(re.fullmatch(f"[{members}]", each) for each in variants(char))
    return found is not symbol.startswith("[!")


def matches_without_case(pattern: str, text: str) -> bool:
    """Match a glob of ``globs`` on a composed text, letter by letter."""
    symbols = re.findall(r"\[[^]]*]|\*\*/|.", pattern, re.DOTALL)
    if "/" not in pattern.removesuffix("/"):
        symbols.insert(0, "**/")
    return matches_symbols(symbols, text)


def matches_symbols(symbols: list[str], text: str) -> bool:
    if not symbols:
        return not text
    first, *rest = symbols
    if first == "**/":
        starts = [0, *(found.end() for found in re.finditer("/", text))]
        return any(matches_symbols(rest, text[start:]) for start in starts)
    if first == "*":
        width = len(text.partition("/")[0])
        return any(matches_symbols(rest, text[start:]) for start in range(width + 1))
    if not text:
        return False
    char = text[0]
    if char == "/" or first == "/":
        is_same = char == first
    elif len(first) > 1:
        is_same = is_in_class(first, char)
    else:
        is_same = first == "?" or first in variants(char)
    return is_same and matches_symbols(rest, text[1:])


def is_plain(pattern: str) -> bool:
    """Return whether ``matches_without_case`` knows all that a glob has."""
    if re.search(r"\*\*(?!/)|(?<![/])(?<!^)\*\*/", pattern) or pattern.startswith("/"):
        return False
    if pattern.endswith("/"):
        return False
    try:
        components_of(pattern)
    except ValueError:
        return False
    return True


def composed(raw: bytes) -> str:
    return unicodedata.normalize("NFC", raw.decode("utf-8", "surrogateescape"))


@settings(max_examples=examples(200))
@given(globs, raw_paths)
@example("[Z-a]*", b"z")
@example("e\u0301", "É".encode())
def test_globs(pattern: str, raw: bytes) -> None:
    assume(is_plain(pattern))
    assert PathFilter(Filter((pattern,))).admits(raw) is matches(pattern, raw)
    expected = matches_without_case(unicodedata.normalize("NFC", pattern), composed(raw))
    folding = PathFilter(Filter((pattern,), match_case=False))
    assert folding.admits(raw) is expected
    below = PathFilter(Filter(exclude=(f"{pattern}/**",), match_case=False))
    if not below.admits_directory(raw):
        assert not below.admits(raw + b"/" * (not raw.endswith(b"/")) + b"x")


@settings(max_examples=examples(200))
@given(expressions, raw_paths)
def test_expressions(expression: tuple[str, str], raw: bytes) -> None:
    theirs, ours = expression
    pattern = f"re:{theirs}"
    check_expression(pattern)
    text = raw.decode("utf-8", "surrogateescape")
    expected = re.search(ours, text, re.DOTALL) is not None
    assert PathFilter(Filter((pattern,))).admits(raw) is expected
    # Python takes the Turkish letters for an i, of which no expression here has one.
    expected = re.search(ours, composed(raw), re.DOTALL | re.IGNORECASE) is not None
    assert PathFilter(Filter((pattern,), match_case=False)).admits(raw) is expected


@settings(max_examples=examples(100))
@given(st.lists(expressions, min_size=1, max_size=3), st.lists(globs, max_size=2), raw_paths)
def test_a_list_matches_what_one_of_it_matches(
    chosen: list[tuple[str, str]], others: list[str], raw: bytes
) -> None:
    """Joining expressions to one changes none of them."""
    patterns = [f"re:{theirs}" for theirs, _ in chosen] + [
        each for each in others if is_plain(each)
    ]
    for match_case in (True, False):
        alone = [PathFilter(Filter((each,), match_case=match_case)) for each in patterns]
        together = PathFilter(Filter(tuple(patterns), match_case=match_case))
        assert together.admits(raw) is any(each.admits(raw) for each in alone)


@settings(max_examples=examples(100))
@given(names, raw_paths)
def test_a_glob_and_an_expression_of_the_same_letters_agree(name: str, raw: bytes) -> None:
    assume(name and "/" not in name and "\n" not in name)
    glob, expression = f"**/{name}", f"re:(?:^|/){re.escape(name)}$"
    for match_case in (True, False):
        for path in (raw, raw + b"/" + name.encode(), b"x/" + name.swapcase().encode()):
            found = [
                PathFilter(Filter((each,), match_case=match_case)).admits(path)
                for each in (glob, expression)
            ]
            assert found[0] is found[1], path


@settings(max_examples=examples(200))
@given(st.text(st.sampled_from(r"ab()[]{}*+?|\^$.,:=!<>-PQEiz01é"), max_size=12))
def test_any_text_is_an_expression_or_is_refused_with_a_place(text: str) -> None:
    """The place is within the text."""
    with suppress(ValueError):
        check_expression(f"re:{text}")
        return
    with pytest.raises(ValueError, match=r"^(has|must have|ends with|is too large)") as caught:
        check_expression(f"re:{text}")
    place = re.search(r"at character (\d+)", str(caught.value))
    assert 1 <= int(place[1]) <= len(text) if place else "have" in str(caught.value)
