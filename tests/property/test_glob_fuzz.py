"""Every glob that a configuration may have is matched quickly, and as a slow matcher does."""

import json

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from support.examples import examples
from support.slow_glob import matches
from watcher.config.patterns import MAX_GLOB_CHARS, MAX_GLOBS
from watcher.config.schema import parse_spec
from watcher.filters.glob import components_of
from watcher.filters.path_filter import PathFilter
from watcher.spec import MAX_CONFIG_BYTES, Filter

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
"""Pieces of a pattern, each with text that it may match."""

PARTS = ["*", "**/", "a", "?", "*a", "[!b]", "[a-z]", "/", "*/", "**/*a/", "é", "[[-]", "]", "*?"]


def is_glob(pattern: str) -> bool:
    try:
        components_of(pattern)
    except ValueError:
        return False
    return True


@settings(max_examples=examples(300))
@given(st.lists(pieces, min_size=1, max_size=6))
def test_any_glob_says_what_a_slow_matcher_says(chosen: list[tuple[str, str]]) -> None:
    """A pattern of any characters is tried on a path that was made for it."""
    pattern, path = ("".join(part) for part in zip(*chosen, strict=True))
    assume(is_glob(pattern))
    is_admitted = PathFilter(Filter(include=(pattern,))).admits(path.encode())
    assert is_admitted is matches(pattern, path.encode())


@given(st.text(max_size=12), st.binary(max_size=12))
def test_any_text_is_a_glob_or_is_refused(pattern: str, path: bytes) -> None:
    """No text raises anything but ValueError, and no path raises anything."""
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
    """A slow matcher excludes every path below a directory that need not be read."""
    pattern, directory = ("".join(part) for part in zip(*chosen, strict=True))
    pattern += end
    assume(is_glob(pattern))
    if not PathFilter(Filter(exclude=(pattern, "x"))).admits_directory(directory.encode()):
        below = "/".join([directory.removesuffix("/"), *deeper, "name"])
        assert matches(pattern, below.encode())


@settings(max_examples=8)
@given(
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=4),
    st.sampled_from(["", "b", "/", "/**"]),
    st.sampled_from(["a", "a/", "/"]),
)
def test_the_largest_lists_take_no_time(parts: list[str], end: str, filling: str) -> None:
    """As many of the longest globs as a configuration holds; the time limit is some hundredfold."""
    piece = "".join(parts)
    longest = piece * ((MAX_GLOB_CHARS - len(end) - 2) // len(piece)) + end
    assume(is_glob(longest))
    copies = MAX_CONFIG_BYTES // len(longest)
    globs = tuple(f"{longest}{number}" for number in range(copies))
    path_filter = PathFilter(Filter(include=globs))
    for path in (filling * PATH_BYTES, f"{filling}b" * PATH_BYTES):
        path_filter.admits(path[:PATH_BYTES].encode())


def test_the_largest_lists_are_accepted() -> None:
    """Larger ones are refused, see ``tests/unit/config``."""
    longest = "re:" + r"^[a-z]+\.(csv|json)$|" * 7
    assert len(longest) < MAX_GLOB_CHARS
    for include in (
        ["a" * MAX_GLOB_CHARS],
        ["a"] * MAX_GLOBS,
        [f"{longest}{number}" for number in range(80)],
        [r"re:^in/\d{4}/(?i)\pL+[.]csv$"] * MAX_GLOBS,
    ):
        config = json.dumps({"directory": "/data", "include": include}).encode()
        assert parse_spec(config).filter.include == tuple(include)
