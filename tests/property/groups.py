"""What a reader of a stream knows of groups: each event about one must agree with those before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any


class GroupModel:
    """Entries and groups as a stream tells them.

    Args:
        depth: Path components that make a group.
        base: Prefix of all paths that is not counted.

    Attributes:
        sizes: The entries as they were last told.
    """

    def __init__(self, depth: int, base: str = "") -> None:
        self._depth = depth
        self._base = base
        self.sizes: dict[str, int] = {}
        self._before: dict[str, set[str]] = defaultdict(set)
        self._touched: dict[str, set[str]] = defaultdict(set)
        self._emptied: set[str] = set()

    def group_of(self, path: str) -> str | None:
        """Return the group of a path, or None."""
        names = path.removeprefix(self._base).split("/")
        if len(names) <= self._depth or (self._depth and not names[self._depth - 1]):
            return None
        return self._base + "/".join(names[: self._depth]) if self._depth else ""

    def begin(self, sizes: Mapping[str, int]) -> None:
        """Take what was there at the beginning."""
        self.sizes = dict(sizes)
        for path in sizes:
            if (group := self.group_of(path)) is not None:
                self._before[group].add(path)

    def take(self, event: Mapping[str, Any]) -> None:
        """Take an event, and check it if it is about a group."""
        if event["type"] == "completed":
            self._complete(event)
            return
        if event["old_path"] is not None:
            self._leave(event["old_path"])
        if event["type"] == "deleted":
            self._leave(event["path"])
        else:
            self.sizes[event["path"]] = event["size"]
            self._touch(event["path"])

    def unfinished(self) -> dict[str, tuple[int, int, int]]:
        """Return the net changes of the groups that have entries and are to be completed."""
        groups = [group for group in self._touched if self._inside(group)]
        return {
            group: counts
            for group in groups
            if any(counts := self._counts(group, self._before[group]))
        }

    def entries(self, group: str) -> int:
        """Return the number of entries in a group."""
        return len(self._inside(group))

    def _leave(self, path: str) -> None:
        del self.sizes[path]
        self._touch(path)
        group = self.group_of(path)
        if group is not None and not self._inside(group):
            self._emptied.add(group)

    def _touch(self, path: str) -> None:
        if (group := self.group_of(path)) is not None:
            self._touched[group].add(path)

    def _inside(self, group: str) -> dict[str, int]:
        return {path: size for path, size in self.sizes.items() if self.group_of(path) == group}

    def _counts(self, group: str, before: Iterable[str]) -> tuple[int, int, int]:
        """Return how many entries were created, modified and deleted since a set of paths."""
        inside, before = self._inside(group).keys(), set(before)
        touched = self._touched[group]
        return len(inside - before), len(inside & before & touched), len(before - inside)

    def _complete(self, event: Mapping[str, Any]) -> None:
        group, inside = event["path"], self._inside(event["path"])
        expected = [self._counts(group, self._before[group])]
        if group in self._emptied:
            # Whether it rested while it was empty, and so was forgotten, is not in the stream.
            expected.append(self._counts(group, ()))
        entries, *counts = event["group"].values()
        assert tuple(counts) in expected, (event, expected)
        assert any(counts), event
        assert (entries, event["size"]) == (len(inside), sum(inside.values())), event
        assert inside, event
        self._before[group] = set(inside)
        self._touched[group].clear()
        self._emptied.discard(group)
