"""Makes, changes and reads files, for tests on real directories. Imports no watcher."""

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

Files: TypeAlias = dict[str, int]
"""Sizes in bytes by path."""

NOBODY_ID = 65534
BURST_NAME = "in"
AT_FDCWD = -100
RENAME_EXCHANGE = 2
"""Of renameat2(2)."""


def fill(root: Path, *names: str) -> None:
    """Make files, with their names as content, and their directories; ``a>b`` links a to b."""
    for name in names:
        path, arrow, target = name.partition(">")
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if arrow:
            (root / path).symlink_to(target)
        else:
            (root / path).write_text(name)


def exchange(one: Path | bytes, other: Path | bytes) -> None:
    """Exchange two names in one step."""
    libc = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(one), os.fsencode(other)
    if libc.renameat2(AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), "renameat2")


def touch(root: Path, number: int, name: str = "{}", content: bytes = b"") -> list[str]:
    """Make files, named by their numbers, as fast as possible; return their names."""
    names = [name.format(one) for one in range(number)]
    for one in names:
        file = os.open(root / one, os.O_CREAT | os.O_WRONLY)
        os.write(file, content)
        os.close(file)
    return names


def burst(root: Path, number: int, content: bytes = b"") -> list[str]:
    """Make files appear at the same time, in a new directory; return their paths.

    Their numbers have five digits, since 4913 alone is a temporary name of vim.
    """
    directory = root.with_name(f"{root.name} to come")
    directory.mkdir()
    names = touch(directory, number, "{:05}", content)
    directory.rename(root / BURST_NAME)
    return [f"{BURST_NAME}/{name}" for name in names]


def read_files(root: Path) -> Files:
    """Return the files below a directory."""
    return {
        os.path.relpath(path, root): os.stat(path).st_size  # noqa: PTH116 - many
        for directory, _, names in os.walk(root)
        for path in (os.path.join(directory, name) for name in names)  # noqa: PTH118 - many
    }


def open_below(directory: Path) -> int:
    """Return how many descriptors of this process lead to a directory, or below it.

    Threads of former tests, or a collection of garbage, may close others at any time.
    """
    found = 0
    for link in os.listdir("/proc/self/fd"):  # noqa: PTH208 - procfs
        with suppress(OSError):
            found += Path(os.readlink(f"/proc/self/fd/{link}")).is_relative_to(directory)  # noqa: PTH115 - procfs
    return found


@contextmanager
def unprivileged() -> Iterator[None]:
    """Make permissions apply while the block runs, for the super-user too."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY_ID)
    try:
        yield
    finally:
        os.seteuid(user)


@contextmanager
def happening(act: Callable[[], None]) -> Iterator[None]:
    """Repeat an action in a thread while the block runs."""
    is_over = threading.Event()

    def run() -> None:
        while not is_over.is_set():
            with suppress(OSError):
                act()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
