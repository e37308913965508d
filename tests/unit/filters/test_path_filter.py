"""The paths that include and exclude globs admit, by tables and by a slow matcher."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from support.slow_glob import matches
from watcher.filters.glob import components_of
from watcher.filters.path_filter import PathFilter, _chunks
from watcher.spec import Filter

MATCHES = [
    # A pattern without a slash is the last name, at any depth.
    ("*.csv", b"a.csv", True),
    ("*.csv", b"in/deep/a.csv", True),
    ("*.csv", b".csv", True),
    ("*.csv", b"a.CSV", False),
    ("*.csv", b"a.csv/b", False),
    ("*.csv", b"a.csv/", False),
    ("orders", b"x/orders", True),
    ("orders", b"orders/x", False),
    ("a*b*c", b"x/a1b2b3c", True),
    ("a*b*c", b"a1b2c3", False),
    ("ab*ba", b"aba", False),
    ("a*b*ba", b"aba", False),
    ("?*?", b"x/a", False),
    ("?*?", b"x/ab", True),
    ("*[!b]", b"a/", False),
    ("/*a/*a", b"a/a", True),
    ("/*aa/b", b"a/a/b", False),
    ("*", b"x/.hidden", True),
    ("**", b"a/b", True),
    ("**.csv", b"x/a.csv", True),
    # With a slash it is the whole path; a leading one only anchors.
    ("/a.csv", b"a.csv", True),
    ("/a.csv", b"x/a.csv", False),
    ("/*", b"a/b", False),
    ("in/*.csv", b"in/a.csv", True),
    ("in/*.csv", b"in/x/a.csv", False),
    ("in/*.csv", b"x/in/a.csv", False),
    # Two stars are any number of components, also none; at the end at least one.
    ("2026/**/*.json", b"2026/a.json", True),
    ("2026/**/*.json", b"2026/01/02/a.json", True),
    ("2026/**/*.json", b"2025/a.json", False),
    ("**/tmp/**", b"tmp/a", True),
    ("**/tmp/**", b"x/tmp/y/a", True),
    ("**/tmp/**", b"x/tmp", False),
    ("**/tmp/**", b"xtmp/a", False),
    ("**/a/b", b"a/a/b", True),
    ("**/a/**/a/b", b"a/a/c/b", False),
    ("a/**/**/b", b"a/b", True),
    ("**/*", b"a", True),
    # A trailing slash is everything below.
    ("tmp/", b"x/tmp/a", True),
    ("tmp/", b"x/tmp/y/a", True),
    ("tmp/", b"tmp", False),
    ("tmp/", b"a/tmp", False),
    ("/**/é/**", "x/é/a".encode(), True),
    ("/old/", b"x/old/a", False),
    ("a/tmp/", b"a/tmp/x", True),
    ("a/tmp/", b"x/a/tmp/y", False),
    # Classes.
    ("[a-c]x", b"bx", True),
    ("[a-c]x", b"dx", False),
    ("[!a-c]x", b"dx", True),
    ("[!a]", b"x/a", False),
    ("a[!b]c", b"a/c", False),
    ("a[+-9]c", b"a/c", False),
    ("a[+-9]c", b"a.c", True),
    ("a[+-9]c", b"a0c", True),
    ("a[.-0]c", b"a/c", False),
    ("[*]", b"*", True),
    ("[*]", b"a", False),
    ("[]a]", b"]", True),
    ("[!]a]", b"]", False),
    ("[a-]", b"-", True),
    ("[^a]", b"^", True),
    ("[[]", b"[", True),
    ("a]", b"a]", True),
    # Everything else is itself.
    ("a.c", b"abc", False),
    ("{a,b}", b"a", False),
    ("a\\*", b"a\\b", True),
    # One character is one code point, or one byte that is not UTF-8.
    ("?", "é".encode(), True),
    ("??", "é".encode(), False),
    ("?", b"\xff", True),
    ("?", b"\xc3", True),
    ("[à-ü]", "é".encode(), True),
    ("é*", "été".encode(), True),
    ("*é", b"\xc3\xc3\xa9", True),
    ("a?c", b"a\nc", True),
    ("a*", b"a\n", True),
    ("a?c", b"a/c", False),
    # Keys in S3 may have empty components.
    ("a/*/b", b"a//b", True),
    ("a/b", b"a//b", False),
    ("a/**/b", b"a//b", True),
    ("/a", b"/a", False),
    ("//a", b"/a", True),
    ("tmp/", b"tmp/", True),
    ("*.csv", b"/a.csv", True),
]


@pytest.mark.parametrize(("pattern", "path", "expected"), MATCHES)
def test_an_include_pattern_admits_what_it_matches(
    pattern: str, path: bytes, *, expected: bool
) -> None:
    assert PathFilter(Filter(include=(pattern,))).admits(path) is expected


@pytest.mark.parametrize(("pattern", "path", "expected"), MATCHES)
def test_an_exclude_pattern_keeps_out_what_it_matches(
    pattern: str, path: bytes, *, expected: bool
) -> None:
    assert PathFilter(Filter(exclude=(pattern,))).admits(path) is not expected


def test_an_empty_filter_admits_everything() -> None:
    everything = PathFilter(Filter())
    assert everything.admits(b"\xff/\n//")
    assert everything.admits_directory(b"")


def test_one_include_pattern_is_enough_and_one_exclude_pattern_is_too_many() -> None:
    several = PathFilter(
        Filter(include=("*.csv", "*.json", "in/**/a?"), exclude=("*.tmp.csv", "old/"))
    )
    admitted = [b"a.csv", b"x/a.json", b"in/x/ab"]
    refused = [b"a.txt", b"a.tmp.csv", b"x/old/a.csv", b"in/x/abc"]
    assert [path for path in admitted + refused if several.admits(path)] == admitted


@pytest.mark.parametrize(
    ("pattern", "directory", "expected"),
    [
        ("**/tmp/**", b"tmp", False),
        ("**/tmp/**", b"x/tmp", False),
        ("**/tmp/**", b"x/tmp/y/", False),
        ("**/tmp/**", b"x", True),
        ("**/tmp/**", b"", True),
        ("tmp/", b"x/tmp", False),
        ("/old/", b"x/old", True),
        ("tmp/**/*", b"tmp", False),
        ("tmp/*", b"tmp", True),
        ("tmp", b"tmp", True),
        ("*/cache/**", b"x/cache", False),
        ("*/cache/**", b"x/y/cache", True),
        ("**", b"", False),
        ("*", b"", False),
        ("*", b"x", False),
    ],
)
def test_a_directory_below_which_nothing_counts_need_not_be_read(
    pattern: str, directory: bytes, *, expected: bool
) -> None:
    """A directory is refused if and only if a pattern excludes everything below it."""
    assert PathFilter(Filter(exclude=(pattern,))).admits_directory(directory) is expected


@pytest.mark.parametrize("count", range(1, 6))
def test_many_directories_are_found_as_a_few_are(count: int) -> None:
    """A few names are matched by a regular expression, more by cutting the path into names."""
    excluding = PathFilter(Filter(exclude=tuple(f"é{number}/" for number in range(count))))
    for number in range(count):
        name = f"é{number}".encode()
        assert not excluding.admits(b"x/" + name + b"/y/z")
        assert not excluding.admits_directory(b"x/" + name)
        assert excluding.admits(b"x/" + name)
    assert excluding.admits_directory("é/x".encode())


HOSTILE_PATTERNS = [
    "*a" * 499 + "*b",
    "**/" * 330 + "x",
    "**/*/" * 199 + "b",
    "**/" + "*a/" * 330 + "b/**",
    "**/" + "*a/" * 330 + "b",
    "**/" + "*a*a*a*b/" * 100 + "z",
    ("**/" + "*a" * 40 + "/") * 10 + "b",
    "*" + "?" * 998 + "b",
    "*" + "[!b]" * 240 + "b",
    "*" + "a" * 450 + "b*" + "a" * 450 + "c",
    "**/" + "*/" * 250 + "b/**",
]
HOSTILE_PATHS = [
    b"a" * 4000,
    b"a/" * 2000,
    b"aa/" * 1333,
    b"/" * 4000,
    (b"a" * 63 + b"/") * 62,
    b"\xff" * 4000,
    "é/".encode() * 1333,
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("pattern", HOSTILE_PATTERNS)
def test_no_pattern_takes_long(pattern: str) -> None:
    """Backtracking would take the age of the universe; the time limit is some hundredfold."""
    refusing = PathFilter(Filter(include=(pattern,)))
    assert not any(refusing.admits(path) for path in HOSTILE_PATHS)


PATTERNS = st.lists(
    st.sampled_from(
        ["a", "b", "é", "/", "*", "**", "**/", "/**", "?", "[ab]", "[!a]", "[]-b]", "[", "!", "]"]
    ),
    max_size=8,
)
PATHS = st.lists(
    st.sampled_from([b"a", b"b", b"/", "é".encode(), b"\xff", b"\xc3", b"\xa9", b"\n", b"]"]),
    min_size=1,
    max_size=9,
)


def glob(parts: list[str]) -> str | None:
    pattern = "".join(parts)
    try:
        components_of(pattern)
    except ValueError:
        return None
    return pattern


def test_a_long_list_is_compiled_in_parts() -> None:
    """The interpreter is held for one part at a time; a path is admitted by any of them."""
    patterns = tuple(f"**/in/*a{number}*b" for number in range(100))
    path_filter = PathFilter(Filter(include=patterns))
    assert all(path_filter.admits(f"x/in/ya{number}zb".encode()) for number in range(100))
    assert not path_filter.admits(b"x/in/ya100")
    parts = list(_chunks(map(components_of, patterns)))
    assert [each for part in parts for each in part] == list(map(components_of, patterns))
    assert all(sum(map(len, map("/".join, part))) <= 500 for part in parts)
    assert [len(part) for part in _chunks([["a" * 600], ["b"], ["c"]])] == [1, 2]


@given(PATTERNS.map(glob), PATHS.map(b"".join))
@example("*a*b", b"aab/ab")
@example("**/a/b/**/b", b"a/a/b/b")
@example("[[!a]", b"a")
def test_the_filter_agrees_with_a_slow_matcher(pattern: str | None, path: bytes) -> None:
    if pattern is not None:
        assert PathFilter(Filter(include=(pattern,))).admits(path) is matches(pattern, path)


@given(PATTERNS.map(glob), PATHS.map(b"".join), PATHS.map(b"".join))
def test_nothing_below_a_refused_directory_counts(
    pattern: str | None, directory: bytes, rest: bytes
) -> None:
    if pattern is not None:
        excluding = PathFilter(Filter(exclude=(pattern,)))
        if not excluding.admits_directory(directory):
            assert not excluding.admits(directory.removesuffix(b"/") + b"/" + rest)
