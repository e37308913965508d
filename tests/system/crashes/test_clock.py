"""The server's wall clock jumps by days: nothing but the times in events depends on it."""

from pathlib import Path

import pytest

from support.config import config, polled
from support.events import told
from support.files import touch
from support.fixtures import Connect, StartServer
from support.turned_clock import TurnedClock, swept

__all__ = ["swept"]

SOON = ("--redelivery-window", "100ms")
JUMPS_D = [0, 3, -5, 40, -40, 0]
FILES = 10


@pytest.fixture
def clock(tmp_path: Path) -> TurnedClock:
    return TurnedClock(tmp_path)


def change(root: Path, turn: int) -> list[tuple[str, str]]:
    """Make changes that differ from those of other turns, and return their events."""
    for number in range(FILES):
        # Appended, since a polling server that finds a file truncated may report that as well.
        with (root / f"{number}").open("ab", buffering=0) as file:
            file.write(b"x")
    new = touch(root, FILES, f"{turn}-{{}}")
    modified = [("modified", f"{number}") for number in range(FILES)]
    return sorted(modified + [("created", path) for path in new])


@pytest.mark.parametrize("mode", ["notify", "poll"])
def test_jumps_while_it_runs(
    start_server: StartServer,
    connect: Connect,
    clock: TurnedClock,
    root: Path,
    name: str,
    mode: str,
) -> None:
    """After each jump, forward or back, changes are reported soon, in order, and confirmed."""
    change(root, 0)
    server = start_server(*SOON, environment=clock.environment)
    stream = connect(server).watch(name, polled(root, mode))
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
    start_server: StartServer,
    connect: Connect,
    clock: TurnedClock,
    root: Path,
    name: str,
    tmp_path: Path,
) -> None:
    """A server that starts with another date keeps all state, and reports what changed."""
    other = root.with_name("other")
    other.mkdir()
    flags = {"directory": tmp_path, "environment": clock.environment}
    expected: list[tuple[str, str]] = []
    seq = 0
    for turn, days in enumerate(JUMPS_D):
        clock.jump(days)
        server = start_server(*SOON, **flags)
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
        changes = change(root, turn)
        expected = changes if turn else sorted(("created", path) for _, path in changes)
    (other / "a").touch()
    server = start_server(*SOON, **flags)
    assert told(connect(server).watch("other", config(other)).wait_path("a")) == [("created", "a")]
