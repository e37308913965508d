"""What is added to each line of the log."""

from __future__ import annotations

import json

import pytest
import structlog

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
