"""Acts between two instructions of a call, where another thread might."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import count
from types import FrameType
from typing import Any


def act_before(
    step: int,
    act: Callable[[], object],
    run: Callable[[], object],
    *,
    is_meant: Callable[[FrameType], bool],
) -> bool:
    """Run a call, and act before one of its instructions.

    Args:
        step: The number of the instruction, among those of the frames that are meant.
        act: The action.
        run: The call.
        is_meant: Returns whether the instructions of a frame count.

    Returns:
        Whether the call has that instruction.
    """
    steps = count()

    def trace(frame: FrameType, event: str, _argument: object) -> Any:  # noqa: ANN401 - refers to itself
        if not is_meant(frame):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and next(steps) == step:
            act()
        return trace

    former = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(former)
    return next(steps) > step
