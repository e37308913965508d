"""Measures what conditions add to the CPU time of a scan, by entry: python bench/conditions.py.

A directory in memory is read by the source, compared and committed to a state file in memory, for
the first time and again: without conditions, with sizes, with a marker for each file and with one
for all. Markers are files too, so a scan with a marker for each file is compared with one of twice
as many files. At last one marker comes for which all files have waited.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.state import open_store
from watcher.changes.detector import ChangeDetector
from watcher.changes.reconciler import Reconciler
from watcher.clock import Clock
from watcher.delivery.outbox import Outbox
from watcher.filesystem.linux.mount_monitor import MountMonitor
from watcher.filters.markers import filter_of
from watcher.model import ChangeType
from watcher.sources.directory.linux.backend import LinuxBackend
from watcher.sources.directory.linux.inotify import Inotify
from watcher.sources.directory.source import DirectorySource
from watcher.spec import Conditions, DirectorySpec, Mode, Spec

PER_DIRECTORY = 1000
RESCANS = 5


class Watch:
    """A watch of a directory without its thread.

    Args:
        root: The directory.
        state: The state file.
        conditions: What a file must satisfy to be reported.
    """

    def __init__(self, root: Path, state: Path, conditions: Conditions) -> None:
        where = DirectorySpec(str(root), mode=Mode.POLL)
        spec = Spec(where, conditions=conditions)
        clock, self._monitor = Clock(), MountMonitor()
        self._store = open_store(state)
        self._source = DirectorySource(
            where, filter_of(spec), LinuxBackend(Inotify, self._monitor), clock, within=None
        )
        self._outbox = Outbox(spec, self._store, clock=clock, publish=lambda *_: None)
        self._reconciler = Reconciler(
            self._source,
            self._store.index,
            ChangeDetector(frozenset(ChangeType), self._store.index.new_rows),
            self._outbox,
            lambda _count: None,
            clock,
            conditions=conditions,
        )
        self._source.open(lambda: None)
        # Files count as complete when they are met: what is measured is the comparison.
        self._source.complete = lambda entries, _read_ns=None: list(entries)  # type: ignore[method-assign, assignment]

    def scan(self) -> int:
        """Scan, and return the number of changes so far."""
        self._reconciler.scan(is_baseline=False)
        return sum(self._outbox.by_type.values())

    def close(self) -> None:
        """Close everything."""
        self._source.close()
        self._monitor.close()
        self._store.close()


def make_files(root: Path, count: int, *suffixes: str) -> None:
    """Make files, each with further ones of its name and a suffix."""
    for number in range(count):
        directory = root / f"d{number // PER_DIRECTORY}"
        if number % PER_DIRECTORY == 0:
            directory.mkdir(parents=True)
        for suffix in ("", *suffixes):
            (directory / f"f{number}{suffix}").write_bytes(b"1")


def cost_us(count: int, step: Callable[[], int]) -> tuple[float, int]:
    """Return the microseconds of CPU that a step takes by entry, and its result."""
    start_s = time.process_time()
    result = step()
    return (time.process_time() - start_s) / count * 1e6, result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="files")
    count = parser.parse_args().count
    cases = {
        "no condition": (Conditions(), ()),
        "sizes": (Conditions(min_size=1, max_size=1000), ()),
        "a marker for all": (Conditions(marker="_SUCCESS"), ()),
        "no condition, two files each": (Conditions(), (".done",)),
        "a marker for each": (Conditions(marker="{name}.done"), (".done",)),
    }
    print(f"{count:,} files; microseconds of CPU by file: first scan, scan without a change")
    with tempfile.TemporaryDirectory() as name:
        for number, (title, (conditions, suffixes)) in enumerate(cases.items()):
            root = Path(name, str(number))
            make_files(root, count, *suffixes)
            if conditions.marker == "_SUCCESS":
                (root / "_SUCCESS").touch()
            watch = Watch(root, Path(name, f"{number}.db"), conditions)
            first_us, changes = cost_us(count, watch.scan)
            again_us = min(cost_us(count, watch.scan)[0] for _ in range(RESCANS))
            print(f"{title:<30} {first_us:6.2f} {again_us:6.2f}   {changes:,} changes")
            watch.close()
        root = Path(name, "waiting")
        make_files(root, count)
        watch = Watch(root, Path(name, "waiting.db"), Conditions(marker="_SUCCESS"))
        held_us, before = cost_us(count, watch.scan)
        again_us = min(cost_us(count, watch.scan)[0] for _ in range(RESCANS))
        (root / "_SUCCESS").touch()
        opened_us, changes = cost_us(count, watch.scan)
        print(f"{'all wait for one':<30} {held_us:6.2f} {again_us:6.2f}   {before:,} changes")
        print(f"{'it comes':<30} {opened_us:6.2f}          {changes:,} changes")
        watch.close()


if __name__ == "__main__":
    main()
