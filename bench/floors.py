"""What parts of the work cost alone, whatever is made of them: nothing that has them is cheaper."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from itertools import chain

from watchdog.observers.inotify_c import InotifyConstants, inotify_add_watch, inotify_init

from watcher.state.sqlite.database import ROWS, schema_parts

LIBRARIES = (
    "aiohttp.web",
    "google.protobuf.descriptor_pb2",
    "grpc.aio",
    "msgspec",
    "sqlite3",
    "structlog",
    "typer",
    "watchdog.observers.inotify_c",
)
"""What a server that watches nothing has loaded."""

ROW = "(?, ?, 1, ?, ?, ?, '', '', 0, 0)"


def write_rows(count: int) -> float:
    """Return the CPU seconds in which SQLite writes the rows of files, in order and to memory.

    Args:
        count: Number of rows.
    """
    now_ns = time.time_ns()
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        for part in schema_parts():
            db.executescript(part)
        statement = f"INSERT INTO entry VALUES {', '.join([ROW] * ROWS)}"  # noqa: S608 - only constants
        db.execute("BEGIN")
        took_s = 0.0
        for first in range(0, count, ROWS):
            rows = (
                (number, b"%05d/%07d.csv" % (number // 1000, number), now_ns, now_ns, number)
                for number in range(first, first + ROWS)
            )
            values = [*chain.from_iterable(rows)]
            start_s = time.process_time()
            db.execute(statement, values)
            took_s += time.process_time() - start_s
    return took_s


def add_watches(root: str) -> float:
    """Return the CPU seconds in which inotify(7) is asked to watch the directories in a root."""
    with os.scandir(root) as items:
        directories = [os.fsencode(item.path) for item in items if item.is_dir()]
    fd = inotify_init()
    try:
        start_s = time.process_time()
        for directory in directories:
            inotify_add_watch(fd, directory, InotifyConstants.IN_CREATE)
        return time.process_time() - start_s
    finally:
        os.close(fd)


def load_libraries() -> float:
    """Return the resident MiB of an interpreter that has loaded the libraries of a server.

    rich is hidden from them, as it is in a server.
    """
    program = f"""
import gc, importlib, pathlib, resource, sys
sys.modules["rich"] = None
for name in {LIBRARIES!r}:
    importlib.import_module(name)
gc.collect()
pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
print(pages * resource.getpagesize() / 2**20)
"""
    return float(subprocess.check_output([sys.executable, "-c", program]))
