"""Which hinted key is inspected next."""

from __future__ import annotations

import pytest

from support.clock import FakeClock
from watcher.filters.key_window import KeyWindow
from watcher.sources.s3 import postponed_keys
from watcher.sources.s3.hints.inbox import HintedKey, HintInbox
from watcher.sources.s3.waiting_keys import WaitingKeys

NEVER = float("inf")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def inbox(clock: FakeClock) -> HintInbox:
    return HintInbox(KeyWindow("", 0.0, clock), lambda: None, clock)


@pytest.fixture
def waiting(inbox: HintInbox, clock: FakeClock) -> WaitingKeys:
    return WaitingKeys(inbox, clock)


def take(waiting: WaitingKeys, **busy: HintedKey) -> bytes | None:
    hinted = waiting.take({key.encode(): each for key, each in busy.items()})
    return None if hinted is None else hinted.key


def test_hinted_and_postponed_keys_take_turns(inbox: HintInbox, waiting: WaitingKeys) -> None:
    for key in (b"p1", b"p2", b"p3"):
        waiting.postpone(HintedKey(key, 0.0))
    inbox.put([b"h1"])
    inbox.put([b"h2"])
    assert sorted(waiting) == [b"h1", b"h2", b"p1", b"p2", b"p3"]
    assert len(waiting) == 5
    taken = [take(waiting) for _ in range(6)]
    assert taken == [b"h1", b"p1", b"h2", b"p2", b"p3", None]


def test_a_postponed_key_that_is_hinted_again_is_taken_once(
    inbox: HintInbox, waiting: WaitingKeys, clock: FakeClock
) -> None:
    """At once, with what is known of it."""
    waiting.postpone(HintedKey(b"a", 0.0, failures=3), 60.0)
    assert (take(waiting), waiting.due_s(is_idle=True)) == (None, clock.monotonic() + 60)
    inbox.put([b"a"])
    assert waiting.due_s(is_idle=True) == clock.monotonic()
    hinted = waiting.take({})
    assert hinted is not None
    assert (hinted.key, hinted.failures) == (b"a", 3)
    assert (len(waiting), waiting.due_s(is_idle=True)) == (0, NEVER)


def test_a_key_is_not_taken_while_it_is_inspected(inbox: HintInbox, waiting: WaitingKeys) -> None:
    """One that was postponed meanwhile is inspected again when the response is there."""
    busy = HintedKey(b"a", 0.0)
    inbox.put([b"a"])
    assert (take(waiting, a=busy), busy.is_outdated) == (None, False)
    assert waiting.due_s(is_idle=False) == NEVER
    waiting.postpone(HintedKey(b"a", 0.0, failures=2))
    assert (take(waiting, a=busy), busy.is_outdated, busy.failures) == (None, True, 2)
    assert take(waiting) == b"a"


def test_a_key_for_which_there_is_no_room_fails_and_the_place_is_listed(
    inbox: HintInbox, waiting: WaitingKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postponed_keys, "POSTPONED_KEYS_MAX", 1)
    waiting.postpone(HintedKey(b"a", 0.0))
    waiting.postpone(HintedKey(b"a", 0.0))
    assert not inbox.take_overflow()
    waiting.postpone(HintedKey(b"b", 0.0))
    assert (list(waiting), inbox.take_overflow()) == ([b"a"], True)
