"""A process that reads what one watcher says and notes when: python bench/reader.py KIND TARGET COUNT; started by bench/directory.py.

KIND is `server` (TARGET is ADDRESS=CONFIG), `watchdog` or `watchfiles` (TARGET is a directory). It prints one line of JSON when it is
ready and another when COUNT files were told, or nothing came for a while: the time of the first word of each file, by its path.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time

from harness import memory_mib

QUIET_S = 5.0
"""So long after the last event nothing more is expected."""

BEAT_EVENTS = 1000
"""After so many events, and at the end, the waiting thread hears that they go on: more often would slow down what is measured."""


class Notes:
    """When each file was first told of; wall clock, seconds. Written by the thread of the watcher under test."""

    def __init__(self, count: int) -> None:
        self.told: dict[str, float] = {}
        self.events = 0
        self._count = count
        self._beat: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def note(self, path: str) -> None:
        """Note that a file was told of now."""
        self.events += 1
        self.told.setdefault(path, time.time())
        if self.events % BEAT_EVENTS == 0 or len(self.told) == self._count or self._count <= BEAT_EVENTS:
            self._beat.put(len(self.told) == self._count)

    def wait(self) -> None:
        """Return when all files were told of, or nothing came for a while after the first."""
        is_complete = self._count == 0 or self._beat.get()
        while not is_complete:
            try:
                is_complete = self._beat.get(timeout=QUIET_S)
            except queue.Empty:
                return


def read_server(target: str, notes: Notes) -> None:
    """Read a stream of `watcher serve`."""
    import grpc

    from watcher._proto import generic_pb2, generic_pb2_grpc

    address, _, config = target.partition("=")
    stub = generic_pb2_grpc.EventingStub(grpc.insecure_channel(address))
    call = stub.StartEventSource(generic_pb2.EventSource(name="bench", config=config.encode()))
    call.initial_metadata()

    def read() -> None:
        for event in call:
            notes.note(json.loads(event.payload)["path"])

    threading.Thread(target=read, daemon=True).start()


def read_watchdog(root: str, notes: Notes) -> None:
    """Run watchdog's observer with the events that tell of files being made and closed, as its documentation advises."""
    from watchdog.events import DirCreatedEvent, DirMovedEvent, FileClosedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler
    from watchdog.observers import Observer

    class Reader(FileSystemEventHandler):
        def on_closed(self, event: FileSystemEvent) -> None:
            notes.note(str(event.src_path)[len(root) + 1 :])

    observer = Observer()
    kinds: list[type[FileSystemEvent]] = [DirCreatedEvent, DirMovedEvent, FileClosedEvent, FileMovedEvent]
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
                    notes.note(path[len(root) + 1 :])

    threading.Thread(target=read, daemon=True).start()
    is_ready.wait()


READERS = {"server": read_server, "watchdog": read_watchdog, "watchfiles": read_watchfiles}


def main() -> None:
    """Read until there is nothing more to come, or standard input ends."""
    kind, target, count = sys.argv[1:]
    notes = Notes(int(count))
    before_mib, start_s = memory_mib("self"), time.perf_counter()
    READERS[kind](target, notes)
    print(json.dumps({"start_s": time.perf_counter() - start_s, "memory_mib": memory_mib("self") - before_mib}), flush=True)
    notes.wait()
    print(json.dumps({"events": notes.events, "told": notes.told}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
