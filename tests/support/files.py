"""Fills directories, changes them all the time, and makes permissions bind root too."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NOBODY_ID = 65534


def fill(root: Path, *names: str) -> None:
    """Make files, each with its name as content, and their directories; ``a>b`` is a link to b."""
    for name in names:
        path, arrow, target = name.partition(">")
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if arrow:
            (root / path).symlink_to(target)
        else:
            (root / path).write_text(name)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Run the block without the privileges of root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY_ID)
    try:
        yield
    finally:
        os.seteuid(user)


@contextmanager
def happening(act: Callable[[], None]) -> Iterator[None]:
    """Call a function again and again in a thread while the block runs."""
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
