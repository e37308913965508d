"""What the judge of streams calls wrong: losses, doubles, disorder, and what cannot be."""

import json
from collections.abc import Iterable

import pytest

from support.client import Event
from support.judge import Judge


def event(seq: int, path: str, kind: str = "created", **values: object) -> Event:
    return {"id": f"u-{seq}", "seq": seq, "type": kind, "path": path, "size": seq, **values}


GOOD = [
    event(1, "a"),
    event(2, "b"),
    event(3, "a", "modified"),
    event(4, "c", "moved", old_path="b"),
    event(5, "a", "deleted"),
    event(6, "d"),
]


def judge(*streams: Iterable[Event]) -> Judge:
    """Return the judge of streams that came one after the other."""
    judge = Judge()
    for stream in streams:
        take = judge.begin()
        for each in stream:
            take(json.dumps(each).encode())
    return judge


def test_what_was_received_makes_the_place() -> None:
    """What came again, and by which stream, makes no difference."""
    judged = judge(GOOD[:2], GOOD[1:4], GOOD[:1], GOOD)
    assert judged.makes({"c": 4, "d": 6})
    assert not judged.makes({"c": 4})
    assert "2 invented, 1 missing" in judged.difference({"c": 5})
    assert (judged.last_seq, judged.received) == (6, 12)
    assert (judged.uids, judged.paths) == ({"u"}, {"a": 5, "b": 2, "c": 4, "d": 6})


def test_streams_at_the_same_time() -> None:
    """Each takes what it has not had; one is far behind the other."""
    judged = Judge()
    first, second = judged.begin(), judged.begin()
    payloads = [json.dumps(each).encode() for each in GOOD]
    for payload in payloads[:4]:
        first(payload)
    for payload in payloads[1:]:
        second(payload)
    for payload in payloads[4:]:
        first(payload)
    assert judged.makes({"c": 4, "d": 6})


FAULTS: dict[str, tuple[list[list[Event]], str]] = {
    "a key is missing": ([[{"id": "u-1", "seq": 1, "type": "created"}]], "KeyError"),
    "a value has another type": ([[event(1, "a") | {"id": 1}]], "'int' object"),
    "no object": ([[[]]], "TypeError"),  # type: ignore[list-item]
    "dropped at the beginning": ([GOOD[1:]], "stream 0: 2 follows 0"),
    "dropped": ([[*GOOD[:2], *GOOD[3:]]], "stream 0: 4 follows 2"),
    "dropped of what came before": ([GOOD, [*GOOD[:2], *GOOD[3:]]], "stream 1: 4 follows 2"),
    "dropped between streams": ([GOOD[:2], GOOD[3:]], "stream 1: 4 follows 2"),
    "other bytes in another stream": (
        [GOOD, [GOOD[0], event(2, "b", size=9)]],
        "stream 1: 2 has other bytes",
    ),
    "other bytes at the beginning": ([GOOD, [event(3, "a", "modified", x=1)]], "other bytes"),
    "again in the same stream": ([[GOOD[0], GOOD[0]]], "1 follows 1"),
    "reordered": ([[GOOD[0], GOOD[2], GOOD[1]]], "3 follows 1"),
    "reordered again": ([GOOD, [GOOD[0], GOOD[2], GOOD[1]]], "3 follows 1"),
    "an id of another event": ([[GOOD[0], event(2, "b", id="u-1")]], "2 has the id u-1"),
    "created twice": ([[GOOD[0], event(2, "a")]], "'created'"),
    "deleted but not there": ([[event(1, "a", "deleted")]], "'deleted'"),
    "moved from nowhere": ([[event(1, "b", "moved", old_path="a")]], "'moved'"),
}


@pytest.mark.parametrize(("streams", "found"), FAULTS.values(), ids=FAULTS)
def test_what_must_not_be(streams: list[list[Event]], found: str) -> None:
    """The first fault stays, whatever comes later."""
    judged = judge(*streams, GOOD)
    with pytest.raises(AssertionError, match=found):
        judged.check()
    with pytest.raises(AssertionError, match=found):
        judged.makes({})
