"""Makes, changes and reads files, for tests on real directories. Imports no watcher."""

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


def fill(root: Path, *names: str) -> None:
    """Make files, with their names as content, and their directories; ``a>b`` links a to b."""
    for name in names:
        path, arrow, target = name.partition(">")
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if arrow:
            (root / path).symlink_to(target)
        else:
            (root / path).write_text(name)


def touch(root: Path, number: int, name: str = "{}") -> list[str]:
    """Make empty files, named by their numbers, as fast as possible; return their names."""
    names = [name.format(one) for one in range(number)]
    for one in names:
        os.close(os.open(root / one, os.O_CREAT | os.O_WRONLY))
    return names


def burst(root: Path, number: int) -> list[str]:
    """Make empty files appear at the same time, in a new directory; return their paths.

    Their numbers have five digits, since 4913 alone is a temporary name of vim.
    """
    directory = root.with_name(f"{root.name} to come")
    directory.mkdir()
    names = touch(directory, number, "{:05}")
    directory.rename(root / BURST_NAME)
    return [f"{BURST_NAME}/{name}" for name in names]


def read_files(root: Path) -> Files:
    """Return the files below a directory."""
    return {
        os.path.relpath(path, root): os.stat(path).st_size  # noqa: PTH116 - many
        for directory, _, names in os.walk(root)
        for path in (os.path.join(directory, name) for name in names)  # noqa: PTH118 - many
    }


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
