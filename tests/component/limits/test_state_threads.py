"""Calls that wait for the state have threads of their own, and nobody waits for them for ever."""

from __future__ import annotations

import asyncio
import threading

import pytest

from watcher.errors import AwayError, StateError
from watcher.limits import state_threads
from watcher.limits.state_threads import MAX_THREADS, StateThreads, answered

DEADLINE_S = 60.0


def test_waiting_calls_leave_the_other_threads_alone() -> None:
    """However many wait; one that is cancelled is not waited for."""
    is_back = threading.Event()

    async def run() -> None:
        threads = StateThreads()
        waiting = [asyncio.create_task(threads.run(is_back.wait)) for _ in range(2 * MAX_THREADS)]
        await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE_S):
            assert await asyncio.to_thread(lambda: "done") == "done"
            waiting[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting[0]
        is_back.set()
        assert all(await asyncio.gather(*waiting[1:]))
        threads.close()

    asyncio.run(run())


def test_what_is_late_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_threads, "ANSWER_S", 0.05)
    is_back, done = threading.Event(), threading.Event()

    def act() -> None:
        is_back.wait(DEADLINE_S)
        done.set()
        raise StateError("late")

    async def run() -> None:
        threads = StateThreads()
        with pytest.raises(AwayError, match="has not answered"):
            await answered(threads.run(act))
        is_back.set()
        assert await threads.run(lambda: done.wait(DEADLINE_S))
        with pytest.raises(StateError, match="late"):
            await answered(threads.run(act))
        threads.close()

    asyncio.run(run())
