"""What the program may ask of an engine of state about groups; a part of ``port``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from watcher.model import GroupCounts


class ChangedGroup(NamedTuple):
    """A group that has changed since it was last completed.

    Attributes:
        path: Without a slash at its end; empty for the whole place.
        due_s: When it is due, seconds since the epoch; None if not before it changes again.
    """

    path: bytes
    due_s: float | None


class GroupTotals(NamedTuple):
    """What a group holds, and how it has changed since it was last completed.

    Attributes:
        size: Bytes of its entries.
        mtime_ns: The newest of their times, nanoseconds since the epoch; 0 if there are none.
        counts: Its entries, and the net changes.
    """

    size: int
    mtime_ns: int
    counts: GroupCounts


class Groups(Protocol):
    """The groups of one watch that have changed, written by ``WatchStore.commit`` alone.

    The net change of an entry since its group was last completed: modified and created is created;
    deleted and created is modified; created and deleted is none.
    """

    def due(self, until_s: float, after: ChangedGroup | None, *, limit: int) -> list[ChangedGroup]:
        """Return groups that are due, by time and path.

        Args:
            until_s: They are due at this time at the latest, seconds since the epoch.
            after: Only those after this one; None for the first.
            limit: Maximum number of them.
        """

    def next_due_s(self, after_s: float) -> float | None:
        """Return when the first group is due after a time; None if there is none."""

    def changed(self, *, limit: int) -> tuple[int, list[ChangedGroup]]:
        """Return the number of groups that have changed, and those that are due first."""

    def known(self, groups: Iterable[bytes]) -> set[bytes]:
        """Return those of some groups that have changed."""

    def totals(self, group: bytes) -> GroupTotals:
        """Count the entries of a group that are in the index, and its changes."""

    def changed_paths(self) -> Iterator[list[bytes]]:
        """Yield the paths of all entries with changes, in pages and in order."""
