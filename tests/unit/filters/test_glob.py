"""Texts that are no globs, and why."""

import re

import pytest

from watcher.filters.glob import components_of

OPEN = 'has a "[" that is not closed before the next "/", write "[[]" for a bracket'


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", 'must name something, such as "*.csv"'),
        ("/", 'must name something, such as "*.csv"'),
        ("[a", OPEN),
        ("[!]", OPEN),
        ("x[a/b]", OPEN),
        ("x/[z-a]", 'has the range "z-a", which runs backwards'),
    ],
)
def test_a_text_that_is_no_glob_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        components_of(pattern)


@pytest.mark.parametrize(
    ("pattern", "components"),
    [
        ("*.csv", ["**", "*.csv"]),
        ("/*.csv", ["*.csv"]),
        ("tmp/", ["**", "tmp", "**"]),
        ("/old/", ["old", "**"]),
        ("a/**/**/b", ["a", "**", "b"]),
        ("**/*", ["**"]),
        ("a//b", ["a", "", "b"]),
    ],
)
def test_a_glob_has_one_normal_form(pattern: str, components: list[str]) -> None:
    assert components_of(pattern) == components
