"""Counts the groups of a spec, while a place is read once.

What waits for a marker is known at the end only, so entries are counted by group and markers. Names
are kept as hashes of 8 bytes, see ``condition_survey``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.changes.groups import GroupRule, base_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.spec import Group, Spec


@dataclass(frozen=True, slots=True)
class GroupNumbers:
    """The groups of a place as it is.

    Attributes:
        groups: Number of groups that have entries which may be reported.
        too_few: Number of those that have fewer than ``min_entries``.
        outside: Number of such entries that lie above the depth of groups, and belong to none.
    """

    groups: int
    too_few: int
    outside: int


class GroupSurvey:
    """The entries of a place by group.

    Args:
        spec: The place.
        group: What makes a group.
    """

    def __init__(self, spec: Spec, group: Group) -> None:
        self._group = group
        self._rule = GroupRule(group.depth, base_of(spec.where))
        self._entries: Counter[tuple[int | None, tuple[int, ...]]] = Counter()

    def add(self, path: bytes, markers: tuple[int, ...]) -> None:
        """Count an entry whose size is right.

        Args:
            path: Its path.
            markers: Hashes of the markers of which one must be there; empty for none.
        """
        group = self._rule.group_of(path)
        self._entries[None if group is None else hash(group), markers] += 1

    def numbers(self, is_open: Callable[[tuple[int, ...]], bool]) -> GroupNumbers:
        """Return the numbers, once all entries were added.

        Args:
            is_open: Returns whether entries with these markers may be reported.
        """
        entries: Counter[int | None] = Counter()
        for (group, markers), number in self._entries.items():
            if is_open(markers):
                entries[group] += number
        outside = entries.pop(None, 0)
        too_few = sum(number < self._group.min_entries for number in entries.values())
        return GroupNumbers(len(entries), too_few, outside)


def describe_groups(numbers: GroupNumbers, group: Group) -> str:
    """Return one line, ``12 at depth 1, 3 of them with fewer than 10 entries``."""
    text = f"{numbers.groups:,} at depth {group.depth}" if group.depth else "the whole place is one"
    if numbers.too_few:
        few = f"fewer than {group.min_entries:,} entries"
        text += f", {numbers.too_few:,} of them with {few}" if group.depth else f", with {few}"
    if numbers.outside == 1:
        text += "; 1 entry lies above that depth and belongs to none"
    elif numbers.outside:
        text += f"; {numbers.outside:,} entries lie above that depth and belong to none"
    return text
