"""Items that several callers submit at once are taken together, and each learns the outcome."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from watcher.limits.state_threads import StateThreads
from watcher.watch.acknowledgements import Coalescer

DEADLINE_S = 60.0


def test_items_submitted_during_a_call_are_taken_by_the_next() -> None:
    """No caller returns before its own items were taken."""
    taken: list[list[int]] = []
    may_take = threading.Event()

    def take(items: Sequence[int]) -> None:
        assert may_take.wait(DEADLINE_S)
        taken.append(list(items))

    async def submit_all() -> None:
        coalescer = Coalescer(take, StateThreads())
        first = asyncio.create_task(coalescer.submit([0, 1]))
        await asyncio.sleep(0)
        others = [asyncio.create_task(coalescer.submit([number])) for number in (2, 3, 4)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in (first, *others))
        may_take.set()
        await asyncio.gather(first, *others)
        assert taken == [[0, 1], [2, 3, 4]]
        await coalescer.submit([5])

    asyncio.run(submit_all())
    assert taken == [[0, 1], [2, 3, 4], [5]]


def test_a_failure_is_raised_to_its_callers_alone() -> None:
    failures = [OSError("no"), OSError("no"), None]
    taken: list[int] = []

    def take(items: Sequence[int]) -> None:
        if error := failures.pop(0):
            raise error
        taken.extend(items)

    async def submit_all() -> None:
        coalescer = Coalescer(take, StateThreads())
        with pytest.raises(OSError, match="no"):
            await coalescer.submit([1])
        results = await asyncio.gather(
            coalescer.submit([2]), coalescer.submit([3]), return_exceptions=True
        )
        assert [type(result) for result in results] == [OSError, type(None)]

    asyncio.run(submit_all())
    assert taken == [3]
