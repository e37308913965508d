"""A watch with groups over a place in memory, on a clock that the test moves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.memory_watch import Place, Scene
from watcher.model import ChangeType, Entry
from watcher.spec import Group

COMPLETED = frozenset({ChangeType.COMPLETED})
QUIET_S = 60.0
SCAN_S = 2 * Place.scan_interval_s
"""After this time a scan is due, whatever its jitter."""
HOUR_S = 3600.0

Start = Callable[..., "Watched"]


class Watched(Scene):
    """A scene whose place has the group ``old`` from the beginning."""

    def __init__(
        self,
        directory: Path,
        place: Place | None = None,
        *,
        group: Group | None,
        **spec: Any,  # noqa: ANN401 - any field
    ) -> None:
        if place is None:
            place = Place(0)
            place.add(b"old/a", b"old/b", b"old/c")
        events = {"events": COMPLETED} if group else {}
        super().__init__(directory, place, **({"group": group} | events | spec))
        self._seen = self.store.journal.next_seq - 1
        self.runner.open()
        self.turn()

    def put(self, *paths: bytes, size: int = 1) -> None:
        """Make files or change those that are there, as a notification shows them."""
        for path in paths:
            self.place.files[path] = Entry(path, size, self.clock.now_ns, 1, 1)
        self.place.hints += paths
        self.turn()

    def remove(self, *paths: bytes) -> None:
        for path in paths:
            del self.place.files[path]
        self.place.hints += paths
        self.turn()

    def news(self) -> list[dict[str, Any]]:
        """Return the events that are new."""
        found = self.store.journal.read(self._seen, limit=1000, max_bytes=1 << 24)
        self._seen = self.store.journal.next_seq - 1
        payloads = [json.loads(payload.data) for payload in found]
        return [event for each in payloads for event in each.get("events", [each])]

    def completed(self, after_s: float = 0.0) -> dict[str, list[int]]:
        """Let time pass, and return the counts of the groups that are completed since."""
        self.turn(after_s)
        found = self.news()
        assert all(event["type"] == "completed" for event in found)
        counts = {event["path"]: list(event["group"].values()) for event in found}
        assert len(counts) == len(found)
        return counts
