"""Makes, changes and reads files, for tests on real directories. Imports no watcher."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Self, TypeAlias

from support.client import wait_until

Files: TypeAlias = dict[str, int]
"""Sizes in bytes by path."""

NOBODY_ID = 65534
STEP_PAUSE_S = 0.02
BURST_NAME = "in"


def fill(root: Path, *names: str) -> None:
    """Make files with their directories, each with its name as content.

    Args:
        root: The directory to fill.
        names: Relative paths; ``a>b`` makes a link ``a`` to ``b``.
    """
    for name in names:
        path, arrow, target = name.partition(">")
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if arrow:
            (root / path).symlink_to(target)
        else:
            (root / path).write_text(name)


def touch(root: Path, number: int, name: str = "{}") -> list[str]:
    """Make empty files in a directory as fast as possible, and return their names.

    Args:
        root: The directory.
        number: How many.
        name: Names the files by their numbers.
    """
    names = [name.format(one) for one in range(number)]
    for one in names:
        os.close(os.open(root / one, os.O_CREAT))
    return names


def burst(root: Path, number: int) -> None:
    """Make empty files appear at the same time, in the directory ``BURST_NAME``."""
    directory = root.with_name(f"{root.name} to come")
    directory.mkdir()
    touch(directory, number)
    directory.rename(root / BURST_NAME)


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


class Changes:
    """Creates, appends to, renames and deletes files of a directory; use it as a context manager.

    Args:
        root: The directory, in which nothing else changes.

    Attributes:
        steps: How many steps were made; each changes up to four files.
    """

    def __init__(self, root: Path) -> None:
        self.steps = 0
        self._root = root
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def wait_more(self, steps: int) -> None:
        """Wait until this many more steps were made."""
        end = self.steps + steps
        wait_until(lambda: self.steps >= end, f"{steps} more steps")

    def _run(self) -> None:
        for number in count():
            (self._root / f"{number}").write_text("1")
            if number >= 4:
                with (self._root / f"{number - 1}").open("a") as file:
                    file.write("22")
                (self._root / f"{number - 2}").rename(self._root / f"{number - 2}.old")
                if number % 3:
                    (self._root / f"{number - 4}.old").unlink(missing_ok=True)
            self.steps += 1
            if self._is_over.wait(STEP_PAUSE_S):
                return
