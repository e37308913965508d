"""The log of the test's own process, captured while threads write to it.

``structlog.testing.capture_logs`` replaces the processors of every logger, in place. A thread that
goes through them at that moment finds the list at its end, leaves out the renderer and fails.
Here the first processor is there from the beginning, and only what it does changes.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from structlog.typing import EventDict

_captures: list[list[EventDict]] = []
"""The lists that lines are added to: the innermost one is last."""


def install_capture() -> None:
    """Make ``captured_logs`` possible, for all loggers that are made from now on."""
    structlog.configure(processors=[_capture, *structlog.get_config()["processors"]])


@contextmanager
def captured_logs() -> Iterator[list[EventDict]]:
    """Collect what is logged, with its ``log_level``, instead of printing it."""
    lines: list[EventDict] = []
    _captures.append(lines)
    try:
        yield lines
    finally:
        _captures.pop()


def _capture(_logger: object, method: str, event: EventDict) -> EventDict:
    """Add an event to the innermost capture, if there is one."""
    # A copy, since another thread may end the capture meanwhile.
    captures = _captures[-1:]
    if not captures:
        return event
    event["log_level"] = "error" if method == "exception" else method
    captures[0].append(event)
    raise structlog.DropEvent
