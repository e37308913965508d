"""What ``dev`` prints of what a watch waits for: each thing once, and again when it changes."""

from dataclasses import replace

from watcher.cli.waiting_news import REPEAT_S, Waiting, WaitingNews
from watcher.status_values import HeldBack, WaitingGroup, WaitingGroups
from watcher.watch.held_back import HeldBackEntry

A, B = (HeldBackEntry(f"{name}.csv", "marker", f"waits for {name}.csv.done") for name in "ab")


def held_back(*entries: HeldBackEntry, total: int) -> Waiting:
    return Waiting(HeldBack(marker=total), entries)


def changed(path: str, until: float) -> Waiting:
    return Waiting(groups=WaitingGroups(1, [WaitingGroup(path, until)]))


def test_each_entry_is_printed_once_and_again_for_another_reason() -> None:
    news = WaitingNews()
    assert news.lines(held_back(A, total=1), 0) == ["held back: a.csv waits for a.csv.done"]
    assert news.lines(held_back(A, B, total=2), 1) == ["held back: b.csv waits for b.csv.done"]
    small = replace(A, condition="min_size", reason="is smaller than 1 KiB")
    assert news.lines(held_back(small, B, total=2), 2) == ["held back: a.csv is smaller than 1 KiB"]
    assert news.lines(held_back(total=0), 3) == []
    assert len(news.lines(held_back(A, total=1), 4)) == 1


def test_what_is_not_listed_is_counted() -> None:
    news = WaitingNews()
    assert news.lines(held_back(A, total=1001), 0)[1:] == ["held back: 1,000 more"]
    assert news.lines(held_back(A, total=1001), 1) == []
    assert news.lines(held_back(A, total=11), 2) == ["held back: 10 more"]
    assert news.lines(held_back(A, total=1), 3) == []


def test_a_group_that_keeps_changing_is_printed_now_and_then() -> None:
    news = WaitingNews()
    line = "waiting: run completes in 5 s unless it changes"
    assert news.lines(changed("run", 5), 0) == [line]
    assert news.lines(changed("run", 6), 1) == []
    assert news.lines(changed("run", REPEAT_S + 5), REPEAT_S) == [line]
    assert news.lines(changed("run", REPEAT_S + 5), 3 * REPEAT_S) == []
    few = ["waiting: run has too few entries (min_entries)"]
    assert news.lines(changed("run", 0), 3 * REPEAT_S) == few
    assert news.lines(changed("run", 3 * REPEAT_S + 5), 3 * REPEAT_S) == [line]


def test_a_stream_that_waits_is_printed_once() -> None:
    """It is the only one, and waits again after each of its events."""
    news = WaitingNews()
    lines = [
        news.lines(Waiting(streams=text), 0)
        for text in ("", "1 stream waits", "", "1 stream waits")
    ]
    assert lines == [[], ["waiting: 1 stream waits"], [], []]


def test_the_whole_place_has_a_name() -> None:
    lines = WaitingNews().lines(changed("", 5), 9)
    assert lines == ["waiting: the whole place completes once all of it is read and complete"]
