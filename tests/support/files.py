"""What tests on real files share: filling a directory, changing it all the time, and permissions that bind the super-user too."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOBODY_ID = 65534


def fill(root: Path, *names: str) -> None:
    """Make files with their directories, each with its name as content; ``a>b`` makes a link ``a`` to ``b``."""
    for name in names:
        path, arrow, target = name.partition(">")
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if arrow:
            (root / path).symlink_to(target)
        else:
            (root / path).write_text(name)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Let permissions bind while the block runs, for the super-user too."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY_ID)
    try:
        yield
    finally:
        os.seteuid(user)


@contextmanager
def happening(act: Callable[[], None]) -> Iterator[None]:
    """Do something again and again beside the block."""
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
