"""Numbers, times and untrusted names as people read them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from watcher.formatting import (
    format_rate,
    human_age,
    human_duration,
    human_left,
    human_rate,
    human_size,
    human_time,
    printable,
    waiting_groups,
)

NOON = datetime(2026, 1, 31, 12, 0, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (human_size, 0, "0 B"),
        (human_left, -1, "0 s"),
        (human_left, 0.2, "1 s"),
        (human_left, 299, "4 min 59 s"),
        (human_left, 299.5, "5 min"),
        (human_left, 3601, "1 h 1 s"),
        (human_left, 604_799, "6 d 23 h"),
        (human_size, 999, "999 B"),
        (human_size, 1000, "1.0 kB"),
        (human_size, 1312, "1.3 kB"),
        (human_size, 999_949, "999.9 kB"),
        (human_size, 999_990, "1.0 MB"),
        (human_size, 25e9, "25.0 GB"),
        (human_size, 3e18, "3,000.0 PB"),
        (human_duration, 0, "0 ms"),
        (human_duration, 0.0123, "12 ms"),
        (human_duration, 1.5, "1.5 s"),
        (human_duration, 59.4, "59 s"),
        (human_duration, 60, "1 min"),
        (human_duration, 3599, "59 min"),
        (human_duration, 7200, "2 h"),
        (human_duration, 200_000, "2 d"),
        (human_age, -0.5, "0 s"),
        (human_age, 0.7, "1 s"),
        (human_age, 59.0, "59 s"),
        (human_age, 61, "1 min"),
        (human_age, 90_000, "1 d"),
        (human_rate, 0, "0"),
        (human_rate, 0.05, "3/min"),
        (human_rate, 1, "1/s"),
        (human_rate, 12_345.6, "12,346/s"),
        (format_rate, 10.0, "10/s"),
        (format_rate, 1.5, "90/m"),
        (format_rate, 1 / 60, "1/m"),
        (format_rate, 7 / 3600, "7/h"),
    ],
)
def test_numbers(write: Callable[[float], str], value: float, text: str) -> None:
    assert write(value) == text


@pytest.mark.parametrize(
    ("ago_s", "text"),
    [
        (0, "12:00:03"),
        (43_203, "00:00:00"),
        (43_204, "2026-01-30 23:59:59"),
        (-86_400, "2026-02-01 12:00:03"),
    ],
)
def test_human_time(ago_s: int, text: str) -> None:
    assert human_time(NOON - timedelta(seconds=ago_s), NOON) == text


@pytest.mark.parametrize(
    ("count", "left_s", "text"),
    [
        (0, [], ""),
        (1, [48.2], "1 changed group waits: g0 (49 s)"),
        (2, [-5, None], "2 changed groups wait: g0 (due), g1 (for more entries)"),
        (
            1234,
            [1, 2, 3, 4],
            "1,234 changed groups wait: g0 (1 s), g1 (2 s), g2 (3 s) and 1,231 more",
        ),
    ],
)
def test_waiting_groups(count: int, left_s: list[float | None], text: str) -> None:
    now_s = NOON.timestamp()
    first = [
        (f"g{number}", 0.0 if left is None else now_s + left) for number, left in enumerate(left_s)
    ]
    assert waiting_groups(count, first, now_s) == text


def test_printable_text_cannot_control_a_terminal() -> None:
    assert printable("ä\x1b[31m\n\udcff") == "ä\\x1b[31m\\n\\udcff"
