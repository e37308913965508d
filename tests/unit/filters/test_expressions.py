"""The paths that expressions are found in, and what is said of texts that are none."""

import re
import subprocess
import sys
import unicodedata
from typing import Literal

import pytest

from watcher.filters.expressions import Expressions, check_expression, is_expression, literal_glob
from watcher.filters.path_filter import PathFilter
from watcher.spec import Filter

MATCHES = [
    # It is searched for, unless it is anchored.
    ("csv", b"in/csv.d/a", True),
    ("^in/", b"in/a", True),
    ("^in/", b"x/in/a", False),
    (r"\.csv$", b"a.csv", True),
    (r"\.csv$", b"a.csv.gz", False),
    (r"^in/\d{4}-[01]\d/[^/]+\.csv$", b"in/2026-11/a.csv", True),
    ("a|^b$", b"xa", True),
    ("a|^b$", b"bx", False),
    # Any text is found at some place.
    ("", b"x", None),
    ("x*", b"", True),
    (".*", b"\xff", True),
    # A path is one text; its end is its end.
    ("^a.b$", b"a\nb", True),
    ("a$", b"a\n", False),
    (r"a\z", b"a", True),
    ("(?-s)^a.b$", b"a\nb", False),
    # A character is a code point, or a byte that is not UTF-8.
    ("^.$", "é".encode(), True),
    ("^..$", "é".encode(), False),
    ("^.$", b"\xff", True),
    ("^[^/]é$", b"\xff\xc3\xa9", True),
    ("^a.c$", b"a\xc3c", True),
    ("\xff", b"\xff", False),
    (r"^\pL$", b"\xff", False),
    # Letters have their case, unless the expression says otherwise.
    ("^a", b"A", False),
    ("^(?i)a", b"A", True),
    ("é", "e\u0301".encode(), False),
    # Groups, flags and quotations end where the expression does.
    ("(?i)x", b"Y", False),
    (r"a\{,3}", b"a{,3}", True),
    (r"\Qa.b", b"a.b", True),
    (r"\Qa.b", b"axb", False),
    ("(?P<n>a)(?P<n>b)", b"ab", True),
]


@pytest.mark.parametrize(("expression", "path", "expected"), MATCHES)
def test_an_expression_is_searched_for(expression: str, path: bytes, expected: bool | None) -> None:  # noqa: FBT001
    """Alone, beside others, and as what excludes."""
    pattern = f"re:{expression}"
    if expected is None:
        with pytest.raises(ValueError, match="must have an expression"):
            check_expression(pattern)
        return
    check_expression(pattern)
    assert PathFilter(Filter((pattern,))).admits(path) is expected
    assert PathFilter(Filter((r"re:\Q(y", pattern, "re:(?P<n>Q)", "yy"))).admits(path) is expected
    assert PathFilter(Filter(exclude=(pattern,))).admits(path) is not expected


def test_globs_and_expressions_in_one_list() -> None:
    both = PathFilter(Filter(("*.csv", "re:^in/"), ("re:(^|/)_", "tmp/")))
    assert [
        path
        for path in (b"a.csv", b"in/a", b"x/in/a", b"_a.csv", b"in/_x/a", b"in/tmp/a")
        if both.admits(path)
    ] == [b"a.csv", b"in/a"]


def test_directories_are_read_in_spite_of_expressions() -> None:
    """A glob leaves a directory unread; nothing shows that an expression matches all below."""
    for pattern in ("re:^tmp/", "re:.*", "re:^"):
        excluding = PathFilter(Filter(exclude=(pattern, "old/")))
        assert not excluding.admits(b"tmp/a")
        assert excluding.admits_directory(b"tmp")
        assert not excluding.admits_directory(b"old")


def test_a_glob_may_begin_as_an_expression_does() -> None:
    assert [literal_glob(glob) for glob in ("re:*", "[r]e:*", "*")] == ["[r]e:*", "[r]e:*", "*"]
    assert is_expression("re:x")
    assert not any(map(is_expression, ("RE:x", "/re:x", "[r]e:x", "re", "")))
    assert PathFilter(Filter(("[r]e:*",))).admits(b"d/re:x")


def test_many_expressions_are_one() -> None:
    """Each has its own flags and groups."""
    texts = [f"re:^{'(?i)' * (number % 2)}(d{number})/x" for number in range(100)]
    many = Expressions(texts, match_case=True)
    for number in range(100):
        assert many.matches(f"d{number}/x".encode())
        assert many.matches(f"D{number}/x".encode()) is bool(number % 2)


TOO_LARGE = "shorten repetitions such as {1000}, and of large classes such as \\pL{100}"


def test_expressions_that_are_too_large() -> None:
    """Each alone is small enough; their sizes add up."""
    with pytest.raises(ValueError, match=f"^is too large, {re.escape(TOO_LARGE)}$"):
        PathFilter(Filter((r"re:\pL{1000}",)))
    pattern = r"re:\pL{80}"
    PathFilter(Filter((pattern, "re:x")))
    message = f"has expressions that are too large together, {TOO_LARGE}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        PathFilter(Filter((pattern, r"re:x\pL{80}")))


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("a(b)c(d|(e)", 'has a "(" at character 6 that is not closed'),
        (r"é(a\)[)]", 'has a "(" at character 2 that is not closed'),
        ("a)b(", 'has a ")" at character 2 that closes nothing'),
        ("ab[c", 'has a "[" at character 3 that is not closed'),
        ("é[]", 'has a "[" at character 2 that is not closed'),
        ("a\\", "ends with a backslash at character 2, which escapes nothing"),
        ("[(?=]x(?=y)", 'has a lookahead at character 7 ("(?="), RE2 has none'),
        ("é(?!x)", 'has a negative lookahead at character 2 ("(?!"), RE2 has none'),
        ("(?<!x)", 'has a lookbehind at character 1 ("(?<!"), RE2 has none'),
        ("(?<=x)", 'has a lookbehind at character 1 ("(?<="), RE2 has none'),
        ("(?>x)", 'has an atomic group at character 1 ("(?>"), RE2 has none'),
        (r"(a)\\1\1", r'has a backreference at character 7 ("\1"), RE2 has none'),
        (
            r"a\Z",
            r'has "\Z" at character 2, which RE2 does not know, write "\z" for the end of the path',
        ),
        (
            r"\u00e9",
            r'has "\u" at character 1, which RE2 does not know, write "\x{00e9}" for a character',
        ),
        (r"\h", r'has "\h" at character 1, which RE2 does not know'),
        ("(?x)a", 'has "(?x" at character 1, which RE2 does not know'),
        ("(?i", 'has flags at character 1 ("(?i") that are not closed by ")" or ":"'),
        ("(?(1)a|b)", 'has a condition at character 1 ("(?("), RE2 has none'),
        ("(?#a)", 'has a comment at character 1 ("(?#"), RE2 has none'),
        ("*.csv", 'has a "*" at character 1 with nothing before it to repeat'),
        ("a++", 'has a repetition of a repetition at character 2 ("++"), RE2 has none'),
        (
            "a{1001}",
            'has the repetition "{1001}" at character 2, which must ascend to at most 1,000 in all',
        ),
        ("x[z-a]", 'has the range "z-a" at character 3, which runs backwards'),
        (r"\pX", r'has the class "\pX" at character 1, which RE2 does not know'),
        ("[[:foo:]]", 'has the class "[:foo:]" at character 2, which RE2 does not know'),
        ("(?P<->a)", 'has the group name "(?P<->" at character 1, which is not valid'),
        (
            " ^in/",
            'has a space after "re:", write "re:[ ]" if it is in the path, "[r]e: " for a glob',
        ),
        (
            "é{,3}",
            'has "{,3}" at character 2, which RE2 takes literally, write "{0,3}"',
        ),
    ],
)
def test_an_expression_that_is_not_valid(expression: str, message: str) -> None:
    """What is wrong, and at which character of the expression, from 1."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_expression(f"re:{expression}")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "expression", [r"(?:a|b)*a(?:a|b){1000}c", "(?:.?){1000}(?:.?){1000}x", r"(\pL|a)*\pL{80}9"]
)
def test_no_expression_takes_long(expression: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Nor does the library write to standard error when it is short of memory."""
    refusing = PathFilter(Filter((f"re:{expression}",)))
    for path in (b"a" * 4095, b"ab" * 2047, "é".encode() * 2047):
        assert not refusing.admits(path)
    assert capfd.readouterr().err == ""


def test_only_expressions_load_the_library() -> None:
    code = """
import sys
from watcher.config.schema import parse_spec
from watcher.filters.path_filter import PathFilter
for more in (b"", b"include: ['*.csv', /a/]", b"exclude: [A]\\nmatch_case: false"):
    PathFilter(parse_spec(b"directory: /data\\n" + more).filter).admits(b"a")
assert "re2" not in sys.modules
parse_spec(b"directory: /data\\ninclude: re:x")
assert "re2" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_expressions_without_case(form: Literal["NFC", "NFD"]) -> None:
    """Composed and decomposed are the same, in the expression as in the path."""

    def normal(text: str) -> str:
        return unicodedata.normalize(form, text)

    folding = Expressions([f"re:{normal('^Résum[éè]/Λ.x$')}"], match_case=False)
    for path in ("rÉSUMÉ/λ_X", "résumè/λ_x", "résum\u00e9/Λ\nx"):
        assert folding.matches(unicodedata.normalize("NFD", path).encode())
        assert folding.matches(unicodedata.normalize("NFC", path).encode())
    assert not folding.matches("resume/λ_x".encode())
    assert Expressions(["re:(?-i:R)"], match_case=False).matches(b"R")
    assert not Expressions(["re:(?-i:R)"], match_case=False).matches(b"r")
