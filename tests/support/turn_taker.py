"""A thread that takes turns, step by step as a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from queue import SimpleQueue

from watcher.limits.turns import Turns


class TurnTaker:
    """One thread with its turn; each step returns a future, which is not done while it waits.

    Args:
        turns: Those that it shares with others.
    """

    def __init__(self, turns: Turns) -> None:
        self._turn = turns.make()
        self._block = ExitStack()
        self._steps: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # A daemon, so that a failed test in which it waits for ever does not keep the process.
        threading.Thread(target=self._run, name="turns", daemon=True).start()

    def begin(self) -> Future[object]:
        """Enter the block."""
        return self.do(lambda: self._block.enter_context(self._turn.taken()))

    def end(self) -> Future[object]:
        """Leave the block, if it was entered."""
        return self.do(self._block.close)

    def close(self) -> Future[object]:
        """Leave the block, and let the thread end."""
        ended = self.end()
        self._steps.put(None)
        return ended

    def do(self, act: Callable[[], object]) -> Future[object]:
        """Call a function in the thread."""
        done: Future[object] = Future()

        def step() -> None:
            try:
                done.set_result(act())
            except BaseException as error:  # noqa: BLE001 - raised again where the result is taken
                done.set_exception(error)

        self._steps.put(step)
        return done

    def _run(self) -> None:
        while (step := self._steps.get()) is not None:
            step()
