"""A watch of a simulated store that is read turn by turn, and what it has reported since."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from support.clock import FakeClock
from support.s3.fault_costs import HOUR_S, BucketScene, simulated_time
from support.s3.simulated import CREDENTIALS, Store, run_store

INTERVAL_S = 1000.0
"""The poll interval; after an hour a scan is always due."""
DEADLINE_S = 60.0


class ScannedBucket(BucketScene):
    """A watch of a bucket, scanned as tests say."""

    seen = 0

    def scan(self, after_s: float = 2 * HOUR_S) -> list[tuple[str, str]]:
        """Let time pass, list what is due then, and return the changes: type and key."""
        scans = self.status.scans.count
        self.bucket.log.clear()
        self.turn(after_s)
        assert self.status.scans.count == scans + 1
        return self.news()

    def settle_hints(self) -> None:
        """Take turns until all hinted keys are compared."""
        deadline_s = time.monotonic() + DEADLINE_S
        while list(self.source.unsettled()):
            assert time.monotonic() < deadline_s
            self.turn()

    def news(self) -> list[tuple[str, str]]:
        """Return the changes since the last call: type and key."""
        return [(event["type"], event["path"]) for event in self.events()]

    def events(self) -> list[dict[str, Any]]:
        """Return the events since the last call, and confirm them."""
        payloads = self.store.journal.read(self.seen, limit=10_000, max_bytes=1 << 30)
        self.seen = self.store.journal.next_seq - 1
        self.store.journal.confirm(self.seen)
        return [json.loads(payload.data) for payload in payloads]

    @property
    def rows(self) -> int:
        """Number of rows in the index."""
        return self.store.index.entries

    def end(self) -> None:
        """End the watch as a kill does."""
        self.source.close()
        self.store.close()


StartScanned: TypeAlias = Callable[..., ScannedBucket]


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    with simulated_time() as clock:
        yield clock


@pytest.fixture
def bucket(aws_environment: pytest.MonkeyPatch) -> Iterator[Store]:
    """Run a store with nothing in it."""
    for name, value in CREDENTIALS.items():
        aws_environment.setenv(name, value)
    with run_store() as store:
        yield store


@pytest.fixture
def start_scanned(bucket: Store, clock: FakeClock, tmp_path: Path) -> Iterator[StartScanned]:
    """Return what opens a watch, also where another one has ended, and takes its first turn."""
    with ExitStack() as stack:

        def start_it(
            store: Store = bucket,
            *,
            kind: type[ScannedBucket] = ScannedBucket,
            **spec: Any,  # noqa: ANN401 - fields of a spec
        ) -> ScannedBucket:
            scene = kind(tmp_path, store, clock, poll_interval_s=INTERVAL_S, **spec)
            stack.callback(scene.end)
            scene.seen = scene.store.journal.next_seq - 1
            store.log.clear()
            scene.runner.open()
            scene.turn()
            return scene

        yield start_it
