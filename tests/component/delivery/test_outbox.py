"""The way of changes into the journal: in order, once, cut into payloads, durable."""

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.clock import FakeClock
from support.state import open_store
from watcher.delivery import outbox
from watcher.delivery.outbox import Outbox
from watcher.delivery.renderer import MAX_PAYLOAD_BYTES
from watcher.errors import StateError
from watcher.model import Change, ChangeSet, ChangeType, Delta, Entry, Payload
from watcher.spec import Batch, DirectorySpec, Format, Spec

ALONE = Batch()
AT_ONCE = Batch(max_events=3)
WAITING = Batch(max_events=3, max_wait_s=5.0)


class Bench:
    """An outbox on a real state file, with a clock that the test sets."""

    def __init__(self, path: Path) -> None:
        self.clock = FakeClock(100.0)
        self.published: list[tuple[list[int], int | None]] = []
        self._path = path
        self.store = open_store(path)
        self.outbox = self.start(ALONE)

    def start(self, batch: Batch, format_: Format = Format.FLAT) -> Outbox:
        """Begin anew on the same file, as after a crash."""
        self.store.close()
        self.store = open_store(self._path)
        spec = Spec(DirectorySpec("/data"), batch=batch, format=format_)
        self.outbox = Outbox(spec, self.store, clock=self.clock, publish=self._publish)
        return self.outbox

    def _publish(self, payloads: Collection[Payload], dropped_seq: int | None) -> None:
        assert self.payloads()[-len(payloads) :] == list(payloads)
        self.published.append(([payload.seq for payload in payloads], dropped_seq))

    def change(self, *names: str) -> None:
        """Commit one step with these files created."""
        entries = [Entry(name.encode(), 1, 1) for name in names]
        rows = [self.store.index.new_row(entry) for entry in entries]
        changes = [Change(ChangeType.CREATED, entry) for entry in entries]
        self.outbox.commit(ChangeSet(Delta(rows, created=len(rows)), changes))

    def payloads(self) -> list[Payload]:
        """Return the payloads of the journal."""
        return self.store.journal.read(0, limit=1000, max_bytes=1 << 30)

    def sent(self) -> list[list[str]]:
        """Return the names in each payload of the journal."""
        return [[event["path"] for event in events(payload)] for payload in self.payloads()]


def events(payload: Payload) -> list[dict[str, Any]]:
    """Return the events in a flat payload, whose numbers must agree with them."""
    value = json.loads(payload.data)
    found: list[dict[str, Any]] = value.get("events", [value])
    assert payload.seq == found[-1]["seq"]
    assert value.get("count", 1) == len(found)
    return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
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
    """A full batch leaves at once, another one only if it may not wait."""
    bench.start(batch)
    for step in steps:
        bench.change(*step)
    assert bench.sent() == [list(names) for names in expected]
    assert bench.store.index.entries == sum(map(len, steps))
    assert bench.store.journal.depth == sum(map(len, steps))
    assert bool(bench.published) is bool(expected)


def test_a_batch_leaves_when_its_time_has_come(bench: Bench) -> None:
    """It waits from its first change on, however many follow; the rest of a full one anew."""
    bench.start(WAITING)
    assert bench.outbox.seal_due_s() is None
    bench.change("a")
    bench.clock.advance(4.0)
    bench.change("b")
    assert bench.outbox.seal_due_s() == 105.0
    bench.outbox.seal()
    assert bench.sent() == []
    bench.clock.advance(1.0)
    bench.outbox.seal()
    bench.outbox.seal(now=True)
    assert bench.sent() == [["a", "b"]]
    assert (bench.outbox.seal_due_s(), bench.store.journal.pending()) == (None, [])
    bench.change("c")
    bench.clock.advance(4.0)
    bench.change(*"def")
    assert bench.outbox.seal_due_s() == 114.0
    bench.outbox.seal(now=True)
    assert bench.sent()[1:] == [["c", "d", "e"], ["f"]]


def test_a_waiting_batch_survives_a_crash(bench: Bench) -> None:
    """Its changes are published once, with the same ids."""
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
    ids = [event["id"] for payload in bench.payloads() for event in events(payload)]
    assert ids == [f"{uid}-{seq}" for seq in range(1, 6)]


@pytest.mark.parametrize("format_", Format)
def test_renewed_ids(bench: Bench, format_: Format) -> None:
    """What was rendered before keeps its ids, also in a batch; further numbers are above."""
    bench.start(WAITING, format_)
    bench.change(*"abcd")
    uid = bench.store.uid
    bench.outbox.renew_ids()
    bench.change("e")
    bench.outbox.seal(now=True)
    first, second = (payload.data.decode() for payload in bench.payloads())
    renewed = f"{bench.store.uid}-{bench.payloads()[1].seq}"
    assert renewed.partition("-")[0] != uid
    for seq in range(1, 5):
        assert f'"{uid}-{seq}"' in (first if seq < 4 else second)
    assert f'"{renewed}"' in second
    assert bench.store.journal.depth == 5
    # Consumers of S3 notifications compare these as text and drop what is below.
    sequencers = re.findall(r'"sequencer":"(\w+)"', first + second)
    assert sequencers == sorted({*sequencers})
    assert len(sequencers) == (5 if format_ is Format.S3 else 0)


def test_a_batch_that_waited_fits_the_next_configuration(bench: Bench) -> None:
    """They leave one by one when the new configuration has no batches."""
    bench.start(WAITING)
    bench.change(*"ab")
    bench.start(ALONE)
    bench.change("c")
    assert bench.sent() == [["a"], ["b"], ["c"]]
    assert bench.outbox.by_type == {"created": 1}


def test_a_batch_that_waited_has_one_shape(bench: Bench) -> None:
    """Events of the former format leave in an envelope of that format."""
    bench.start(WAITING)
    bench.change("a")
    bench.start(WAITING, Format.S3)
    bench.change("b")
    bench.outbox.seal(now=True)
    for payload in bench.payloads():
        value = json.loads(payload.data)
        assert all("s3" in record for record in value.get("Records", []))
        assert all("path" in event for event in value.get("events", []))


def test_payloads_are_cut_by_size(bench: Bench) -> None:
    """A batch leaves before it is too long, even while it may wait."""
    bench.start(Batch(max_events=1000, max_wait_s=60.0))
    names = [f"{number:03}" + "x" * 4000 for number in range(200)]
    for start in range(0, 200, 50):
        bench.change(*names[start : start + 50])
    bench.outbox.seal(now=True)
    assert len(bench.payloads()) > 1
    assert all(len(payload.data) <= MAX_PAYLOAD_BYTES for payload in bench.payloads())
    assert [name for sent in bench.sent() for name in sent] == names


def test_the_end_of_a_large_step_is_published(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too large for memory is committed at once, and its end is published."""
    monkeypatch.setattr(outbox, "NEWEST_BYTES", 2000)
    bench.change("first")
    names = [f"{number:03}" for number in range(100)]
    bench.change(*names)
    assert bench.sent() == [["first"], *([name] for name in names)]
    small, (seqs, dropped_seq) = bench.published
    assert small == ([1], None)
    assert 0 < len(seqs) < 10
    assert (dropped_seq, seqs[-1]) == (seqs[0] - 1, 101)


def test_a_silent_step_reaches_the_index_only(bench: Bench) -> None:
    """It is committed without a number; an empty step is not committed."""
    before = bench.store._db.connection.total_changes
    bench.outbox.commit(ChangeSet())
    assert bench.store._db.connection.total_changes == before
    bench.outbox.commit(ChangeSet(Delta([bench.store.index.new_row(Entry(b"a", 1, 1))], created=1)))
    assert (bench.store.index.entries, bench.store.journal.next_seq) == (1, 1)
    assert (bench.published, bench.outbox.by_type) == ([], {})


@pytest.mark.parametrize("batch", [ALONE, WAITING])
def test_a_commit_that_fails_is_as_if_it_had_not_been(bench: Bench, batch: Batch) -> None:
    """Nothing is counted, published or lost; the step succeeds later with the same numbers."""

    def seen() -> tuple[object, ...]:
        outbox, published = bench.outbox, list(bench.published)
        return published, bench.sent(), bench.store.journal.next_seq, dict(outbox.by_type)

    bench.start(batch)
    bench.change("a")
    before = seen()
    bench.store._db.execute("PRAGMA query_only = 1")
    with pytest.raises(StateError):
        bench.change(*"bc")
    assert seen() == before
    bench.store._db.execute("PRAGMA query_only = 0")
    bench.change(*"bc")
    assert [name for names in bench.sent() for name in names] == list("abc")


def test_the_rate_is_that_of_the_monotonic_clock(bench: Bench) -> None:
    bench.change("a")
    assert bench.outbox.recent.per_second() == 1 / 60
    bench.clock.advance(60)
    assert bench.outbox.recent.per_second() == 0.0
