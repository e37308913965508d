"""State moves between engines, each way: nothing of it is lost, and events go on with their ids."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from support.clock import FakeClock
from support.postgres import SHARED
from support.state import add, indexed
from watcher.errors import StateError
from watcher.model import ChangeType, Delta, Entry, Gate, GroupDelta, Identity, Payload
from watcher.settings import DatabaseUrl
from watcher.state.choice import choose_engine
from watcher.state.group_port import ChangedGroup
from watcher.state.membership import used_alone
from watcher.state.port import StateEngine, WatchStore
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.transfer import PAGE_BYTES, MovableState, move_watches

WATCH = Identity("alice", "orders ä", "file:///data/in")
OTHER = Identity("", "other", "s3://landing")
LONG = b"d/" + bytes(range(1, 256)) * 12
DOCUMENT = b"name: orders"
ENTRY = Entry(b"a/\xff", 1, -2, 3, (1 << 63) - 1, "etag", "GLACIER", is_link=True)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def make(
    kind: str, name: str, tmp_path: Path, clock: FakeClock
) -> AbstractContextManager[MovableState]:
    """Return an engine that is not entered; a name has state of its own."""
    place = tmp_path / name
    state = place if kind == "sqlite" else DatabaseUrl(SHARED.url(str(place)))
    return used_alone(choose_engine(state, clock))


@pytest.fixture(params=[("sqlite", "postgres"), ("postgres", "sqlite"), ("postgres", "postgres")])
def states(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> Iterator[tuple[MovableState, MovableState]]:
    source_kind, target_kind = request.param
    with (
        make(source_kind, "source", tmp_path, clock) as source,
        make(target_kind, "target", tmp_path, clock) as target,
    ):
        yield source, target


def fill(engine: StateEngine, clock: FakeClock) -> None:
    """Make state of which every table has something."""
    with closing(engine.open(OTHER)) as other:
        add(other, b"x")
    with closing(engine.open(WATCH, DOCUMENT)) as store:
        add(store, *(b"many/%05d" % number for number in range(2500)), LONG)
        marker = store.index.new_row(Entry(b"m.done", 1, 1))._replace(gate=Gate.MARKER)
        groups = GroupDelta(
            changes={b"": ChangeType.CREATED, LONG: ChangeType.DELETED},
            due={b"": None, b"many": 1.5},
        )
        store.commit(
            Delta([store.index.new_row(ENTRY), marker], created=2, groups=groups, gates={1: 1}),
            [Payload(seq, b"%d" % seq) for seq in (1, 2, 3)],
            changes=3,
        )
        store.renew_ids()
        clock.advance(10)
        seq = store.journal.next_seq
        large = [Payload(seq + number, bytes(PAGE_BYTES // 3)) for number in range(5)]
        store.commit(Delta(), large, [Payload(seq + 6, b"pending")], changes=7)
        store.journal.confirm(1, keep_s=1000)
        store.journal.acknowledge([3], keep_s=1000)
        store.set_meta(baselined="1", filter="ä")


def contents(engine: StateEngine) -> dict[str, object]:
    """Return all that a watch has."""
    with closing(engine.open(WATCH)) as store:
        journal, index = store.journal, store.index
        return {
            "ids": (store.uid, store.former_uids, store.ids_renewed_at, store.is_new),
            "counters": (journal.next_seq, journal.cursor, journal.depth, index.id_limit),
            "journal": journal.read(0, limit=99, max_bytes=1 << 30),
            "acknowledged": (journal.acknowledged, journal.oldest_at, journal.size_bytes),
            "pending": journal.pending(),
            "rows": {row.entry.path: row for page in index.rows_under(b"") for row in page},
            "gates": (index.entries, index.gates, index.links()),
            "groups": store.groups.changed(limit=9),
            "changes": [path for page in store.groups.changed_paths() for path in page],
            "meta": [store.meta(key) for key in ("baselined", "filter", "other")],
        }


def test_all_of_a_watch_is_moved(
    states: tuple[MovableState, MovableState], clock: FakeClock
) -> None:
    source, target = states
    fill(source, clock)
    before, summaries = contents(source), source.summaries()
    assert {*move_watches(source, target)} == {WATCH, OTHER}
    assert source.summaries() == {}
    assert target.summaries() == summaries
    after = contents(target)
    assert {key: after[key] for key in before if before[key] != after[key]} == {}
    keeps_documents = all(isinstance(each, PostgresEngine) for each in states)
    assert target.document(WATCH) == (DOCUMENT if keeps_documents else b"")
    assert after["groups"] == (2, [ChangedGroup(b"many", 1.5), ChangedGroup(b"", None)])
    with closing(target.open(WATCH)) as store:
        goes_on(store)


def goes_on(store: WatchStore) -> None:
    """Commit and confirm as if nothing had been."""
    seq = store.journal.next_seq
    store.commit(
        Delta([store.index.new_row(Entry(b"z", 1, 1))], created=1),
        [Payload(seq, b"z")],
        changes=1,
    )
    store.journal.confirm(seq)
    assert store.journal.depth == 0
    assert indexed(store, b"z") == [b"z"]


def test_an_interrupted_move_goes_on(
    states: tuple[MovableState, MovableState], clock: FakeClock
) -> None:
    """What is in both, equal, is taken for moved; anything else is refused, and nothing lost."""
    source, target = states
    fill(source, clock)
    with source.export_watch(WATCH) as copy:
        target.import_watch(copy)
    assert {*move_watches(source, target)} == {WATCH, OTHER}
    with closing(source.open(WATCH)) as store:
        add(store, b"new")
    with pytest.raises(StateError, match="has another state there"):
        [*move_watches(source, target)]
    assert set(source.summaries()) == {WATCH}
    assert set(target.summaries()) == {WATCH, OTHER}


def test_an_import_that_fails_leaves_nothing(
    states: tuple[MovableState, MovableState], clock: FakeClock
) -> None:
    source, target = states
    fill(source, clock)
    with source.export_watch(WATCH) as copy:
        rows = copy.rows["pending"]

        def failing() -> Iterator[list[tuple[object, ...]]]:
            yield from rows  # type: ignore[misc]
            raise StateError("it cannot be read")

        copy.rows["pending"] = failing()  # type: ignore[index]
        with pytest.raises(StateError, match="it cannot be read"):
            target.import_watch(copy)
    assert target.summaries() == {}
