"""Completes the groups of a watch: says when each has come to rest, and commits what it holds.

A group is at rest when it is due, everything in it has been seen since, and nothing in it waits to
be compared or cannot be read. Its event and the clearing of its changes are one commit. For the
thread of the watch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from watcher.changes.groups import GroupRecorder, Unsettled, base_of
from watcher.model import Change, ChangeSet, ChangeType, Delta, Entry, GroupDelta, group_prefix
from watcher.spec import Mode
from watcher.status_values import WaitingGroup, WaitingGroups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from watcher.clock import Clock
    from watcher.delivery.outbox import Outbox
    from watcher.sources.protocol import Source
    from watcher.spec import Group, Spec
    from watcher.state.group_port import ChangedGroup
    from watcher.state.port import WatchStore

CHECK_GROUPS = 100
"""Groups that are completed in one commit."""

CHECK_PAUSE_S = 0.1
"""Seconds between two checks at least: each asks the source for all that waits there."""

HINTS_PAUSE_S = 0.5
"""Seconds between two checks whether hints have arrived up to the time at which a group is due."""

REPORT_PAUSE_S = 1.0
"""Seconds between two readings of the groups that people are shown."""

REPORTED_GROUPS = 10
"""Groups that people are shown by name."""

_META = "group"


def forget_groups(store: WatchStore) -> None:
    """Forget the groups of an earlier run, whose configuration had some.

    Raises:
        StateError: The state cannot be used.
    """
    if store.meta(_META) is not None:
        store.commit(Delta(groups=GroupDelta(is_regrouped=True, completed=[b""])))
        store.set_meta(**{_META: None})


def make_groups(
    spec: Spec, store: WatchStore, source: Source, outbox: Outbox, clock: Clock
) -> GroupCompletion | None:
    """Return the groups of a watch; None if its spec has none."""
    if (group := spec.group) is None:
        return None
    recorder = GroupRecorder(group, base_of(spec.where), spec.events, store.groups, clock)
    return GroupCompletion(group, store, source, outbox, recorder)


class GroupCompletion:
    """The groups of one watch, from ``resume`` on.

    Args:
        group: When a group has come to rest.
        store: The state of the watch.
        source: Knows what has been read, and what waits.
        outbox: Writes the journal.
        recorder: Decides when a group is due.

    Attributes:
        recorder: The same.
    """

    def __init__(
        self,
        group: Group,
        store: WatchStore,
        source: Source,
        outbox: Outbox,
        recorder: GroupRecorder,
    ) -> None:
        self.recorder = recorder
        self._group = group
        self._store = store
        self._source = source
        self._outbox = outbox
        self._report_due_s = 0.0

    def resume(self) -> None:
        """Continue with the groups of an earlier run; another depth makes other groups of them.

        No group waits longer than ``quiet`` from now on, whatever the wall clock was then.

        Raises:
            StateError: The state cannot be used.
        """
        text = msgspec.json.encode(self._group).decode()
        former = self._store.meta(_META)
        due_s = self.recorder.due_s()
        if former is None or former == text:
            self._commit(GroupDelta(latest_due_s=due_s))
        else:
            self._regroup(due_s)
        if former != text:
            self._store.set_meta(**{_META: text})

    def due_s(self) -> float:
        """Return when there may be something to complete or report, on the monotonic clock."""
        report_s = self._report_due_s if self.recorder.has_news else float("inf")
        return self.recorder.monotonic_s(min(self.recorder.next_due_s, report_s))

    def report(self) -> WaitingGroups | None:
        """Return the groups that have changed and are not completed, if that is worth a reading.

        It is once in ``REPORT_PAUSE_S`` at most, and only after a change; otherwise None.
        """
        now_s = self.recorder.now_s()
        if not self.recorder.has_news or now_s < self._report_due_s:
            return None
        self.recorder.has_news, self._report_due_s = False, now_s + REPORT_PAUSE_S
        count, groups = self._store.groups.changed(limit=REPORTED_GROUPS)
        first = [
            WaitingGroup(group.path.decode(errors="replace"), group.due_s or 0.0)
            for group in groups
        ]
        return WaitingGroups(count, first)

    def expedite(self) -> None:
        """Have the next ``complete_due`` look at all groups that are due: more has been read."""
        self.recorder.next_due_s = 0.0

    def complete_due(self, checkpoint: Callable[[int], None]) -> None:
        """Report the groups that have come to rest, each once.

        Args:
            checkpoint: Called after each commit; raises to leave.

        Raises:
            StateError: The state cannot be used; what is not committed is done later.
        """
        recorder = self.recorder
        now_s = recorder.now_s()
        if now_s < recorder.next_due_s:
            return
        unread = 0
        for page in self._due_pages(now_s):
            read = [group.path for group in page if self._is_read(group)]
            unread += len(page) - len(read)
            if read:
                # For each page again, since what has been notified meanwhile begins to wait.
                self._complete(read, Unsettled(recorder.rule, self._source.unsettled()), now_s)
                checkpoint(0)
        next_s = self._store.groups.next_due_s(now_s)
        if unread and self._source.hint_status is not None:
            # No scan may be due for long, and that hints have arrived wakes nobody.
            next_s = min(next_s or float("inf"), now_s + HINTS_PAUSE_S)
        earliest_s = now_s + min(CHECK_PAUSE_S, self._group.quiet_s)
        recorder.next_due_s = float("inf") if next_s is None else max(next_s, earliest_s)

    def _due_pages(self, now_s: float) -> Iterator[list[ChangedGroup]]:
        """Yield the groups that are due and may have been read since, in pages."""
        # Where all is read by scans, none of those that came after the last one is looked at.
        until_s = min(now_s, self._wall_s(self._source.known_until_s(b"")))
        if self._source.mode == Mode.NOTIFY:
            until_s = now_s
        last: ChangedGroup | None = None
        while page := self._store.groups.due(until_s, last, limit=CHECK_GROUPS):
            yield page
            last = page[-1]

    def _is_read(self, group: ChangedGroup) -> bool:
        """Return whether all of a group has been read since it was due."""
        known_until_s = self._source.known_until_s(group_prefix(group.path))
        return group.due_s is not None and self._wall_s(known_until_s) >= group.due_s

    def _wall_s(self, monotonic_s: float) -> float:
        return monotonic_s - self.recorder.monotonic_s(0.0)

    def _complete(self, groups: list[bytes], unsettled: Unsettled, now_s: float) -> None:
        """Commit the events of groups that are at rest; the others are due later."""
        due: dict[bytes, float | None] = {}
        completed: list[bytes] = []
        changes: list[Change] = []
        for group in groups:
            if unsettled.concerns(group):
                due[group] = now_s + self._group.quiet_s
                continue
            size, mtime_ns, counts = self._store.groups.totals(group)
            is_changed = bool(counts.created or counts.modified or counts.deleted)
            if counts.entries and is_changed and counts.entries < self._group.min_entries:
                due[group] = None
                continue
            completed.append(group)
            if counts.entries and is_changed:
                entry = Entry(group, size, mtime_ns)
                changes.append(Change(ChangeType.COMPLETED, entry, group=counts))
        self.recorder.has_news = True
        delta = Delta(groups=GroupDelta(due=due, completed=completed))
        self._outbox.commit(ChangeSet(delta, changes))

    def _regroup(self, due_s: float) -> None:
        """Make groups anew of all changes; those above the depth of groups count no more."""
        self._commit(GroupDelta(is_regrouped=True))
        for page in self._store.groups.changed_paths():
            grouped = [(path, self.recorder.rule.group_of(path)) for path in page]
            groups = {group for _, group in grouped if group is not None}
            above = [path for path, group in grouped if group is None]
            self._commit(GroupDelta(due=dict.fromkeys(groups, due_s), forgotten=above))

    def _commit(self, delta: GroupDelta) -> None:
        self._store.commit(Delta(groups=delta))
