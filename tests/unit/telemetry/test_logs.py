"""What is added to each line of the log."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from threading import Event, Thread

import pytest
import structlog

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


@pytest.fixture
def eager_switches() -> Iterator[None]:
    former = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(former)


@pytest.mark.usefixtures("eager_switches")
@pytest.mark.parametrize("change", [lambda: named("one"), captured_logs], ids=["named", "captured"])
def test_a_thread_that_logs_meanwhile_goes_on(
    change: Callable[[], AbstractContextManager[object]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whenever the server is named, or a test begins or ends to capture the log."""
    former = structlog.get_config()
    failures: list[Exception] = []
    written = Event()

    def write() -> None:
        try:
            for _ in range(2_000):
                log.info("line")
        except Exception as error:  # noqa: BLE001 - whatever it is, the test reports it
            failures.append(error)
        written.set()

    try:
        log = configure_logs("json")
        install_capture()
        log = log.bind(state="there")
        thread = Thread(target=write)
        thread.start()
        while not written.is_set():
            with change():
                pass
        thread.join()
    finally:
        structlog.configure(**former)
    assert failures == []
    assert '"event": "line"' in capsys.readouterr().err
