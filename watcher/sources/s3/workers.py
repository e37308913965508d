"""Runs requests in threads, so that several wait for their responses at once.

A thread that waits for a response cannot be stopped. So the threads are daemons: a scan that ends
leaves them behind, and each ends by itself with its response.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

from watcher.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

STOP_POLL_S = 0.2
"""Seconds between two checks whether the watch is to stop."""

Job = TypeVar("Job")
Result = TypeVar("Result")


class Workers(Generic[Job, Result]):
    """Threads that run jobs, started as they are needed. Used by one thread.

    Args:
        run: Called in a worker for each job.
        should_stop: Checked while a result is waited for.
        notify: Called in a worker when a result can be taken.

    Attributes:
        busy: Number of jobs whose result has not been taken.
    """

    def __init__(
        self,
        run: Callable[[Job], Result],
        should_stop: Callable[[], bool],
        notify: Callable[[], None] = lambda: None,
    ) -> None:
        self.busy = 0
        self._run = run
        self._should_stop = should_stop
        self._notify = notify
        self._threads = 0
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._results: SimpleQueue[tuple[Job, Future[Result]]] = SimpleQueue()

    @property
    def has_result(self) -> bool:
        """Whether a result waits to be taken."""
        return not self._results.empty()

    def put(self, job: Job) -> None:
        """Hand a job to a worker."""
        self.busy += 1
        if self.busy > self._threads:
            self._threads += 1
            threading.Thread(target=self._work, name="s3 worker", daemon=True).start()
        self._jobs.put(job)

    def take(self) -> tuple[Job, Future[Result]]:
        """Wait for the next result of any job and return the job with its finished future.

        Raises:
            UnavailableError: The watch is to stop.
        """
        while not self._should_stop():
            try:
                finished = self._results.get(timeout=STOP_POLL_S)
            except Empty:
                continue
            self.busy -= 1
            return finished
        raise UnavailableError("stopping")

    def close(self) -> None:
        """Let each thread end as soon as it has its result; does not wait."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future: Future[Result] = Future()
            try:
                future.set_result(self._run(job))
            except BaseException as error:  # noqa: BLE001 - raised again where the result is taken
                future.set_exception(error)
            self._results.put((job, future))
            self._notify()
            # A result may be large, and the next job may be long in coming.
            del job, future
