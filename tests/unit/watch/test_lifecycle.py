"""The lifecycle: every trigger in every state."""

from __future__ import annotations

import pytest

from watcher.changes.reconciler import ScanResult
from watcher.errors import UnavailableError
from watcher.telemetry.status import State
from watcher.watch.lifecycle import (
    TRANSITIONS,
    Ended,
    IllegalTransitionError,
    JournalFull,
    Lifecycle,
    Opened,
    ReadFailed,
    Resumed,
    ScanCompleted,
    ScanStarted,
    Trigger,
)

TABLE = """
                starting     scanning     watching     paused    unavailable  stopped
Opened          starting     -            -            -         unavailable  -
Resumed         watching     -            watching     watching  -            -
ScanStarted     scanning     -            scanning     scanning  unavailable  -
ScanCompleted   -            watching     -            -         watching     -
JournalFull     paused       paused       paused       paused    paused       -
ReadFailed      -            unavailable  unavailable  -         unavailable  -
Ended           stopped      stopped      stopped      stopped   stopped      -
"""
"""What the table of the module must say: the next state by trigger and state; ``-`` is illegal."""

TRIGGERS: list[Trigger] = [
    Opened("notify", 3),
    Resumed(),
    ScanStarted(""),
    ScanCompleted(
        result=ScanResult(3, 0, 0.1), is_baseline=True, entries=3, next_scan_s=60.0, cost=None
    ),
    JournalFull(100, "nobody acknowledges"),
    ReadFailed(UnavailableError("it is gone"), 1.0),
    Ended(None),
]


def expected() -> dict[tuple[str, State], State | None]:
    head, *rows = (line.split() for line in TABLE.strip().splitlines())
    return {
        (name, State(state)): None if cell == "-" else State(cell)
        for name, *cells in rows
        for state, cell in zip(head, cells, strict=True)
    }


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda trigger: type(trigger).__name__)
def test_every_trigger_in_every_state(trigger: Trigger, state: State) -> None:
    """A legal one moves and notifies, also in place; an illegal one raises and does neither."""
    seen: list[tuple[State, State, Trigger]] = []
    lifecycle = Lifecycle(lambda *transition: seen.append(transition))
    lifecycle.state = state
    following = expected()[type(trigger).__name__, state]
    if following is None:
        with pytest.raises(IllegalTransitionError, match=f"{type(trigger).__name__} while {state}"):
            lifecycle.apply(trigger)
        assert (lifecycle.state, seen) == (state, [])
    else:
        lifecycle.apply(trigger)
        assert (lifecycle.state, seen) == (following, [(state, following, trigger)])


def test_the_table_is_complete() -> None:
    """Every trigger has a row, and every state can be reached and left, but ``stopped``."""
    assert TRANSITIONS.keys() == {type(trigger) for trigger in TRIGGERS}
    moves = {pair for row in TRANSITIONS.values() for pair in row.items() if pair[0] != pair[1]}
    assert {former for former, _ in moves} == set(State) - {State.STOPPED}
    assert {following for _, following in moves} == set(State) - {State.STARTING}


@pytest.mark.parametrize("state", State)
def test_what_a_state_allows(state: State) -> None:
    lifecycle = Lifecycle(lambda *_: None)
    lifecycle.state = state
    allowed = {
        State.STARTING: lifecycle.is_starting,
        State.WATCHING: lifecycle.awaits_hints,
        State.PAUSED: lifecycle.is_paused,
        State.UNAVAILABLE: lifecycle.must_reopen,
    }
    assert [each for each, is_allowed in allowed.items() if is_allowed] == [
        each for each in allowed if each is state
    ]
