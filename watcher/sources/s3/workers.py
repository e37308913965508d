"""Decides in which threads requests wait for their answers: so many at once that it pays, fewer while the store asks for less.

Who waits for an answer cannot be stopped, so the threads are daemons: a scan that ends leaves them behind, and they end by themselves.
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

Job = TypeVar("Job")
Answer = TypeVar("Answer")


class Workers(Generic[Job, Answer]):
    """Threads that answer jobs, made as they are needed.

    Args:
        answer: Called in a worker for each job.
        should_stop: Asked while somebody waits for an answer.

    Attributes:
        busy: Jobs whose answer has not been taken.
    """

    def __init__(self, answer: Callable[[Job], Answer], should_stop: Callable[[], bool]) -> None:
        self.busy = 0
        self._answer = answer
        self._should_stop = should_stop
        self._threads = 0
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._answers: SimpleQueue[tuple[Job, Future[Answer]]] = SimpleQueue()

    @property
    def has_answer(self) -> bool:
        """Whether an answer waits to be taken."""
        return not self._answers.empty()

    def put(self, job: Job) -> None:
        """Hand out a job."""
        self.busy += 1
        if self.busy > self._threads:
            self._threads += 1
            threading.Thread(target=self._work, name="s3 worker", daemon=True).start()
        self._jobs.put(job)

    def take(self) -> tuple[Job, Future[Answer]]:
        """Wait for the next answer, of whatever job, and return both; the answer's ``result()`` raises what was raised in its place.

        Raises:
            UnavailableError: All is to stop.
        """
        while not self._should_stop():
            try:
                answer = self._answers.get(timeout=STOP_POLL_S)
            except Empty:
                continue
            self.busy -= 1
            return answer
        raise UnavailableError("stopping")

    def close(self) -> None:
        """Let the threads end, each as soon as it has its answer."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            answer: Future[Answer] = Future()
            try:
                answer.set_result(self._answer(job))
            except BaseException as error:  # noqa: BLE001 - raised again by who takes it
                answer.set_exception(error)
            self._answers.put((job, answer))
            # What was answered may be large, and the next job may be long in coming.
            del job, answer
