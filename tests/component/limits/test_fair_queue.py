"""The order of CPU-heavy work, and threads that outlive the tasks that wait for them."""

import asyncio
import threading

import pytest

from watcher.limits.fair_queue import MAX_TASKS, FairQueue, run_in_thread

DEADLINE_S = 60.0


async def settle() -> None:
    """Let every task run until it waits for something."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_principals_take_turns() -> None:
    """One task of each principal runs, and no more than two of all; each goes on in turn."""
    started: list[str] = []
    may_end = {name: asyncio.Event() for name in ("a1", "a2", "a3", "b1", "c1")}

    async def take(queue: FairQueue, name: str) -> None:
        async with queue.turn(name[0]):
            started.append(name)
            await may_end[name].wait()

    async def run() -> None:
        queue = FairQueue()
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
            for name in may_end:
                tasks.create_task(take(queue, name))
            await settle()
            assert started == ["a1", "b1"]
            assert len(started) == MAX_TASKS
            may_end["a1"].set()
            await settle()
            assert started == ["a1", "b1", "c1"]
            for event in may_end.values():
                event.set()
        assert started[3:] == ["a2", "a3"]

    asyncio.run(run())


@pytest.mark.parametrize("fails", [False, True])
def test_a_cancelled_task_waits_for_its_thread(*, fails: bool) -> None:
    """Its result is undone; if the function has failed there is nothing to undo."""
    begun, may_end = threading.Event(), threading.Event()
    undone: list[str] = []

    def act() -> str:
        begun.set()
        assert may_end.wait(DEADLINE_S)
        if fails:
            raise OSError("no")
        return "opened"

    async def run() -> None:
        task = asyncio.create_task(run_in_thread(act, undone.append))
        await asyncio.to_thread(begun.wait, DEADLINE_S)
        for _ in range(2):
            task.cancel()
            await settle()
        assert not task.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert undone == ([] if fails else ["opened"])


def test_the_result_or_the_error_of_the_function_is_passed_on() -> None:
    assert asyncio.run(run_in_thread(lambda: 1)) == 1
    with pytest.raises(ZeroDivisionError):
        asyncio.run(run_in_thread(lambda: 1 // 0))
