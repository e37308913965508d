"""Compares the engines of state, through the product's own reconciler: python bench/state.py.

A place in memory is scanned by a reconciler whose state is on disk: a state file of SQLite, or a
private cluster of PostgreSQL (POSTGRES_BIN names other programs than those of the package from
PyPI) whose settings are its defaults. Both wait for the disk at each commit. Every figure has its
ratio to SQLite in the same run; rounds alternate, and the best of each engine counts. Server and
client share the machine's processors.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

import harness  # noqa: F401 - finds the supports of the tests
import structlog

from support.memory_source import MemoryFiles
from support.postgres import run_cluster
from support.reconciling import Reconciling
from watcher.clock import Clock
from watcher.model import Delta, Entry, Identity, Payload
from watcher.sources.observations import Observation
from watcher.sources.scans import BATCH_ENTRIES, Batch, EntryBatch, unread_test
from watcher.spec import DirectorySpec, Spec
from watcher.state.membership import used_alone
from watcher.state.port import StateEngine, WatchStore
from watcher.state.postgres.engine import PostgresEngine
from watcher.state.sqlite.directory import StateDirectory

COMMITS = 1000
WATCHES = 8
PAYLOAD = b"x" * 450
FILES_OF_DIRECTORY = 40


class Figure(NamedTuple):
    """What one engine did.

    Attributes:
        name: What was measured.
        value: Entries or commits in a second, or seconds of a commit.
        is_rate: Whether more is better.
    """

    name: str
    value: float
    is_rate: bool = True


class Place(MemoryFiles):
    """Entries in memory, scanned in their order."""

    mode = "poll"
    prefix = b""

    def __init__(self, paths: list[bytes]) -> None:
        super().__init__()
        self.unread: list[bytes] = []
        self.files = {
            path: Entry(path, 1000 + number, 1_700_000_000_000_000_000 + number, 1, number + 1)
            for number, path in enumerate(paths)
        }

    def scan(self, prefix: bytes = b"") -> Place:
        """See ``protocol.Source``."""
        assert not prefix
        return self

    def observe(self) -> Iterator[Observation]:
        """Yield nothing: there are no hints."""
        yield from ()

    def __iter__(self) -> Iterator[Batch]:
        """Yield the entries in batches."""
        entries = list(self.files.values())
        for start in range(0, len(entries), BATCH_ENTRIES):
            yield EntryBatch(entries[start : start + BATCH_ENTRIES])

    def unread_test(self) -> Callable[[bytes], bool]:
        """See ``scans.Scan``."""
        return unread_test([])

    def verification_scan(self, missing: int) -> None:
        """See ``scans.Scan``."""
        del missing

    def modify(self, share: float) -> None:
        """Give a share of the entries of each batch another size."""
        paths = list(self.files)
        step = round(1 / share)
        for start in range(0, len(paths), BATCH_ENTRIES):
            batch = paths[start : start + BATCH_ENTRIES]
            for path in batch[::step]:
                entry = self.files[path]
                self.files[path] = entry._replace(size=entry.size + 1)

    def delete(self, share: float) -> None:
        """Delete the first entries of each batch."""
        paths = list(self.files)
        for start in range(0, len(paths), BATCH_ENTRIES):
            for path in paths[start : start + int(BATCH_ENTRIES * share)]:
                del self.files[path]


def keys(count: int) -> list[bytes]:
    """Return keys of objects, in order."""
    return [b"exports/2026/%04d/part-%08d.parquet" % (n // 1000, n) for n in range(count)]


def tree(count: int) -> list[bytes]:
    """Return paths of files, directory by directory, the directories in no order."""
    return [
        b"d%03d/run-%06d/file-%03d.csv"
        % (
            (n // FILES_OF_DIRECTORY * 7919) % 997,
            n // FILES_OF_DIRECTORY,
            n % FILES_OF_DIRECTORY,
        )
        for n in range(count)
    ]


def measure(engine: StateEngine, name: str, paths: list[bytes]) -> Iterator[Figure]:
    """Yield the figures of one engine with one place."""
    place = Place(paths)
    with closing(engine.open(Identity("", name, "file:///bench"))) as store:
        reconciling = Reconciling(place, store, Spec(DirectorySpec("/bench")))

        def scan(what: str, *, is_baseline: bool = False) -> Figure:
            begun_s = time.perf_counter()
            if is_baseline:
                reconciling.record_existing()
            else:
                reconciling.scan(is_baseline=False)
            took_s = time.perf_counter() - begun_s
            assert store.index.entries == len(place.files)
            return Figure(f"{name}: {what}", len(place.files) / took_s)

        yield scan("first scan", is_baseline=True)
        yield scan("unchanged scan")
        place.modify(0.01)
        yield scan("1% modified")
        place.modify(0.1)
        yield scan("10% modified")
        place.delete(0.1)
        yield scan("10% deleted")


def measure_commits(engine: StateEngine) -> Iterator[Figure]:
    """Yield the times of commits of one change each."""
    with closing(engine.open(Identity("", "commits", "file:///bench"))) as store:
        begun_s = time.thread_time()
        times_s = [commit_s(store, number) for number in range(COMMITS)]
        processor_s = time.thread_time() - begun_s
    yield Figure("one commit, p50", median(times_s), is_rate=False)
    yield Figure("one commit, p99", quantiles(times_s, n=100)[98], is_rate=False)
    yield Figure("one commit, processor time", processor_s / COMMITS, is_rate=False)


def measure_together(engine: StateEngine) -> Iterator[Figure]:
    """Yield how many commits of one change each several watches make at once."""
    with ExitStack() as stack:
        stores = [
            stack.enter_context(closing(engine.open(Identity("", f"{number}", "file:///bench"))))
            for number in range(WATCHES)
        ]

        def run(store: WatchStore) -> None:
            for number in range(COMMITS):
                commit_s(store, number)

        begun_s = time.perf_counter()
        with ThreadPoolExecutor(WATCHES) as threads:
            list(threads.map(run, stores))
        took_s = time.perf_counter() - begun_s
    yield Figure(f"commits of {WATCHES} watches", WATCHES * COMMITS / took_s)


def commit_s(store: WatchStore, number: int) -> float:
    """Commit one new entry and its payload, and return the seconds that it took."""
    row = store.index.new_row(Entry(b"in/%06d.csv" % number, 1000, number, 1, number + 1))
    begun_s = time.perf_counter()
    payload = Payload(store.journal.next_seq, PAYLOAD)
    store.commit(Delta([row], created=1), [payload], changes=1)
    return time.perf_counter() - begun_s


def main() -> None:
    """Print the figures of both engines and their ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--entries", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", help="where the state is kept; a real disk")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    best: dict[str, dict[str, Figure]] = {"SQLite": {}, "PostgreSQL": {}}
    with ExitStack() as stack:
        cluster = stack.enter_context(run_cluster(options.directory, shared_buffers="128MB"))
        for number in range(options.rounds):
            directory = stack.enter_context(tempfile.TemporaryDirectory(dir=options.directory))
            engines: dict[str, AbstractContextManager[StateEngine]] = {
                "SQLite": StateDirectory(Path(directory), Clock()),
                "PostgreSQL": PostgresEngine(f"{cluster.url}?schema=round_{number}", Clock()),
            }
            for name, factory in engines.items():
                with used_alone(factory) as engine:
                    note(best[name], measure_commits(engine))
                    note(best[name], measure_together(engine))
                    note(best[name], measure(engine, "objects", keys(options.entries)))
                    note(best[name], measure(engine, "tree", tree(options.entries)))
    show(best["SQLite"], best["PostgreSQL"])


def note(best: dict[str, Figure], figures: Iterator[Figure]) -> None:
    """Keep each figure that is better than that of an earlier round."""
    for figure in figures:
        former = best.get(figure.name, figure)
        better = max if figure.is_rate else min
        best[figure.name] = better(former, figure, key=lambda each: each.value)


def show(sqlite: dict[str, Figure], postgres: dict[str, Figure]) -> None:
    """Print a line for each figure."""
    print(f"{'':32} {'SQLite':>14} {'PostgreSQL':>14} {'ratio':>6}")
    for name, figure in sqlite.items():
        other = postgres[name]
        texts = [
            f"{each.value:,.0f}/s" if each.is_rate else f"{each.value * 1000:.2f} ms"
            for each in (figure, other)
        ]
        print(f"{name:32} {texts[0]:>14} {texts[1]:>14} {other.value / figure.value:6.2f}")


if __name__ == "__main__":
    main()
