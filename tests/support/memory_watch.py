"""A watch of a place in memory, on a real state file, whose turns the test takes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from support.clock import FakeClock
from support.memory_source import MemoryFiles
from watcher.errors import UnavailableError, WatcherError
from watcher.limits.quotas import Quotas
from watcher.limits.turns import Turns
from watcher.model import Entry, Identity
from watcher.settings import ServerSettings, WatchLimits
from watcher.sources.observations import Observation
from watcher.sources.scans import Batch, EntryBatch, unread_test
from watcher.spec import BucketSpec, DirectorySpec, Spec
from watcher.state.port import WatchStore
from watcher.state.sqlite.store import SqliteStore
from watcher.state.usage import LiveUsage
from watcher.watch.runner import WatchRunner
from watcher.watch.watch import Watch

JOURNAL_CAP = 10
IDENTITY = Identity("", "orders", "file:///data")


class Place(MemoryFiles):
    """Files in memory that can become unreadable; a scan reads them in one batch.

    Attributes:
        error: Raised by ``open`` and a scan; None while the place can be read.
        hints: Paths that the next ``observe`` inspects.
        breaks_after: Confirmations of deletions that succeed before one fails; None for all.
    """

    def __init__(self, count: int = 3) -> None:
        super().__init__()
        self.add(*(b"%04d" % number for number in range(count)))
        self.prefix = b""
        self.unread: list[bytes] = []
        self.error: WatcherError | None = None
        self.hints: list[bytes] = []
        self.breaks_after: int | None = None
        self.is_open = False

    def add(self, *paths: bytes) -> None:
        for path in paths:
            self.files[path] = Entry(path, 1, 1, 1, len(self.files) + 1)

    def open(self, wake: Callable[[], None]) -> None:
        del wake
        self._check()
        self.is_open = True

    def close(self) -> None:
        self.is_open = False

    def observe(self) -> Iterator[Observation]:
        assert self.is_open
        hints, self.hints = self.hints, []
        if hints:
            yield self.inspect(hints)

    def scan(self, prefix: bytes = b"") -> Place:
        del prefix
        return self

    def __iter__(self) -> Iterator[Batch]:
        assert self.is_open
        self._check()
        yield EntryBatch(list(self.files.values()))

    def unread_test(self) -> Callable[[bytes], bool]:
        return unread_test(self.unread)

    def verification_scan(self, missing: int) -> None:
        del missing

    def confirm_deleted(
        self, paths: Sequence[bytes], missed_before: Collection[bytes] = ()
    ) -> Sequence[bytes]:
        if self.breaks_after == 0:
            self.breaks_after = None
            raise UnavailableError("it broke off")
        if self.breaks_after is not None:
            self.breaks_after -= 1
        return super().confirm_deleted(paths, missed_before)

    def _check(self) -> None:
        if self.error is not None:
            raise self.error


class Scene:
    """One watch, not started: its thread never runs, and a test calls the runner."""

    def __init__(
        self,
        directory: Path,
        place: Place,
        clock: FakeClock | None = None,
        *,
        where: DirectorySpec | BucketSpec | None = None,
        store: WatchStore | None = None,
        turns: Turns | None = None,
        **spec: Any,  # noqa: ANN401 - any field
    ) -> None:
        self.clock = clock or FakeClock()
        self.place = place
        self.store = store or SqliteStore(directory / "state.db", self.clock)
        self.watch = Watch(
            spec=Spec(where or DirectorySpec("/data"), **spec),
            make_source=lambda _should_stop: place,
            store=self.store,
            limits=WatchLimits(window_s=0.0),
            share=Quotas(ServerSettings(journal_cap=JOURNAL_CAP), {}).open(
                IDENTITY, LiveUsage(self.store)
            ),
            turn=(turns or Turns(self.clock)).make(),
            identity=IDENTITY,
            clock=self.clock,
        )
        self.status = self.watch.status

    @property
    def runner(self) -> WatchRunner:
        return self.watch._runner

    def turn(self, after_s: float = 0.0) -> float:
        """Let time pass and take a turn, and return how long the runner would sleep, in seconds."""
        self.clock.advance(after_s)
        return self.runner.turn()

    def counts(self) -> dict[str, int]:
        """Return the reported changes by type."""
        return self.watch.outbox.by_type
