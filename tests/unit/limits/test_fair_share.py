"""Which holders may keep what they have when all together have too much."""

from watcher.limits.fair_share import FairShare


def test_only_a_holder_above_its_part_is_refused() -> None:
    share = FairShare(10)
    assert share.admit("large", 9)
    assert share.admit("small", 5)
    assert not share.admit("large", 9)
    assert share.admit("small", 5)


def test_a_holder_that_lets_go_does_not_count() -> None:
    share = FairShare(10)
    assert share.admit("a", 6)
    assert not share.admit("b", 6)
    assert share.admit("b", 0)
    assert share.admit("a", 10)
