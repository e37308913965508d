"""The values in the status of a watch: mounts, hints, groups that wait, entries held back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.model import GATE_MASK, Gate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class PartStatus:
    """A part of a watched directory, the directory itself or a mount below it, for people.

    Attributes:
        prefix: Path of the mount point relative to the directory; empty for the directory itself.
        type: Type of the file system; empty if unknown, or nothing is mounted there.
        mode: ``notify``, ``poll``, or ``unread`` while what belongs there is not mounted.
        reason: Why it is polled or unread; empty if it is notified.
    """

    prefix: str
    type: str
    mode: str
    reason: str = ""

    def __str__(self) -> str:
        """Return one line."""
        type_ = f" ({self.type})" if self.type else ""
        reason = f", {self.reason}" if self.reason else ""
        return f"{self.prefix or '.'}{type_}: {self.mode}{reason}"


@dataclass(frozen=True, slots=True)
class WaitingGroup:
    """A group that has changed and is not completed, for people.

    Attributes:
        path: Its path as text; empty for the whole place.
        until: When its quiet time is over, seconds since the epoch; 0 if it has too few entries.
    """

    path: str
    until: float


@dataclass(frozen=True, slots=True)
class WaitingGroups:
    """The groups of a watch that have changed and are not completed.

    Attributes:
        count: Their number.
        first: Those among them that are due first.
    """

    count: int = 0
    first: Sequence[WaitingGroup] = ()


@dataclass(frozen=True, slots=True)
class HintStatus:
    """What arrives of the hints about a place, for people and metrics.

    Attributes:
        kind: A ``spec.HintKind``.
        problem: Why no hints arrive now; empty while they do.
        messages: Messages received since the start.
        keys: Keys in them that belong to the place.
        rejected: Messages that cannot be read, or are about another bucket.
        waiting: Keys that wait to be inspected.
        errors: Requests for hints that failed.
        requests: Requests that are billed: of a queue, failed ones included.
        heads: HEAD requests for keys that were hinted.
        backlog: Messages that wait in the queue; None where there is no queue, or it is not known.
        oldest_age_s: Age in seconds of the oldest hint that was not inspected yet; 0 for none.
    """

    kind: str
    problem: str = ""
    messages: int = 0
    keys: int = 0
    rejected: int = 0
    waiting: int = 0
    errors: int = 0
    requests: int = 0
    heads: int = 0
    backlog: int | None = None
    oldest_age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class HeldBack:
    """How many entries conditions hold back, each by the first that it does not satisfy.

    Attributes:
        marker: Entries whose marker is not there.
        min_size: Entries that are too small.
        max_size: Entries that are too large.
    """

    marker: int = 0
    min_size: int = 0
    max_size: int = 0

    @classmethod
    def of(cls, gates: Mapping[int, int]) -> HeldBack:
        """Return the numbers of rows by gate as those of entries by condition."""
        if not gates:
            return NOTHING_HELD_BACK
        numbers = dict.fromkeys(Gate, 0)
        for gate, rows in gates.items():
            numbers[Gate(gate & GATE_MASK)] += rows
        return cls(numbers[Gate.NO_MARKER], numbers[Gate.TOO_SMALL], numbers[Gate.TOO_LARGE])

    @property
    def total(self) -> int:
        """All of them."""
        return self.marker + self.min_size + self.max_size


NOTHING_HELD_BACK = HeldBack()
"""What a watch without conditions holds back."""
