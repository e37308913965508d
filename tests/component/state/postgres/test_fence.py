"""The fence: a store whose watch was opened elsewhere since writes nothing, however it writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from component.state.postgres.conftest import WATCH
from support.client import wait_until
from support.state import add, indexed, journalled
from watcher.errors import FencedError, HistoryError, StateError
from watcher.model import ChangeType, Delta, Entry, GroupDelta, Payload
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.steps import STATEMENT_BYTES
from watcher.state.postgres.store import PostgresStore

LARGE = bytes(STATEMENT_BYTES)
WRITES: dict[str, Callable[[PostgresStore], object]] = {
    "entries": lambda store: add(store, b"new"),
    "payload": lambda store: store.commit(Delta(), [Payload(4, b"4")], changes=1),
    "large payloads": lambda store: store.commit(
        Delta(), [Payload(seq, LARGE) for seq in (4, 5, 6)], changes=3
    ),
    "pending": lambda store: store.commit(Delta(), pending=[Payload(4, b"4")], changes=1),
    "groups": lambda store: store.commit(
        Delta(groups=GroupDelta(changes={b"a": ChangeType.CREATED}, due={b"": 1.0}))
    ),
    "nothing": lambda store: store.commit(Delta()),
    "meta": lambda store: store.set_meta(key="new"),
    "ids": lambda store: store.renew_ids(),
    "confirm": lambda store: store.journal.confirm(2),
    "acknowledge": lambda store: store.journal.acknowledge([3]),
    "rewind": lambda store: store.journal.rewind(seq=1),
    "expire": lambda store: store.journal.expire(1),
}


@pytest.fixture
def store(store: PostgresStore) -> PostgresStore:
    """Commit an entry and three payloads, of which one is confirmed and kept."""
    add(store, b"old")
    store.commit(Delta(), [Payload(seq, b"%d" % seq) for seq in (1, 2, 3)], changes=3)
    store.journal.confirm(1, keep_s=100)
    return store


def contents(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Return the rows of all tables but what an opening and the lease change."""
    tables = {
        "counters": "watch, next_id, entries, next_seq, cursor",
        "watch": "id, uid, former_ids",
        **dict.fromkeys(("entry", "journal", "pending", "meta", "group_change"), "*"),
        "changed_group": "*",
    }
    return {
        table: sorted(database.fetch(f"SELECT {columns} FROM watcher.{table}"), key=repr)  # noqa: S608 - only constants
        for table, columns in tables.items()
    }


@pytest.mark.sampled
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_former_store_writes_nothing(
    engine: PostgresEngine,
    store: PostgresStore,
    database: Database,
    write: Callable[[PostgresStore], object],
) -> None:
    with closing(engine.open(WATCH)) as successor:
        before = contents(database)
        with pytest.raises(FencedError, match="opened elsewhere"):
            write(store)
        assert contents(database) == before
        write(successor)


def test_a_store_of_a_removed_watch_writes_nothing(
    engine: PostgresEngine, store: PostgresStore, database: Database
) -> None:
    engine.remove(WATCH)
    assert store.journal.acknowledge([3]) == set()
    assert store.journal.rewind(seq=1) == 1
    for name in WRITES.keys() - {"acknowledge", "rewind"}:
        with pytest.raises(HistoryError, match="not this opening"):
            WRITES[name](store)
    assert not any(contents(database).values())


@pytest.mark.sampled
@pytest.mark.parametrize("name", WRITES)
def test_each_write_is_one_step(store: PostgresStore, database: Database, name: str) -> None:
    """But a confirmation is none, since it may be written twice."""
    (before,) = database.fetch("SELECT step FROM watcher.counters")[0]
    WRITES[name](store)
    steps = 0 if name == "confirm" else 1
    assert database.fetch("SELECT step FROM watcher.counters") == [(before + steps,)]


@pytest.mark.sampled
@pytest.mark.parametrize("change", ["step - 1", "step + 1"])
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_store_writes_nothing_to_another_history(
    engine: PostgresEngine,
    store: PostgresStore,
    database: Database,
    write: Callable[[PostgresStore], object],
    change: str,
) -> None:
    """That is told apart from a fence, and final; the next opening begins with what is there."""
    database.fetch(f"UPDATE watcher.counters SET step = {change}")  # noqa: S608 - constants
    before = contents(database)
    for _ in range(2):
        with pytest.raises(HistoryError, match="steps of the watch"):
            write(store)
    assert contents(database) == before
    with closing(engine.open(WATCH)) as again:
        write(again)


def test_an_opening_waits_for_a_step_that_is_being_written(
    engine: PostgresEngine, store: PostgresStore, database: Database
) -> None:
    """Then it finds all of it; the next step of the former store is refused."""

    def waits_for_lock() -> bool:
        query = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return bool(database.fetch(query))

    with ThreadPoolExecutor(1) as pool:

        def payloads() -> Iterator[Payload]:
            yield Payload(4, LARGE)
            opening = pool.submit(engine.open, WATCH)
            openings.append(opening)
            wait_until(waits_for_lock, "the opening waits")
            yield Payload(5, b"5")

        openings: list[object] = []
        store.commit(Delta(), payloads(), changes=2)
        with closing(openings[0].result()) as successor:  # type: ignore[attr-defined]
            payloads_there = successor.journal.read(0, limit=9, max_bytes=1 << 30)
            assert [payload.seq for payload in payloads_there] == [1, 2, 3, 4, 5]
            assert successor.journal.next_seq == 6
    with pytest.raises(FencedError):
        store.set_meta(key="late")


def test_payloads_that_cannot_be_iterated_again_fail_the_step(
    store: PostgresStore, database: Database
) -> None:
    """Nothing of it is written, and the store goes on."""

    def payloads() -> Iterator[Payload]:
        yield Payload(4, LARGE)
        end_sessions(database)
        yield Payload(5, LARGE)

    row = store.index.new_row(Entry(b"new", 1, 1))
    with pytest.raises(StateError, match="cannot be repeated"):
        store.commit(Delta([row], created=1), payloads(), changes=2)
    assert (indexed(store), journalled(store)) == ([b"old"], [1, 2, 3])
    store.set_meta(key="value")


def test_a_session_that_ended_between_steps_is_not_noticed(
    engine: PostgresEngine, store: PostgresStore, database: Database
) -> None:
    for seq in range(4, 8):
        end_sessions(database)
        store.commit(Delta(), [Payload(seq, b"x")], changes=1)
    assert journalled(store) == [1, 2, 3, 4, 5, 6, 7]
    engine.probe()


def end_sessions(database: Database) -> None:
    """End all sessions of engines, and wait until they have ended; engines may begin others."""
    ended = database.fetch(
        "SELECT pid FROM pg_stat_activity "
        "WHERE application_name LIKE 'watcher %' AND pg_terminate_backend(pid)"
    )
    pids = [pid for (pid,) in ended]
    wait_until(
        lambda: (
            not database.fetch(
                "SELECT 1 FROM pg_stat_activity WHERE pid = ANY($1) AND state <> 'active'", pids
            )
        ),
        "the sessions have ended",
    )
