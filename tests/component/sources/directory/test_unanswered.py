"""A volume whose server is away: its watch waits in the kernel, and others can see that."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.clock import FakeClock
from support.files import fill
from watcher.filesystem.linux.files import LinuxFiles
from watcher.filesystem.linux.mount_monitor import MountMonitor
from watcher.filters.path_filter import PathFilter
from watcher.sources.directory.linux.backend import LinuxBackend
from watcher.sources.directory.linux.inotify import Inotify
from watcher.sources.directory.source import DirectorySource
from watcher.spec import DirectorySpec, Filter, Mode

DEADLINE_S = 30.0


class FilesOfAServer(LinuxFiles):
    """Files whose directories cannot be opened while their server is away: the call waits."""

    def __init__(self) -> None:
        super().__init__()
        self.is_back = threading.Event()
        self.is_asked = threading.Event()
        self.is_back.set()

    def open_beneath(self, directory: int, path: bytes, flags: int, *, follow: bool) -> int:
        if not self.is_back.is_set():
            self.is_asked.set()
            assert self.is_back.wait(DEADLINE_S)
        return super().open_beneath(directory, path, flags, follow=follow)


@pytest.fixture
def open_source(root: Path, notifications: Inotify) -> Iterator[Callable[..., DirectorySource]]:
    with ExitStack() as stack:

        def make(files: FilesOfAServer, clock: FakeClock) -> DirectorySource:
            backend = LinuxBackend(lambda: notifications, MountMonitor())
            backend.files = files
            spec = DirectorySpec(str(root), mode=Mode.POLL)
            source = DirectorySource(spec, PathFilter(Filter()), backend, clock, within=None)
            stack.callback(source.close)
            source.open(lambda: None)
            return source

        yield make


@pytest.mark.parametrize("act", ["scan", "inspect"])
def test_a_call_that_does_not_return(
    open_source: Callable[..., DirectorySource], root: Path, act: str
) -> None:
    fill(root, "in/a")
    files, clock = FilesOfAServer(), FakeClock()
    source = open_source(files, clock)
    found: list[bytes] = []

    def read() -> None:
        if act == "scan":
            found.extend(entry.path for batch in source.scan() for entry in batch.entries)
        else:
            found.extend(entry.path for entry in source.inspect([b"in/a"]).entries)

    files.is_back.clear()
    thread = threading.Thread(target=read)
    thread.start()
    assert files.is_asked.wait(DEADLINE_S)
    clock.advance(61)
    assert source.unanswered_s == 61
    files.is_back.set()
    thread.join(DEADLINE_S)
    assert found == [b"in/a"]
    assert source.unanswered_s == 0
