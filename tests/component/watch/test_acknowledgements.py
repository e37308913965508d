"""Decides that what several bring at once is taken in one go, and that each learns how it went."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from watcher.watch.acknowledgements import Coalescer

if TYPE_CHECKING:
    from collections.abc import Sequence

DEADLINE_S = 10.0


def test_what_comes_meanwhile_is_taken_together() -> None:
    """While one is taken the others gather; they are taken in one go, and nobody returns before his own was."""
    taken: list[list[int]] = []
    may_take = threading.Event()

    def take(items: Sequence[int]) -> None:
        assert may_take.wait(DEADLINE_S)
        taken.append(list(items))

    async def bring_all() -> None:
        gathering = Coalescer(take)
        first = asyncio.create_task(gathering.submit([0, 1]))
        await asyncio.sleep(0)
        others = [asyncio.create_task(gathering.submit([number])) for number in (2, 3, 4)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in (first, *others))
        may_take.set()
        await asyncio.gather(first, *others)
        assert taken == [[0, 1], [2, 3, 4]]
        await gathering.submit([5])

    asyncio.run(bring_all())
    assert taken == [[0, 1], [2, 3, 4], [5]]


def test_a_failure_is_told_to_all_whom_it_concerns() -> None:
    """Who brought something that could not be taken hears of it, and the next try is a new one."""
    failures = [OSError("no"), OSError("no"), None]
    taken: list[int] = []

    def take(items: Sequence[int]) -> None:
        if error := failures.pop(0):
            raise error
        taken.extend(items)

    async def bring_all() -> None:
        gathering = Coalescer(take)
        with pytest.raises(OSError, match="no"):
            await gathering.submit([1])
        results = await asyncio.gather(
            gathering.submit([2]), gathering.submit([3]), return_exceptions=True
        )
        assert [type(result) for result in results] == [OSError, type(None)]

    asyncio.run(bring_all())
    assert taken == [3]
