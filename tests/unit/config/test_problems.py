"""All problems of a configuration come back as one error, ordered by line."""

import pytest

from support.problems import problems
from watcher.config.problems import MAX_PROBLEMS


def test_all_problems_come_back_on_one_line_in_order() -> None:
    config = """\
# orders
directory:
  pol_interval: 3s
  path: /data/in
  settle: 2m
settle: 3s
existing: all
include:
  - "*.csv"
  - "*.json"
  - 17
"""
    assert problems(config) == (
        'line 3, directory.pol_interval: unknown key, did you mean "poll_interval"?; '
        'line 5, directory.settle: must be from 0s to 1m (got "2m"); '
        'line 6, settle: unknown key, "settle" belongs under "directory", '
        "as in directory: {path: /data/in, settle: 5s}; "
        'line 7, existing: must be one of skip, report (got "all"); '
        "line 11, include[2]: must be a string, put it in quotes (got 17)"
    )


def test_lines_are_right_in_json_and_flow_style() -> None:
    config = (
        '{\n  "s3": {\n    "bucket":\n      "a/b", "zone": 1\n  },\r\n'
        '  "events": ["created",\r\n    "gone"]}'
    )
    assert problems(config) == (
        "line 4, s3.bucket: must name a bucket (3 to 63 letters, digits, dots and hyphens, "
        'no slash) or be the ARN of an access point (got "a/b"); '
        "line 4, s3.zone: unknown key; "
        "line 7, events[1]: must be one of created, modified, deleted, moved, completed "
        '(got "gone")'
    )


def test_many_problems_are_cut() -> None:
    """The line fits into a gRPC status."""
    found = problems(
        "directory: /data/in\n" + "".join(f"{'x' * 300}{number}: 1\n" for number in range(50))
    )
    assert found.count("unknown key") == MAX_PROBLEMS
    assert found.endswith("; and more")
    assert len(found) < 4096


@pytest.mark.parametrize("char", ["é", "語", "😀", "\\a"])
def test_problems_that_do_not_fit_are_left_out(char: str) -> None:
    """The first problems are reported whole, and that there are more."""
    found = problems(
        "directory: /data/in\n" + "".join(f'"{char * 50}{number}": 1\n' for number in range(10, 30))
    )
    assert found.startswith("line 2, ")
    assert found.endswith("unknown key; and more")
    assert 2 < found.count("unknown key") < MAX_PROBLEMS


def test_the_longest_problem_fits_alone() -> None:
    found = problems(f"directory: /data/in\nmetadata: {{a: {{{'😀' * 90}: {'9' * 90}}}}}")
    assert found.startswith("line 2, metadata.a.😀")
    assert found.endswith("must fit into 64 bits (got " + "9" * 57 + "...)")
