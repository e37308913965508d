"""Steps through connections that are cut at random bytes: none is lost, and none is doubled.

The same steps are done on a state file, which is the model. ``OUTAGE_SEEDS`` is the number of
histories.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from support.clock import FakeClock
from support.cutting_relay import CuttingRelay
from support.postgres import SHARED
from watcher.model import Delta, Entry, Identity, Payload, Row
from watcher.state.membership import used_alone
from watcher.state.port import WatchStore
from watcher.state.postgres.connection import parse_url
from watcher.state.postgres.database import Database
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.postgres.steps import STATEMENT_BYTES
from watcher.state.postgres.store import AHEAD_ROWS, PostgresStore
from watcher.state.sqlite.directory import StateDirectory

SEEDS = range(int(os.environ.get("OUTAGE_SEEDS", "2")))
STEPS = 60
WATCH = Identity("", "cut", "file:///data")
MEAN_BYTES = 4000
"""Mean number of bytes that pass in one direction until a connection is cut."""


class Payloads:
    """Payloads that are made anew each time they are iterated."""

    def __init__(self, first_seq: int, sizes: list[int]) -> None:
        self._first_seq = first_seq
        self._sizes = sizes

    def __iter__(self) -> Iterator[Payload]:
        for seq, size in enumerate(self._sizes, start=self._first_seq):
            yield Payload(seq, b"%d" % (seq % 10) * size)


class Both:
    """Does the same steps on two stores, and compares what they answer."""

    def __init__(self, model: WatchStore, store: WatchStore, random: Random) -> None:
        self._stores = (model, store)
        self._random = random
        self._rows: dict[bytes, tuple[Row, Row]] = {}

    def step(self) -> None:
        names = ["change", "change", "change", "large", "scan"]
        names += ["confirm", "acknowledge", "rewind", "meta"]
        getattr(self, self._random.choice(names))()

    def change(self) -> None:
        """Create, modify and delete entries, with a payload or a pending event."""
        upserts: tuple[list[Row], list[Row]] = ([], [])
        created = 0
        for _ in range(self._random.randint(0, 3)):
            entry = Entry(b"%d" % self._random.randint(0, 30), self._random.randint(0, 9), 1)
            rows = self._rows.get(entry.path)
            if rows is None:
                created += 1
                rows = tuple(store.index.new_row(entry) for store in self._stores)  # type: ignore[assignment]
            assert rows is not None
            rows = (rows[0]._replace(entry=entry), rows[1]._replace(entry=entry))
            self._rows[entry.path] = rows
            for each, row in zip(upserts, rows, strict=True):
                each.append(row)
        fresh = {row.entry.path for row in upserts[0]}
        gone = [path for path in self._rows if path not in fresh and self._random.random() < 0.1]
        deletes = [self._rows.pop(path) for path in gone]
        seq = self._next_seq()
        is_pending = self._random.random() < 0.3
        for number, store in enumerate(self._stores):
            delta = Delta(upserts[number], [rows[number] for rows in deletes], created=created)
            if is_pending:
                waiting = [*store.journal.pending(), Payload(seq, b"event")]
                store.commit(delta, pending=waiting, changes=1)
            else:
                store.commit(delta, Payloads(seq, [self._size(seq)]), changes=1)

    def large(self) -> None:
        """Append more than one statement has."""
        seq, sizes = self._next_seq(), [STATEMENT_BYTES // 2] * self._random.randint(2, 5)
        for store in self._stores:
            store.commit(Delta(), Payloads(seq, sizes), changes=len(sizes))

    def scan(self) -> None:
        """Record rows, which are written while the next ones are found, and look some up."""
        with self._stores[0].deferring(), self._stores[1].deferring():
            for _ in range(self._random.randint(1, 4)):
                first = self._random.randint(0, 9) * AHEAD_ROWS
                size = self._random.randint(0, 9)
                entries = [Entry(b"s/%d" % (first + n), size, 1) for n in range(AHEAD_ROWS)]
                for store in self._stores:
                    _, rows, differing = store.index.compare(entries)
                    delta = Delta()
                    for entry in differing:
                        row = rows.get(entry.path)
                        delta.put(
                            row, row._replace(entry=entry) if row else store.index.new_row(entry)
                        )
                    store.commit(delta)
                if self._random.random() < 0.3:
                    self.change()

    def confirm(self) -> None:
        journal = self._stores[0].journal
        seq = self._random.randint(journal.cursor, journal.next_seq - 1)
        keep_s = self._random.choice([0.0, 1000.0])
        self._ask(lambda store: store.journal.confirm(seq, keep_s=keep_s))

    def acknowledge(self) -> None:
        seqs = [self._random.randint(1, self._next_seq()) for _ in range(3)]
        self._ask(lambda store: store.journal.acknowledge(seqs, keep_s=1000.0))

    def rewind(self) -> None:
        seq = self._random.randint(1, self._next_seq())
        self._ask(lambda store: store.journal.rewind(seq=seq))

    def meta(self) -> None:
        value = self._random.choice([None, "1", "2"])
        self._ask(lambda store: store.set_meta(key=value, other="x"))
        self._ask(lambda store: store.meta("key"))

    def compare(self) -> None:
        self._ask(facts)

    def _next_seq(self) -> int:
        return self._stores[0].journal.next_seq

    def _size(self, seq: int) -> int:
        return (seq * 37) % 3000 + 1

    def _ask(self, question: Any) -> None:  # noqa: ANN401 - takes a store
        expected, found = map(question, self._stores)
        assert found == expected


def facts(store: WatchStore) -> dict[str, object]:
    """Return all that a store says of itself."""
    journal = store.journal
    rows = [row for page in store.index.rows_under(b"") for row in page]
    return {
        "next_seq": journal.next_seq,
        "cursor": journal.cursor,
        "depth": journal.depth,
        "size": journal.size_bytes,
        "acknowledged": {seq for seq in journal.acknowledged if seq > journal.cursor},
        "payloads": journal.read(0, limit=10_000, max_bytes=1 << 30),
        "pending": journal.pending(),
        "entries": store.index.entries,
        "rows": [row.entry for row in rows],
        "meta": store.meta("key"),
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_steps_through_connections_that_are_cut(tmp_path: Path, seed: int) -> None:
    random, clock = Random(seed), FakeClock()  # noqa: S311 - repeatable
    url, port = SHARED.url(f"{tmp_path}"), SHARED.get().port
    with (
        CuttingRelay(port) as relay,
        StateDirectory(tmp_path / "state", clock) as directory,
        used_alone(PostgresEngine(url, clock)) as engine,
        closing(directory.open(WATCH)) as model,
        closing(engine.open(WATCH)) as store,
        closing(Database(parse_url(url.replace(f":{port}/", f":{relay.port}/")), "cut")) as through,
    ):
        assert isinstance(store, PostgresStore)
        store._session._database = through
        both = Both(model, store, random)
        cutting = Random(seed)  # noqa: S311 - repeatable
        left = int(cutting.expovariate(1 / MEAN_BYTES))

        def cut(_is_answer: bool, data: bytes) -> int | None:  # noqa: FBT001 - see CuttingRelay
            nonlocal left
            passing, left = left, left - len(data)
            if left > 0:
                return None
            # Often in the middle of a large step.
            left = int(cutting.expovariate(1 / MEAN_BYTES) * cutting.choice([1, 1, 1, 500]))
            return max(0, passing)

        relay.cut = cut
        for _ in range(STEPS):
            both.step()
        assert relay.cuts > STEPS // 20
        relay.cut = lambda _is_answer, _data: None
        both.compare()
        expected = facts(store)
        store.close()
        with closing(engine.open(WATCH)) as again:
            assert facts(again) == expected
