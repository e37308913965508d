"""Decides whether each job gets its result, in no more threads than needed, and these end."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from support.client import wait_until
from watcher.errors import UnavailableError
from watcher.sources.s3.workers import Workers

DEADLINE_S = 60.0


class Bench:
    """Workers, and the threads that they have started.

    Attributes:
        workers: The workers; they square numbers.
        may_answer: While it is cleared, the job 0 is not finished.
        is_stopping: When it is set, or the deadline is over, the workers are to stop.
    """

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.is_stopping = threading.Event()
        self._others = set(threading.enumerate())
        self._deadline_s = time.monotonic() + DEADLINE_S
        self.workers = self.run(lambda job: job * job)

    @property
    def threads(self) -> set[threading.Thread]:
        """The threads that were started since, and have not ended."""
        return set(threading.enumerate()) - self._others

    def run(self, answer: Callable[[int], int]) -> Workers[int, int]:
        """Use other workers."""

        def work(job: int) -> int:
            assert job or self.may_answer.wait(DEADLINE_S)
            return answer(job)

        self.workers = Workers(work, self._should_stop)
        return self.workers

    def put(self, *jobs: int) -> None:
        for job in jobs:
            self.workers.put(job)

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

    def _should_stop(self) -> bool:
        return self.is_stopping.is_set() or time.monotonic() > self._deadline_s


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Return workers, and check that no thread is left behind."""
    bench = Bench()
    yield bench
    bench.end()


def test_each_job_gets_its_result(bench: Bench) -> None:
    """Each result comes back once; a job counts as busy until its result is taken."""
    taken = []
    for job in range(1, 201):
        bench.put(job)
        if bench.workers.busy == 5:
            taken += bench.take(2)
            assert bench.workers.busy == 3
    taken += bench.take(bench.workers.busy)
    assert sorted(taken) == [(job, job * job) for job in range(1, 201)]
    assert (bench.workers.busy, len(bench.threads)) == (0, 5)


def test_results_come_as_they_are_ready(bench: Bench) -> None:
    bench.put(0, 1)
    assert bench.take() == [(1, 1)]
    bench.may_answer.set()
    assert bench.take() == [(0, 0)]


@pytest.mark.parametrize(
    "error", [ValueError("no"), OSError(5, "no"), SystemExit(1), KeyboardInterrupt()], ids=repr
)
def test_errors_are_handed_over(bench: Bench, error: BaseException) -> None:
    """An exception is raised where the result is taken; its thread goes on with the next job."""

    def answer(job: int) -> int:
        if job == 2:
            raise error
        return job

    bench.run(answer)
    bench.put(2)
    job, failed = bench.workers.take()
    assert (job, failed.exception()) == (2, error)
    bench.put(1)
    assert bench.take() == [(1, 1)]
    assert len(bench.threads) == 1


@pytest.mark.parametrize(
    ("rounds", "threads"), [([], 0), ([1], 1), ([1, 1, 1], 1), ([3, 2, 3], 3), ([2, 4, 1], 4)]
)
def test_threads_are_as_many_as_jobs_at_once(bench: Bench, rounds: list[int], threads: int) -> None:
    """There is a thread for each busy job and no more; idle threads take the next jobs."""
    for jobs in rounds:
        bench.put(*range(1, jobs + 1))
        bench.take(jobs)
    assert len(bench.threads) == threads
    assert all(thread.daemon for thread in bench.threads)


def test_jobs_run_at_once(bench: Bench) -> None:
    """Jobs do not wait for each other: three that can only finish together finish."""
    together = threading.Barrier(3, timeout=DEADLINE_S)
    bench.run(lambda job: job + 0 * together.wait())
    bench.put(1, 2, 3)
    assert bench.take(3) == [(1, 1), (2, 2), (3, 3)]


def test_a_result_can_wait(bench: Bench) -> None:
    """A result stays when the threads have ended, but is not taken once the watch is to stop."""
    bench.put(0)
    assert not bench.workers.has_result
    bench.end()
    bench.is_stopping.set()
    with pytest.raises(UnavailableError, match="stopping"):
        bench.take()
    assert (bench.workers.has_result, bench.workers.busy) == (True, 1)
    bench.is_stopping.clear()
    assert bench.take() == [(0, 0)]
    assert not bench.workers.has_result


def test_stopping_ends_the_wait(bench: Bench) -> None:

    def answer(job: int) -> int:
        bench.is_stopping.set()
        assert bench.may_answer.wait(DEADLINE_S)
        return job

    bench.run(answer)
    bench.put(1)
    with pytest.raises(UnavailableError, match="stopping"):
        bench.take()
    assert bench.workers.busy == 1


def test_threads_end_after_close(bench: Bench) -> None:
    """To close does not wait; idle threads end at once, a busy one with its result."""
    bench.put(1, 2, 0)
    assert bench.take(2) == [(1, 1), (2, 4)]
    bench.workers.close()
    wait_until(lambda: len(bench.threads) == 1, "the idle threads have ended", DEADLINE_S)
    bench.end()
    assert bench.take() == [(0, 0)]
