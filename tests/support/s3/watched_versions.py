"""A bucket whose versions are watched listing by listing, on a simulated or a real store."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from support.reconciling import Reconciling
from support.s3.listing import Server, make_source
from support.state import open_store
from watcher.changes.detector import Appearance
from watcher.clock import Clock
from watcher.delivery.outbox import Outbox
from watcher.spec import BucketSpec, Conditions, Spec

DEADLINE_S = 60.0

Reported: TypeAlias = tuple[str, str, str]
"""Type, key and version of an event."""


class WatchedVersions:
    """A watch of all versions under a prefix, and what it reports.

    Args:
        server: The store; its credentials are in the environment.
        bucket: Name of the bucket.
        path: File of its state.
        prefix: Prefix of the keys.
        conditions: What a version must satisfy to be reported.
        make_outbox: Makes the outbox.
        clock: The clock of the source; None for that of this machine.
        exclude: Globs of keys that do not count.
        fields: Further fields of the spec of the bucket.

    Attributes:
        existing: What a test has kept of the baseline.
    """

    def __init__(
        self,
        server: Server,
        bucket: str,
        path: Path,
        *,
        prefix: str = "in/",
        conditions: Conditions | None = None,
        make_outbox: Callable[..., Outbox] = Outbox,
        clock: Clock | None = None,
        exclude: tuple[str, ...] = (),
        fields: dict[str, Any] | None = None,
    ) -> None:
        where = BucketSpec(
            bucket,
            prefix,
            endpoint_url=server.endpoint_url,
            versions=True,
            **(fields or {}),
        )
        self._spec = Spec(where, conditions=conditions or Conditions())
        self._path = path
        self._make_outbox = make_outbox
        self._seq = 0
        self.existing: list[Reported] = []
        self.source = make_source(
            where, conditions=self._spec.conditions, clock=clock, exclude=exclude
        )
        self._woken = threading.Event()
        self.source.open(self._woken.set)
        self.start()

    def start(self) -> None:
        """Begin on the state file, as a new process does."""
        self.state = open_store(self._path)
        self.state._db.execute("PRAGMA synchronous = OFF")
        self.reconciler = Reconciling(
            self.source, self.state, self._spec, make_outbox=self._make_outbox
        )

    def end(self) -> None:
        """Leave nothing but the state file."""
        self.state.close()

    def close(self) -> None:
        """End the watch and its connections."""
        self.end()
        self.source.close()

    def begin(self, existing: Appearance = Appearance.IGNORED_EXISTING) -> list[Reported]:
        """Make the baseline, silently by default, and return what is reported."""
        self.reconciler.record_existing(existing)
        return self.reported()

    def poll(self) -> list[Reported]:
        """List once, compare, and return what is reported."""
        self.reconciler.scan(is_baseline=False)
        return self.reported()

    def take_reported(self) -> list[dict[str, Any]]:
        """List once, compare, and return the events as they are."""
        self.reconciler.scan(is_baseline=False)
        return self.take_events()

    def hint(self, *keys: str) -> list[Reported]:
        """Hint keys, wait until they are compared, and return what is reported."""
        self.source.hint([key.encode() for key in keys])
        hinted = self.source._hints.keys
        deadline_s = time.monotonic() + DEADLINE_S
        while list(hinted.unsettled()) and self.reconciler.rescan_reason is None:
            self._woken.clear()
            for observation in self.source.observe():
                self.reconciler.apply(observation)
            if hinted._busy or hinted.due_in_s() is not None:
                self._woken.wait(hinted.due_in_s() or DEADLINE_S)
            assert time.monotonic() < deadline_s
        return self.reported()

    def reported(self) -> list[Reported]:
        """Return the events since the last call."""
        return [(event["type"], event["path"], event["version_id"]) for event in self.take_events()]

    def take_events(self) -> list[dict[str, Any]]:
        """Return the events since the last call as they are."""
        payloads = self.state.journal.read(self._seq, limit=100_000, max_bytes=1 << 30)
        self._seq += len(payloads)
        return [json.loads(payload.data) for payload in payloads]

    @property
    def rows(self) -> set[bytes]:
        """The paths of the rows in the index."""
        return {row.entry.path for page in self.state.index.rows_under(b"") for row in page}
