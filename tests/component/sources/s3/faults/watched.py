"""A bucket on a simulated store whose pages are small, watched listing by listing; and which of its requests fail."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from support.clock import FakeClock
from support.s3.simulated import Kind
from watcher.changes.detector import Appearance, ChangeDetector
from watcher.changes.reconciler import Reconciler
from watcher.delivery.outbox import Outbox
from watcher.model import ChangeType
from watcher.spec import BucketSpec, Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from support.s3.faults import Fault
    from support.s3.keys import StoredObject
    from support.s3.simulated import Request
    from support.s3.simulated import Store as Bucket
    from watcher.sources.s3.source import BucketSource
    from watcher.state.port import WatchStore

    Question: TypeAlias = dict[str, str]
    IsMeant: TypeAlias = Callable[[Question], bool]
    Begin: TypeAlias = "Callable[..., Watched]"

PAGE_KEYS = 10
KEYS = [f"in/{number:04}" for number in range(12 * PAGE_KEYS)]
"""So many pages that a listing is read in parts."""
AT_ONCE = 4
"""So many requests a scan begins with, however busy the machine is."""
DEADLINE_S = 10.0
MANY = 10_000
CONFIRMED_KEYS = 10
"""So few keys are asked for one by one, among so few."""
SOME = KEYS[-40:-5]
"""More keys than are asked for one by one, and less than half of all."""


class Watched:
    """A bucket that is watched, listing by listing, and what is told of it.

    Args:
        store: The bucket.
        source: Reads it; open.
        state: Where the index is.
    """

    def __init__(self, store: Bucket, source: BucketSource, state: WatchStore) -> None:
        self._store = store
        self.source = source
        self._state = state
        spec = Spec(BucketSpec(store.bucket, "in/", endpoint_url=store.endpoint_url))
        outbox = Outbox(spec, state, time_ns=lambda: 0, clock=lambda: 0.0, committed=lambda: None)
        detector = ChangeDetector(frozenset(ChangeType), state.index.new_row)
        self._reconciler = Reconciler(
            source, state.index, detector, outbox, lambda _count: None, FakeClock()
        )
        self._since = 0
        detector.appearance = lambda _path: Appearance.IGNORED_EXISTING
        self._reconciler.scan(is_baseline=True)
        detector.appearance = lambda _path: Appearance.NEW

    def scan(self) -> None:
        """List the bucket once and compare it with the index."""
        self._since = len(questions(self._store))
        self.source._throttle._wanted = AT_ONCE
        self._reconciler.scan(is_baseline=False)

    def list_keys(self) -> list[str]:
        """List the bucket once and return all keys, sorted, each as often as it is met."""
        self._since = len(questions(self._store))
        self.source._throttle._wanted = AT_ONCE
        return sorted(
            entry.path.decode() for batch in self.source.scan() for entry in batch.entries
        )

    @property
    def told(self) -> list[tuple[str, str]]:
        """The changes so far, sorted: type and key."""
        events = [
            json.loads(payload.data)
            for payload in self._state.journal.read(0, limit=10_000, max_bytes=1 << 30)
        ]
        return sorted((event["type"], event["path"]) for event in events)

    @property
    def entries(self) -> int:
        """How many keys the index has."""
        return self._state.index.entries

    @property
    def asked(self) -> list[Question]:
        """The questions of the last scan."""
        return questions(self._store)[self._since :]


def questions(store: Bucket) -> list[Question]:
    """Return the queries of all LIST requests so far, in order."""
    return [read_query(request) for request in lists(store)]


def read_query(request: Request) -> Question:
    """Return what a request asks."""
    return dict(parse_qsl(request.target.partition("?")[2]))


def lists(store: Bucket) -> list[Request]:
    """Return all LIST requests so far, in order."""
    return [request for request in list(store.log) if request.kind is Kind.LIST]


def begins_listing(question: Question) -> bool:
    """Tell whether a listing, or its first part, begins with this question."""
    return (
        question["max-keys"] != "1" and not {"start-after", "continuation-token"} & question.keys()
    )


def begins_part(question: Question) -> bool:
    """Tell whether a further part of a listing begins with this question."""
    return "start-after" in question


def continues(question: Question) -> bool:
    """Tell whether this question is for another page than the first of a part."""
    return "continuation-token" in question


def hit(store: Bucket, fault: Fault, is_meant: IsMeant, most: int = MANY) -> list[Question]:
    """Let requests fail from now on.

    Args:
        store: Where.
        fault: How.
        is_meant: Which.
        most: How many of them.

    Returns:
        Those that did; more are added.
    """
    done: list[Question] = []
    lock = threading.Lock()

    def choose(number: int) -> Fault | None:
        question = read_query(lists(store)[number - 1])
        with lock:
            if len(done) < most and is_meant(question):
                done.append(question)
                return fault
        return None

    store.before_page = choose
    return done


def restore(store: Bucket, objects: Mapping[str, StoredObject | None]) -> None:
    """Put objects that were deleted, as they were."""
    for key, found in objects.items():
        assert found is not None
        store.put(key, size=found.size, etag=found.etag, mtime_ns=found.mtime_ns)


def wait_until(is_met: Callable[[], bool], what: str) -> None:
    """Return when a condition is met that nobody signals; fail at the deadline."""
    patience = threading.Event()
    end_s = time.monotonic() + DEADLINE_S
    while not is_met():
        assert time.monotonic() < end_s, f"waited {DEADLINE_S} s until {what}"
        patience.wait(0.01)


def threads(name: str) -> list[threading.Thread]:
    """Return the threads in whose name this stands."""
    return [thread for thread in threading.enumerate() if name in thread.name]
