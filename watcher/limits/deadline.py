"""How long the calling thread may wait for the state: a deadline, or any time if there is none.

A deadline is a context variable, so ``asyncio.to_thread`` takes it along.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEADLINE_S: ContextVar[float | None] = ContextVar("deadline_s", default=None)


@contextmanager
def limited(timeout_s: float) -> Iterator[None]:
    """Let what is called in the block wait for the state no longer than some seconds together."""
    deadline_s, former_s = time.monotonic() + timeout_s, _DEADLINE_S.get()
    token = _DEADLINE_S.set(deadline_s if former_s is None else min(deadline_s, former_s))
    try:
        yield
    finally:
        _DEADLINE_S.reset(token)


def left_s() -> float | None:
    """Return the seconds until the deadline, not negative; None if there is none."""
    deadline_s = _DEADLINE_S.get()
    return None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
