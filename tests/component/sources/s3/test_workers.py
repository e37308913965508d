"""Decides whether each job gets its result, in no more threads than needed, and these end."""

from __future__ import annotations

import threading
import time
from operator import itemgetter
from typing import TYPE_CHECKING

import pytest

from watcher.errors import UnavailableError
from watcher.sources.s3.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_S = 10.0


class Bench:
    """Workers that square numbers.

    Attributes:
        workers: The workers.
        may_answer: While it is cleared, no job is finished.
        is_stopping: When it is set, or the deadline is over, the workers are to stop.
    """

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.is_stopping = threading.Event()
        self.workers = Workers(self._square, self.should_stop)
        self._others = set(threading.enumerate())
        self._deadline_s = time.monotonic() + DEADLINE_S

    @property
    def threads(self) -> set[threading.Thread]:
        """The threads that were started since, and have not ended."""
        return set(threading.enumerate()) - self._others

    def should_stop(self) -> bool:
        return self.is_stopping.is_set() or time.monotonic() > self._deadline_s

    def take(self, count: int = 1) -> list[tuple[int, int]]:
        """Take some results and return them with their jobs, in the order of the jobs."""
        answers = [self.workers.take() for _ in range(count)]
        return sorted((job, answer.result()) for job, answer in answers)

    def end(self) -> None:
        """Close the workers, let them finish and wait for their threads."""
        threads = self.threads
        self.workers.close()
        self.may_answer.set()
        for thread in threads:
            thread.join(DEADLINE_S)
            assert not thread.is_alive()

    def _square(self, job: int) -> int:
        assert self.may_answer.wait(DEADLINE_S)
        return job * job


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Return workers, and check that no thread is left behind."""
    bench = Bench()
    yield bench
    bench.end()


def workers_of(bench: Bench, answer: Callable[[int], int]) -> Workers[int, int]:
    bench.workers = Workers(answer, bench.should_stop)
    return bench.workers


def test_each_job_gets_its_result(bench: Bench) -> None:
    """Each result comes back once; a job counts as busy until its result is taken."""
    taken = []
    for job in range(200):
        bench.workers.put(job)
        if bench.workers.busy == 5:
            taken += bench.take(2)
            assert bench.workers.busy == 3
    taken += bench.take(bench.workers.busy)
    assert sorted(taken, key=itemgetter(0)) == [(job, job * job) for job in range(200)]
    assert (bench.workers.busy, len(bench.threads)) == (0, 5)


def test_results_come_as_they_are_ready(bench: Bench) -> None:
    """Results come as they are ready, not in the order of their jobs."""
    is_late = threading.Event()
    workers = workers_of(bench, lambda job: job if job or is_late.wait(DEADLINE_S) else -1)
    workers.put(0)
    workers.put(1)
    assert bench.take() == [(1, 1)]
    is_late.set()
    assert bench.take() == [(0, 0)]


@pytest.mark.parametrize(
    "error", [ValueError("no"), OSError(5, "no"), SystemExit(1), KeyboardInterrupt()], ids=repr
)
def test_errors_are_handed_over(bench: Bench, error: BaseException) -> None:
    """An exception is raised where the result is taken; its thread goes on with the next job."""

    def answer(job: int) -> int:
        if job == 0:
            raise error
        return job

    workers = workers_of(bench, answer)
    workers.put(0)
    job, failed = workers.take()
    assert (job, failed.exception()) == (0, error)
    workers.put(1)
    assert bench.take() == [(1, 1)]
    assert len(bench.threads) == 1


@pytest.mark.parametrize(
    ("rounds", "threads"), [([], 0), ([1], 1), ([1, 1, 1], 1), ([3, 2, 3], 3), ([2, 4, 1], 4)]
)
def test_threads_are_as_many_as_jobs_at_once(bench: Bench, rounds: list[int], threads: int) -> None:
    """There is a thread for each busy job and no more; idle threads take the next jobs."""
    for jobs in rounds:
        for job in range(jobs):
            bench.workers.put(job)
        bench.take(jobs)
    assert len(bench.threads) == threads
    assert all(thread.daemon for thread in bench.threads)


def test_jobs_run_at_once(bench: Bench) -> None:
    """Jobs do not wait for each other: three that can only finish together finish."""
    together = threading.Barrier(3, timeout=DEADLINE_S)
    workers = workers_of(bench, lambda job: job + 0 * together.wait())
    for job in range(3):
        workers.put(job)
    assert bench.take(3) == [(0, 0), (1, 1), (2, 2)]


def test_a_result_can_wait(bench: Bench) -> None:
    """A result that waits is known, and stays when the threads have ended."""
    bench.may_answer.clear()
    bench.workers.put(3)
    has_result = [bench.workers.has_result]
    bench.end()
    has_result.append(bench.workers.has_result)
    assert bench.workers.busy == 1
    assert bench.take() == [(3, 9)]
    has_result.append(bench.workers.has_result)
    assert has_result == [False, True, False]


def test_stopping_ends_the_wait(bench: Bench) -> None:
    """Waiting for a result ends when the watch is to stop."""
    may_answer = threading.Event()

    def answer(job: int) -> int:
        bench.is_stopping.set()
        assert may_answer.wait(DEADLINE_S)
        return job

    workers = workers_of(bench, answer)
    workers.put(3)
    with pytest.raises(UnavailableError, match="stopping"):
        workers.take()
    assert workers.busy == 1
    may_answer.set()


def test_stopping_goes_before_results(bench: Bench) -> None:
    """Once the watch is to stop, no result is taken any more, though one is ready."""
    bench.workers.put(3)
    bench.end()
    bench.is_stopping.set()
    with pytest.raises(UnavailableError, match="stopping"):
        bench.workers.take()
    assert bench.workers.has_result


def test_threads_end_after_close(bench: Bench) -> None:
    """To close does not wait; idle threads end at once, a busy one with its result."""
    working, is_working, may_answer = [], threading.Event(), threading.Event()

    def answer(job: int) -> int:
        if job == 0:
            working.append(threading.current_thread())
            is_working.set()
            assert may_answer.wait(DEADLINE_S)
        return job

    workers = workers_of(bench, answer)
    for job in (1, 2, 3):
        workers.put(job)
    bench.take(3)
    workers.put(0)
    assert is_working.wait(DEADLINE_S)
    idle = bench.threads - set(working)
    assert len(idle) == 2
    workers.close()
    for thread in idle:
        thread.join(DEADLINE_S)
    assert bench.threads == set(working)
    may_answer.set()
    working[0].join(DEADLINE_S)
    assert bench.threads == set()
    assert bench.take() == [(0, 0)]
