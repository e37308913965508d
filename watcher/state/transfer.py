"""What moves a watch from one engine of state to another, with its ids and its position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from watcher.errors import StateError
from watcher.state.port import StateEngine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from watcher.model import Identity

PAGE_BYTES = 1024 * 1024
"""Size in bytes at which a page of rows is full."""

ROW_BYTES = 300
"""Bytes that a row counts for beside its paths and payloads."""

TABLES: Mapping[str, Sequence[str]] = {
    "entry": (
        "id",
        "gate",
        "path",
        "size",
        "mtime_ns",
        "ctime_ns",
        "inode",
        "etag",
        "storage_class",
        "is_link",
    ),
    "journal": ("seq", "committed_at", "is_acknowledged", "payload"),
    "pending": ("seq", "event"),
    "group_change": ("path", "kind"),
    "changed_group": ("path", "due"),
}
"""What belongs to a watch, by table, and its columns in the order of a row."""


@dataclass(frozen=True, slots=True)
class WatchCopy:
    """All that is kept of one watch.

    Attributes:
        identity: Of the watch.
        uid: First part of the ids of its events.
        former_ids: Those before renewals, as ``ids.format_former`` writes them.
        ids_renewed_at: When they were last renewed, seconds since the epoch; 0 for never.
        used_at: When a stream last used it, seconds since the epoch.
        counters: ``next_id``, ``entries``, ``next_seq`` and ``cursor``.
        meta: What ``WatchStore.set_meta`` has kept.
        rows: The rows of each of ``TABLES``, in pages; each may be read once.
        document: Its configuration; empty if it is not kept.
        node: The only node from which its place can be seen; None if all may see it.
    """

    identity: Identity
    uid: str
    former_ids: str
    ids_renewed_at: float
    used_at: int
    counters: Mapping[str, int]
    meta: Mapping[str, str]
    rows: Mapping[str, Iterable[Sequence[Sequence[Any]]]]
    document: bytes = b""
    node: str | None = None

    @property
    def position(self) -> tuple[str, Mapping[str, int]]:
        """What is the same in two copies of one state."""
        return self.uid, self.counters


class MovableState(StateEngine, Protocol):
    """An engine whose watches can be moved; none of them runs meanwhile."""

    def export_watch(self, identity: Identity) -> AbstractContextManager[WatchCopy]:
        """Read a watch; its rows can be read within."""

    def import_watch(self, copy: WatchCopy) -> None:
        """Write a watch that is not there, in one transaction."""


def move_watches(source: MovableState, target: MovableState) -> Iterator[Identity]:
    """Move all watches from one state to another, and yield each that was moved.

    It is written before it is removed. After a crash in between it is in both, equal, and only
    removed when this is done again.

    Raises:
        StateError: A state cannot be used, or the target has another state of a watch.
    """
    present = target.summaries()
    for identity in [*source.summaries()]:
        with source.export_watch(identity) as copy:
            if identity not in present:
                target.import_watch(copy)
            else:
                with target.export_watch(identity) as other:
                    is_same = other.position == copy.position
                if not is_same:
                    raise StateError(
                        f"the watch {identity.name!r} has another state there",
                        place=target.place,
                        hint="move into state that has no such watch",
                    )
        source.remove(identity)
        yield identity


def pages(rows: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    """Yield rows in pages that are no larger than memory allows."""
    page: list[Sequence[Any]] = []
    size_bytes = 0
    for row in rows:
        page.append(row)
        size_bytes += ROW_BYTES + sum(len(value) for value in row if isinstance(value, bytes))
        if size_bytes >= PAGE_BYTES:
            yield page
            page, size_bytes = [], 0
    if page:
        yield page
