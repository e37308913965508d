"""The token bucket: no more than its rate in any time, and no less while there is something."""

from itertools import product

import pytest

from watcher.delivery.rate import BURST_S, PORTION_S, TokenBucket

RATES = [1 / 3600, 1 / 60, 0.5, 1.0, 1.5, 7.0, 10.0, 333.0, 5000.0]


def take_all(bucket: TokenBucket, now_s: float) -> int:
    """Write what is available, and return how many payloads that were."""
    count = bucket.available(now_s)
    for _ in range(count):
        bucket.take(now_s)
    return count


@pytest.mark.parametrize("per_s", RATES)
def test_a_stream_that_always_has_something_keeps_to_its_rate(per_s: float) -> None:
    """It waits as long as the bucket says, and may write then; a second's worth is ahead."""
    start_s = now_s = 12_345.678
    bucket, taken = TokenBucket(per_s, now_s), 0
    for _ in range(1000):
        count = take_all(bucket, now_s)
        wait_s = bucket.wait_s(now_s)
        assert count > bucket.available(now_s) == 0
        assert wait_s > 0
        taken, now_s = taken + count, now_s + wait_s
        assert bucket.wait_s(now_s) < 1e-9
    ahead = taken - (now_s - start_s) * per_s
    assert ahead <= max(1.0, per_s * BURST_S) + 1e-3
    assert ahead >= -max(1.0, per_s * PORTION_S) - 1e-3


@pytest.mark.parametrize("per_s", RATES)
def test_no_pause_saves_more_than_a_second(per_s: float) -> None:
    """In any time, however long the pauses before it, a bucket and what flows in are not passed."""
    now_s = 0.0
    bucket, size = TokenBucket(per_s, now_s), max(1.0, per_s * BURST_S)
    written: list[tuple[float, int]] = []
    for pauses_s in product((0.0, 0.001, 0.3, 1.0, 5.0, 10_000.0), repeat=3):
        for pause_s in pauses_s[: 1 + len(written) % 3]:
            now_s += pause_s
            written.append((now_s, take_all(bucket, now_s)))
    for first, (since_s, _) in enumerate(written):
        total = 0
        for at_s, count in written[first:]:
            total += count
            assert total <= size + (at_s - since_s) * per_s + 1e-3


def test_one_payload_is_available_while_the_bucket_is_not_empty() -> None:
    """A fast bucket that was emptied fills for a while; one that was not is never waited for."""
    bucket = TokenBucket(1000.0, 0.0)
    bucket.take(0.0)
    assert (bucket.available(0.0), bucket.wait_s(0.0)) == (999, 0.0)
    take_all(bucket, 0.0)
    assert bucket.wait_s(0.01) == pytest.approx(PORTION_S - 0.01)
    assert bucket.available(0.01) == 0
    assert bucket.available(PORTION_S) == 50
