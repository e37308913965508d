"""Whatever glob the limits admit, it is compiled and matched in no time, and says what a slow matcher says."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from support.examples import examples
from support.slow_glob import matches
from watcher.config.schema import parse_spec
from watcher.errors import ConfigError
from watcher.filters.glob import components_of, directory_of, expression, searched_characters
from watcher.filters.path_filter import PathFilter, check_pattern
from watcher.spec import Filter

MOST_CHARACTERS, MOST_PATTERNS, MOST_SEARCHED = 1000, 1000, 500
"""The limits of a configuration."""
FITTING = 60_000
"""So many characters fit into one."""
PATH_BYTES = 4095

characters = st.sampled_from("ab/-.é]![*?") | st.characters(codec="utf-8", exclude_characters="\0")
names = st.text(characters.filter(lambda character: character != "/"), max_size=3)
paths = st.lists(names, max_size=2).map("/".join)
pieces = (
    st.tuples(st.just("*"), names)
    | st.tuples(st.just("**"), paths)
    | st.tuples(st.just("/**/"), paths.map("/{}/".format) | st.just("/"))
    | st.tuples(st.just("?"), characters)
    | st.tuples(st.sampled_from(["[a-c]", "[!a-c]", "[*]", "[]x-]", "[à-ü]"]), characters)
    | characters.map(lambda character: (character, character))
)
"""Of a pattern, each with what it may stand for."""

PARTS = ["*", "**/", "a", "?", "*a", "[!b]", "[a-z]", "/", "*/", "**/*a/", "é", "[[-]", "]", "*?"]


def is_glob(pattern: str) -> bool:
    """Tell whether a pattern is one."""
    try:
        check_pattern(pattern)
    except ValueError:
        return False
    return True


@settings(max_examples=examples(300))
@given(st.lists(pieces, min_size=1, max_size=6))
def test_any_glob_says_what_a_slow_matcher_says(chosen: list[tuple[str, str]]) -> None:
    """A pattern of any characters, tried on a path that it was made for, is read as its description reads it."""
    pattern, path = ("".join(part) for part in zip(*chosen, strict=True))
    assume(is_glob(pattern))
    assert PathFilter(Filter(include=(pattern,))).admits(path.encode()) is matches(
        pattern, path.encode()
    )


@given(st.text(max_size=12), st.binary(max_size=12))
def test_any_text_is_a_glob_or_is_refused(pattern: str, path: bytes) -> None:
    """No text raises anything but what says that it is no glob, and no bytes raise anything when they are matched."""
    assume(is_glob(pattern))
    PathFilter(Filter(include=(pattern,), exclude=(f"{pattern}/x",))).admits(path)


@settings(max_examples=examples(300))
@given(
    st.lists(pieces, min_size=1, max_size=6),
    st.sampled_from(["", "/", "/**"]),
    st.lists(names, max_size=2),
)
def test_no_path_below_a_pruned_directory_counts(
    chosen: list[tuple[str, str]], end: str, deeper: list[str]
) -> None:
    """A directory that need not be read, made for the pattern, has nothing below it that a slow matcher would let count."""
    pattern, directory = ("".join(part) for part in zip(*chosen, strict=True))
    pattern += end
    assume(is_glob(pattern))
    if not PathFilter(Filter(exclude=(pattern, "x"))).admits_directory(directory.encode()):
        below = "/".join([directory.removesuffix("/"), *deeper, "name"])
        assert matches(pattern, below.encode())


@settings(max_examples=examples(300))
@given(st.lists(pieces, min_size=1, max_size=6))
def test_what_is_not_counted_is_not_searched_for(chosen: list[tuple[str, str]]) -> None:
    """An expression tries nothing at several places, which takes a lazy quantifier, unless its glob is counted or a plain directory."""
    pattern = "".join(part for part, _ in chosen)
    assume(is_glob(pattern))
    components = components_of(pattern)
    is_lazy = directory_of(components) is None and "*?" in expression(components).replace("\\*", "")
    assert is_lazy is (searched_characters([pattern]) > 0)


@pytest.mark.timeout(300)
@settings(max_examples=8)
@given(
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=4),
    st.sampled_from(["", "b", "/", "/**"]),
    st.sampled_from(["a", "a/", "/"]),
)
def test_the_largest_globs_take_no_time(parts: list[str], end: str, filling: str) -> None:
    """As many of the longest patterns as a configuration takes are compiled and matched; the limit is some hundredfold."""
    piece = "".join(parts)
    longest = piece * ((MOST_SEARCHED - len(end) - 9) // len(piece)) + end
    assume(is_glob(longest))
    copies = 1 if searched_characters([longest]) else FITTING // len(longest)
    path_filter = PathFilter(
        Filter(include=tuple(f"{longest}{number}" for number in range(copies)))
    )
    for path in (filling * PATH_BYTES, f"{filling}b" * PATH_BYTES):
        path_filter.admits(path[:PATH_BYTES].encode())


def test_larger_globs_are_refused() -> None:
    """A configuration admits no longer pattern, no more of them, and no more that are searched for, than are tried here."""
    longest = "a" * MOST_CHARACTERS
    for include, is_admitted in (
        ([longest], True),
        ([f"{longest}a"], False),
        (["a"] * MOST_PATTERNS, True),
        (["a"] * (MOST_PATTERNS + 1), False),
        ([f"orders-{number}-*.csv" for number in range(MOST_PATTERNS)], True),
        ([f"**/{'a' * (MOST_SEARCHED - 5)}/b"], True),
        ([f"**/{'a' * (MOST_SEARCHED - 4)}/b"], False),
    ):
        config = f"directory: /data\ninclude: [{', '.join(map(repr, include))}]".encode()
        if is_admitted:
            assert len(parse_spec(config).filter.include) == len(include)
        else:
            with pytest.raises(ConfigError, match=r"at most|they may"):
                parse_spec(config)
