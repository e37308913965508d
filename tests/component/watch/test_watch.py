"""The thread of a watch, and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.logs import captured_logs
from support.memory_watch import Place, Scene
from watcher.errors import FencedError, LimitError, StateError, UnavailableError
from watcher.sources.scans import Batch
from watcher.telemetry.status import State

DEADLINE_S = 30.0

OPENING_S = 0.5
"""Seconds in which a place is opened whose watch does not fail."""


def test_a_watch_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Place())
    watch = scene.watch
    watch.start()
    watch.opened.result(DEADLINE_S)
    watch.stop()
    watch.ended.result(DEADLINE_S)
    assert (watch.failure, watch.is_running, scene.place.is_open) == (None, False, False)
    assert scene.status.state is State.STOPPED


def test_a_watch_without_a_thread_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the process can have no more threads, its state is closed and nothing is left running."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    watch = Scene(tmp_path, Place()).watch
    watch.start()
    assert isinstance(watch.opened.exception(0), LimitError)
    watch.ended.result(0)
    assert not watch.is_running
    with pytest.raises(StateError):
        watch.publisher.acknowledge([1])


def test_a_place_that_is_not_there_fails_the_start(tmp_path: Path) -> None:
    """The stream that has started the watch gets the error, so it is not logged."""
    place = Place()
    place.error = UnavailableError("it is gone")
    watch = Scene(tmp_path, place).watch
    with captured_logs() as log:
        watch.start()
        assert watch.opened.exception(DEADLINE_S) is place.error
        watch.ended.result(DEADLINE_S)
    assert (watch.failure, log) == (place.error, [])


class OpenedLate(Place):
    """A place that is opened when a test lets it be, and tells when it is asked for requests."""

    def __init__(self) -> None:
        super().__init__()
        self.is_opening, self.may_open = threading.Event(), threading.Event()
        self.asked: Callable[[], None] = lambda: None

    def open(self, wake: Callable[[], None]) -> None:
        self.is_opening.set()
        assert self.may_open.wait(DEADLINE_S)
        super().open(wake)

    @property
    def requests(self) -> int:  # type: ignore[override] # that of the other places is a number
        self.asked()
        return 0


@pytest.mark.parametrize("order", ["before", "at the same moment"])
def test_a_watch_fails_while_its_place_is_opened(tmp_path: Path, order: str) -> None:
    """For example since another server takes the watch; who has asked for it is told the reason."""
    place = OpenedLate()
    watch, error = Scene(tmp_path, place).watch, FencedError("another server has it")

    def open_now() -> None:
        place.may_open.set()
        with suppress(TimeoutError):
            watch.opened.result(OPENING_S)

    if order == "at the same moment":
        place.asked = open_now
    with captured_logs() as log:
        watch.start()
        assert place.is_opening.wait(DEADLINE_S)
        watch.fail(error)
        place.may_open.set()
        watch.ended.result(DEADLINE_S)
    assert (watch.opened.exception(0), watch.failure) == (error, error)
    assert "watch.failed" not in {line["event"] for line in log}


def test_an_unexpected_error_ends_the_watch_with_a_trace(tmp_path: Path) -> None:
    class BrokenPlace(Place):
        def __iter__(self) -> Iterator[Batch]:
            raise ZeroDivisionError

    watch = Scene(tmp_path, BrokenPlace()).watch
    with captured_logs() as log:
        watch.start()
        watch.ended.result(DEADLINE_S)
    assert isinstance(watch.failure, UnavailableError)
    assert isinstance(watch.failure.__cause__, ZeroDivisionError)
    assert [line["event"] for line in log][-2:] == ["watch.failed", "watch.stopped"]


def test_a_stream_that_cannot_read_the_state_ends_the_watch(tmp_path: Path) -> None:
    watch = Scene(tmp_path, Place()).watch
    watch.start()
    watch.opened.result(DEADLINE_S)
    error = StateError("it is damaged")
    watch.fail(error)
    watch.ended.result(DEADLINE_S)
    assert watch.failure is error
