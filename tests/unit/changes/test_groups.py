"""Groups: which entries make one, what changes amount to, and what keeps a group from its rest."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest

from support.clock import FakeClock
from watcher.changes.groups import GroupRecorder, GroupRule, Unsettled, net_changes
from watcher.model import Change, ChangeSet, ChangeType, Entry, GroupDelta
from watcher.spec import Group

CREATED, MODIFIED, DELETED, MOVED, COMPLETED = ChangeType
KINDS = {"c": CREATED, "m": MODIFIED, "d": DELETED}
NOW_S = FakeClock().wall()


def change(kind: ChangeType, path: bytes = b"run/a") -> Change:
    return Change(kind, Entry(path, 1, 1))


def moved(old_path: bytes, path: bytes, *, replaces: bool = False) -> Change:
    return Change(MOVED, Entry(path, 1, 1), old_path, replaces=replaces)


class Known:
    """The groups that have changed; the one question of the port that a recorder asks."""

    def __init__(self, *groups: bytes) -> None:
        self.groups = set(groups)

    def known(self, groups: Iterable[bytes]) -> set[bytes]:
        return self.groups & set(groups)


def new_recorder(
    *known: bytes, events: Iterable[ChangeType] = ChangeType, depth: int = 1
) -> tuple[GroupRecorder, FakeClock]:
    clock = FakeClock()
    group = Group(depth, quiet_s=60.0)
    groups: Any = Known(*known)
    recorder = GroupRecorder(group, b"", frozenset(events), groups, clock)
    return recorder, clock


@pytest.mark.parametrize(
    ("depth", "base", "path", "group"),
    [
        (0, b"", b"a", b""),
        (0, b"in/", b"in/a/b", b""),
        (1, b"", b"a", None),
        (1, b"", b"run/a", b"run"),
        (1, b"", b"run/a/b/c", b"run"),
        (1, b"", b"run/", b"run"),
        (1, b"", b"\xff/a", b"\xff"),
        (2, b"", b"run/a", None),
        (2, b"", b"run/a/b", b"run/a"),
        (2, b"", b"run//b", None),
        (1, b"in/", b"in/run/a", b"in/run"),
        (1, b"in/", b"in/a", None),
        (2, b"in/x/", b"in/x/a/b/c", b"in/x/a/b"),
        (1, b"", b"/a", None),
        (2, b"", b"in//x", None),
        (1, b"in/", b"in//x", None),
        (3, b"", b"in//x/y", b"in//x"),
    ],
)
def test_the_group_of_a_path(depth: int, base: bytes, path: bytes, group: bytes | None) -> None:
    """Components count from the directory, or from the last slash of the prefix."""
    assert GroupRule(depth, base).group_of(path) == group


@pytest.mark.parametrize("was_there", [True, False])
@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_changes_amount_to_what_a_reader_of_two_states_sees(
    length: int, *, was_there: bool
) -> None:
    """All histories of an entry: what it is at the end, and what it was before, decide."""
    for kinds in product(KINDS.values(), repeat=length):
        is_there, is_possible = was_there, True
        for kind in kinds:
            is_possible = is_possible and (kind is CREATED) != is_there
            is_there = kind is not DELETED
        if not is_possible:
            continue
        expected = {
            (True, True): MODIFIED,
            (True, False): DELETED,
            (False, True): CREATED,
            (False, False): None,
        }[was_there, is_there]
        assert net_changes(map(change, kinds)) == {b"run/a": expected}


@pytest.mark.parametrize(
    ("changes", "net"),
    [
        ([moved(b"a", b"b")], {b"a": DELETED, b"b": CREATED}),
        ([moved(b"a", b"b", replaces=True)], {b"a": DELETED, b"b": MODIFIED}),
        ([moved(b"a", b"b"), change(MODIFIED, b"b")], {b"a": DELETED, b"b": CREATED}),
        ([moved(b"b", b"c"), moved(b"a", b"b")], {b"b": MODIFIED, b"c": CREATED, b"a": DELETED}),
        ([change(CREATED, b"a"), moved(b"a", b"b")], {b"a": None, b"b": CREATED}),
    ],
)
def test_a_move_leaves_and_arrives(
    changes: list[Change], net: dict[bytes, ChangeType | None]
) -> None:
    assert net_changes(changes) == net


def test_a_step_names_groups_with_their_due_time() -> None:
    """Entries above the depth of groups count nowhere; what is not reported leaves the step."""
    recorder, _ = new_recorder(events=[DELETED, COMPLETED])
    kept = change(DELETED, b"run/b")
    found = ChangeSet(changes=[change(CREATED, b"top"), change(CREATED, b"one/a"), kept])
    recorder.note(found)
    due_s = NOW_S + 60
    assert found.delta.groups == GroupDelta(
        changes={b"one/a": CREATED, b"run/b": DELETED}, due={b"one": due_s, b"run": due_s}
    )
    assert found.changes == [kept]


def test_a_step_without_changes_of_groups_has_none() -> None:
    recorder, _ = new_recorder()
    for found in (ChangeSet(), ChangeSet(changes=[change(CREATED, b"top")])):
        recorder.note(found)
        assert found.delta.groups is None


def test_what_comes_and_goes_touches_a_group_that_has_changed() -> None:
    """Within one step, or between two readings."""
    recorder, _ = new_recorder(b"run", b"two")
    found = ChangeSet(
        changes=[
            change(kind, path) for path in (b"run/a", b"new/a") for kind in (CREATED, DELETED)
        ],
        touched=[b"two/a", b"three/a", b"top"],
    )
    recorder.note(found)
    assert found.delta.groups == GroupDelta(touched=dict.fromkeys([b"run", b"two"], NOW_S + 60))


def test_due_times_do_not_jump() -> None:
    """The wall clock is read once; what comes later is measured by the monotonic clock."""
    recorder, clock = new_recorder()
    clock.advance(10)
    clock.now_ns += 3600 * 1_000_000_000
    assert recorder.due_s() == NOW_S + 10 + 60
    assert recorder.monotonic_s(recorder.due_s()) == clock.monotonic() + 60


@pytest.mark.parametrize(
    ("depth", "waiting", "concerned"),
    [
        (1, b"run/a", {b"run"}),
        (1, b"run/a/", {b"run"}),
        (1, b"run/", {b"run"}),
        (1, b"run", {b"run"}),
        (1, b"", {b"run", b"run2"}),
        (2, b"run/", {b"run/a", b"run/b"}),
        (2, b"run", {b"run/a", b"run/b"}),
        (2, b"run/a/b/", {b"run/a"}),
        (0, b"anything", {b""}),
        (0, b"", {b""}),
    ],
)
def test_what_waits_keeps_groups_from_their_rest(
    depth: int, waiting: bytes, concerned: set[bytes]
) -> None:
    """Something in a group, or above it, such as a directory that has to be scanned."""
    groups = {0: {b""}, 1: {b"run", b"run2"}, 2: {b"run/a", b"run/b", b"run2/a"}}[depth]
    unsettled = Unsettled(GroupRule(depth), [waiting])
    assert {group for group in groups if unsettled.concerns(group)} == concerned
    nothing = Unsettled(GroupRule(depth), [])
    assert not any(map(nothing.concerns, groups))
