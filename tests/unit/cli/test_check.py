"""The problems of a configuration on a terminal."""

from watcher.cli.check import problem_lines


def test_each_problem_has_its_own_line() -> None:
    """A semicolon inside a problem does not end its line."""
    text = "configuration is not valid: line 1, a: no; not so; line 2: no; and more"
    assert problem_lines(text) == [
        "configuration is not valid:",
        "  line 1, a: no; not so",
        "  line 2: no",
        "  and more",
    ]
