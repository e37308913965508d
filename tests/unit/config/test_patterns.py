"""Globs, expressions and case in a configuration, and what is wrong with them."""

import pytest

from support.problems import problems
from watcher.config.schema import parse_spec
from watcher.spec import Filter

TOO_LARGE = "shorten repetitions such as {1000}, and of large classes such as \\pL{100}"
CONTROL = (
    "has the control character U+0008, which YAML makes of a line break, or of a backslash in "
    "double quotes: use single quotes"
)
IN_TWO = 'must be one text without a space after "re:", such as "re:^in/"'
BACKSLASHES = "put a text with backslashes in single quotes"
LOOKAHEAD = 'has a lookahead at character 2 ("(?="), RE2 has none'
LONG = "characters, at most 200 are allowed"
INVALID = "line 2: this is not valid YAML or JSON"
RELATIVE = 'but a path is relative to the directory, with no "/" first'
QUOTE = 'put an expression in single quotes, with no space after "re:"'


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("include: re:^/a|b", Filter(("re:^/a|b",))),
        (r"include: 're:^in/.*\.csv$'", Filter((r"re:^in/.*\.csv$",))),
        (r"include: re:^in/.*\.csv$", Filter((r"re:^in/.*\.csv$",))),
        (r'include: "re:\\.csv$"', Filter((r"re:\.csv$",))),
        ("exclude: ['*~', 're:a{1,2}']", Filter((), ("*~", "re:a{1,2}"))),
        ("include: A\nmatch_case: false", Filter(("A",), match_case=False)),
        ("exclude: []\nmatch_case: false", Filter(match_case=False)),
        ("match_case: true", Filter()),
        ("include: '[r]e:*'", Filter(("[r]e:*",))),
    ],
)
def test_patterns(option: str, expected: Filter) -> None:
    assert parse_spec(f"directory: /data/in\n{option}".encode()).filter == expected


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (
            "include:\n- '*.csv'\n- re:^in/(a",
            'line 4, include[1]: has a "(" at character 5 that is not closed (got "re:^in/(a")',
        ),
        ("exclude: re:a(?=b)", f'line 2, exclude: {LOOKAHEAD} (got "re:a(?=b)")'),
        (
            "include: 're:'",
            'line 2, include: must have an expression after "re:", such as "re:^in/" (got "re:")',
        ),
        (f"include: re:{'a' * 198}", f'line 2, include: has 201 {LONG} (got "re:{"a" * 54}...")'),
        ("exclude: 're:\\pL{1000}'", f"line 2, exclude: is too large, {TOO_LARGE}"),
        (
            "exclude: 're:\\pL{80}'\ninclude: ['re:\\pL{80}', 're:x\\pL{80}']",
            f"line 3, include: has expressions that are too large together, {TOO_LARGE}",
        ),
        (r'include: "re:\.csv$"', f"{INVALID} (found unknown escape character '.'), {BACKSLASHES}"),
        (r'include: "re:\bin"', rf'line 2, include: {CONTROL} (got "re:\x08in")'),
        ("include: {re: x}", f"line 2, include: {IN_TWO}"),
        ("include: [a, re: x]", f"line 2, include[1]: {IN_TWO}"),
        ("include:\n- re: x", f"line 3, include[0]: {IN_TWO}"),
        ("include: [re:a{1,2}]", f"{INVALID} (expected ',' or ']', but got '{{'), {QUOTE}"),
        ("include: re: x", f"{INVALID} (mapping values are not allowed here), {QUOTE}"),
        (
            "include: [re:^x, 're:^/data/in/']",
            f'line 2, include: has "re:^/data/in/", {RELATIVE}',
        ),
        ("ignore_case: true", 'line 2, ignore_case: unknown key, did you mean "match_case"?'),
        ("match_case: false", "line 2, match_case: has no effect without include or exclude"),
        ("match_case: no", 'line 2, match_case: must be true or false (got "no")'),
        ("matchcase: false", 'line 2, matchcase: unknown key, did you mean "match_case"?'),
        (
            "include: '[e\u0323\u0302-\u0444]'\nmatch_case: false",
            'line 2, include: has the range "\u1ec7-\u0444", which runs backwards',
        ),
    ],
)
def test_patterns_that_are_not_valid(option: str, expected: str) -> None:
    assert problems(f"directory: /data/in\n{option}") == expected
