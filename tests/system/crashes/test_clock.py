"""The server's wall clock jumps by days, as that of a machine whose clock was wrong: nothing depends on it but the times in the events.

Debian's libfaketime turns it. The clock that only runs stays as it is, as it does on a machine whose clock is set.
"""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.client import Client, Event
    from support.server import ServerProcess

SOON = ("--redelivery-window", "100ms")
JUMPS_D = [0, 3, -5, 40, -40, 0]
FILES = 10


class Clock:
    """The wall clock of the servers that are started with its environment.

    Args:
        directory: For the file that says how wrong it is.

    Attributes:
        environment: Variables of their processes.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / "clock"
        self._offset = timedelta()
        self.jump(0)
        found = subprocess.run(
            ["faketime", "-f", "+0", "printenv", "LD_PRELOAD"],
            check=True,
            capture_output=True,
            text=True,
        )
        self.environment = {
            "LD_PRELOAD": found.stdout.strip(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def jump(self, days: float) -> None:
        """Be so many days ahead of the right time, or behind."""
        self._offset = timedelta(days=days)
        ready = self._file.with_suffix(".new")
        ready.write_text(f"{days:+g}d")
        ready.replace(self._file)

    def shows(self, text: str) -> bool:
        """Tell whether a time of an event is about what it shows now."""
        difference = datetime.fromisoformat(f"{text[:19]}+00:00") - datetime.now(UTC) - self._offset
        return abs(difference) < timedelta(hours=12)


@pytest.fixture(scope="module", autouse=True)
def _swept() -> Iterator[None]:
    """Remove what libfaketime leaves of processes that did not end by themselves; it comes first, so that it goes last."""
    yield
    for left in Path("/dev/shm").glob("*faketime_*"):  # noqa: S108 - libfaketime says where
        if not Path("/proc", left.name.rpartition("_")[2]).exists():
            left.unlink(missing_ok=True)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    """Return a clock that is right."""
    return Clock(tmp_path)


def config(root: Path, mode: str = "notify") -> Event:
    """Return a configuration that does not wait long."""
    return {
        "directory": {"path": str(root), "mode": mode, "poll_interval": "200ms", "settle": "100ms"}
    }


def change(root: Path, turn: int) -> list[tuple[str, str]]:
    """Make changes that differ from those of other turns, and return how they are told."""
    told = []
    for number in range(FILES):
        (root / f"{number}").write_text("x" * (turn + 1))
        (root / f"{turn}-{number}").touch()
        told += [("modified", f"{number}"), ("created", f"{turn}-{number}")]
    return sorted(told)


def told(events: list[Event]) -> list[tuple[str, str]]:
    """Return types and paths, sorted."""
    return sorted((event["type"], event["path"]) for event in events)


@pytest.mark.parametrize("mode", ["notify", "poll"])
def test_jumps_while_it_runs(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    clock: Clock,
    root: Path,
    name: str,
    mode: str,
) -> None:
    """Whenever the clock jumps, forward or back, each change is told once, soon and in order, and is confirmed as before."""
    change(root, 0)
    server = start_server(*SOON, environment=clock.environment)
    stream = connect(server).watch(name, config(root, mode))
    for turn, days in enumerate(JUMPS_D, start=1):
        clock.jump(days)
        expected = change(root, turn)
        events = stream.wait_count(turn * 2 * FILES)[(turn - 1) * 2 * FILES :]
        assert told(events) == expected
        assert all(clock.shows(event["detected_at"]) for event in events)
        server.wait_watch(name, unconfirmed=0, state="watching", error="")
    (root / "last").touch()
    events = stream.wait_path("last")
    assert [event["seq"] for event in events] == list(range(1, len(JUMPS_D) * 2 * FILES + 2))
    assert stream.is_open


def test_jumps_between_runs(
    start_server: Callable[..., ServerProcess],
    connect: Callable[..., Client],
    clock: Clock,
    root: Path,
    name: str,
    tmp_path: Path,
) -> None:
    """A server that starts with another date tells what changed meanwhile, once, and keeps also the state that nobody asks for."""
    other = root.with_name("other")
    other.mkdir()
    expected: list[tuple[str, str]] = []
    seq = 0
    for turn, days in enumerate(JUMPS_D):
        clock.jump(days)
        server = start_server(*SOON, directory=tmp_path, environment=clock.environment)
        assert not server.logged("state.removed")
        stream = connect(server).watch(name, config(root))
        stream.wait_count(len(expected))
        if not turn:
            connect(server).watch("other", config(other))
        (root / f"last{turn}").touch()
        events = stream.wait_path(f"last{turn}")
        assert told(events[:-1]) == expected
        assert [event["seq"] for event in events] == list(range(seq + 1, seq + 1 + len(events)))
        seq += len(events)
        server.wait_watch(name, unconfirmed=0)
        server.kill()
        expected = sorted(
            change(root, turn) if turn else [("created", path) for _, path in change(root, turn)]
        )
    (other / "a").touch()
    server = start_server(*SOON, directory=tmp_path, environment=clock.environment)
    assert told(connect(server).watch("other", config(other)).wait_path("a")) == [("created", "a")]
