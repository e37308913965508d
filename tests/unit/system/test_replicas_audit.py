"""What the audit of a database calls a write that must not be."""

import pytest

from system.replicas.audit import Written, check_writes

GOOD = [
    Written("counters", 1, 1, "watcher a", 1),
    Written("counters", 1, 1, "watcher a", 3),
    Written("journal", 1, 1, "watcher a", 1),
    Written("journal", 1, 1, "watcher a", 2),
    Written("counters", 2, 1, "watcher b", 1),
    Written("counters", 1, 2, "watcher b", 3),
    Written("counters", 1, 2, "watcher b", 4),
    Written("journal", 1, 2, "watcher b", 3),
]


def test_a_watch_that_moves() -> None:
    check_writes(GOOD)


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        (Written("counters", 1, 1, "watcher a", 4), "a former owner wrote"),
        (Written("counters", 1, 2, "watcher a", 4), "two own"),
        (Written("journal", 1, 2, "watcher b", 3), "not rising"),
        (Written("counters", 1, 2, "watcher b", 3), "falling"),
    ],
)
def test_what_must_not_be(bad: Written, found: str) -> None:
    with pytest.raises(AssertionError, match=found):
        check_writes([*GOOD, bad])
