"""The history of a database: ids are renewed where commits may be missing, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from structlog.typing import EventDict

from component.state.postgres.conftest import WATCH
from support.client import wait_until
from support.clock import FakeClock
from support.failover import (
    Pair,
    back_up,
    dump,
    restore,
    restore_dump,
    run_standby,
    scratch_directory,
)
from support.logs import captured_logs
from support.postgres import SHARED, Cluster, run_cluster
from support.state import add, indexed, journalled
from watcher.errors import FencedError, HistoryError
from watcher.model import Delta, Identity, Payload
from watcher.state.membership import used_alone
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.store import PostgresStore
from watcher.state.sqlite.directory import StateDirectory

OTHER = Identity("alice", "other", "file:///data/in")


def commit(store: PostgresStore, *seqs: int) -> None:
    """Commit payloads that say with which id they were sent."""
    for seq in seqs:
        assert store.journal.next_seq == seq
        store.commit(Delta(), [Payload(seq, f"{store.uid}-{seq}".encode())], changes=1)


def free(cluster: Cluster, schema: str = "watcher") -> None:
    """Forget the servers that lived when the state was copied."""
    cluster.execute(f"DELETE FROM {schema}.server")  # noqa: S608 - a schema of a test


def schema_of(url: str) -> str:
    return url.rpartition("=")[2]


@contextmanager
def renewals() -> Iterator[list[EventDict]]:
    """Collect what is logged of state that was restored."""
    found: list[EventDict] = []
    with captured_logs() as logs:
        yield found
    found += [line for line in logs if line["event"] == "state.restored"]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with run_cluster("/dev/shm", fsync="off") as cluster:  # noqa: S108 - made by mkdtemp
        yield cluster


@pytest.fixture
def pair(cluster: Cluster) -> Iterator[Pair]:
    with run_standby(cluster, "/dev/shm") as pair:  # noqa: S108 - made by mkdtemp
        yield pair


def test_the_same_history_keeps_the_ids(cluster: Cluster) -> None:
    """Over servers, a crash of the database, and tables written anew."""
    with (
        used_alone(PostgresEngine(cluster.url, FakeClock())) as engine,
        closing(engine.open(WATCH)) as store,
    ):
        uid = store.uid
        commit(store, 1, 2)
    for act in (
        cluster.stop,
        lambda: cluster.execute("VACUUM FULL watcher.counters"),
        lambda: cluster.execute("CHECKPOINT"),
    ):
        act()
        if act == cluster.stop:
            cluster.start()
        with (
            renewals() as lines,
            used_alone(PostgresEngine(cluster.url, FakeClock())) as engine,
            closing(engine.open(WATCH)) as store,
        ):
            assert (store.uid, store.journal.next_seq, store.former_uids) == (uid, 3, {})
        assert not lines


def test_a_restored_dump_gets_new_ids(url: str, clock: FakeClock) -> None:
    """Once, when the watch is opened next; what the dump has keeps its ids."""
    cluster = SHARED.get()
    with used_alone(PostgresEngine(url, clock)) as engine, closing(engine.open(WATCH)) as store:
        former_uid = store.uid
        commit(store, 1, 2)
        content = dump(cluster, schema_of(url))
        commit(store, 3)
    restore_dump(cluster, schema_of(url), content)
    free(cluster, schema_of(url))
    with used_alone(PostgresEngine(url, clock)) as engine:
        with renewals() as lines, closing(engine.open(WATCH)) as store:
            assert store.uid != former_uid
            assert store.former_uids == {former_uid: 3}
            assert store.ids_renewed_at == clock.wall()
            assert store.journal.depth == 2
            next_seq = store.journal.next_seq
            assert next_seq > 1_000_000
            commit(store, next_seq)
            payloads = [f"{former_uid}-1", f"{former_uid}-2", f"{store.uid}-{next_seq}"]
            found = store.journal.read(0, limit=9, max_bytes=1 << 20)
            assert [payload.data.decode() for payload in found] == payloads
            uid = store.uid
        (line,) = lines
        assert line["log_level"] == "warning"
        assert (line["former_ids"], line["ids"], line["next_seq"]) == (former_uid, uid, next_seq)
        with renewals() as lines, closing(engine.open(WATCH)) as store:
            assert store.uid == uid
        assert not lines


@pytest.fixture
def scratch() -> Iterator[Path]:
    with scratch_directory() as directory:
        yield directory


def test_a_restored_backup_gets_new_ids(cluster: Cluster, scratch: Path) -> None:
    with (
        used_alone(PostgresEngine(cluster.url, FakeClock())) as engine,
        closing(engine.open(WATCH)) as store,
        closing(engine.open(OTHER)) as other,
    ):
        uids = {store.uid, other.uid}
        commit(store, 1)
        back_up(cluster, scratch / "backup")
        commit(store, 2)
    for _ in range(2):
        # The same backup once more has the same timeline as before.
        restore(cluster, scratch / "backup")
        free(cluster)
        with (
            used_alone(PostgresEngine(cluster.url, FakeClock())) as engine,
            closing(engine.open(WATCH)) as store,
            closing(engine.open(OTHER)) as other,
        ):
            assert journalled(store) == [1]
            assert not uids & {store.uid, other.uid}
            uids |= {store.uid, other.uid}


@pytest.mark.parametrize("is_lost", [False, True], ids=["all there", "commits lost"])
def test_a_failover_while_no_server_runs(pair: Pair, *, is_lost: bool) -> None:
    """Whether commits were lost cannot be known then."""
    with (
        used_alone(PostgresEngine(pair.url, FakeClock())) as engine,
        closing(engine.open(WATCH)) as store,
    ):
        uid = store.uid
        commit(store, 1)
        pair.catch_up()
        if is_lost:
            pair.cut()
        commit(store, 2)
    if not is_lost:
        pair.catch_up()
    pair.fail_over()
    free(pair.standby)
    with (
        used_alone(PostgresEngine(pair.url, FakeClock())) as engine,
        closing(engine.open(WATCH)) as store,
    ):
        assert journalled(store) == ([1] if is_lost else [1, 2])
        assert store.uid != uid


def test_an_opening_that_was_lost_writes_nothing(pair: Pair) -> None:
    """Its successor on the promoted standby has as many steps, but another epoch."""
    with used_alone(PostgresEngine(pair.primary.url, FakeClock())) as engine:
        engine.open(WATCH).close()
        pair.catch_up()
        pair.cut()
        lost = engine.open(WATCH)
        commit(lost, 1)
        pair.fail_over()
        free(pair.standby)
        with (
            used_alone(PostgresEngine(pair.standby.url, FakeClock())) as successor,
            closing(successor.open(WATCH)) as store,
        ):
            commit(store, store.journal.next_seq)
            steps = {each._session._permission.step for each in (lost, store)}
            assert len(steps) == 1
            # The former server finds its way to the new primary.
            lost._session._database = store._session._database
            with pytest.raises((FencedError, HistoryError)):
                add(lost, b"lost")
            assert indexed(store) == []


def history_of(cluster: Cluster) -> list[tuple[object, ...]]:
    return cluster.execute("SELECT DISTINCT history FROM watcher.watch")


def failovers(logs: list[EventDict]) -> list[EventDict]:
    return [line for line in logs if line["event"] == "state.failover"]


def test_a_failover_under_a_server_ends_the_watches_that_lost_commits(pair: Pair) -> None:
    """Nobody uses any of them meanwhile. The others keep their ids, also when opened again."""
    with (
        used_alone(PostgresEngine(pair.url, FakeClock())) as engine,
        closing(engine.open(WATCH)) as store,
        closing(engine.open(OTHER)) as other,
    ):
        uids = store.uid, other.uid
        commit(store, 1)
        commit(other, 1)
        pair.catch_up()
        pair.cut()
        commit(store, 2)
        with captured_logs() as logs:
            pair.fail_over()
            wait_until(lambda: store.failure is not None, "the store without its commit has ended")
            wait_until(lambda: bool(failovers(logs)), "the failover is logged")
        (line,) = failovers(logs)
        assert (line["kept"], line["lost"]) == (1, 1)
        for _ in range(2):
            with pytest.raises(HistoryError, match="other steps of the watch"):
                store.journal.read(0, limit=9, max_bytes=9)
        commit(other, 2)
        with closing(engine.open(WATCH)) as again, closing(engine.open(OTHER)) as kept:
            assert (again.uid == uids[0], kept.uid == uids[1]) == (False, True)
            assert again.former_uids == {uids[0]: 2}
            assert journalled(again) == [1]
            assert journalled(kept) == [1, 2]
        assert len(history_of(pair.standby)) == 1


def test_a_failover_that_lost_nothing_keeps_all_ids(pair: Pair) -> None:
    """With a synchronous standby; a server that starts later finds them valid."""
    pair.synchronise()
    with used_alone(PostgresEngine(pair.url, FakeClock())) as engine:
        stores = [engine.open(identity) for identity in (WATCH, OTHER)]
        for store in stores:
            commit(store, 1)
        former = history_of(pair.primary)
        pair.fail_over()
        wait_until(
            lambda: (now := history_of(pair.standby)) != former and len(now) == 1,
            "the new history is recorded",
        )
        for store in stores:
            commit(store, 2)
            store.close()
        uids = [store.uid for store in stores]
    with used_alone(PostgresEngine(pair.url, FakeClock())) as engine:
        for uid, identity in zip(uids, (WATCH, OTHER), strict=True):
            with closing(engine.open(identity)) as store:
                assert (store.uid, journalled(store)) == (uid, [1, 2])


def test_renew_renews_once(url: str, clock: FakeClock, database: Database) -> None:
    """Also where the next opening would have done it."""
    with used_alone(PostgresEngine(url, clock)) as engine:
        with closing(engine.open(WATCH)) as store:
            former_uid = store.uid
            commit(store, 1)
        database.fetch("UPDATE watcher.watch SET history = 'another'")
        with renewals() as lines:
            engine.renew_ids(WATCH)
        assert not lines
        with closing(engine.open(WATCH)) as store:
            assert store.former_uids == {former_uid: 2}


def test_state_that_was_restored_and_is_moved_has_new_ids(
    url: str, clock: FakeClock, database: Database, tmp_path: Path
) -> None:
    """Where it is moved to, nothing would show that it was restored."""
    with (
        used_alone(PostgresEngine(url, clock)) as engine,
        StateDirectory(tmp_path, clock) as directory,
    ):
        with closing(engine.open(WATCH)) as store:
            former_uid = store.uid
            commit(store, 1)
        database.fetch("UPDATE watcher.watch SET history = 'another'")
        with engine.export_watch(WATCH) as copy:
            directory.import_watch(copy)
        with closing(directory.open(WATCH)) as moved:
            assert moved.former_uids == {former_uid: 2}
            uid = moved.uid
        engine.remove(WATCH)
        with directory.export_watch(WATCH) as copy:
            engine.import_watch(copy)
        with closing(engine.open(WATCH)) as store:
            assert store.uid == uid
