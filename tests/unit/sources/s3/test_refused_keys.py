"""Keys that only a listing shows."""

from __future__ import annotations

import pytest

from watcher.sources.s3 import refused_keys
from watcher.sources.s3.hints.inbox import HintedKey, OpenTicket
from watcher.sources.s3.refused_keys import RefusedKeys


class _Outcome:
    """A ticket that keeps what was called."""

    def __init__(self) -> None:
        self.text = ""

    def done(self) -> None:
        self.text = "done"

    def fail(self) -> None:
        self.text = "failed"


def refuse(keys: RefusedKeys, name: bytes) -> _Outcome:
    """Have a key wait for which one message waits."""
    outcome = _Outcome()
    keys.put(HintedKey(name, 0.0, [OpenTicket(outcome, 1)]), f"403 for {name!r}")
    return outcome


def test_messages_are_done_with_the_first_listing_that_began_later_and_is_complete() -> None:
    keys = RefusedKeys()
    early = refuse(keys, b"early")
    keys.begin_listing()
    late = refuse(keys, b"late")
    assert (list(keys), len(keys), keys.is_being_listed) == ([b"late", b"early"], 2, True)
    keys.end_listing(is_complete=True)
    assert (early.text, late.text) == ("done", "")
    assert (list(keys), len(keys), keys.is_being_listed) == ([b"late"], 1, False)
    # One listing ends once, however often it is said.
    keys.end_listing(is_complete=True)
    assert (list(keys), late.text) == ([b"late"], "")


@pytest.mark.parametrize("is_told", [True, False])
def test_after_a_listing_that_was_given_up_keys_wait_for_the_next(*, is_told: bool) -> None:
    keys = RefusedKeys()
    outcome = refuse(keys, b"a")
    keys.begin_listing()
    if is_told:
        keys.end_listing(is_complete=False)
        assert (list(keys), keys.is_being_listed) == ([b"a"], False)
    keys.begin_listing()
    keys.end_listing(is_complete=True)
    assert (outcome.text, len(keys)) == ("done", 0)


def test_a_listing_is_asked_for_once_and_not_where_one_has_begun_meanwhile() -> None:
    keys = RefusedKeys()
    assert not keys.take_due()
    refuse(keys, b"a")
    refuse(keys, b"b")
    assert keys.reason == "403 for b'b'"
    assert (keys.take_due(), keys.take_due()) == (True, False)
    refuse(keys, b"c")
    keys.begin_listing()
    assert not keys.take_due()


def test_keys_beyond_the_limit_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their messages come again; a listing is due all the same."""
    monkeypatch.setattr(refused_keys, "REFUSED_KEYS_MAX", 2)
    keys = RefusedKeys()
    outcomes = [refuse(keys, name).text for name in (b"a", b"b", b"c")]
    assert (outcomes, len(keys), keys.take_due()) == (["", "", "failed"], 2, True)
