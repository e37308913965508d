"""Reads one watcher and notes when it reports files: python bench/reader.py KIND TARGET COUNT.

Started by bench/directory.py. KIND is `server` (TARGET is ADDRESS=CONFIG), `watchdog` or
`watchfiles` (TARGET is a directory). It prints one line of JSON when it is ready, and another when
COUNT files were reported, or nothing came for a while: the time of the first report of each file,
by its path.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from harness import memory_mib

QUIET_S = 5.0
"""Seconds after the last event until nothing more is expected."""

BEAT_EVENTS = 1000
"""Events between two wake-ups of the waiting thread; more of them would slow the measured one."""


class Notes:
    """Events and their wall-clock times in seconds, written by the thread of the watcher.

    Args:
        count: Number of files to wait for.
        path: Returns the path of an event. It is called in the end, since parsing is not measured.
    """

    def __init__(self, count: int, path: Callable[[Any], str]) -> None:
        self._count = count
        self._path = path
        self._events: list[tuple[Any, float]] = []
        self._beat: queue.SimpleQueue[None] = queue.SimpleQueue()

    def note(self, event: object) -> None:
        """Note an event."""
        self._events.append((event, time.time()))
        if len(self._events) % BEAT_EVENTS == 0 or len(self._events) >= self._count:
            self._beat.put(None)

    @property
    def events(self) -> int:
        """The number of events."""
        return len(self._events)

    @property
    def told(self) -> dict[str, float]:
        """The time of the first event of each path."""
        told: dict[str, float] = {}
        for event, time_s in self._events:
            told.setdefault(self._path(event), time_s)
        return told

    def wait(self) -> None:
        """Wait until all files were reported, or nothing came for a while after the first."""
        timeout_s = None
        while len(self._events) < self._count or len(self.told) < self._count:
            try:
                self._beat.get(timeout=timeout_s)
            except queue.Empty:
                return
            timeout_s = QUIET_S


def read_server(target: str, notes: Notes) -> None:
    """Read a stream of `watcher serve`."""
    import grpc
    from client import open_stream

    address, _, config = target.partition("=")
    stream = open_stream(grpc.insecure_channel(address), config)

    def read() -> None:
        for event in stream:
            notes.note(event.payload)

    threading.Thread(target=read, daemon=True).start()


def read_watchdog(root: str, notes: Notes) -> None:
    """Run watchdog's observer with a filter of events, as its documentation advises."""
    from watchdog.events import (
        DirCreatedEvent,
        DirMovedEvent,
        FileClosedEvent,
        FileMovedEvent,
        FileSystemEvent,
        FileSystemEventHandler,
    )
    from watchdog.observers import Observer

    class Reader(FileSystemEventHandler):
        def on_closed(self, event: FileSystemEvent) -> None:
            notes.note(event.src_path)

    observer = Observer()
    kinds: list[type[FileSystemEvent]] = [
        DirCreatedEvent,
        DirMovedEvent,
        FileClosedEvent,
        FileMovedEvent,
    ]
    observer.schedule(Reader(), root, recursive=True, event_filter=kinds)
    observer.start()


def read_watchfiles(root: str, notes: Notes) -> None:
    """Run watchfiles with its defaults."""
    from watchfiles import Change, watch

    is_ready = threading.Event()

    def read() -> None:
        for changes in watch(root, yield_on_timeout=True, rust_timeout=10, watch_filter=None):
            is_ready.set()
            for change, path in changes:
                if change is not Change.deleted:
                    notes.note(path)

    threading.Thread(target=read, daemon=True).start()
    is_ready.wait()


READERS = {"server": read_server, "watchdog": read_watchdog, "watchfiles": read_watchfiles}


def path_reader(kind: str, target: str) -> Callable[[Any], str]:
    """Return the function from an event of a watcher to a path relative to the root."""
    return (
        (lambda payload: json.loads(payload)["path"])
        if kind == "server"
        else lambda path: path[len(target) + 1 :]
    )


def main() -> None:
    """Read until nothing more comes, or standard input ends."""
    kind, target, count = sys.argv[1:]
    notes = Notes(int(count), path_reader(kind, target))
    before_mib, start_s = memory_mib("self"), time.perf_counter()
    READERS[kind](target, notes)
    cost = {"start_s": time.perf_counter() - start_s, "memory_mib": memory_mib("self") - before_mib}
    print(json.dumps(cost), flush=True)
    notes.wait()
    print(json.dumps({"events": notes.events, "told": notes.told}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
