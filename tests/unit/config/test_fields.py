"""The problem that a value of each kind can have, and the metadata that a user may write."""

import json

import pytest

from support.problems import problems
from watcher.config.schema import parse_spec
from watcher.model import ChangeType

NO_DURATION = 'must be a duration with its unit, such as "500ms", "30s" or "1h30m"'
NO_RATE = 'must be a whole number and a unit, such as "10/s", "600/m" or "20/h"'
OPEN_BRACKET = 'has a "[" that is not closed before the next "/", write "[[]" for a bracket'
NO_WORKERS = "list_workers: must be auto or a whole number from 1 to 64"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("directory: {path: {a: b}}", "path: must be a single value (got a mapping)"),
        ("directory: {path: /, mode: x}", 'mode: must be one of auto, notify, poll (got "x")'),
        ("directory: {path: /, recursive: no}", 'recursive: must be true or false (got "no")'),
        ("directory: {path: /, settle: 5}", f"settle: {NO_DURATION} (got 5)"),
        ("directory: {path: /, settle: 2m}", 'settle: must be from 0s to 1m (got "2m")'),
        ("directory: {path: /, poll_interval: auto}", f'poll_interval: {NO_DURATION} (got "auto")'),
        (
            "directory: {path: /, poll_interval: 99ms}",
            'poll_interval: must be from 100ms to 24h (got "99ms")',
        ),
        ("s3: {bucket: 123456}", "bucket: must be a string, put it in quotes (got 123456)"),
        (
            "s3: {bucket: abc, poll_interval: 500ms}",
            'poll_interval: must be auto or from 1s to 24h (got "500ms")',
        ),
        (
            "s3: {bucket: abc, poll_interval: auto, request_budget: 10}",
            "request_budget: must be a whole number from 1000 to 1000000000 (got 10)",
        ),
        ("s3: {bucket: abc, list_workers: 65}", f"{NO_WORKERS} (got 65)"),
        ("s3: {bucket: abc, list_workers: true}", f"{NO_WORKERS} (got true)"),
        (
            "s3: {bucket: abc, list_version: 3}",
            "list_version: must be auto or a whole number from 1 to 2 (got 3)",
        ),
        ("s3: {bucket: abc, list_workers: all}", f'{NO_WORKERS} (got "all")'),
    ],
)
def test_a_value_of_a_place_that_is_not_valid(config: str, expected: str) -> None:
    assert problems(config) == f"line 1, {config.partition(':')[0]}.{expected}"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("id: ''", 'must be 1 to 200 printable characters (got "")'),
        ('id: "a\\nb"', 'must be 1 to 200 printable characters (got "a\\nb")'),
        (f"id: {'a' * 201}", f'must be 1 to 200 printable characters (got "{"a" * 57}...")'),
        ("id: 2026", "must be a string, put it in quotes (got 2026)"),
        ("id: a\nid: b", "this key is there already, in line 2"),
        ("include: {a: b}", "must be a list (got a mapping)"),
        ("include:", "must be a string (got nothing)"),
        ("include: 17", "must be a string, put it in quotes (got 17)"),
        (f"include: [{'a, ' * 101}]", "has 101 items, at most 100 are allowed"),
        ("exclude: ['']", 'must name something, such as "*.csv" (got "")'),
        (
            f"exclude: [{'a' * 201}]",
            f'has 201 characters, at most 200 are allowed (got "{"a" * 57}...")',
        ),
        ("exclude: ['[a']", f'{OPEN_BRACKET} (got "[a")'),
        (
            "events: gone",
            'must be one of created, modified, deleted, moved, completed (got "gone")',
        ),
        ("events: []", "must name at least one of created, modified, deleted, moved, completed"),
        ("events: [created, created]", "names created twice"),
        (
            "events: complete",
            f'must be one of {", ".join(ChangeType)} (got "complete"), did you mean "completed"?',
        ),
        ("existing: yes", 'must be one of skip, report (got "yes")'),
        ("confirm: yes", 'must be one of time, ack (got "yes")'),
        ("confirm: ack\nack_timeout: 500ms", 'must be from 1s to 24h (got "500ms")'),
        ("rate: 10", f"{NO_RATE} (got 10)"),
        ("rate: 10/min", f'{NO_RATE} (got "10/min")'),
        ("rate: 1.5/s", f'{NO_RATE} (got "1.5/s")'),
        ("rate: 0/s", 'must be from 1/h to 100000/s (got "0/s")'),
        ("rate: 100001/s", 'must be from 1/h to 100000/s (got "100001/s")'),
        (
            "confirm: ack\nmax_unacknowledged: 0",
            "must be a whole number from 1 to 100000 (got 0)",
        ),
        ("batch: 10", "must be a mapping, as in {max_events: 100} (got 10)"),
        ("group:", "must be a mapping, as in {depth: 2} (got nothing)"),
        ("batch: {max_events: 1001}", "must be a whole number from 1 to 1000 (got 1001)"),
        ("batch: {max_events: 2, max_wait: 6m}", 'must be from 0s to 5m (got "6m")'),
        ("metadata: [a]", "must be a mapping (got a list)"),
        (f"metadata: {{a: {'é' * 2045}}}", "has 4098 bytes as JSON, at most 4096 are allowed"),
        (f"metadata: {{a: {'9' * 5000}}}", f"must fit into 64 bits (got {'9' * 57}...)"),
        ("metadata: {a: 9223372036854775808}", "must fit into 64 bits (got 9223372036854775808)"),
        ("metadata: {a: .nan}", "must be a finite number (got .nan)"),
        ("metadata: {a: [-.inf]}", "must be a finite number (got -.inf)"),
        ("metadata: {a: 1e999}", "must be a finite number (got 1e999)"),
        ("metadata: {a: {b: 1, b: 2}}", "this key is there already, in line 2"),
        ("metadata: {1: a}", "a key must be a string, put it in quotes"),
        ("metadata: {[a]: a}", "a key must be a string, put it in quotes"),
        ("metadata: {<<: {a: b}}", "merge keys are not allowed"),
    ],
)
def test_an_option_that_is_not_valid(config: str, expected: str) -> None:
    found = problems(f"directory: /data/in\n{config}")
    assert found.startswith("line ")
    assert found.endswith(f": {expected}")


def test_metadata_holds_what_the_user_wrote() -> None:
    """Scalars are those of the core schema of YAML 1.2: a date, a time and "yes" stay strings."""
    config = """\
directory: /data/in
metadata:
  day: 2026-01-31
  at: 12:30:00
  on: yes
  amount: 1_000
  quoted: "17"
  emoji: "\\ud83d\\ude00"
  block: |
    two
    lines
  numbers: [17, -0x1, 010, 0o17, 0x1F, 1.5, 1e3, .5]
  others: [true, False, ~, null, ""]
  nested: {a: [{b: }]}
"""
    assert json.dumps(parse_spec(config.encode()).metadata) == json.dumps(
        {
            "day": "2026-01-31",
            "at": "12:30:00",
            "on": "yes",
            "amount": "1_000",
            "quoted": "17",
            "emoji": "😀",
            "block": "two\nlines\n",
            "numbers": [17, "-0x1", 10, 15, 31, 1.5, 1000.0, 0.5],
            "others": [True, False, None, None, ""],
            "nested": {"a": [{"b": None}]},
        }
    )
