"""Decides whether too many hints become a scan of the tree, in one tree or in all together; time is a number here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from watcher.filters.path_filter import PathFilter
from watcher.limits.fair_share import FairShare
from watcher.model import Rescan
from watcher.sources.directory.hints import HINTS_MAX, Hints
from watcher.sources.directory.tree import Tree
from watcher.spec import DirectorySpec, Filter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SETTLE_S = 60.0
MOST = 1000


@pytest.fixture
def make_hints(tmp_path: Path) -> Callable[[FairShare], Hints]:
    """Return what makes the hints of a tree."""
    spec, path_filter = DirectorySpec(str(tmp_path), settle_s=SETTLE_S), PathFilter(Filter())
    return lambda fair_share: Hints(
        spec, path_filter, Tree(spec, path_filter, within=None), fair_share
    )


def grow(hints: Hints, count: int, now_s: float = 0.0) -> int:
    """Add so many paths that wait, let the tree think about it, and return how many wait then."""
    start = len(hints.settle)
    for number in range(start, start + count):
        hints.settle.unsettled(b"%d" % number, now_s)
    hints.advance(None, now_s)
    return len(hints.settle)


def test_too_many_hints_become_a_scan(make_hints: Callable[[FairShare], Hints]) -> None:
    """Where more paths wait than may, they are dropped for a scan when they would have been looked at, however many follow."""
    hints = make_hints(FairShare(10 * HINTS_MAX))
    assert grow(hints, HINTS_MAX) == HINTS_MAX
    assert grow(hints, 1) == 0
    assert (hints.rescan_reason, hints.due_s(has_links=False)) == (None, SETTLE_S)
    assert grow(hints, HINTS_MAX + 1, SETTLE_S / 2) == 0
    assert hints.due_s(has_links=False) == SETTLE_S
    hints.advance(None, SETTLE_S)
    assert hints.rescan_reason is Rescan.MANY_HINTS


def test_directories_count_too(make_hints: Callable[[FairShare], Hints]) -> None:
    """Subtrees that wait to be scanned are dropped like paths."""
    hints = make_hints(FairShare(MOST))
    hints.trees.update(dict.fromkeys((b"%d/" % number for number in range(MOST + 1)), SETTLE_S))
    assert grow(hints, 0) == 0
    assert (hints.trees, hints.due_s(has_links=False)) == ({}, SETTLE_S)


def test_the_largest_makes_room(make_hints: Callable[[FairShare], Hints]) -> None:
    """When too many wait in all trees, only those with more than their part are scanned; what is given up or closed leaves its room."""
    fair_share = FairShare(MOST)
    large, small, other = (make_hints(fair_share) for _ in range(3))
    assert grow(large, MOST - 100) == MOST - 100
    assert grow(small, 200) == 200
    assert grow(large, 0) == 0
    assert grow(other, MOST - 200) == MOST - 200
    assert grow(other, 1) == 0
    small.clear()
    assert grow(large, MOST) == MOST
