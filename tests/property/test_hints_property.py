"""Decides whether a stream, replayed, is the bucket, whatever becomes of hints and requests."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeAlias, cast
from urllib.parse import quote_plus, unquote_plus

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from property.plain_conditions import is_marker, is_open
from support.clock import FakeClock, LeapingClock
from support.examples import examples
from support.s3.faults import Fault, Kind
from support.s3.feeds import ChosenFeed
from support.s3.fixtures import aws_environment
from support.s3.listing import make_source
from support.s3.simulated import Store, run_store
from support.state import open_store
from support.wiring import FallibleOutbox, PowerFailure
from watcher.changes.detector import Appearance, ChangeDetector
from watcher.changes.reconciler import Reconciler
from watcher.errors import WatcherError
from watcher.model import ChangeType
from watcher.sources.observations import Observation
from watcher.sources.s3 import batches, client, hint_intake, hooks
from watcher.sources.s3.source import BucketSource
from watcher.spec import BucketSpec, Conditions, HintKind, Notifications, Spec

__all__ = ["aws_environment"]

Operation: TypeAlias = tuple[str, str, int]

NO_CONDITIONS = Conditions()
EXAMPLES = examples(6)
STEPS = 25
PAGE_KEYS = [3, 100]
"""Keys of a page: few, or all, which then grow old while the first batches are compared."""
DEADLINE_S = 30.0
QUIET_S = 60.0
PEACE_S = 1000.0
"""Longer than any pause after failures."""
PREFIX = "in/"
KEYS = [
    "in/",
    "in/a",
    "in/a/",
    "in/a/b",
    "in/a!",
    "in/a/b!",
    "in//",
    "in/./..",
    "in/ +%é",
    "in/%2B",
    "in/🦊",
    "out/a",
    "in/x.tmp",
]
FORGED = [
    *KEYS,
    "in/never",
    "in/a//b",
    "in/../out/a",
    "in/+",
    "in/%20",
    "",
    "in/" + "x" * 1022,
    b"in/\xff",
    b"in/\0",
]
FAULTS = [Fault.INTERNAL_ERROR, Fault.RESET, Fault.SLOW_DOWN, Fault.DENIED, Fault.NO_BUCKET]

operations = st.tuples(
    st.sampled_from(["put", "put", "delete"]), st.sampled_from(KEYS), st.integers(0, 3)
)
interruptions = st.lists(st.none() | st.sampled_from(FAULTS) | operations, max_size=8)
fates = st.lists(
    st.sampled_from(["sent", "sent", "sent", "doubled", "misread", "delayed", "lost"]),
    min_size=4,
    max_size=4,
)


class Message:
    """A message about keys, as a queue keeps it; its ticket.

    Attributes:
        keys: The keys, or readings of one.
        is_done: It has left the queue.
        is_out: It was received, and not left to the queue since.
    """

    def __init__(self, *keys: str | bytes) -> None:
        self.keys = [key if isinstance(key, bytes) else key.encode() for key in keys]
        self.is_done = self.is_out = False

    def done(self) -> None:
        assert not self.is_done
        self.is_done = True

    def fail(self) -> None:
        assert not self.is_done
        self.is_out = False


class Hinting(RuleBasedStateMachine):
    """A bucket, its hints, its watch and a client of the stream.

    Args:
        bucket: The store.
        feed: Where hints come from.
        has_queue: Messages wait until their comparison is committed; else they are lost by a crash.
        quiet_s: Seconds for which an object rests before it is reported.
        conditions: What an object must satisfy to be reported.
    """

    def __init__(
        self,
        bucket: Store,
        feed: ChosenFeed,
        *,
        has_queue: bool = True,
        quiet_s: float = 0.0,
        conditions: Conditions = NO_CONDITIONS,
    ) -> None:
        super().__init__()
        self._bucket, self._feed, self._has_queue = bucket, feed, has_queue
        self._conditions = conditions
        bucket.delete(*bucket.keys)
        bucket.on_list = lambda _: self._interrupt(Kind.LIST)
        bucket.on_head = lambda _: self._interrupt(Kind.HEAD)
        self._directory = tempfile.TemporaryDirectory()
        self._spec = BucketSpec(
            bucket.bucket,
            PREFIX,
            endpoint_url=bucket.endpoint_url,
            list_workers=1,
            quiet_s=quiet_s,
            notifications=Notifications(HintKind.QUEUE, "https://queue/1"),
        )
        self._clock = LeapingClock()
        self._woken = threading.Event()
        self._interruptions: list[Fault | Operation | None] = []
        self._patience: list[bool] = []
        self._queue: list[Message] = []
        self._network: list[Message] = []
        self._versions: dict[str, int] = {}
        self._reported: dict[str, int] = {}
        self._replayed: dict[str, str] = {}
        self._refuses_head = self._loses_hints = False
        self._must_scan = False
        self._seq = 0
        self.is_up = False
        self.source = self._make_source()
        # A new process would make a new client, which takes long and remembers nothing.
        api = cast("Any", self.source)._api
        self._make_client = api._make_client = cache(api._make_client)
        self.source.open(self._woken.set)

    def teardown(self) -> None:
        """Compare once more, then remove everything."""
        try:
            self.compare()
        finally:
            if self.is_up:
                self.store.close()
            self.source.close()
            self._directory.cleanup()

    # The watch

    def _make_source(self) -> BucketSource:
        source = make_source(
            self._spec, exclude=("*.tmp",), clock=self._clock, conditions=self._conditions
        )
        self._observe_now = source.observe
        cast("Any", source).observe = self._observe
        return source

    def _start(self) -> None:
        """Begin on the state file, as a new process does, unless one runs."""
        if self.is_up:
            return
        self.store = open_store(Path(self._directory.name, "state.db"))
        self.store._db.execute("PRAGMA synchronous = OFF")
        self.outbox = FallibleOutbox(
            Spec(self._spec), self.store, clock=FakeClock(), publish=lambda *_: None
        )
        self.detector = ChangeDetector(frozenset(ChangeType), self.store.index.new_rows)
        self.reconciler = Reconciler(
            self.source,
            self.store.index,
            self.detector,
            self.outbox,
            lambda _count: None,
            FakeClock(),
            conditions=self._conditions,
        )
        self.is_up = True

    def _end(self) -> None:
        """Lose what is in memory: messages that were received wait in the queue again."""
        self.is_up = False
        self.store.close()
        self.source.close()
        for message in self._queue:
            message.is_out = False
        if not self._has_queue:
            self._queue.clear()
            self._must_scan = True
        self.source = self._make_source()
        cast("Any", self.source)._api._make_client = self._make_client
        self.source.open(self._woken.set)

    def _observe(self) -> Iterator[Observation]:
        """Wait for what requests find out, or have them sent and look at it the next time."""
        keys = self.source._hints.keys
        if self._patience and not self._patience.pop():
            keys._return_uncompared()
            keys._send()
            while keys._busy and keys._workers is not None and not keys._workers.has_result:
                assert self._woken.wait(DEADLINE_S)
                self._woken.clear()
            return
        while True:
            self._woken.clear()
            yield from self._observe_now()
            if not keys._busy and not self._woken.is_set():
                return
            assert self._woken.wait(DEADLINE_S)

    def _try(self, act: Any) -> None:  # noqa: ANN401 - a method of the reconciler
        try:
            act()
        except WatcherError:
            self._interruptions = []
            self._reopen()
        except PowerFailure:
            self._interruptions = []
            self._end()

    def _reopen(self) -> None:
        self.source.close()
        self.source.open(self._woken.set)

    def _scan(self) -> None:
        self.reconciler.rescan_reason = None
        self.reconciler.scan(is_baseline=False)
        self._must_scan = False

    def _look(self) -> None:
        for observation in self.source.observe():
            self.reconciler.apply(observation)

    # The bucket and its hints

    def _do(self, operation: Operation, fate: str = "sent") -> None:
        kind, key, number = operation
        if kind == "delete":
            if self._bucket.get(key) is None:
                return
            self._bucket.delete(key)
        else:
            self._bucket.put(key, size=number)
            found = self._bucket.get(key)
            assert found is not None
            self._versions[found.etag] = len(self._versions)
        if fate == "lost" and self._loses_hints:
            self._must_scan = True
            return
        readings = [key, unquote_plus(key), quote_plus(key)] if fate == "misread" else [key]
        for _ in range(2 if fate == "doubled" else 1):
            message = Message(*readings)
            (self._network if fate == "delayed" else self._queue).append(message)

    def _interrupt(self, kind: Kind) -> Fault | None:
        """Take one interruption for each request: a fault, or a change just before the answer."""
        interruption = self._interruptions.pop(0) if self._interruptions else None
        if isinstance(interruption, tuple):
            self._do(interruption)
            interruption = None
        if self._refuses_head and kind is Kind.HEAD:
            return Fault.DENIED
        if interruption is Fault.DENIED and kind is Kind.HEAD:
            return None
        return interruption

    def _receive(self, order: Iterable[int] | None = None) -> None:
        """Have the source receive messages, all of them or those at some places."""
        self._queue = [message for message in self._queue if not message.is_done]
        waiting = [message for message in self._queue if not message.is_out]
        chosen = (
            waiting
            if order is None
            else [waiting[each % len(waiting)] for each in order if waiting]
        )
        for message in chosen:
            if message.is_out:
                continue
            message.is_out = True
            if self._has_queue:
                assert self._feed.inbox.put(message.keys, message)
            else:
                self._queue.remove(message)
                self.source.hint(message.keys)

    def _wanted(self) -> dict[str, str]:
        """Return the etags of the objects that count and are not held back."""
        there = self._there()
        return {
            key: etag
            for key, (size, etag) in there.items()
            if not is_marker(self._conditions, key) and is_open(self._conditions, key, size, there)
        }

    def _there(self) -> dict[str, tuple[int, str]]:
        """Return size and etag of the objects that count, and of markers."""
        return {
            key: (found.size, found.etag)
            for key in self._bucket.keys
            if key.startswith(PREFIX) and not key.endswith(".tmp")
            if (found := self._bucket.get(key)) is not None
        }

    def _replay(self) -> int:
        """Apply the events since, and return their number; each is newer than those before it."""
        count = 0
        for payload in self.store.journal.read(self._seq, limit=10_000, max_bytes=1 << 30):
            event = json.loads(payload.data)
            self._seq, count = self._seq + 1, count + 1
            assert event["seq"] == self._seq
            key = event["path"]
            assert (key in self._replayed) == (event["type"] != "created"), event
            if event["type"] == "deleted":
                del self._replayed[key]
                continue
            assert self._versions[event["etag"]] > self._reported.get(key, -1), event
            self._reported[key] = self._versions[event["etag"]]
            self._replayed[key] = event["etag"]
        return count

    # Rules

    @initialize(
        operations=st.lists(operations, max_size=8),
        page_keys=st.sampled_from(PAGE_KEYS),
        loses_hints=st.sampled_from([False, False, True]),
        refuses_head=st.sampled_from([False, False, True]),
    )
    def begin(
        self,
        operations: list[Operation],
        page_keys: int,
        *,
        refuses_head: bool,
        loses_hints: bool,
    ) -> None:
        """Record what is there, which the client knows by other means.

        Where HEAD is refused, an empty listing proves no deletions. So one key lasts.
        """
        self._bucket.page_keys = page_keys
        for operation in (("put", "in/lasts", 1), *operations):
            self._do(operation)
        self._refuses_head, self._loses_hints = refuses_head, loses_hints
        self._start()
        self.detector.appearance = lambda _path: Appearance.IGNORED_EXISTING
        self.reconciler.scan(is_baseline=True)
        self.detector.appearance = lambda _path: Appearance.NEW
        self._replayed = self._wanted()
        self._reported = {key: self._versions[etag] for key, etag in self._replayed.items()}

    @rule(operations=st.lists(operations, min_size=1, max_size=4), fates=fates)
    def operate(self, operations: list[Operation], fates: list[str]) -> None:
        """Put and delete objects; their hints have fates."""
        for operation, fate in zip(operations, fates, strict=False):
            self._do(operation, fate)

    @rule(keys=st.lists(st.sampled_from(FORGED), min_size=1, max_size=4))
    def forge(self, keys: Sequence[str | bytes]) -> None:
        """Send a message about keys of which nothing has happened."""
        self._queue.append(Message(*keys))

    @rule(indexes=st.lists(st.integers(0, 9), max_size=4))
    def arrive(self, indexes: list[int]) -> None:
        """Let delayed messages arrive, in any order."""
        for index in indexes:
            if self._network:
                self._queue.append(self._network.pop(index % len(self._network)))

    @rule(
        order=st.none() | st.lists(st.integers(0, 9), max_size=6),
        interruptions=interruptions,
        patience=st.lists(st.booleans(), max_size=3),
        commits=st.none() | st.integers(0, 2),
    )
    def look(
        self,
        order: list[int] | None,
        interruptions: list[Fault | Operation | None],
        patience: list[bool],
        commits: int | None,
    ) -> None:
        """Receive messages and look at their keys, while the bucket changes or fails."""
        self._start()
        self._receive(order)
        self._disturb(self._look, interruptions, patience, commits)

    @rule(
        interruptions=interruptions,
        patience=st.lists(st.booleans(), max_size=6),
        commits=st.none() | st.integers(0, 2),
    )
    def scan(
        self,
        interruptions: list[Fault | Operation | None],
        patience: list[bool],
        commits: int | None,
    ) -> None:
        """List the bucket, and look at keys meanwhile."""
        self._start()
        self._receive()
        self._disturb(self._scan, interruptions, patience, commits)

    @rule()
    def reopen(self) -> None:
        """Close the source and open it, as a watch does whose place cannot be read."""
        self._reopen()

    @rule()
    def wait(self) -> None:
        """Let time pass, so that what failed is due again."""
        self._clock.ahead_s += PEACE_S

    @rule()
    def crash(self) -> None:
        """Lose everything but the state file and the queue."""
        if self.is_up:
            self._end()

    @rule()
    def compare(self) -> None:
        """In peace, hints suffice where none was lost, and a listing where one was."""
        self._start()
        self._queue += self._network
        self._network.clear()
        for _ in range(3):
            self._receive()
            self._look()
            self._clock.ahead_s += PEACE_S
        self._look()
        self._replay()
        if not (self._must_scan or self._refuses_head):
            assert self.reconciler.rescan_reason is None
            self._check()
        found = not (self._must_scan or self._refuses_head)
        # Where HEAD is refused, a second listing confirms deletions.
        scans = 1 + bool(self._spec.quiet_s) + self._refuses_head
        for _ in range(scans):
            self._scan()
            self._look()
            self._clock.ahead_s += PEACE_S
        self._look()
        assert not (self._replay() and found)
        self._check()
        assert list(self.source.unsettled()) == []
        assert [message.keys for message in self._queue if not message.is_done] == []
        self._queue.clear()

    def _check(self) -> None:
        """Compare what the client knows with what is there."""
        wanted, there = self._wanted(), self._there()
        assert wanted == {key: self._replayed.get(key) for key in wanted}
        assert self._replayed.keys() <= there.keys()
        if self._conditions == NO_CONDITIONS:
            assert self._replayed == wanted

    def _disturb(
        self,
        act: Any,  # noqa: ANN401 - a method
        interruptions: list[Fault | Operation | None],
        patience: list[bool],
        commits: int | None,
    ) -> None:
        self._interruptions, self._patience = list(interruptions), list(patience)
        self.outbox.commits_left = commits
        self._try(act)
        self._interruptions, self._patience = [], []
        self.outbox.commits_left = None
        if self.is_up:
            self._replay()
            # A refusal leaves what it concerns to a listing.
            self._must_scan |= self.reconciler.rescan_reason is not None
            self.reconciler.rescan_reason = None


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> ChosenFeed:
    """Have buckets take their hints from the test."""
    feed = ChosenFeed()
    monkeypatch.setattr(hint_intake, "make_feed", lambda *_: feed)
    return feed


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, aws_environment: pytest.MonkeyPatch) -> Iterator[Store]:
    """Run a store; requests are sent once, and batches are small."""
    monkeypatch.setattr(client, "ATTEMPTS", 1)
    monkeypatch.setattr(hooks, "RETRY_AFTER_MAX_S", 0.0)
    monkeypatch.setattr(batches, "BATCH_MIN_OBJECTS", 1)
    monkeypatch.setattr(batches, "BATCH_MAX_OBJECTS", 2)
    monkeypatch.setattr(batches, "PART_MIN_OBJECTS", 1)
    monkeypatch.setattr(batches, "PART_END_MASK", 0)
    with run_store() as store:
        for name, value in store.environment().items():
            aws_environment.setenv(name, value)
        yield store


VARIANTS: dict[str, dict[str, Any]] = {
    "queue": {},
    "webhook": {"has_queue": False},
    "quiet": {"quiet_s": QUIET_S},
    "marker": {"conditions": Conditions(marker="{name}!", min_size=1)},
    "shared marker": {"conditions": Conditions(marker="a")},
}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())
def test_the_stream_replayed_is_the_bucket(
    variant: dict[str, Any], bucket: Store, feed: ChosenFeed
) -> None:
    """In any history the events replayed give the bucket, and none is doubled or takes one back."""
    run_state_machine_as_test(
        # Whatever makes a machine will do, although the annotation asks for a class.
        partial(Hinting, bucket, feed, **variant),  # type: ignore[arg-type]
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
