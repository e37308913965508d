"""Flow control against a plain list: through any acknowledgements, replays, streams and crashes."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from support.clock import FakeClock
from support.examples import examples
from support.publishing import ACK_TIMEOUT_S, Bench
from support.state import ENGINES, without_sync
from watcher.delivery.subscription import Subscription
from watcher.model import Identity
from watcher.spec import Batch, Confirm
from watcher.state.port import StateEngine

IDENTITY = Identity("", "test", "file:///data")
BATCH_WAIT_S = 5.0
MAX_STREAMS = 3

positions = st.floats(0, 1, exclude_max=True)
"""Where in the journal, from its beginning to beyond its end."""


@dataclass(eq=False)
class Reader:
    """A stream, and what it has written since it began or was rewound."""

    subscription: Subscription
    written: set[int] = field(default_factory=set)


class FlowControl(RuleBasedStateMachine):
    """Streams of one watch with ``max_unacknowledged``, and all payloads that were ever made.

    The plain model is a list of payloads and the set of those that are acknowledged.
    """

    engine: StateEngine
    bench: Bench
    limit: int

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.clock = FakeClock()
        self.payloads: list[int] = []
        self.acknowledged: set[int] = set()
        self.readers: list[Reader] = []

    @initialize(limit=st.integers(1, 4), events=st.integers(1, 3), per_s=st.sampled_from([None, 2]))
    def begin(self, limit: int, events: int, per_s: float | None) -> None:
        directory = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.engine = self.stack.enter_context(ENGINES["sqlite"](directory, self.clock))
        self.limit = limit
        self.batch = Batch(events, BATCH_WAIT_S if events > 1 else 0.0)
        self.per_s = per_s
        self.open()

    def open(self) -> None:
        store = self.engine.open(IDENTITY)
        without_sync(store)
        self.bench = Bench(
            store,
            self.clock,
            confirm=Confirm.ACK,
            max_unacknowledged=self.limit,
            rate_per_s=self.per_s,
            batch=self.batch,
        )

    def teardown(self) -> None:
        if hasattr(self, "bench"):
            self.bench.store.close()
        self.stack.close()

    # The model

    def note_new(self) -> None:
        """Add the payloads that were appended; the journal is asked for these alone."""
        last_seq = self.payloads[-1] if self.payloads else 0
        journal = self.bench.store.journal
        self.payloads += [each.seq for each in journal.read(last_seq, limit=99, max_bytes=1 << 20)]

    def window(self) -> list[int]:
        """Return the oldest unacknowledged payloads."""
        unacknowledged = [seq for seq in self.payloads if seq not in self.acknowledged]
        return unacknowledged[: self.limit]

    def holder(self, seq: int) -> int | None:
        """Return the payload that holds a change; None if it waits for its batch."""
        return next((each for each in self.payloads if each >= seq), None)

    def seq_at(self, position: float) -> int:
        return 1 + int(position * (self.bench.store.journal.next_seq + 1))

    # What happens

    @rule(count=st.integers(1, 8))
    def change(self, count: int) -> None:
        self.bench.change(count)
        self.note_new()

    @rule(seconds=st.sampled_from([0.1, 1.0, BATCH_WAIT_S, ACK_TIMEOUT_S + 1.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.bench.outbox.seal()
        self.note_new()

    @rule()
    def join(self) -> None:
        if len(self.readers) < MAX_STREAMS:
            self.readers.append(Reader(self.bench.join()))

    @rule(number=st.integers(0, MAX_STREAMS - 1))
    def leave(self, number: int) -> None:
        if number < len(self.readers):
            self.bench.publisher.unsubscribe(self.readers.pop(number).subscription)

    @rule(number=st.integers(0, MAX_STREAMS - 1), count=st.integers(1, 5), during=positions)
    def write(self, number: int, count: int, during: float) -> None:
        """Write some of what was read, and have a payload acknowledged meanwhile."""
        if number < len(self.readers):
            reader = self.readers[number]
            payloads = reader.subscription.read()
            self.acknowledge([during])
            for payload in reader.subscription.writing(payloads[:count]):
                assert payload.seq in self.window()
                reader.written.add(payload.seq)

    @rule(positions=st.lists(positions, max_size=3))
    def acknowledge(self, positions: list[float]) -> None:
        seqs = [self.seq_at(position) for position in positions]
        self.bench.publisher.acknowledge(seqs)
        self.acknowledged |= {found for seq in seqs if (found := self.holder(seq)) is not None}

    @rule(position=positions, number=st.integers(0, MAX_STREAMS - 1))
    def replay(self, position: float, number: int) -> None:
        """Also while a stream writes: what it has read before is no longer to be written."""
        payloads = []
        if number < len(self.readers):
            payloads = self.readers[number].subscription.read()
        seq = self.seq_at(position)
        self.bench.publisher.replay(seq=seq)
        self.acknowledged -= {each for each in self.payloads if each >= seq}
        for reader in self.readers:
            reader.written.clear()
        if payloads:
            for payload in self.readers[number].subscription.writing(payloads):
                assert payload.seq in self.window()

    @rule()
    def crash(self) -> None:
        self.bench.store.close()
        self.readers.clear()
        self.open()
        self.note_new()

    @rule()
    def renew_ids(self) -> None:
        self.bench.outbox.renew_ids()

    # What holds

    @rule()
    def drain(self) -> None:
        """Every stream writes all that it may, as soon as its rate allows it, and no more."""
        for reader in self.readers:
            waits = 0
            while waits < 2:
                payloads = list(reader.subscription.writing(reader.subscription.read()))
                reader.written |= {payload.seq for payload in payloads}
                assert {payload.seq for payload in payloads} <= set(self.window())
                waits = 0 if payloads else waits + 1
                if self.per_s is not None:
                    self.clock.advance(1.0)
                elif waits == 0 and reader.subscription.due_in_s() == 0.0:
                    break
            assert set(self.window()) <= reader.written

    @invariant()
    def counts_agree(self) -> None:
        """The journal's cursor and depth are those of the list."""
        if hasattr(self, "bench"):
            journal = self.bench.store.journal
            before = [seq for seq in self.payloads if seq <= journal.cursor]
            assert set(before) <= self.acknowledged
            window = self.window()
            assert not window or journal.cursor < window[0]


TestFlowControl = FlowControl.TestCase
TestFlowControl.settings = settings(max_examples=examples(60), stateful_step_count=30)
