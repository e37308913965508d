"""Decides who has to stop when the watches of one principal hold too much together."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from watcher.errors import LimitError
from watcher.limits.quotas import Quotas, QuotaShare, StoredUsage
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


def opened(quotas: Quotas, *names: str) -> tuple[list[Growing], list[QuotaShare]]:
    """Open watches, and return what they hold and their shares."""
    holdings = [Growing() for _ in names]
    for name in names:
        quotas.admit(identity(name))
    return holdings, [
        quotas.open(identity(name), holding) for name, holding in zip(names, holdings, strict=True)
    ]


def test_watches_are_counted_by_principal() -> None:
    """One watch too many of a principal is refused, whether the usage_by_watch run or not; one that is known, or of another, is let in."""
    quotas = Quotas(SETTINGS, {identity(name): StoredUsage() for name in "abc"})
    with pytest.raises(LimitError, match="--max-token-watches"):
        quotas.admit(identity("d"))
    assert not quotas.admit(identity("a"))
    assert quotas.admit(identity("d", "usage_by_watch"))
    quotas.forget(identity("c"))
    assert quotas.admit(identity("d"))
    with pytest.raises(LimitError):
        quotas.admit(identity("c"))


def test_the_large_one_must_not_grow() -> None:
    """When there are too many entries those that have more than their part are told to stop, and the usage_by_watch go on."""
    (large, small), (of_large, of_small) = opened(Quotas(SETTINGS, {}), "large", "small")
    large.entries, small.entries = 85, 5
    of_large.check_entries()
    small.entries = 45
    of_small.check_entries()
    with pytest.raises(LimitError, match=r"file:///large: .* 90 .* 85 .*--max-token-entries"):
        of_large.check_entries()


def test_what_does_not_run_counts() -> None:
    """Entries of a watch that has stopped, now or before the start, count, and those of usage_by_watch do not."""
    quotas = Quotas(
        SETTINGS,
        {
            identity("stored"): StoredUsage(40, 0),
            identity("stored", "usage_by_watch"): StoredUsage(1000, 0),
        },
    )
    (stopped, running), (_, share) = opened(quotas, "stopped", "running")
    stopped.entries, running.entries = 10, 41
    with pytest.raises(LimitError):
        share.check_entries()
    stopped.entries = 9
    quotas.close(identity("stopped"))
    stopped.entries = 1000
    share.check_entries()


def test_what_does_not_grow_may_stay() -> None:
    """A watch that begins with too many entries, because the limit is lower now, is stopped only when it gets more."""
    quotas, large = Quotas(SETTINGS, {identity("large"): StoredUsage(100, 0)}), Growing(100)
    share = quotas.open(identity("large"), large)
    share.check_entries()
    large.entries += 1
    with pytest.raises(LimitError):
        share.check_entries()


def test_journals_are_full_together() -> None:
    """The bytes of journals are bounded together; only that of a watch with more than its part is full, and until half has drained."""
    (large, small), (of_large, of_small) = opened(Quotas(SETTINGS, {}), "large", "small")
    large.journal_bytes, small.journal_bytes = 700, 200
    assert not of_large.is_journal_full(was_full=False)
    small.journal_bytes = 201
    assert of_large.is_journal_full(was_full=False)
    assert not of_small.is_journal_full(was_full=False)
    large.journal_bytes = 300
    assert not of_large.is_journal_full(was_full=False)
    assert of_large.is_journal_full(was_full=True)
    large.journal_bytes = 225
    assert not of_large.is_journal_full(was_full=True)
