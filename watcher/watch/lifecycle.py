"""The states of a watch and what moves it from one to the next, as one table; no I/O, no clock.

    starting ──→ scanning ←─→ watching      the place is read
                    ↓ ↑          ↓ ↑
                unavailable / paused        it cannot be read now / the journal is full
                          ↓
                       stopped              from every state, by itself or on request

The watch reports each step as a trigger and asks the lifecycle what it may do next. Its
subscriber is notified of every trigger, so that status and log follow the table and never decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from watcher.telemetry.status import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from watcher.changes.reconciler import ScanResult
    from watcher.errors import WatcherError
    from watcher.sources.cost import Cost


@dataclass(frozen=True, slots=True)
class Opened:
    """The place was found. An unavailable one stays so until a scan has shown that it can be read.

    Attributes:
        mode: ``notify`` or ``poll``.
        entries: Rows in the index.
    """

    mode: str
    entries: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """The watch reads hints from now on: its baseline is complete and its journal has room."""


@dataclass(frozen=True, slots=True)
class ScanStarted:
    """A scan of the whole place began.

    Attributes:
        reason: Why it is out of turn; empty for a regular one.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanCompleted:
    """A scan has read the whole place.

    Attributes:
        result: What it found.
        is_baseline: It was the first one of the state file: changes are reported from now on.
        entries: Rows in the index.
        next_scan_s: Seconds until the next scan.
        cost: What scans cost; None where they are free.
    """

    result: ScanResult
    is_baseline: bool
    entries: int
    next_scan_s: float
    cost: Cost | None


@dataclass(frozen=True, slots=True)
class JournalFull:
    """The journal has no room for further changes, so nothing is read until it has drained.

    Attributes:
        unconfirmed: Changes in the journal.
        hint: What keeps them from being confirmed.
    """

    unconfirmed: int
    hint: str


@dataclass(frozen=True, slots=True)
class ReadFailed:
    """The place cannot be read now; its source is closed.

    Attributes:
        error: Why.
        retry_s: Seconds until the next try.
        requests: LIST requests that the failed scan, or the try to open the place, has taken.
    """

    error: WatcherError
    retry_s: float
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """The thread of the watch is over.

    Attributes:
        error: What went wrong while the watch was closed; None if nothing did.
    """

    error: WatcherError | None


Trigger: TypeAlias = (
    Opened | Resumed | ScanStarted | ScanCompleted | JournalFull | ReadFailed | Ended
)

_RUNNING = (State.STARTING, State.SCANNING, State.WATCHING, State.PAUSED, State.UNAVAILABLE)

TRANSITIONS: Final[Mapping[type[Trigger], Mapping[State, State]]] = {
    Opened: {
        State.STARTING: State.STARTING,
        State.UNAVAILABLE: State.UNAVAILABLE,
    },
    Resumed: {
        State.STARTING: State.WATCHING,
        State.WATCHING: State.WATCHING,
        State.PAUSED: State.WATCHING,
    },
    ScanStarted: {
        State.STARTING: State.SCANNING,
        State.WATCHING: State.SCANNING,
        State.PAUSED: State.SCANNING,
        State.UNAVAILABLE: State.UNAVAILABLE,
    },
    ScanCompleted: {
        State.SCANNING: State.WATCHING,
        State.UNAVAILABLE: State.WATCHING,
    },
    JournalFull: dict.fromkeys(_RUNNING, State.PAUSED),
    ReadFailed: {
        State.SCANNING: State.UNAVAILABLE,
        State.WATCHING: State.UNAVAILABLE,
        State.UNAVAILABLE: State.UNAVAILABLE,
    },
    Ended: dict.fromkeys(_RUNNING, State.STOPPED),
}
"""The next state for each trigger in each state; what is missing is illegal."""


class IllegalTransitionError(RuntimeError):
    """The watch did what its state does not allow: an error in this program, never in its input."""


class Lifecycle:
    """The state of one watch; for the thread of the watch.

    Args:
        subscriber: Called on each trigger with the former state, the next state and the trigger.

    Attributes:
        state: The current state.
    """

    def __init__(self, subscriber: Callable[[State, State, Trigger], None]) -> None:
        self.state = State.STARTING
        self._subscriber = subscriber

    def apply(self, trigger: Trigger) -> None:
        """Move to the next state and notify the subscriber, also when the state stays the same.

        Raises:
            IllegalTransitionError: The table has no transition; the state stays as it is.
        """
        former = self.state
        state = TRANSITIONS[type(trigger)].get(former)
        if state is None:
            raise IllegalTransitionError(f"{type(trigger).__name__} while {former}")
        self.state = state
        self._subscriber(former, state, trigger)

    @property
    def is_starting(self) -> bool:
        """Whether the place has not been read yet."""
        return self.state is State.STARTING

    @property
    def must_reopen(self) -> bool:
        """Whether the source is closed, and has to be opened before anything is read."""
        return self.state is State.UNAVAILABLE

    @property
    def is_paused(self) -> bool:
        """Whether nothing is read until the journal has drained."""
        return self.state is State.PAUSED

    @property
    def awaits_hints(self) -> bool:
        """Whether hints are read as they come, between scans."""
        return self.state is State.WATCHING
