"""The inbox between the thread that reads the kernel's events and the one that takes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from itertools import count
from pathlib import Path
from types import CodeType

import pytest
from watchdog.observers.inotify_c import InotifyEvent, Mask, WatchDescriptor

from support.files import fill
from support.instructions import act_before
from watcher.limits.fair_share import FairShare
from watcher.sources.directory.linux import inotify
from watcher.sources.directory.linux.inotify import INBOX_EVENTS, Event, Inbox, Inotify, merge

DEADLINE_S = 60.0
MOMENT_S = 0.01


def event(number: int, mask: int = inotify.ATTRIB) -> Event:
    """Return an event that differs from others in its name."""
    return Event(1, mask, 0, b"%d" % number)


def interrupt(
    target: Callable[[], object], code: CodeType, at: int, by: Callable[[], object]
) -> bool:
    """Run ``target``, with ``by`` in another thread before opcode ``at`` of ``code``.

    The other thread gets a moment to finish; if it waits for a lock it runs once ``target``
    releases it, which is as good.

    Returns:
        Whether that opcode was reached.
    """
    running: list[Future[object]] = []
    with ThreadPoolExecutor(1) as other:

        def act() -> None:
            running.append(other.submit(by))
            wait(running, MOMENT_S)

        has_step = act_before(at, act, target, is_meant=lambda frame: frame.f_code is code)
        for each in running:
            each.result(DEADLINE_S)
    return has_step


@pytest.mark.parametrize("waiting", [0, 1, 2])
def test_an_event_that_comes_while_others_are_taken_is_kept(waiting: int) -> None:
    """At whatever opcode an event and an overflow come, this or the next take returns them."""
    for at in count():
        inbox = Inbox(lambda: None)
        before, taken = (
            [event(number) for number in range(waiting)],
            list[tuple[list[Event], bool]](),
        )
        for each in before:
            inbox.put([each])

        def take(inbox: Inbox = inbox, taken: list[tuple[list[Event], bool]] = taken) -> None:
            taken.append(inbox.take())

        def come(inbox: Inbox = inbox) -> None:
            inbox.put([event(9)])
            inbox.on_queue_overflow()

        if not interrupt(take, Inbox.take.__code__, at, come):
            break
        take()
        assert [each for events, _ in taken for each in events] == [*before, event(9)]
        assert any(overflowed for _, overflowed in taken)


@pytest.mark.parametrize("waiting", [0, 1, 2])
def test_taking_while_an_event_comes_neither_fails_nor_loses_the_wake(waiting: int) -> None:
    """At whatever opcode others are taken, an event that was not is followed by a wake."""
    for at in count():
        is_woken = threading.Event()
        inbox = Inbox(is_woken.set)
        before, taken = [event(number) for number in range(waiting)], list[Event]()
        for each in before:
            inbox.put([each])

        def take(
            inbox: Inbox = inbox,
            taken: list[Event] = taken,
            is_woken: threading.Event = is_woken,
        ) -> None:
            is_woken.clear()
            taken += inbox.take()[0]

        if not interrupt(partial(inbox.put, [event(9)]), Inbox.put.__code__, at, take):
            break
        left, _ = inbox.take()
        assert taken + left == [*before, event(9)]
        assert is_woken.is_set() or not left


def test_a_repeated_event_is_kept_once() -> None:
    """Only consecutive events are equal in meaning."""
    inbox = Inbox(lambda: None)
    for numbers in ([1], [1, 2], [1], [1], [1]):
        inbox.put([event(number) for number in numbers])
    assert inbox.take() == ([event(1), event(2), event(1)], False)


def test_an_event_from_watchdog_is_one_of_the_kernel() -> None:
    inbox = Inbox(lambda: None)
    inbox.on_event(InotifyEvent(WatchDescriptor(1), Mask(inotify.ATTRIB), 0, b"5"))
    assert inbox.take() == ([event(5)], False)


C, M, W, A, D = (
    inotify.CREATE,
    inotify.MODIFY,
    inotify.CLOSE_WRITE,
    inotify.ATTRIB,
    inotify.DELETE,
)


@pytest.mark.parametrize(
    ("masks", "expected"),
    [
        ([C, M, M, W], [C | M | W]),
        ([M, W], [M | W]),
        ([C, W, W], [C | W, W]),
        ([M, W, M, W], [M | W, M | W]),
        ([C, A, W], [C, A, W]),
        ([A, A, W], [A, W]),
        ([D, C, M, D], [D, C | M, D]),
        ([C | inotify.ISDIR, M], [C | inotify.ISDIR, M]),
    ],
)
def test_the_events_of_one_writing_are_one(masks: list[int], expected: list[int]) -> None:
    """Also where they come one by one; what happens to the file after it was closed is another."""
    events = [event(1, mask) for mask in masks]
    assert [each.mask for each in merge(events)] == expected
    inbox = Inbox(lambda: None)
    for each in events:
        inbox.put([each])
    assert [each.mask for each in inbox.take()[0]] == expected


@pytest.mark.parametrize("other", [Event(1, M, 0, b"2"), Event(2, M, 0, b"1")])
def test_only_consecutive_events_of_one_file_are_merged(other: Event) -> None:
    """Another name or another directory in between keeps them apart, so the order stays."""
    events = [event(1, C), other, event(1, W)]
    assert [*merge(events)] == events


@pytest.mark.parametrize("run", [1, 1000])
def test_an_inbox_is_bounded(run: int) -> None:
    """Events beyond the limit are dropped, and reported as lost once."""
    inbox = Inbox(lambda: None)
    for start in range(0, INBOX_EVENTS + 1000, run):
        inbox.put([event(number) for number in range(start, start + run)])
    events, overflowed = inbox.take()
    assert events == [event(number) for number in range(INBOX_EVENTS)]
    assert (overflowed, inbox.take()) == (True, ([], False))


def test_inboxes_are_bounded_together() -> None:
    """Above the common limit an inbox with more than its share loses its events."""
    fair_share = FairShare(100)
    large, small, other = (Inbox(lambda: None, fair_share) for _ in range(3))
    large.put([event(number) for number in range(60)])
    small.put([event(number) for number in range(30)])
    large.put([event(number) for number in range(60, 90)])
    assert (large.take(), small.take()) == (
        ([], True),
        ([event(number) for number in range(30)], False),
    )
    large.put([event(number) for number in range(100)])
    large.close()
    large.put([event(1)])
    other.put([event(number) for number in range(100)])
    assert (large.take(), len(other.take()[0])) == (([], False), 100)


def test_all_inboxes_of_a_directory_receive_the_same(
    tmp_path: Path, notifications: Inotify
) -> None:
    """Each inbox receives each event of two directories once, in the kernel's order."""
    fill(tmp_path, "a/1", "b/2")
    inboxes = [Inbox(lambda: None) for _ in range(3)]
    watched = {
        notifications.watch(bytes(tmp_path / directory), inbox): directory
        for directory in "ab"
        for inbox in inboxes
    }
    for number in range(3):
        (tmp_path / "a/1").rename(tmp_path / "b/1")
        (tmp_path / "b/1").rename(tmp_path / "a/1")
        (tmp_path / f"b/{number}").touch()
    (tmp_path / "a/1").unlink()
    (tmp_path / "a").rmdir()
    (tmp_path / "b/last").touch()
    received = []
    end_s = time.monotonic() + DEADLINE_S
    for inbox in inboxes:
        events: list[Event] = []
        while not any(each.name == b"last" and each.mask & inotify.CLOSE_WRITE for each in events):
            assert time.monotonic() < end_s
            events += inbox.take()[0]
            time.sleep(MOMENT_S)
        received.append(
            [
                f"{watched[each.wd]}/{each.name.decode()} {each.mask & inotify.IGNORED}"
                for each in merge(events)
            ]
        )
    assert received[0] == received[1] == received[2]
    moves = [name for name in received[0] if name.endswith("/1 0")]
    assert moves[:4] == ["a/1 0", "b/1 0", "b/1 0", "a/1 0"]
    assert received[0].index(f"a/ {inotify.IGNORED}") < received[0].index("b/last 0")


def test_inboxes_come_and_go_at_each_directory_by_itself(
    tmp_path: Path, notifications: Inotify
) -> None:
    """Directories with the same inboxes share a watch, and one that differs has its own."""
    fill(tmp_path, "a/1", "b/2", "c/3")
    first, second = Inbox(lambda: None), Inbox(lambda: None)
    a, b, _ = (notifications.watch(bytes(tmp_path / name), first) for name in "abc")
    assert notifications._watch_for_wd[a] is notifications._watch_for_wd[b]  # type: ignore[index]
    for name in "ab":
        notifications.watch(bytes(tmp_path / name), second)
    notifications.unwatch([a], first)
    notifications.unwatch([b], second)
    received: dict[str, set[bytes]] = {"first": set(), "second": set()}
    for name in "abc":
        (tmp_path / name / f"of {name}").touch()
    end_s = time.monotonic() + DEADLINE_S
    while received != {"first": {b"of b", b"of c"}, "second": {b"of a"}}:
        assert time.monotonic() < end_s, received
        received["first"] |= {each.name for each in first.take()[0]}
        received["second"] |= {each.name for each in second.take()[0]}
        time.sleep(MOMENT_S)
    notifications.unwatch([a, b], second)
    assert len(notifications) == 2
    notifications.unwatch([a, b, b + 1, 10_000], first)
    assert len(notifications) == 0
