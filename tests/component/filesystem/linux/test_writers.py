"""Whether somebody has a file open for writing is known of one's own files."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from watcher.filesystem.linux.writers import has_writer


@contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "a").touch()
    with opened(tmp_path, os.O_RDONLY | os.O_DIRECTORY) as fd:
        yield fd


def test_a_file_is_open_for_writing_or_not(tmp_path: Path, directory: int) -> None:
    assert has_writer(b"a", directory) is False
    for flags, expected in ((os.O_RDONLY, False), (os.O_WRONLY, True), (os.O_RDWR, True)):
        with opened(tmp_path / "a", flags):
            assert has_writer(b"a", directory) is expected
    assert has_writer(b"a", directory) is False


@pytest.mark.parametrize("name", [b"missing", b"link", b"fifo", b"."])
def test_of_what_is_no_file_it_is_unknown(tmp_path: Path, directory: int, name: bytes) -> None:
    """And nothing blocks, as the opening of a FIFO would."""
    (tmp_path / "link").symlink_to("a")
    os.mkfifo(tmp_path / "fifo")
    assert has_writer(name, directory) is None


def test_a_writer_that_comes_meanwhile_is_neither_refused_nor_a_signal(
    tmp_path: Path, directory: int
) -> None:
    """The lease is given back at once, and SIGIO, which would end the process, is not sent."""
    assert signal.getsignal(signal.SIGURG) in {signal.SIG_DFL, signal.SIG_IGN}
    is_done = threading.Event()

    def ask() -> None:
        while not is_done.is_set():
            has_writer(b"a", directory)

    thread = threading.Thread(target=ask)
    thread.start()
    for _ in range(2000):
        with closing(os.fdopen(os.open(tmp_path / "a", os.O_WRONLY), "wb")) as file:
            file.write(b"x")
    is_done.set()
    thread.join()
    assert has_writer(b"a", directory) is False
