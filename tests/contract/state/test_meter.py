"""What operators see of an engine."""

from support.clock import FakeClock
from support.state import add
from watcher.model import Delta, Payload
from watcher.state.meter import Failure
from watcher.state.port import StateEngine, WatchStore


def test_each_step_is_counted_once(engine: StateEngine, store: WatchStore) -> None:
    """Commits, large ones too, and confirmations; what is read is none."""
    before = engine.meter.steps.count
    add(store, b"a")
    store.commit(Delta(), [Payload(1, b"x"), Payload(2, bytes(2_000_000))], changes=2)
    store.journal.confirm(1, keep_s=100.0)
    store.journal.acknowledge([2], keep_s=100.0)
    store.journal.expire(0.0)
    store.set_meta(key="value")
    assert engine.meter.steps.count == before + 6
    assert store.meta("key") == "value"
    assert store.journal.read(0, limit=10, max_bytes=10) == []
    assert engine.meter.steps.count == before + 6
    assert engine.meter.failures == dict.fromkeys(Failure, 0)


def test_a_step_is_an_answer(engine: StateEngine, store: WatchStore, clock: FakeClock) -> None:
    clock.advance(7)
    add(store, b"a")
    assert engine.meter.unanswered_s() == 0
