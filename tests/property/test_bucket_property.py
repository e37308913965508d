"""Decides whether a stream, replayed, is the bucket, through any changes, faults and crashes."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from property.groups import GroupModel
from property.plain_conditions import is_marker, is_open
from support.clock import FakeClock, LeapingClock
from support.examples import examples
from support.s3.faults import Fault
from support.s3.fixtures import aws_environment
from support.s3.keys import Order
from support.s3.listing import make_source
from support.s3.pages import StartAfter
from support.s3.simulated import Store, run_store
from support.state import open_store
from support.wiring import FallibleOutbox, PowerFailure
from watcher.changes.detector import Appearance, ChangeDetector
from watcher.changes.groups import GroupRecorder
from watcher.changes.reconciler import Reconciler
from watcher.errors import WatcherError
from watcher.model import GATE_REPORTED, ChangeType
from watcher.sources.s3 import batches, client, hooks, key_ranges, strategy
from watcher.spec import BucketSpec, Conditions, Group, Spec
from watcher.watch.groups import GroupCompletion

__all__ = ["aws_environment"]

Operation: TypeAlias = tuple[str, str, int]

NO_CONDITIONS = Conditions()
EXAMPLES = examples(6)
STEPS = 30
PAGE_KEYS = 3
QUIET_S = 60.0
GROUP_QUIET_S = 100.0
RESTS = 3
"""Quiet times after which everything has been listed that came to rest in the first one."""
PREFIX = "in/"
# Keys around "/", which some stores sort first; encoded ones; some beside the prefix.
KEYS = [
    "in/",
    "in/a",
    "in/a/",
    "in/a/b",
    "in/a!",
    "in/a/b!",
    "in/a0",
    "in//",
    "in/./..",
    "in/ +%é",
    "in/\x01",
    "in/🦊",
    "in",
    "out/a",
    "in/x.tmp",
]
SECONDS_NS = [10**18, 10**18 + 10**9]
FAULTS = [fault for fault in Fault if fault is not Fault.TRICKLE]

operations = st.tuples(
    st.sampled_from(["put", "put", "same", "delete"]), st.sampled_from(KEYS), st.integers(0, 3)
)
interruptions = st.lists(st.none() | st.sampled_from(FAULTS) | operations, max_size=8)


class Polling(RuleBasedStateMachine):
    """A bucket, its watch scan by scan, and a client of the stream.

    Args:
        bucket: The store.
        quiet_s: Seconds for which an object rests before it is reported.
        conditions: What an object must satisfy to be reported.
    """

    def __init__(
        self, bucket: Store, quiet_s: float = 0.0, conditions: Conditions = NO_CONDITIONS
    ) -> None:
        super().__init__()
        self._conditions = conditions
        self._bucket = bucket
        bucket.delete(*bucket.keys)
        self._directory = tempfile.TemporaryDirectory()
        self._spec = BucketSpec(
            bucket.bucket, PREFIX, endpoint_url=bucket.endpoint_url, quiet_s=quiet_s
        )
        self._clock = LeapingClock()
        # A new process would make a new client, which takes long and remembers nothing.
        self.source = make_source(
            self._spec, exclude=("*.tmp",), clock=self._clock, conditions=conditions
        )
        self.source.open(lambda: None)
        self._interruptions: list[Fault | Operation | None] = []
        self._is_random = bucket.order is Order.RANDOM
        self._refuses_head = False
        self._was_missing = False
        self._leaves_out = self._left_out_before = False
        self._group = Group(quiet_s=GROUP_QUIET_S)
        self._replayed: dict[str, tuple[int, str]] = {}
        self._seq = 0
        self.is_up = False
        bucket.page_keys = PAGE_KEYS
        bucket.on_list = lambda _: self._interrupt_list()
        bucket.on_head = lambda _: self._interrupt_head()

    def teardown(self) -> None:
        """Compare once more, then remove everything."""
        try:
            self.compare()
        finally:
            if self.is_up:
                self._end()
            self.source.close()
            self._directory.cleanup()

    def _start(self) -> None:
        """Begin on the state file, as a new process does, unless one runs.

        No rule's precondition depends on this: hypothesis must know them in advance, and the order
        of a listing is random.
        """
        if self.is_up:
            return
        self.store = open_store(Path(self._directory.name, "state.db"))
        self.store._db.execute("PRAGMA synchronous = OFF")
        self.outbox = FallibleOutbox(
            Spec(self._spec),
            self.store,
            clock=FakeClock(),
            publish=lambda *_: None,
        )
        recorder = GroupRecorder(
            self._group, PREFIX.encode(), frozenset(ChangeType), self.store.groups, self._clock
        )
        self.groups = GroupCompletion(self._group, self.store, self.source, self.outbox, recorder)
        self.groups.resume()
        self.detector = ChangeDetector(frozenset(ChangeType), self.store.index.new_rows)
        self.reconciler = Reconciler(
            self.source,
            self.store.index,
            self.detector,
            self.outbox,
            lambda _count: None,
            FakeClock(),
            recorder,
            conditions=self._conditions,
        )
        self.is_up = True

    def _end(self) -> None:
        self.is_up = False
        self.store.close()

    def _do(self, operation: Operation) -> None:
        kind, key, number = operation
        if kind == "delete":
            self._bucket.delete(key)
        elif kind == "put":
            self._bucket.put(key, size=number)
        else:
            # On stores with whole seconds a former object may come back to the last bit.
            self._bucket.put(
                key, size=number, etag=f"etag{number}", mtime_ns=SECONDS_NS[number % 2]
            )

    def _interrupt(self) -> Fault | None:
        """Take one interruption for each request: a fault, or a change just before the answer."""
        interruption = self._interruptions.pop(0) if self._interruptions else None
        if isinstance(interruption, tuple):
            self._do(interruption)
            return None
        return interruption

    def _interrupt_list(self) -> Fault | None:
        """Take one for a LIST: where HEAD proves nothing, listings leave out nothing."""
        interruption = self._interrupt()
        if interruption is Fault.EMPTY:
            if self._refuses_head or (self._is_random and self._left_out_before):
                return None
            self._leaves_out = True
        return interruption

    def _interrupt_head(self) -> Fault | None:
        """Take one for a HEAD: refused on some buckets, without a bucket once at most in a scan."""
        interruption = self._interrupt()
        if interruption is Fault.DENIED and not self._refuses_head:
            return None
        if interruption is Fault.NO_BUCKET:
            if self._was_missing:
                return None
            self._was_missing = True
        return interruption

    def _wanted(self) -> dict[str, tuple[int, str]]:
        """Return size and etag of the objects that count and are not held back."""
        there = self._there()
        return {
            key: (size, etag)
            for key, (size, etag) in there.items()
            if not is_marker(self._conditions, key) and is_open(self._conditions, key, size, there)
        }

    def _there(self) -> dict[str, tuple[int, str]]:
        """Return size and etag of the objects that count, and of markers."""
        keys = [
            key for key in self._bucket.keys if key.startswith(PREFIX) and not key.endswith(".tmp")
        ]
        return {
            key: (found.size, found.etag)
            for key in keys
            if (found := self._bucket.get(key)) is not None
        }

    def _scan(self) -> None:
        try:
            result = self.reconciler.scan(is_baseline=False)
            self.groups.expedite()
            if not result.held:
                self.groups.complete_due(lambda _count: None)
        except WatcherError:
            return
        except PowerFailure:
            self._end()

    def _replay(self, admitted: Collection[str] | None = None) -> None:
        """Apply the events since; each must make sense where it stands.

        Args:
            admitted: Keys that may be reported, if nothing has changed since the last call.
        """
        for payload in self.store.journal.read(self._seq, limit=10_000, max_bytes=1 << 30):
            event = json.loads(payload.data)
            self._seq += 1
            assert event["seq"] == self._seq
            self._model.take(event)
            if event["type"] == "completed":
                continue
            key = event["path"]
            assert admitted is None or event["type"] == "deleted" or key in admitted, event
            assert (key in self._replayed) == (event["type"] != "created"), event
            if event["type"] == "deleted":
                del self._replayed[key]
            else:
                self._replayed[key] = (event["size"], event["etag"])

    @initialize(
        operations=st.lists(operations, max_size=10),
        refuses_head=st.booleans(),
        depth=st.sampled_from([0, 0, 1]),
    )
    def begin(self, operations: list[Operation], depth: int, *, refuses_head: bool) -> None:
        """Record what is there, which the client knows by other means."""
        self._refuses_head = refuses_head
        self._group = Group(depth, GROUP_QUIET_S)
        self._model = GroupModel(depth, PREFIX)
        for operation in operations:
            self._do(operation)
        self._start()
        self.detector.appearance = lambda _path: Appearance.IGNORED_EXISTING
        self.reconciler.scan(is_baseline=True)
        self.detector.appearance = lambda _path: Appearance.NEW
        self._replayed = self._wanted()
        self._model.begin({key: size for key, (size, _) in self._replayed.items()})

    @rule(operations=st.lists(operations, min_size=1, max_size=4))
    def operate(self, operations: list[Operation]) -> None:
        """Put and delete objects."""
        for operation in operations:
            self._do(operation)

    @rule(interruptions=interruptions, commits=st.none() | st.none() | st.integers(0, 3))
    def scan(self, interruptions: list[Fault | Operation | None], commits: int | None) -> None:
        """List the bucket while it changes or fails, or power does; no lasting key is deleted."""
        self._start()
        stays = {
            key
            for key in self._there()
            if ("delete", key)
            not in {each[:2] for each in interruptions if isinstance(each, tuple)}
        }
        self._interruptions, self.outbox.commits_left = list(interruptions), commits
        self._was_missing = False
        self._left_out_before, self._leaves_out = self._leaves_out, False
        self._scan()
        self._interruptions, self.outbox.commits_left = [], None
        if self.is_up:
            known = set(self._replayed)
            self._replay()
            assert not (known - set(self._replayed)) & stays

    @rule()
    def crash(self) -> None:
        """Lose everything but the state file; the next rule that needs a process begins one."""
        if self.is_up:
            self._end()

    @rule()
    def compare(self) -> None:
        """After one listing in peace, or a second one at rest, the client knows what is there."""
        self._start()
        self._replay()
        self._scan()
        if self._spec.quiet_s:
            self._clock.ahead_s += self._spec.quiet_s
            self._scan()
        self._replay(self._wanted())
        rows = [row for page in self.store.index.rows_under(b"") for row in page]
        assert {row.entry.path.decode() for row in rows} == self._there().keys()
        assert self.store.index.entries == len(rows)
        assert self.store.index.gates == Counter(row.gate for row in rows if row.gate)
        reported = {row.entry.path.decode() for row in rows if not row.is_unreported}
        assert reported == self._replayed.keys()
        wanted = self._wanted()
        assert wanted == {key: self._replayed.get(key) for key in wanted}
        held_back = [row for row in rows if row.gate & GATE_REPORTED]
        assert len(self._replayed) - len(held_back) == sum(
            self._there()[key] == state for key, state in self._replayed.items()
        )
        for _ in range(RESTS):
            self._clock.ahead_s += GROUP_QUIET_S
            self._scan()
        self._replay()
        assert self._model.unfinished() == {}


STORES = [
    *((Order.AWS, start_after) for start_after in StartAfter),
    (Order.TREE, StartAfter.RIGHT),
    (Order.TREE, StartAfter.WRONG),
    (Order.RANDOM, StartAfter.IGNORED),
]


@pytest.fixture(params=STORES, ids="-".join)
def bucket(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    aws_environment: pytest.MonkeyPatch,
) -> Iterator[Store]:
    """Run a store of each kind; requests are sent once, and few keys suffice for ranges."""
    monkeypatch.setattr(client, "ATTEMPTS", 1)
    monkeypatch.setattr(hooks, "RETRY_AFTER_MAX_S", 0.0)
    monkeypatch.setattr(batches, "BATCH_MIN_OBJECTS", 1)
    monkeypatch.setattr(batches, "BATCH_MAX_OBJECTS", 2)
    monkeypatch.setattr(batches, "PART_MIN_OBJECTS", 1)
    monkeypatch.setattr(batches, "PART_END_MASK", 0)
    for module in (key_ranges, strategy):
        monkeypatch.setattr(module, "MIN_PAGES_TO_SPLIT", 1)
    order, start_after = request.param
    with run_store(order=order, start_after=start_after) as store:
        for name, value in store.environment().items():
            aws_environment.setenv(name, value)
        yield store


def test_the_stream_replayed_is_the_bucket(bucket: Store) -> None:
    """In any history the events replayed give the bucket, and none is invented."""
    run_histories(bucket)


@pytest.mark.parametrize("bucket", STORES[:1], indirect=True, ids="-".join)
def test_the_stream_of_objects_that_rest_is_the_bucket(bucket: Store) -> None:
    """With ``quiet`` that holds as well, once everything has rested."""
    run_histories(bucket, QUIET_S)


@pytest.mark.parametrize("bucket", [STORES[0], STORES[-1]], indirect=True, ids="-".join)
@pytest.mark.parametrize(
    "conditions",
    [Conditions(marker="a"), Conditions(marker="{name}!", min_size=1), Conditions(max_size=2)],
    ids=["shared", "named", "sizes"],
)
def test_what_conditions_admit_is_reported(bucket: Store, conditions: Conditions) -> None:
    """And nothing else is, whatever comes first and however often markers come and go."""
    run_histories(bucket, conditions=conditions)


def run_histories(
    bucket: Store, quiet_s: float = 0.0, conditions: Conditions = NO_CONDITIONS
) -> None:
    run_state_machine_as_test(
        # Whatever makes a machine will do, although the annotation asks for a class.
        partial(Polling, bucket, quiet_s, conditions),  # type: ignore[arg-type]
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
