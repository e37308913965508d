"""Times as text."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.delivery.timestamps import rfc3339, rfc3339_ms

SECOND_NS = 10**9
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799


@pytest.mark.parametrize(
    ("time_ns", "text", "text_ms"),
    [
        (0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999Z"),
        (1_500_000_000, "1970-01-01T00:00:01.5Z", "1970-01-01T00:00:01.500Z"),
        (10, "1970-01-01T00:00:00.00000001Z", "1970-01-01T00:00:00.000Z"),
        (FIRST_SECOND * SECOND_NS, "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ((FIRST_SECOND - 1) * SECOND_NS, "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        (LAST_SECOND * SECOND_NS, "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z"),
        ((LAST_SECOND + 1) * SECOND_NS, "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z"),
    ],
)
def test_times_have_the_digits_they_need(time_ns: int, text: str, text_ms: str) -> None:
    """A time outside the range of RFC 3339 becomes the nearest second within it."""
    assert (rfc3339(time_ns), rfc3339_ms(time_ns)) == (text, text_ms)


@given(time_ns=st.integers(FIRST_SECOND * SECOND_NS, (LAST_SECOND + 1) * SECOND_NS - 1))
def test_times_are_exact_to_the_nanosecond(time_ns: int) -> None:
    second, _, digits = rfc3339(time_ns).removesuffix("Z").partition(".")
    since_epoch = datetime.fromisoformat(second) - datetime(1970, 1, 1)  # noqa: DTZ001 - both are UTC
    seconds = since_epoch.days * 86_400 + since_epoch.seconds
    assert seconds * SECOND_NS + int(digits.ljust(9, "0")) == time_ns
