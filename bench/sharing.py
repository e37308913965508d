"""Measures what servers that share watches cost each other: python bench/sharing.py [WATCHES].

Two servers are two engines of this process, on a private cluster of PostgreSQL whose settings are
its defaults. Server and clients share the machine's processors.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median, quantiles

import harness  # noqa: F401 - finds the supports of the tests

from support.client import wait_until
from support.postgres import run_cluster
from support.state import joined
from watcher.clock import Clock
from watcher.model import Delta, Identity, Payload
from watcher.state.news import Topic
from watcher.state.postgres.confirmer import Confirmation
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.store import PostgresStore

COMMITS = 500
PAYLOAD = b"x" * 450


def identity(number: int) -> Identity:
    """Return the identity of a watch, as long as real ones."""
    return Identity(
        "team-a", f"orders-{number}", f"s3://s3.eu-west-1.amazonaws.com/bucket-{number}/in/"
    )


def milliseconds(name: str, times_s: list[float]) -> None:
    """Print how long something has taken."""
    worst = quantiles(times_s, n=100)[98] if len(times_s) > 1 else times_s[0]
    print(f"{name:58} p50 {1000 * median(times_s):8.2f} ms   p99 {1000 * worst:8.2f} ms")


def measure_news(owner: PostgresEngine, other: PostgresEngine, *, has_news: bool) -> None:
    """Measure from the return of a commit to what a follower has read."""
    store = owner.open(identity(0))
    followed = other.following.open(identity(0))
    with followed.join():
        followed.note_streams(1)
    owner.survey(60.0)
    is_new = threading.Event()
    if has_news:
        wait_until(lambda: other.news.is_delivered, "news are delivered")
        other.news.subscribe(lambda _: is_new.set(), Topic.JOURNAL)
    seen: dict[int, float] = {}
    is_over = threading.Event()

    def follow() -> None:
        while not is_over.is_set():
            is_new.wait(5.0 if has_news else 0.25)
            is_new.clear()
            for found in other.following.refresh([followed.number] if has_news else None):
                seen.update((payload.seq, time.perf_counter()) for payload in found.payloads)

    thread = threading.Thread(target=follow)
    thread.start()
    committed: dict[int, float] = {}
    for _ in range(COMMITS if has_news else 40):
        seq = store.journal.next_seq
        store.commit(Delta(), [Payload(seq, PAYLOAD)], changes=1)
        committed[seq] = time.perf_counter()
        time.sleep(0.01 if has_news else 0.037)
    wait_until(lambda: committed.keys() <= seen.keys(), "all were read")
    is_over.set()
    is_new.set()
    thread.join()
    how = "with news" if has_news else "by polling every 250 ms"
    milliseconds(
        f"commit to the follower's read, {how}", [seen[s] - t for s, t in committed.items()]
    )
    if has_news:
        burst = store.journal.next_seq
        is_over.clear()
        thread = threading.Thread(target=follow)
        thread.start()
        begun_s = time.perf_counter()
        for _ in range(100):
            seq = store.journal.next_seq
            store.commit(Delta(), [Payload(seq + i, PAYLOAD) for i in range(100)], changes=100)
        local_s = time.perf_counter() - begun_s
        last = store.journal.next_seq - 1
        wait_until(lambda: last in seen, "all were read", pause_s=0.001)
        follower_s = time.perf_counter() - begun_s
        is_over.set()
        is_new.set()
        thread.join()
        events = last - burst + 1
        rates = f"{events / local_s:,.0f}, {events / follower_s:,.0f}"
        print(f"{'events a second: committed, read by a follower':58} {rates}")
    followed.close()
    store.release()


def timed(act: Callable[[], object], rounds: int = 20) -> list[float]:
    """Return how long something has taken, round by round, without the first one."""
    times_s = []
    for _ in range(rounds):
        begun_s = time.perf_counter()
        act()
        times_s.append(time.perf_counter() - begun_s)
    return times_s[1:]


def measure_many(owner: PostgresEngine, other: PostgresEngine, watches: int) -> None:
    """Measure what is done for all watches together."""
    stores: list[PostgresStore] = []
    begun_s = time.perf_counter()
    for number in range(watches):
        store = owner.open(identity(number))
        seq = store.journal.next_seq
        store.commit(Delta(), [Payload(seq + i, PAYLOAD) for i in range(10)], changes=10)
        stores.append(store)
    spent_s = time.perf_counter() - begun_s
    print(f"{f'opened {watches} watches, 10 payloads each':58} {spent_s:8.2f} s")
    owner._database.fetch("ANALYZE")
    for engine in (owner, other):
        assert len(engine.survey(600.0).watches) == watches
        milliseconds(f"survey of {watches} watches", timed(lambda: engine.survey(600.0)))  # noqa: B023 - called at once
    followed = [other.following.open(identity(number)) for number in range(watches)]
    for each in followed:
        with each.join():
            each.note_streams(1)
    looks_s = timed(lambda: list(other.following.refresh()))
    milliseconds(f"look at {watches} followed watches, nothing new", looks_s)
    seqs = iter(range(1, 11))

    def report() -> None:
        seq = next(seqs)
        for each in followed:
            each.begin_confirming()
            each.journal.confirm(seq)
        other.following.report()

    milliseconds(f"report the positions of {watches} watches", timed(report, 10))
    measure_confirmations(owner, stores[:1000])
    for each in followed:
        each.close()


def measure_confirmations(owner: PostgresEngine, stores: list[PostgresStore]) -> None:
    """Measure confirmations that come together, and those that come alone."""
    seqs = iter(range(1, 7))

    def confirm() -> None:
        seq = next(seqs)
        asked = [Confirmation(*store._session.permission, seq, None) for store in stores]
        confirmed = owner._sharing.confirmer._write(asked)
        assert all(each.cursor == seq for each in confirmed)

    milliseconds(f"confirm {len(stores)} watches in one transaction", timed(confirm, 6))
    rest = iter(stores)
    alone_s = timed(lambda: next(rest).journal.confirm(7), min(200, len(stores)))
    milliseconds("confirm one watch", alone_s)


def main() -> None:
    """Measure and print."""
    watches = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with ExitStack() as stack:
        cluster = stack.enter_context(run_cluster(shared_buffers="128MB"))
        owner, other = (
            stack.enter_context(joined(PostgresEngine(cluster.url, Clock(), name)))
            for name in ("owner", "other")
        )
        measure_news(owner, other, has_news=True)
        measure_news(owner, other, has_news=False)
        measure_many(owner, other, watches)


if __name__ == "__main__":
    main()
