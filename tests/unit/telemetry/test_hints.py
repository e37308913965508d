"""One line says how hints arrive."""

from collections.abc import Mapping

import pytest

from watcher.status_values import HintStatus
from watcher.telemetry.hints import describe_hints
from watcher.telemetry.status import Totals


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "hints by queue: 0 messages with 0 keys"),
        ({"messages": 1, "keys": 1}, "hints by queue: 1 message with 1 key"),
        (
            {"messages": 1204, "keys": 1200, "backlog": 3, "waiting": 2, "oldest_age_s": 75.0},
            (
                "hints by queue: 1,204 messages with 1,200 keys; 3 messages in the queue; "
                "2 keys to be looked at for 1 min"
            ),
        ),
        (
            {"backlog": 0, "waiting": 1, "oldest_age_s": 0.4},
            "hints by queue: 0 messages with 0 keys; 1 key to be looked at",
        ),
        (
            {"oldest_age_s": 7200.0},
            "hints by queue: 0 messages with 0 keys; the oldest hint for 2 h",
        ),
        (
            {"problem": "denied", "messages": 9, "keys": 8, "rejected": 1, "errors": 1234},
            (
                "hints by queue: none arrive now; 9 messages with 8 keys; "
                "1 not readable or of other buckets; 1,234 failed requests"
            ),
        ),
    ],
)
def test_what_arrives_and_what_waits(fields: Mapping[str, object], text: str) -> None:
    """What there is none of is left out."""
    assert describe_hints(HintStatus("queue", **fields)) == text  # type: ignore[arg-type]  # fields by name


def test_a_place_without_hints_has_no_line() -> None:
    assert describe_hints(None) == ""


def test_totals_keep_what_ended_watches_have_counted() -> None:
    """Counters of all watches, by how hints arrive; a watch that ends takes nothing away."""
    queue = HintStatus("queue", messages=5, keys=4, rejected=3, errors=2, requests=9, heads=7)
    ended, all_watches = Totals(), Totals()
    ended.count_hints(queue)
    ended.count_hints(HintStatus("stream", messages=1, heads=1))
    all_watches.add(ended)
    all_watches.count_hints(queue)
    assert all_watches.hint_messages == {"queue": 10, "stream": 1}
    assert all_watches.hint_keys == {"queue": 8, "stream": 0}
    assert (all_watches.hint_rejected["queue"], all_watches.hint_errors["queue"]) == (6, 4)
    assert (all_watches.heads, all_watches.queue_requests) == (15, 18)
