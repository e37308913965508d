"""Which watches have to stop growing when those of one principal occupy too much together."""

from dataclasses import dataclass, field

import pytest

from watcher.errors import LimitError
from watcher.limits.quotas import Quotas, QuotaShare, StoredUsage
from watcher.model import Identity
from watcher.settings import ServerSettings
from watcher.status_values import HeldBack

SETTINGS = ServerSettings(
    max_token_watches=3, max_token_entries=90, max_token_journal_bytes=900, journal_cap=10
)


@dataclass
class GrowingUsage:
    """What a running watch occupies."""

    entries: int = 0
    journal_bytes: int = 0
    depth: int = 0
    oldest_at: float | None = None
    held_back: HeldBack = field(default_factory=HeldBack)


def identity(name: str, principal: str = "team") -> Identity:
    return Identity(principal, name, f"file:///{name}")


def opened(quotas: Quotas, *names: str) -> tuple[list[GrowingUsage], list[QuotaShare]]:
    """Open watches, and return what each occupies and its share."""
    usages = [GrowingUsage() for _ in names]
    return usages, list(map(quotas.open, map(identity, names), usages))


def test_watches_are_counted_by_principal() -> None:
    """One too many is refused, whether the others run or not; a known one is admitted."""
    quotas = Quotas(SETTINGS, {identity(name): StoredUsage() for name in "abc"})
    with pytest.raises(LimitError, match="--max-token-watches"):
        quotas.admit(identity("d"))
    assert not quotas.admit(identity("a"))
    assert quotas.admit(identity("d", "other"))
    quotas.forget(identity("c"))
    assert quotas.admit(identity("d"))
    with pytest.raises(LimitError):
        quotas.admit(identity("c"))


def test_only_a_watch_above_its_part_must_not_grow() -> None:
    usages, (share_of_large, share_of_small) = opened(Quotas(SETTINGS, {}), "large", "small")
    large, small = usages
    large.entries, small.entries = 85, 5
    share_of_large.check_entries()
    small.entries = 45
    share_of_small.check_entries()
    with pytest.raises(LimitError, match=r"file:///large: .* 90 .* 85 .*--max-token-entries"):
        share_of_large.check_entries()


def test_watches_that_do_not_run_count() -> None:
    """Those that have ended, now or before the start, count; those of another principal do not."""
    stored = {identity("stored"): StoredUsage(40), identity("stored", "other"): StoredUsage(1000)}
    quotas = Quotas(SETTINGS, stored)
    (stopped, running), (_, share) = opened(quotas, "stopped", "running")
    stopped.entries, running.entries = 10, 41
    with pytest.raises(LimitError):
        share.check_entries()
    stopped.entries = 9
    quotas.close(identity("stopped"))
    stopped.entries = 1000
    share.check_entries()
    assert quotas.stored()[identity("stopped")] == StoredUsage(9)
    assert {each.name for each in quotas.identities()} == {"stored", "stopped", "running"}


def test_an_index_that_does_not_grow_may_stay() -> None:
    """A watch that starts above a limit that is lower now is stopped only when it grows."""
    quotas, large = Quotas(SETTINGS, {identity("large"): StoredUsage(100)}), GrowingUsage(100)
    share = quotas.open(identity("large"), large)
    share.check_entries()
    large.entries += 1
    with pytest.raises(LimitError):
        share.check_entries()


def test_a_journal_is_full_until_half_has_drained() -> None:
    (usage,), (share,) = opened(Quotas(SETTINGS, {}), "a")
    rows = ((5, False, False), (6, False, True), (9, False, True), (10, True, True))
    for usage.depth, is_full, stays_full in rows:
        assert share.is_journal_full(was_full=False) is is_full
        assert share.is_journal_full(was_full=True) is stays_full


def test_journals_are_full_together() -> None:
    """Only the journal of a watch above its part is full, until half of the bytes have drained."""
    usages, (share_of_large, share_of_small) = opened(Quotas(SETTINGS, {}), "large", "small")
    large, small = usages
    large.journal_bytes, small.journal_bytes = 700, 200
    assert not share_of_large.is_journal_full(was_full=False)
    small.journal_bytes = 201
    assert share_of_large.is_journal_full(was_full=False)
    assert not share_of_small.is_journal_full(was_full=False)
    large.journal_bytes = 300
    assert not share_of_large.is_journal_full(was_full=False)
    assert share_of_large.is_journal_full(was_full=True)
    large.journal_bytes = 225
    assert not share_of_large.is_journal_full(was_full=True)
