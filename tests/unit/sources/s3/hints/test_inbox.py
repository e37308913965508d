"""The keys that wait, and the messages that wait for them."""

from __future__ import annotations

import pytest

from support.clock import FakeClock
from support.s3.tickets import NotedTicket
from watcher.filters.key_window import KeyWindow
from watcher.sources.s3.hints import inbox as inbox_module
from watcher.sources.s3.hints.inbox import HintInbox
from watcher.sources.s3.hints.shapes import KEY_MAX_BYTES


class Waking(HintInbox):
    """An inbox of the keys below ``in/`` that counts how often it wakes the watch."""

    def __init__(self) -> None:
        self.wakes = 0
        self.clock = FakeClock()
        super().__init__(KeyWindow("in/", 0.0, self.clock), self._count, self.clock)

    def take_keys(self, limit: int = 100) -> list[bytes]:
        return [hinted.key for hinted in self.take(limit)]

    def _count(self) -> None:
        self.wakes += 1


@pytest.fixture
def inbox() -> Waking:
    return Waking()


def test_a_key_waits_once_however_often_it_is_hinted(inbox: Waking) -> None:
    assert inbox.put([b"in/a", b"in/b", b"in/a"])
    assert inbox.put([b"in/b"])
    assert (len(inbox), inbox.wakes) == (2, 2)
    assert sorted(inbox.take_keys()) == [b"in/a", b"in/b"]
    assert (len(inbox), inbox.take_keys()) == (0, [])


def test_the_keys_that_wait_longest_are_taken_first_but_for_those_under_way(inbox: Waking) -> None:
    for number in range(5):
        inbox.put([f"in/{number}".encode()])
    assert [hinted.key for hinted in inbox.take(2, {b"in/0", b"in/2"})] == [b"in/1", b"in/3"]
    assert inbox.waiting() == [b"in/0", b"in/2", b"in/4"]


@pytest.mark.parametrize(
    "key",
    [b"", b"in", b"out/a", b"in/" + bytes(KEY_MAX_BYTES), b"in/\xff", b"in/\xed\xa0\x80", b"in/\0"],
)
def test_a_key_that_no_object_of_the_place_has_is_settled_at_once(
    key: bytes, inbox: Waking
) -> None:
    ticket = NotedTicket()
    assert inbox.put([key], ticket)
    assert ticket.outcomes == ["done"]
    assert (len(inbox), inbox.keys, inbox.wakes) == (0, 0, 0)


def test_a_ticket_is_done_when_all_its_keys_are(inbox: Waking) -> None:
    """Each key of a message counts once, and keys of other places count for nothing."""
    ticket, other = NotedTicket(), NotedTicket()
    inbox.put([b"in/a", b"in/b", b"in/a", b"out/c"], ticket)
    inbox.put([b"in/b"], other)
    first, second = sorted(inbox.take(9), key=lambda hinted: hinted.key)
    first.settle()
    first.settle()
    assert (ticket.outcomes, other.outcomes) == ([], [])
    second.settle()
    assert (ticket.outcomes, other.outcomes) == (["done"], ["done"])


@pytest.mark.parametrize("fails_first", [True, False])
def test_a_ticket_of_which_a_key_failed_is_never_done(inbox: Waking, *, fails_first: bool) -> None:
    ticket = NotedTicket()
    inbox.put([b"in/a", b"in/b"], ticket)
    first, second = inbox.take(9)
    for hinted, fails in ((first, fails_first), (second, not fails_first)):
        if fails:
            hinted.fail()
        else:
            hinted.settle()
    assert ticket.outcomes == ["failed"]


def test_a_key_that_was_taken_and_is_hinted_again_waits_again(inbox: Waking) -> None:
    """Whoever looks at it now may have looked before it changed."""
    former, ticket = NotedTicket(), NotedTicket()
    inbox.put([b"in/a"], former)
    (hinted,) = inbox.take(1)
    inbox.put([b"in/a"], ticket)
    hinted.settle()
    assert (former.outcomes, ticket.outcomes) == (["done"], [])
    assert inbox.waiting() == [b"in/a"]


def test_keys_that_do_not_fit_are_not_added_in_part(
    inbox: Waking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue keeps their message; of others the place is listed, once."""
    monkeypatch.setattr(inbox_module, "WAITING_KEYS_MAX", 3)
    ticket = NotedTicket()
    assert inbox.put([b"in/a", b"in/b"])
    assert not inbox.put([b"in/c", b"in/d"], ticket)
    assert ticket.outcomes == []
    assert not inbox.take_overflow()
    assert inbox.put([b"in/a", b"in/b", b"in/c"])
    inbox.put_or_list([b"in/a"])
    assert not inbox.take_overflow()
    inbox.put_or_list([b"in/d"])
    assert [inbox.take_overflow(), inbox.take_overflow()] == [True, False]
    assert inbox.keys == 6


def test_the_age_of_the_oldest_hint(inbox: Waking) -> None:
    """A key is as old as its first hint."""
    since_s = inbox.clock.monotonic()
    oldest_s = [inbox.oldest_since_s]
    inbox.put([b"in/a"])
    inbox.clock.advance(5)
    inbox.put([b"in/a", b"in/b"])
    oldest_s.append(inbox.oldest_since_s)
    inbox.take(1)
    oldest_s.append(inbox.oldest_since_s)
    assert oldest_s == [None, since_s, since_s + 5]
