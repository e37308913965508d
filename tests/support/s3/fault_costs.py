"""Counts the LIST requests of a watch on a store that fails, over hours that nobody waits for.

Time is a clock that jumps to the next turn of the watch, and the pauses of the SDK move it as well.
``python -m support.s3.fault_costs --hours 24`` (in ``tests``) prints a table of all faults.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

from support.clock import FakeClock
from support.memory_watch import Place, Scene
from support.s3.faults import Fault, Hook, Request, always
from support.s3.listing import make_source
from support.s3.simulated import CREDENTIALS, Store, run_store
from watcher.sources.cost import MONTH_S
from watcher.sources.s3.sdk import ATTEMPTS
from watcher.spec import BucketSpec
from watcher.telemetry.status import State

DEADLINE_S = 30.0
PAGES = 2
PAGE_KEYS = 5
HOUR_S = 3600.0
INTERVAL_S = 900.0
BUDGET = 2 * PAGES * 2880
"""LIST requests in 30 days: two complete listings in each quarter of an hour."""
FIXED: dict[str, Any] = {"poll_interval_s": INTERVAL_S}
AUTO: dict[str, Any] = {"poll_interval_s": 10.0, "request_budget": BUDGET}
SCAN_REQUESTS = 2 * PAGES + ATTEMPTS
"""Most LIST requests of one failed scan with the check before it: a listing that runs in a circle
reads each page twice."""
TRICKLE_BYTES_PER_S = 1 << 20
MOMENT_S = 0.001
"""A turn that is due at once comes this much later."""


class LastPage:
    """A hook with a fault in the last page of each listing, however often it is requested."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._tokens: set[str] = set()

    def __call__(self, request: Request) -> Fault | None:
        if request.begins_listing:
            self._tokens.clear()
        elif request.continues:
            self._tokens.add(request.query["continuation-token"])
            if len(self._tokens) >= PAGES - 1:
                return self._fault
        return None


class BucketScene(Scene):
    """A watch of a simulated store.

    Args:
        directory: Keeps the state, also for a further scene.
        store: The store.
        clock: Its time; also that of further scenes.
        prefix: The prefix that is watched.
        watch: Fields of the watch's spec.
        spec: Fields of the bucket's spec.
    """

    def __init__(
        self,
        directory: Path,
        store: Store,
        clock: FakeClock,
        *,
        prefix: str = "in/",
        watch: Mapping[str, Any] | None = None,
        **spec: Any,  # noqa: ANN401 - any field
    ) -> None:
        where = BucketSpec(store.bucket, prefix, endpoint_url=store.endpoint_url, **spec)
        conditions = (watch or {}).get("conditions")
        self.source = make_source(where, clock=clock, conditions=conditions)
        # A client takes ten times the processor's time of a request.
        api = cast("Any", self.source)._api
        api._make_client = cache(api._make_client)
        super().__init__(
            directory, cast("Place", self.source), clock=clock, where=where, **(watch or {})
        )
        self.bucket = store

    def run(self, seconds: float) -> None:
        """Take all turns that are due in this time."""
        end_s = self.clock.monotonic() + seconds
        while (wait_s := self.turn()) + self.clock.monotonic() <= end_s:
            self.clock.advance(wait_s + MOMENT_S)
        self.clock.advance(max(0.0, end_s - self.clock.monotonic()))

    def hint(self, *keys: str) -> None:
        """Hint keys, and take turns until they were looked at."""
        self.watch.hint([key.encode() for key in keys])
        wake, busy = self.watch._wake, self.source._hints.keys._busy
        while True:
            wake.clear()
            self.turn()
            if not busy and not wake.is_set():
                return
            assert wake.wait(DEADLINE_S)

    def run_until_watching(self, within_s: float) -> float:
        """Take turns until a scan is complete, and return the seconds that this took."""
        begin_s, scans = self.clock.monotonic(), self.status.scans.count
        while self.status.scans.count == scans:
            wait_s = self.turn()
            assert self.clock.monotonic() - begin_s <= within_s, "it is still unavailable"
            if self.status.scans.count == scans:
                self.clock.advance(wait_s + MOMENT_S)
        assert self.status.state is State.WATCHING
        return self.clock.monotonic() - begin_s

    @property
    def listings(self) -> int:
        """Number of listings that were begun, however often the SDK has tried to."""
        return sum(
            request.begins_listing and request.headers["amz-sdk-request"].startswith("attempt=1")
            for request in self.bucket.lists
        )


@dataclass(frozen=True, slots=True)
class Spent:
    """What a fault has cost.

    Attributes:
        listings: Listings that were begun while it lasted.
        requests: LIST requests in that time.
        completed: Scans that were completed all the same.
        recovery_s: Seconds from its end to the end of the next scan.
    """

    listings: int
    requests: int
    completed: int
    recovery_s: float


def spend(
    directory: Path,
    hook: Hook,
    hours: float,
    *,
    is_baselined: bool = True,
    **spec: Any,  # noqa: ANN401 - fields of a spec
) -> Spent:
    """Watch a store that fails for some hours and is well afterwards.

    Args:
        directory: For the state.
        hook: How it fails.
        hours: How long.
        is_baselined: A scan was completed before.
        spec: Fields of the bucket's spec.
    """
    random.seed(hours)
    with run_store() as store, simulated_time() as clock:
        store.put_many(*(f"in/{number:04}" for number in range(PAGES * PAGE_KEYS)))
        store.page_keys, store.trickle_bytes_per_s = PAGE_KEYS, TRICKLE_BYTES_PER_S
        scene = BucketScene(directory, store, clock, **spec)
        try:
            scene.runner.open()
            if is_baselined:
                scene.turn()
                clock.advance(scene.status.next_scan_at - clock.wall())
            store.log.clear()
            completed = scene.status.scans.count
            store.on_list = hook
            scene.run(hours * HOUR_S)
            store.on_list = None
            spent = (scene.listings, len(store.lists), scene.status.scans.count - completed)
            return Spent(*spent, scene.run_until_watching(2 * HOUR_S))
        finally:
            scene.source.close()
            scene.store.close()


@contextmanager
def simulated_time() -> Iterator[FakeClock]:
    """Provide a clock that the pauses of the SDK between two attempts move."""
    clock = FakeClock()
    with patch("botocore.endpoint.time", clock):
        yield clock


def promised(hours: float, **spec: Any) -> float:  # noqa: ANN401 - fields of a spec
    """Return the LIST requests that a store without faults costs at most."""
    if "request_budget" in spec:
        return float(spec["request_budget"]) * hours * HOUR_S / MONTH_S
    return PAGES * hours * HOUR_S / float(spec["poll_interval_s"])


def table(lines: Iterable[tuple[str, Spent]]) -> str:
    """Return the costs of faults as text."""
    rows = [
        f"{name:<42}{spent.listings:>9}{spent.requests:>9}{spent.completed:>10}"
        f"{spent.recovery_s:>11.0f}"
        for name, spent in lines
    ]
    head = f"{'fault':<42}{'listings':>9}{'requests':>9}{'complete':>10}{'recovery s':>11}"
    return "\n".join([head, *rows])


def main() -> None:
    """Print what each fault costs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hours", type=float, default=6.0)
    hours = parser.parse_args().hours
    os.environ |= CREDENTIALS
    for title, spec in (("poll_interval: 15m", FIXED), (f"request_budget: {BUDGET}", AUTO)):
        lines = []
        for fault in Fault:
            for case, hook, is_baselined in (
                ("last page", LastPage(fault), True),
                ("last page of the first scan", LastPage(fault), False),
                ("every answer", always(fault), True),
            ):
                with tempfile.TemporaryDirectory() as directory:
                    spent = spend(Path(directory), hook, hours, is_baselined=is_baselined, **spec)
                lines.append((f"{fault}, {case}", spent))
        print(f"\n{title}, {hours:g} h: {promised(hours, **spec):g} requests without faults")
        print(table(lines), flush=True)


if __name__ == "__main__":
    main()
