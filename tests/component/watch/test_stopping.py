"""How long a server that stops waits for its watches: for those that come nearer to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.clock import FakeClock
from support.logs import captured_logs
from support.memory_watch import Place, Scene
from watcher.model import Identity
from watcher.settings import ServerSettings
from watcher.telemetry.status import Totals
from watcher.watch import running
from watcher.watch.running import (
    CLOSE_LIMIT_S,
    CLOSE_TIMEOUT_S,
    STEP_POLL_S,
    RunningWatches,
)

BUSY = 100
NEVER_S = 1e9


@dataclass
class Stopping:
    """A watch that was asked to stop.

    Attributes:
        end_s: When it ends, in seconds after that.
        step_s: Seconds between two steps until then.
        is_silent: Whether its place does not answer.
        now_s: Seconds until now.
        ended: As of ``Watch``.
    """

    end_s: float
    step_s: float = NEVER_S
    is_silent: bool = False
    now_s: float = 0.0
    ended: Future[None] = field(default_factory=Future)
    totals: Totals = field(default_factory=Totals)

    def stop(self) -> None:
        pass

    @property
    def steps(self) -> int:
        return int(self.now_s / self.step_s)

    @property
    def unanswered_s(self) -> float:
        return self.now_s if self.is_silent else 0.0

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
        if self.now_s >= self.end_s and not self.ended.done():
            self.ended.set_result(None)


class Stopped(NamedTuple):
    """The outcome of a stop: how many watches were abandoned, and when, in seconds."""

    abandoned: int
    seconds: float


def stop(watches: Sequence[Stopping], monkeypatch: pytest.MonkeyPatch) -> Stopped:
    """Stop a server with some watches."""
    clock = FakeClock()
    start_s = clock.monotonic()

    async def wait_ended(waited: Sequence[Stopping], timeout_s: float) -> int:
        clock.advance(timeout_s)
        for watch in watches:
            watch.advance(timeout_s)
        return sum(not watch.ended.done() for watch in waited)

    monkeypatch.setattr(running, "wait_ended", wait_ended)

    def no_factory(_: object) -> Any:  # noqa: ANN401 - none is made
        raise AssertionError

    runs = RunningWatches(ServerSettings(), no_factory, clock)
    for number, watch in enumerate(watches):
        stopping: Any = watch
        runs._watches[Identity("", f"{number}", "file:///data")] = stopping
    with captured_logs() as lines:
        asyncio.run(runs.close())
    abandoned = [line["watches"] for line in lines if line["event"] == "watch.abandoned"]
    return Stopped(sum(abandoned), clock.monotonic() - start_s)


@pytest.mark.parametrize(
    "busy",
    [
        pytest.param([Stopping((n + 1) * 0.09) for n in range(BUSY)], id="one after the other"),
        pytest.param([Stopping(9.0, step_s=1.5) for _ in range(BUSY)], id="all in the end"),
        pytest.param([Stopping(9.0), Stopping(8.0, step_s=1.5)], id="one waits for others"),
    ],
)
def test_watches_that_come_nearer_to_their_end_are_waited_for(
    busy: list[Stopping], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred that are busy take turns, for longer than one may hang."""
    stopped = stop(busy, monkeypatch)
    assert stopped.abandoned == 0
    assert stopped.seconds == pytest.approx(9.0, abs=2 * STEP_POLL_S)


@pytest.mark.parametrize(
    ("others_s", "is_silent", "seconds"),
    [
        pytest.param(1.0, False, 1.0 + CLOSE_TIMEOUT_S, id="after the others"),
        pytest.param(1.0, True, CLOSE_TIMEOUT_S, id="a place that is known not to answer"),
        pytest.param(5.0, True, 5.0, id="once the others have ended"),
    ],
)
def test_a_watch_that_hangs_is_abandoned(
    monkeypatch: pytest.MonkeyPatch,
    others_s: float,
    is_silent: bool,  # noqa: FBT001 - a parameter of the test
    seconds: float,
) -> None:
    hanging = Stopping(NEVER_S, is_silent=is_silent)
    others = [Stopping(others_s, step_s=0.5) for _ in range(3)]
    stopped = stop([hanging, *others], monkeypatch)
    assert stopped.abandoned == 1
    assert stopped.seconds == pytest.approx(seconds, abs=2 * STEP_POLL_S)


def test_a_stop_ends_in_time_whatever_watches_do(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = stop([Stopping(NEVER_S, step_s=0.5) for _ in range(BUSY)], monkeypatch)
    assert stopped.abandoned == BUSY
    assert stopped.seconds == pytest.approx(CLOSE_LIMIT_S, abs=2 * STEP_POLL_S)


def test_each_part_of_its_end_is_a_step_of_a_watch(tmp_path: Path) -> None:
    """And each portion that it reads before."""
    place = Place()
    scene = Scene(tmp_path, place)
    scene.runner.open()
    scene.turn()
    read = scene.watch.steps
    assert read
    place.hints.append(b"0000")
    scene.turn()
    assert (before := scene.watch.steps) > read
    scene.watch._close()
    assert scene.watch.steps - before >= 3
