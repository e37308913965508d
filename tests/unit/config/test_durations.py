"""Durations are read and written as Go does."""

import pytest

from watcher.config.durations import format_duration, parse_duration

NO_DURATIONS = "5 0 s -5s +5s 5S 1.2.3s . .s ٣s 1w 1e3s"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1.5s", 1.5),
        ("100ms", 0.1),
        ("1m0.1s", 60.1),
        ("3µs", 3e-6),
        ("3μs", 3e-6),
        ("3us", 3e-6),
        ("7ns", 7e-9),
        ("0s", 0.0),
    ],
)
def test_a_duration_is_read_as_go_reads_it(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", [*NO_DURATIONS.split(), "", "5 s", "5s ", "5s\n", "9" * 99 + "s"])
def test_a_text_that_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(
        ValueError, match=r'^must be a duration with its unit, such as "500ms", "30s" or "1h30m"$'
    ):
        parse_duration(text)


@pytest.mark.parametrize(("text", "hours"), [("7d", 168), ("1 day", 24), ("30days", 720)])
def test_days_are_written_as_hours(text: str, hours: int) -> None:
    """Go has no days, since they may have 23 hours."""
    expected = f'^must have hours as its largest unit, write "{hours}h"$'
    with pytest.raises(ValueError, match=expected):
        parse_duration(text)


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (0, "0s"),
        (0.5, "500ms"),
        (1.5, "1500ms"),
        (30, "30s"),
        (90, "90s"),
        (900, "15m"),
        (7200, "2h"),
    ],
)
def test_a_duration_is_written_in_its_largest_whole_unit(duration_s: float, text: str) -> None:
    assert format_duration(duration_s) == text
    assert parse_duration(text) == duration_s
