"""Follows the mount table of this process: what is mounted, and whether that has changed.

poll(2) reports a change to each open file of ``/proc/self/mountinfo`` once (proc_pid_mountinfo(5)).
One file is polled whenever a caller asks, another one by a thread that wakes the subscribers. The
kernel marks the change before a lookup can notice it, so a reading between two equal generations
has seen one state of the mounts. Where there is no such file, nothing ever changes.
"""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING

from watcher.filesystem.linux.mount_table import MOUNTINFO, mount_id, read_table
from watcher.filesystem.linux.openat2 import current_path
from watcher.filesystem.mounts import MountTable

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from watcher.filesystem.mounts import Mount

READ_ATTEMPTS = 10
"""Maximum number of readings of a table that changes meanwhile; each takes about a millisecond."""

WAKE_INTERVAL_S = 0.01
"""Least seconds between two calls of the subscribers: containers start with dozens of mounts."""

_CHANGED = select.POLLPRI | select.POLLERR


class MountMonitor:
    """The mount table and the number of its changes so far. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._poll = select.poll()
        self._generation = 0
        self._table: tuple[int, MountTable] | None = None
        self._subscribers: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None
        self._stop_fd = -1
        self._is_stopped = threading.Event()

    @property
    def generation(self) -> int:
        """The number of changes so far, asked of the kernel now; equal numbers mean no change."""
        with self._lock:
            return self._check()

    def table(self) -> tuple[int, MountTable]:
        """Return the generation of the table, and the table; a later one differs by its generation.

        It is empty if it cannot be read.
        """
        with self._lock:
            table = self._table
            for _ in range(READ_ATTEMPTS):
                generation = self._check()
                if table is not None and table[0] == generation:
                    break
                table = generation, read_table()
            self._table = table
            return table or (-1, MountTable([]))

    def below(self, root: int) -> tuple[int, list[tuple[bytes, Mount]]]:
        """See ``port.Mounts.below``."""
        generation, table = self.table()
        if (id_ := mount_id(root)) is None:
            return generation, []
        path = os.fsdecode(current_path(root))
        above = os.fsencode(path.rstrip("/") + "/")
        mounts = table.reachable(id_, path)
        return generation, [(os.fsencode(mount.point)[len(above) :], mount) for mount in mounts]

    def read_again(self) -> None:
        """Have the table read afresh: a mounted file that is replaced changes no generation."""
        with self._lock:
            self._table = None

    def subscribe(self, wake: Callable[[], None]) -> None:
        """Have a function called whenever the table has changed, from a thread of the monitor.

        Args:
            wake: Returns at once.
        """
        with self._lock:
            self._subscribers.append(wake)
            if self._thread is None and self._open() is not None:
                self._start()

    def unsubscribe(self, wake: Callable[[], None]) -> None:
        """Call a function no more; one that is not subscribed is ignored."""
        with self._lock:
            if wake in self._subscribers:
                self._subscribers.remove(wake)

    def close(self) -> None:
        """End the thread and close the files; may be called twice."""
        with self._lock:
            thread, self._thread = self._thread, None
            if self._file is not None:
                self._file.close()
                self._file, self._poll = None, select.poll()
        if thread is not None:
            self._is_stopped.set()
            os.close(self._stop_fd)
            thread.join()

    def _open(self) -> BinaryIO | None:
        """Return the file that is polled on demand, opened when it is first needed."""
        if self._file is None:
            try:
                self._file = MOUNTINFO.open("rb", buffering=0)
            except OSError:
                return None
            self._poll.register(self._file, _CHANGED)
        return self._file

    def _check(self) -> int:
        if self._open() is not None and self._poll.poll(0):
            self._generation += 1
        return self._generation

    def _start(self) -> None:
        file = MOUNTINFO.open("rb", buffering=0)
        stopped, self._stop_fd = os.pipe()
        self._is_stopped.clear()
        self._thread = threading.Thread(
            target=self._follow, args=(file, stopped), name="mounts", daemon=True
        )
        self._thread.start()

    def _follow(self, file: BinaryIO, stopped: int) -> None:
        changes = select.poll()
        changes.register(file, _CHANGED)
        # The other end of the pipe is closed to end the thread.
        changes.register(stopped, 0)
        try:
            while stopped not in dict(changes.poll()):
                with self._lock:
                    subscribers = list(self._subscribers)
                for wake in subscribers:
                    wake()
                self._is_stopped.wait(WAKE_INTERVAL_S)
        finally:
            file.close()
            os.close(stopped)
