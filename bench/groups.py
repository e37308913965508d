"""Measures what groups add to a scan that finds new entries: python bench/groups.py.

A place in memory with new entries is scanned by a watch whose state is in memory too, so that what
is measured is the comparison and its commits. Each figure is the least CPU time of the rounds,
which alternate, divided by the entries.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import harness  # noqa: F401 - finds the supports of the tests
import structlog

from support import memory_watch
from support.memory_watch import Place, Scene
from watcher.model import ChangeType, Entry
from watcher.sources.scans import BATCH_ENTRIES, Batch, EntryBatch
from watcher.spec import Group

QUIET_S = 60.0
SCAN_S = 2 * Place.scan_interval_s
MEMORY = "/dev/shm"  # noqa: S108 - a file system in memory


class Cost(NamedTuple):
    """CPU seconds of the scan that finds all entries, and of the turn after their quiet time."""

    scan_s: float
    completion_s: float


class LargePlace(Place):
    """A place that is read in batches, as a real one is."""

    def __iter__(self) -> Iterator[Batch]:
        """Yield the entries in batches."""
        entries = list(self.files.values())
        for start in range(0, len(entries), BATCH_ENTRIES):
            yield EntryBatch(entries[start : start + BATCH_ENTRIES])


def measure(count: int, groups: int, group: Group | None, *events: ChangeType) -> Cost:
    """Return the cost of a watch that finds a number of entries in a number of groups."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        place = LargePlace(0)
        scene = Scene(Path(directory), place, group=group, events=frozenset(events))
        scene.runner.open()
        scene.turn()
        for number in range(count):
            path = b"run%05d/file-%06d.csv" % (number * groups // count, number)
            place.files[path] = Entry(path, 10, number, 1, number + 1)
        scene.clock.advance(SCAN_S)
        scan_s = cpu_of_turn(scene)
        scene.clock.advance(QUIET_S)
        completion_s = cpu_of_turn(scene)
        scene.store.close()
    return Cost(scan_s, completion_s)


def cpu_of_turn(scene: Scene) -> float:
    """Take a turn, and return the CPU seconds that it took."""
    begun_s = time.process_time()
    scene.runner.turn()
    return time.process_time() - begun_s


def main() -> None:
    """Print the costs of watches with and without groups."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--groups", type=int, default=1, help="number of groups that they make")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    structlog.configure(processors=[lambda *_: ""], logger_factory=structlog.ReturnLoggerFactory())
    memory_watch.JOURNAL_CAP = 10 * options.entries
    size = (options.entries, options.groups)
    rounds = [
        (
            measure(*size, None, ChangeType.CREATED),
            measure(*size, Group(1, QUIET_S), ChangeType.CREATED, ChangeType.COMPLETED),
        )
        for _ in range(options.rounds)
    ]
    us = 1e6 / options.entries
    plain, grouped = (min(round_[each].scan_s for round_ in rounds) for each in (0, 1))
    completion = min(each.completion_s for _, each in rounds)
    print(f"{options.entries:,} entries, {options.groups:,} groups, CPU us an entry")
    print(f"  scan, reported without groups  {plain * us:6.2f}")
    print(f"  scan, with groups              {grouped * us:6.2f}   {(grouped - plain) * us:+.2f}")
    print(f"  completion                     {completion * us:6.2f}")


if __name__ == "__main__":
    main()
