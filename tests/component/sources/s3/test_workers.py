"""Decides whether each job gets its answer, in no more threads than jobs are waited for, and whether these end; a job is a number here."""

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
    """Workers that answer when they are let.

    Attributes:
        workers: Answer each number with its square.
        may_answer: Cleared, no job is answered.
        is_stopping: Set, all is to stop; so it is when the deadline is over.
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
        """The threads that have been started since, and have not ended."""
        return set(threading.enumerate()) - self._others

    def should_stop(self) -> bool:
        """Say whether all is to stop."""
        return self.is_stopping.is_set() or time.monotonic() > self._deadline_s

    def take(self, count: int = 1) -> list[tuple[int, int]]:
        """Take so many answers and return them, with their jobs and in the order of these."""
        answers = [self.workers.take() for _ in range(count)]
        return sorted((job, answer.result()) for job, answer in answers)

    def end(self) -> None:
        """Close the workers, let them answer and wait for their threads."""
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
    """Return workers, and see that none is left behind."""
    bench = Bench()
    yield bench
    bench.end()


def workers_of(bench: Bench, answer: Callable[[int], int]) -> Workers[int, int]:
    """Have the workers of a bench answer otherwise."""
    bench.workers = Workers(answer, bench.should_stop)
    return bench.workers


def test_each_job_gets_its_answer(bench: Bench) -> None:
    """The answers to many jobs, handed out while others are taken, come back once each; a job is busy until its answer is taken."""
    taken = []
    for job in range(200):
        bench.workers.put(job)
        if bench.workers.busy == 5:
            taken += bench.take(2)
            assert bench.workers.busy == 3
    taken += bench.take(bench.workers.busy)
    assert sorted(taken, key=itemgetter(0)) == [(job, job * job) for job in range(200)]
    assert (bench.workers.busy, len(bench.threads)) == (0, 5)


def test_who_is_ready_comes_first(bench: Bench) -> None:
    """Answers come as they are there, not in the order of their jobs."""
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
    """What is raised in place of an answer is handed to who takes it, and its thread goes on with the next job."""

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
    """There is a thread for each job that is busy and no more; those that are there answer the next jobs."""
    for jobs in rounds:
        for job in range(jobs):
            bench.workers.put(job)
        bench.take(jobs)
    assert len(bench.threads) == threads
    assert all(thread.daemon for thread in bench.threads)


def test_jobs_are_answered_at_once(bench: Bench) -> None:
    """Jobs do not wait for each other: three that can only be answered together are answered."""
    together = threading.Barrier(3, timeout=DEADLINE_S)
    workers = workers_of(bench, lambda job: job + 0 * together.wait())
    for job in range(3):
        workers.put(job)
    assert bench.take(3) == [(0, 0), (1, 1), (2, 2)]


def test_a_result_can_wait(bench: Bench) -> None:
    """An answer that nobody has taken is told, and it is still there when the threads have ended."""
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
    """Who waits for an answer that does not come waits no longer once all is to stop."""
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


def test_stopping_goes_before_answers(bench: Bench) -> None:
    """Once all is to stop, nothing is taken any more, though it is there."""
    bench.workers.put(3)
    bench.end()
    bench.is_stopping.set()
    with pytest.raises(UnavailableError, match="stopping"):
        bench.workers.take()
    assert bench.workers.has_result


def test_threads_end_after_close(bench: Bench) -> None:
    """To close does not wait; threads without a job end then, and one with a job as soon as it has its answer."""
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
