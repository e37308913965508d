"""Adds up the changes of groups, and decides when each group is due.

A group is made of all entries that have a number of path components in common. What happens to one
entry in the same step is one net change, and so is what happens until its group is completed; the
state adds the steps up. Nothing of a group is kept in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.filters.dated_prefix import DatedPrefix
from watcher.model import ChangeType, GroupDelta
from watcher.spec import BucketSpec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from watcher.clock import Clock
    from watcher.model import Change, ChangeSet
    from watcher.spec import DirectorySpec, Group
    from watcher.state.group_port import Groups

_CREATED, _MODIFIED, _DELETED = ChangeType.CREATED, ChangeType.MODIFIED, ChangeType.DELETED

_TOGETHER: Mapping[tuple[ChangeType | None, ChangeType], ChangeType | None] = {
    (_CREATED, _MODIFIED): _CREATED,
    (_CREATED, _DELETED): None,
    (_MODIFIED, _DELETED): _DELETED,
    (_MODIFIED, _CREATED): _MODIFIED,
    (_DELETED, _CREATED): _MODIFIED,
    (_DELETED, _MODIFIED): _MODIFIED,
}
"""What two changes of an entry amount to, where that is not the second one."""


def net_changes(changes: Iterable[Change]) -> dict[bytes, ChangeType | None]:
    """Return what some changes amount to for each path; None where an entry came and went.

    Args:
        changes: In order. A move is a deletion where it left, and an appearance where it arrived.
    """
    net: dict[bytes, ChangeType | None] = {}
    for change in changes:
        kind, path = change.type, change.entry.path
        if kind is ChangeType.MOVED and change.old_path is not None:
            _add(net, change.old_path, _DELETED)
            kind = _MODIFIED if change.replaces else _CREATED
        _add(net, path, kind)
    return net


def _add(net: dict[bytes, ChangeType | None], path: bytes, kind: ChangeType) -> None:
    if path in net:
        former = net[path]
        net[path] = _TOGETHER.get((former, kind), kind)
    else:
        net[path] = kind


def base_of(where: DirectorySpec | BucketSpec) -> bytes:
    """Return the prefix of all paths of a place that does not count as depth of a group.

    Of a prefix with dates it is what comes before them, so that each date may be a group.
    """
    if isinstance(where, BucketSpec):
        literal = DatedPrefix.parse(where.prefix).literal
        return literal[: literal.rfind("/") + 1].encode()
    return b""


class GroupRule:
    """Which entries make a group.

    Args:
        depth: Path components that make a group; 0 for the whole place.
        base: Prefix of all paths, up to and with its last slash, that is not counted.
    """

    def __init__(self, depth: int, base: bytes = b"") -> None:
        self._depth = depth
        self._start = len(base) - 1

    def group_of(self, path: bytes) -> bytes | None:
        """Return the group of a path; None if it lies above the depth of groups."""
        if not self._depth:
            return b""
        end = self._start
        for _ in range(self._depth):
            end = path.find(b"/", end + 1)
            if end < 0:
                return None
        # A key may have empty components; without a name there is no group.
        group = path[:end]
        return None if not group or group.endswith(b"/") else group


class Unsettled:
    """The groups in which something waits to be compared, or cannot be read.

    Args:
        rule: Which entries make a group.
        paths: What waits: paths, and prefixes that end in a slash; empty for the whole place.
    """

    def __init__(self, rule: GroupRule, paths: Iterable[bytes]) -> None:
        self._groups: set[bytes] = set()
        above: set[bytes] = set()
        for path in paths:
            prefix = path if path.endswith(b"/") or not path else path + b"/"
            group = rule.group_of(prefix)
            if group is None:
                above.add(prefix)
            else:
                self._groups.add(group)
        self._above = tuple(above)

    def concerns(self, group: bytes) -> bool:
        """Return whether something in or above a group is unsettled."""
        return group in self._groups or (group + b"/").startswith(self._above)


class GroupRecorder:
    """Notes what each step of one watch changes in groups. For one thread.

    Times are wall times as they were when this was made, and monotonic from then on.

    Args:
        group: Which entries make a group, and how long it rests.
        base: See ``GroupRule``.
        events: The changes to report.
        groups: The groups that have changed.
        clock: The time.

    Attributes:
        rule: Which entries make a group.
        next_due_s: No group is due before this time, in seconds since the epoch.
        has_news: Groups have changed since this was last set to False.
    """

    def __init__(
        self,
        group: Group,
        base: bytes,
        events: Collection[ChangeType],
        groups: Groups,
        clock: Clock,
    ) -> None:
        self.rule = GroupRule(group.depth, base)
        self.next_due_s = 0.0
        self.has_news = True
        self._quiet_s = group.quiet_s
        self._reported = frozenset(events) - {ChangeType.COMPLETED}
        self._groups = groups
        self._clock = clock
        self._offset_s = clock.wall() - clock.monotonic()

    def now_s(self) -> float:
        """Return the time, in seconds since the epoch, which never jumps."""
        return self._clock.monotonic() + self._offset_s

    def monotonic_s(self, time_s: float) -> float:
        """Return a time on the monotonic clock."""
        return time_s - self._offset_s

    def due_s(self) -> float:
        """Return when a group is due that changes now."""
        due_s = self.now_s() + self._quiet_s
        self.next_due_s, self.has_news = min(self.next_due_s, due_s), True
        return due_s

    def note(self, found: ChangeSet) -> None:
        """Add to a step what it changes in groups, and leave in it the changes to report."""
        group_of = self.rule.group_of
        changes: dict[bytes, ChangeType] = {}
        changed: set[bytes] = set()
        touched = {group for path in found.touched if (group := group_of(path)) is not None}
        for path, kind in net_changes(found.changes).items():
            group = group_of(path)
            if group is None:
                continue
            if kind is None:
                touched.add(group)
            else:
                changes[path] = kind
                changed.add(group)
        if touched:
            touched = self._groups.known(touched - changed)
        if changed or touched:
            due_s = self.due_s()
            found.delta.groups = GroupDelta(
                changes=changes,
                due=dict.fromkeys(changed, due_s),
                touched=dict.fromkeys(touched, due_s),
            )
        if self._reported:
            found.changes = [each for each in found.changes if each.type in self._reported]
        else:
            found.changes = []
