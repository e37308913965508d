"""A bucket on the simulated store whose pages are small, watched listing by listing."""

import json
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

from support.reconciling import Reconciling
from support.s3.faults import Request
from support.s3.simulated import Store
from watcher.changes.detector import Appearance
from watcher.sources.s3.hints.inbox import Ticket
from watcher.sources.s3.source import BucketSource
from watcher.spec import BucketSpec, Conditions, Spec
from watcher.state.port import WatchStore

Begin: TypeAlias = "Callable[..., Watched]"

PAGE_KEYS = 10
KEYS = [f"in/{number:04}" for number in range(12 * PAGE_KEYS)]
"""Enough pages for a parallel listing."""
AT_ONCE = 4
"""Requests that a scan begins with, however busy the machine is."""
BACKSTOP_S = 6 * 3600.0
"""Seconds between two listings of a bucket that gives hints."""
CHECKED_KEYS_MAX = 10
"""What ``deletions`` has, scaled down."""
DEADLINE_S = 30.0
SOME = KEYS[-40:-5]
"""More keys than are checked one by one, and fewer than half of all."""


class Watched:
    """A bucket that is watched listing by listing, and what is reported of it."""

    def __init__(
        self,
        store: Store,
        source: BucketSource,
        state: WatchStore,
        existing: Appearance = Appearance.IGNORED_EXISTING,
        conditions: Conditions | None = None,
    ) -> None:
        self._store = store
        self._woken = threading.Event()
        self.source = source
        self._state = state
        spec = Spec(BucketSpec(store.bucket, "in/", endpoint_url=store.endpoint_url))
        self._reconciler = Reconciling(source, state, spec, conditions=conditions)
        source.open(self.wake)
        self._since = 0
        self._reconciler.record_existing(existing)

    def scan(self) -> None:
        """List the bucket once and compare it with the index."""
        self._begin()
        self._reconciler.scan(is_baseline=False)

    def wake(self) -> None:
        """Note that there is something to observe; from any thread."""
        self._woken.set()

    def hint(self, *keys: str | bytes, ticket: Ticket | None = None) -> None:
        """Hint keys, and compare what is there with the index."""
        self.send_hint(*keys, ticket=ticket)
        self.observe()

    def send_hint(self, *keys: str | bytes, ticket: Ticket | None = None) -> None:
        """Hint keys."""
        found = [key.encode() if isinstance(key, str) else key for key in keys]
        if ticket is None:
            self.source.hint(found)
        else:
            assert self.source._hints._inbox.put(found, ticket)

    def observe(self) -> None:
        """Compare what hints lead to, until no request is under way and nothing more is due."""
        keys = self.source._hints.keys
        while True:
            self._woken.clear()
            for observation in self.source.observe():
                self._reconciler.apply(observation)
            if not keys._busy and not self._woken.is_set():
                return
            assert self._woken.wait(DEADLINE_S)

    @property
    def rescan_reason(self) -> str | None:
        """Why the bucket is to be listed out of turn, since the last call."""
        reason, self._reconciler.rescan_reason = self._reconciler.rescan_reason, None
        return reason

    def list_keys(self) -> list[str]:
        """List the bucket once and return all keys, sorted, each as often as it is met."""
        self._begin()
        return sorted(
            entry.path.decode() for batch in self.source.scan() for entry in batch.entries
        )

    @property
    def reported(self) -> list[tuple[str, str]]:
        """The changes so far, sorted: type and key."""
        return sorted((event["type"], event["path"]) for event in self.events)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events so far, in order."""
        payloads = self._state.journal.read(0, limit=10_000, max_bytes=1 << 30)
        return [json.loads(payload.data) for payload in payloads]

    @property
    def entries(self) -> int:
        """Number of keys in the index."""
        return self._state.index.entries

    @property
    def asked(self) -> list[Request]:
        """The LIST requests of the last scan."""
        return self._store.lists[self._since :]

    @property
    def listings(self) -> int:
        """Number of listings that the last scan began."""
        return sum(request.begins_listing for request in self.asked)

    @property
    def is_parallel(self) -> bool:
        """Whether the last scan was read in key ranges."""
        return any(request.begins_range for request in self.asked)

    def _begin(self) -> None:
        self._since = len(self._store.lists)
        self.source._api.limit._useful = AT_ONCE
