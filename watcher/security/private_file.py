"""A file that only this process reads, for libraries that take no more than a file's name."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def private_file(data: bytes) -> Iterator[str]:
    """Provide the name of a file with some data, which is gone after the block.

    It is in memory on Linux; elsewhere a temporary file that only this user may read.
    """
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("watcher"), "wb") as memory:
            memory.write(data)
            memory.flush()
            yield f"/proc/self/fd/{memory.fileno()}"
        return
    with tempfile.NamedTemporaryFile(prefix="watcher-") as file:
        file.write(data)
        file.flush()
        yield file.name
