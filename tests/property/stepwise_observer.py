"""An observer of watchdog that reports when it is told to, so that histories can be repeated."""

import os
from collections.abc import Iterator

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver, EventEmitter, ObservedWatch
from watchdog.utils.dirsnapshot import DirectorySnapshot, DirectorySnapshotDiff


class StepwiseObserver(BaseObserver):
    """Compares snapshots, as watchdog's own does that polls, but without a thread."""

    def __init__(self) -> None:
        super().__init__(EventEmitter)
        self._is_running = False

    def start(self) -> None:
        self._is_running = True

    def stop(self) -> None:
        self._is_running = False

    def is_alive(self) -> bool:
        return self._is_running

    def schedule(
        self,
        event_handler: FileSystemEventHandler,
        path: str | os.PathLike[str],
        *,
        recursive: bool = False,
        **_options: object,
    ) -> ObservedWatch:
        self._handler = event_handler
        self._path = os.fspath(path)
        self._snapshot = self._take()
        return ObservedWatch(self._path, recursive=recursive)

    def unschedule(self, watch: ObservedWatch) -> None: ...

    def report(self, share: float) -> None:
        """Report the first of the changes since the last call; the rest is lost."""
        if self._is_running:
            before, self._snapshot = self._snapshot, self._take()
            events = list(_events(DirectorySnapshotDiff(before, self._snapshot)))
            for event in events[: int(len(events) * share)]:
                self._handler.dispatch(event)

    def _take(self) -> DirectorySnapshot:
        return DirectorySnapshot(self._path, stat=os.lstat)


def _events(found: DirectorySnapshotDiff) -> Iterator[FileSystemEvent]:
    """Yield events in an order that is always the same."""
    yield from (DirMovedEvent(*pair) for pair in sorted(found.dirs_moved))
    yield from (FileMovedEvent(*pair) for pair in sorted(found.files_moved))
    yield from map(DirDeletedEvent, sorted(found.dirs_deleted))
    yield from map(FileDeletedEvent, sorted(found.files_deleted))
    yield from map(DirCreatedEvent, sorted(found.dirs_created))
    yield from map(FileCreatedEvent, sorted(found.files_created))
    yield from map(FileModifiedEvent, sorted(found.files_modified))
