"""Measures acknowledgements under max_unacknowledged: python bench/acknowledge.py.

A journal of 100,000 payloads is written to one stream, of which at most 20 may be outstanding, and
each is acknowledged by itself. The CPU time of each is printed for every tenth of the journal: it
must not grow with what is before or behind. In the second run the first payload is acknowledged
last, so that all others stay in the journal behind it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import deque
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.clock import FakeClock
from support.publishing import Bench
from support.state import open_store, without_sync
from watcher.delivery.subscription import Subscription
from watcher.spec import Confirm

STEP_CHANGES = 1_000
PARTS = 10


def write(subscription: Subscription, outstanding: deque[int]) -> None:
    """Write what may be written now."""
    outstanding.extend(payload.seq for payload in subscription.writing(subscription.read()))


def measure(payloads: int, limit: int, *, is_first_last: bool) -> list[float]:
    """Return the CPU microseconds of an acknowledgement, and what it lets through, by tenth."""
    with (
        tempfile.TemporaryDirectory() as directory,
        closing(open_store(Path(directory, "state.db"))) as store,
    ):
        # The disk's time says nothing here.
        without_sync(store)
        bench = Bench(store, FakeClock(), confirm=Confirm.ACK, max_unacknowledged=limit)
        for _ in range(0, payloads, STEP_CHANGES):
            bench.change(STEP_CHANGES)
        subscription, outstanding = bench.join(), deque[int]()
        write(subscription, outstanding)
        if is_first_last:
            outstanding.popleft()
        costs = []
        for _ in range(PARTS):
            start_s = time.process_time()
            for _ in range(payloads // PARTS - is_first_last):
                bench.publisher.acknowledge([outstanding.popleft()])
                write(subscription, outstanding)
                assert len(outstanding) <= limit
            costs.append((time.process_time() - start_s) / (payloads // PARTS) * 1e6)
        return costs


def main() -> None:
    """Measure both orders."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--payloads", type=int, default=100_000)
    parser.add_argument("--limit", type=int, default=20)
    arguments = parser.parse_args()
    for is_first_last in (False, True):
        order = "the first one last" if is_first_last else "in order"
        costs = measure(arguments.payloads, arguments.limit, is_first_last=is_first_last)
        print(f"{order:<20}", *(f"{cost:6.0f}" for cost in costs), "µs CPU each", flush=True)


if __name__ == "__main__":
    main()
