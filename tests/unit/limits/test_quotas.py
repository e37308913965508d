"""Decides who has to stop when the watches of one principal hold too much together."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from watcher.errors import LimitError
from watcher.limits.quotas import Held, Ledger, Share
from watcher.model import Identity
from watcher.settings import ServerSettings

SETTINGS = ServerSettings(max_token_watches=3, max_token_entries=90, max_token_journal_bytes=900)


@dataclass
class Growing:
    """What a watch holds."""

    entries: int = 0
    journal_bytes: int = 0
    depth: int = 0
    oldest_at: float | None = None


def identity(name: str, principal: str = "team") -> Identity:
    """Return an identity."""
    return Identity(principal, name, f"file:///{name}")


def opened(ledger: Ledger, *names: str) -> tuple[list[Growing], list[Share]]:
    """Open watches, and return what they hold and their shares."""
    holdings = [Growing() for _ in names]
    for name in names:
        ledger.admit(identity(name))
    return holdings, [
        ledger.open(identity(name), holding) for name, holding in zip(names, holdings, strict=True)
    ]


def test_watches_are_counted_by_principal() -> None:
    """One watch too many of a principal is refused, whether the others run or not; one that is known, or of another, is let in."""
    ledger = Ledger(SETTINGS, {identity(name): Held() for name in "abc"})
    with pytest.raises(LimitError, match="--max-token-watches"):
        ledger.admit(identity("d"))
    assert not ledger.admit(identity("a"))
    assert ledger.admit(identity("d", "others"))
    ledger.forget(identity("c"))
    assert ledger.admit(identity("d"))
    with pytest.raises(LimitError):
        ledger.admit(identity("c"))


def test_the_large_one_must_not_grow() -> None:
    """When there are too many entries those that have more than their part are told to stop, and the others go on."""
    (large, small), (of_large, of_small) = opened(Ledger(SETTINGS, {}), "large", "small")
    large.entries, small.entries = 85, 5
    of_large.check_entries()
    small.entries = 45
    of_small.check_entries()
    with pytest.raises(LimitError, match=r"file:///large: .* 90 .* 85 .*--max-token-entries"):
        of_large.check_entries()


def test_what_does_not_run_counts() -> None:
    """Entries of a watch that has stopped, now or before the start, count, and those of others do not."""
    ledger = Ledger(
        SETTINGS, {identity("stored"): Held(40, 0), identity("stored", "others"): Held(1000, 0)}
    )
    (stopped, running), (_, share) = opened(ledger, "stopped", "running")
    stopped.entries, running.entries = 10, 41
    with pytest.raises(LimitError):
        share.check_entries()
    stopped.entries = 9
    ledger.close(identity("stopped"))
    stopped.entries = 1000
    share.check_entries()


def test_what_does_not_grow_may_stay() -> None:
    """A watch that begins with too many entries, because the limit is lower now, is stopped only when it gets more."""
    ledger, large = Ledger(SETTINGS, {identity("large"): Held(100, 0)}), Growing(100)
    share = ledger.open(identity("large"), large)
    share.check_entries()
    large.entries += 1
    with pytest.raises(LimitError):
        share.check_entries()


def test_journals_are_full_together() -> None:
    """The bytes of journals are bounded together; only that of a watch with more than its part is full, and until half has drained."""
    (large, small), (of_large, of_small) = opened(Ledger(SETTINGS, {}), "large", "small")
    large.journal_bytes, small.journal_bytes = 700, 200
    assert not of_large.is_journal_full(1.0)
    small.journal_bytes = 201
    assert of_large.is_journal_full(1.0)
    assert not of_small.is_journal_full(1.0)
    large.journal_bytes = 300
    assert not of_large.is_journal_full(1.0)
    assert of_large.is_journal_full(0.5)
    large.journal_bytes = 225
    assert not of_large.is_journal_full(0.5)
