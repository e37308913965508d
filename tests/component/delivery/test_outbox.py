"""Decides whether changes become payloads of the right size, in order, once, and as durable as promised."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from support.state import open_store
from watcher.delivery import outbox
from watcher.delivery.outbox import Outbox
from watcher.delivery.renderer import MAX_PAYLOAD_BYTES
from watcher.errors import StateError
from watcher.model import Change, ChangeSet, ChangeType, Delta, Entry, Payload
from watcher.spec import Batch, DirectorySpec, Format, Spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALONE = Batch()
AT_ONCE = Batch(max_events=3)
WAITING = Batch(max_events=3, max_wait_s=5.0)


class Bench:
    """An outbox on a real state file, with a clock that stands still until it is set."""

    def __init__(self, path: Path) -> None:
        self.now_s = 100.0
        self.told = 0
        self._path = path
        self.store = open_store(path)
        self.outbox = self.start(ALONE)

    def start(self, batch: Batch, format_: Format = Format.FLAT) -> Outbox:
        """Begin anew on the same file, as after a crash."""
        self.store.close()
        self.store = open_store(self._path)
        spec = Spec(DirectorySpec("/data"), batch=batch, format=format_)
        self.outbox = Outbox(
            spec, self.store, time_ns=lambda: 0, clock=lambda: self.now_s, committed=self._tell
        )
        self.outbox.remember()
        return self.outbox

    def _tell(self) -> None:
        self.told += 1

    def change(self, *names: str) -> None:
        """Commit one step with these files created."""
        entries = [Entry(name.encode(), 1, 1) for name in names]
        rows = [self.store.index.new_row(entry) for entry in entries]
        self.outbox.commit(
            ChangeSet(
                Delta(rows, created=len(rows)),
                [Change(ChangeType.CREATED, entry) for entry in entries],
            )
        )

    def sent(self) -> list[list[str]]:
        """Return the names in each payload of the journal, which memory and file agree upon."""
        payloads = self.store.journal.read(0, limit=1000, max_bytes=1 << 30)
        floor = payloads[0].seq - 1 if payloads else self.store.journal.next_seq - 1
        in_memory = self.outbox.after_from_memory(floor, limit=1000, max_bytes=1 << 30)
        assert in_memory is None or in_memory == [
            payload for payload in payloads if payload.seq > floor
        ]
        assert self.outbox.after(0, limit=1000, max_bytes=1 << 30) == payloads
        return [[event["path"] for event in events(payload)] for payload in payloads]


def events(payload: Payload) -> list[dict[str, Any]]:
    """Return the events in a payload of the flat format; its numbers must agree with them."""
    value = json.loads(payload.data)
    found: list[dict[str, Any]] = value.get("events", [value])
    assert payload.seq == found[-1]["seq"]
    assert value.get("count", 1) == len(found)
    return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Return a bench on a fresh file."""
    bench = Bench(tmp_path / "state.db")
    yield bench
    bench.store.close()


@pytest.mark.parametrize(
    ("batch", "steps", "expected"),
    [
        (ALONE, ["ab", "c"], ["a", "b", "c"]),
        (AT_ONCE, ["ab", "cdef"], ["ab", "cde", "f"]),
        (WAITING, ["ab"], []),
        (WAITING, ["ab", "c"], ["abc"]),
        (WAITING, ["ab", "cd"], ["abc"]),
        (WAITING, ["abcdefg"], ["abc", "def"]),
        (WAITING, ["ab", "cdefgh", "i"], ["abc", "def", "ghi"]),
    ],
)
def test_payloads_are_cut_by_number(
    bench: Bench, batch: Batch, steps: list[str], expected: list[str]
) -> None:
    """A full batch leaves at once, one that is not full only if it may not wait; the streams are told once a commit, when there is news."""
    bench.start(batch)
    for step in steps:
        bench.change(*step)
    assert bench.sent() == [list(names) for names in expected]
    assert bench.store.index.entries == sum(map(len, steps))
    assert bench.store.journal.depth == sum(map(len, steps))
    assert bool(bench.told) is bool(expected)


def test_a_batch_leaves_when_its_time_has_come(bench: Bench) -> None:
    """A batch that is not full waits from its first change on, however many follow, and is sent once."""
    bench.start(WAITING)
    assert bench.outbox.seal_due_s() is None
    bench.change("a")
    bench.now_s = 104.0
    bench.change("b")
    assert bench.outbox.seal_due_s() == 105.0
    bench.outbox.seal()
    assert bench.sent() == []
    bench.now_s = 105.0
    bench.outbox.seal()
    bench.outbox.seal(now=True)
    assert bench.sent() == [["a", "b"]]
    assert (bench.outbox.seal_due_s(), bench.store.journal.pending()) == (None, [])


def test_what_remains_of_a_full_batch_waits_anew(bench: Bench) -> None:
    """The rest of a step whose batch became full begins a batch of its own."""
    bench.start(WAITING)
    bench.change("a")
    bench.now_s = 104.0
    bench.change(*"bcd")
    assert bench.outbox.seal_due_s() == 109.0
    bench.outbox.seal(now=True)
    assert bench.sent() == [["a", "b", "c"], ["d"]]


def test_a_waiting_batch_survives_a_crash(bench: Bench) -> None:
    """Changes that waited when the process died are sent after its restart with the same ids, and nothing is sent twice."""
    bench.start(WAITING)
    bench.change(*"abcd")
    uid = bench.store.uid
    bench.start(WAITING)
    assert bench.outbox.seal_due_s() == 105.0
    bench.change("e")
    bench.outbox.seal(now=True)
    bench.start(WAITING)
    assert bench.outbox.seal_due_s() is None
    assert bench.sent() == [["a", "b", "c"], ["d", "e"]]
    found = [
        event
        for payload in bench.store.journal.read(0, limit=9, max_bytes=1 << 20)
        for event in events(payload)
    ]
    assert [event["id"] for event in found] == [f"{uid}-{seq}" for seq in range(1, 6)]


def test_a_batch_that_waited_fits_the_next_configuration(bench: Bench) -> None:
    """Changes that waited when the process died leave one by one when the new configuration has no batches."""
    bench.start(WAITING)
    bench.change(*"ab")
    bench.start(ALONE)
    bench.change("c")
    assert bench.sent() == [["a"], ["b"], ["c"]]


def test_a_batch_that_waited_has_one_shape(bench: Bench) -> None:
    """When the new configuration has another format no payload holds events of the former one in an envelope of its own."""
    bench.start(WAITING)
    bench.change("a")
    bench.start(WAITING, Format.S3)
    bench.change("b")
    bench.outbox.seal(now=True)
    for payload in bench.outbox.after(0, limit=9, max_bytes=1 << 20):
        value = json.loads(payload.data)
        assert all("s3" in record for record in value.get("Records", []))
        assert all("path" in event for event in value.get("events", []))


def test_payloads_are_cut_by_size(bench: Bench) -> None:
    """A batch that would not fit into a payload is cut before it does not, even while it may wait."""
    bench.start(Batch(max_events=1000, max_wait_s=60.0))
    names = [f"{number:03}" + "x" * 4000 for number in range(200)]
    for start in range(0, 200, 50):
        bench.change(*names[start : start + 50])
    bench.outbox.seal(now=True)
    payloads = bench.store.journal.read(0, limit=99, max_bytes=1 << 30)
    assert len(payloads) > 1
    assert all(len(payload.data) <= MAX_PAYLOAD_BYTES for payload in payloads)
    assert [name for sent in bench.sent() for name in sent] == names


@pytest.mark.parametrize(
    ("batch", "sizes"),
    [(ALONE, [1] * 101), (AT_ONCE, [1, *[3] * 33, 1]), (WAITING, [*[3] * 33, 2])],
    ids=["alone", "at once", "waiting"],
)
def test_a_large_step_is_rendered_in_portions(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, batch: Batch, sizes: list[int]
) -> None:
    """What is too large for memory is cut as if it were not, in one commit, and its end stays in memory."""
    monkeypatch.setattr(outbox, "PORTION_BYTES", 2000)
    bench.start(batch)
    bench.change("first")
    told = bench.told
    names = [f"{number:03}" for number in range(100)]
    bench.change(*names)
    assert bench.told == told + 1
    bench.outbox.seal(now=True)
    assert [len(sent) for sent in bench.sent()] == sizes
    assert [name for sent in bench.sent() for name in sent] == ["first", *names]
    assert bench.outbox.after_from_memory(0, limit=1, max_bytes=1) is None
    seq = bench.store.journal.next_seq - 3
    assert bench.outbox.after_from_memory(
        seq, limit=9, max_bytes=1 << 20
    ) == bench.store.journal.read(seq, limit=9, max_bytes=1 << 20)


def test_nothing_is_remembered_for_nobody(bench: Bench) -> None:
    """Payloads are given from memory while somebody reads, and from the file alone when nobody does; they are the same."""
    bench.change("a")
    assert bench.outbox.after_from_memory(
        0, limit=9, max_bytes=1 << 20
    ) == bench.store.journal.read(0, limit=9, max_bytes=1 << 20)
    bench.outbox.forget()
    bench.change("b")
    assert bench.outbox.after_from_memory(0, limit=9, max_bytes=1 << 20) is None
    assert bench.outbox.after_from_memory(1, limit=9, max_bytes=1 << 20) is None
    assert bench.sent() == [["a"], ["b"]]


def test_a_silent_step_reaches_the_index_only(bench: Bench) -> None:
    """A step without changes is committed without a number and without a word; an empty one is not even that."""
    before = bench.store._db.connection.total_changes
    bench.outbox.commit(ChangeSet())
    assert bench.store._db.connection.total_changes == before
    bench.outbox.commit(ChangeSet(Delta([bench.store.index.new_row(Entry(b"a", 1, 1))], created=1)))
    assert (
        bench.store.index.entries,
        bench.store.journal.next_seq,
        bench.told,
        bench.outbox.by_type,
    ) == (
        1,
        1,
        0,
        {},
    )


def test_changes_are_counted_by_type(bench: Bench) -> None:
    """The counters of a watch know each change once."""
    bench.change(*"ab")
    assert bench.outbox.by_type == {"created": 2}


@pytest.mark.parametrize("batch", [ALONE, WAITING])
def test_a_commit_that_fails_is_as_if_it_had_not_been(bench: Bench, batch: Batch) -> None:
    """After a failure nothing is counted, told or lost; the same step succeeds later with the same numbers."""
    bench.start(batch)
    bench.change("a")
    told, sent, numbers = (
        bench.told,
        bench.sent(),
        (bench.store.journal.next_seq, dict(bench.outbox.by_type)),
    )
    bench.store._db.execute("PRAGMA query_only = 1")
    with pytest.raises(StateError):
        bench.change(*"bc")
    assert (
        bench.told,
        bench.sent(),
        (bench.store.journal.next_seq, dict(bench.outbox.by_type)),
    ) == (
        told,
        sent,
        numbers,
    )
    bench.store._db.execute("PRAGMA query_only = 0")
    bench.change(*"bc")
    assert [name for names in bench.sent() for name in names] == list("abc")


def test_the_rate_is_that_of_the_monotonic_clock(bench: Bench) -> None:
    """How many changes a second there are is counted on the clock that nobody sets; the wall clock stands at 1970 here."""
    bench.change("a")
    assert bench.outbox.recent.per_second(bench.now_s) == 1 / 60
    assert bench.outbox.recent.per_second(bench.now_s + 60) == 0.0
