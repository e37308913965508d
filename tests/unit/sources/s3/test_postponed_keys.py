"""Keys that are inspected at a later time."""

from __future__ import annotations

import pytest

from support.clock import FakeClock
from watcher.sources.s3 import postponed_keys
from watcher.sources.s3.hints.inbox import HintedKey
from watcher.sources.s3.postponed_keys import PostponedKeys
from watcher.sources.s3.quiet import Sight

A, B, C = (HintedKey(key, 0.0) for key in (b"a", b"b", b"c"))
NEVER = float("inf")


def test_keys_are_due_in_the_order_of_their_times() -> None:
    clock = FakeClock()
    keys = PostponedKeys(clock)
    assert (keys.due_s(), keys.pop_due()) == (NEVER, None)
    for hinted, delay_s in ((A, 3.0), (B, 1.0), (C, 2.0)):
        keys.put(hinted, delay_s)
    assert keys.due_s() == clock.monotonic() + 1
    assert keys.pop_due() is None
    clock.advance(2)
    assert [keys.pop_due(), keys.pop_due(), keys.pop_due()] == [B, C, None]
    assert (list(keys), len(keys)) == ([b"a"], 1)


def test_a_key_that_was_removed_is_not_due_before_it_is_postponed_again() -> None:
    clock = FakeClock()
    keys = PostponedKeys(clock)
    keys.put(A, 1.0)
    assert (keys.pop(b"a"), keys.pop(b"a"), keys.due_s()) == (A, None, NEVER)
    keys.put(A, 5.0)
    clock.advance(1)
    assert keys.pop_due() is None
    clock.advance(4)
    assert (keys.pop_due(), keys.due_s()) == (A, NEVER)


@pytest.mark.parametrize(
    ("hinted", "expected"),
    [
        (HintedKey(b"a", 0.0), False),
        (HintedKey(b"a", 0.0, sight=Sight(("", 0, 0), 0.0)), True),
        (HintedKey(b"a", 0.0, sight=Sight(("", 0, 0), 0.0), failures=1), False),
    ],
)
def test_only_an_object_that_was_seen_rests(hinted: HintedKey, *, expected: bool) -> None:
    keys = PostponedKeys(FakeClock())
    keys.put(hinted, 1.0)
    assert keys.rests(b"a") is expected
    assert not keys.rests(b"b")


def test_the_number_of_postponed_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postponed_keys, "POSTPONED_KEYS_MAX", 2)
    keys = PostponedKeys(FakeClock())
    for hinted in (A, B):
        assert not keys.is_full
        keys.put(hinted)
    assert keys.is_full
