"""What is added to each line of the log."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from itertools import count
from types import FrameType
from typing import Any

import pytest
import structlog
from structlog.typing import EventDict

from support.instructions import act_before
from support.logs import captured_logs, install_capture
from watcher.telemetry.logs import configure_logs, named


def test_each_line_names_the_server_while_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Also by a logger that was bound before."""
    former = structlog.get_config()
    try:
        log = configure_logs("json")
        bound = log.bind(state="there")
        with named("one"):
            log.info("first")
            bound.info("second")
        bound.info("third")
    finally:
        structlog.configure(**former)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line.get("server")) for line in lines] == [
        ("first", "one"),
        ("second", "one"),
        ("third", None),
    ]


LOGGING = {"structlog._base", "support.logs", "watcher.telemetry.logs"}
"""Modules between whose instructions another thread may change what a line goes through."""


def is_logging(frame: FrameType) -> bool:
    """Return whether a frame is one of these modules."""
    return frame.f_globals.get("__name__") in LOGGING


Change = Callable[[], AbstractContextManager[list[EventDict] | None]]


def log_line(log: Any, step: int, change: Change, *, is_end: bool) -> tuple[bool, list[EventDict]]:  # noqa: ANN401 - a logger
    """Log a line with its step, at which the change begins or ends.

    Returns:
        Whether logging has that step, and the lines that were captured.
    """
    captured: list[list[EventDict] | None] = []
    with ExitStack() as changed:

        def begin() -> None:
            captured.append(changed.enter_context(change()))

        if is_end:
            begin()
        act = changed.close if is_end else begin
        is_step = act_before(step, act, lambda: log.info("line", step=step), is_meant=is_logging)
    return is_step, [line for lines in captured if lines is not None for line in lines]


@pytest.mark.parametrize("is_end", [False, True], ids=["begins", "ends"])
@pytest.mark.parametrize("change", [lambda: named("one"), captured_logs], ids=["named", "captured"])
def test_a_thread_that_logs_meanwhile_goes_on(
    change: Change, capsys: pytest.CaptureFixture[str], *, is_end: bool
) -> None:
    """Whenever the server is named, or a test begins or ends to capture the log.

    Each line is there once, before whichever of its instructions that is.
    """
    former = structlog.get_config()
    captured: list[int] = []
    try:
        log = configure_logs("json")
        install_capture()
        log = log.bind(state="there")
        for step in count():
            is_step, lines = log_line(log, step, change, is_end=is_end)
            captured += [line["step"] for line in lines]
            if not is_step:
                break
    finally:
        structlog.configure(**former)
    printed = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert sorted([*captured, *(line["step"] for line in printed)]) == [*range(step + 1)]
    # The change came too late for some lines, and in time for others.
    concerned = {*captured, *(line["step"] for line in printed if "server" in line)}
    assert 0 < len(concerned) < step
