"""Numbers, times and untrusted names as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from watcher.formatting import (
    human_age,
    human_duration,
    human_rate,
    human_size,
    human_time,
    printable,
)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1312, "1.3 kB"),
        (999_949, "999.9 kB"),
        (999_990, "1.0 MB"),
        (25e9, "25.0 GB"),
        (3e18, "3,000.0 PB"),
    ],
)
def test_human_size(size_bytes: int, text: str) -> None:
    assert human_size(size_bytes) == text


def test_printable_text_cannot_control_a_terminal() -> None:
    assert printable("ä\x1b[31m\n\udcff") == "ä\\x1b[31m\\n\\udcff"


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (0, "0 ms"),
        (0.0123, "12 ms"),
        (1.5, "1.5 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (7200, "2 h"),
        (200_000, "2 d"),
    ],
)
def test_human_duration(duration_s: float, text: str) -> None:
    assert human_duration(duration_s) == text


@pytest.mark.parametrize(
    ("age_s", "text"), [(-0.5, "0 s"), (0.7, "1 s"), (59.0, "59 s"), (61, "1 min"), (90_000, "1 d")]
)
def test_human_age(age_s: float, text: str) -> None:
    assert human_age(age_s) == text


@pytest.mark.parametrize(
    ("per_s", "text"), [(0, "0"), (0.05, "3/min"), (1, "1/s"), (12_345.6, "12,346/s")]
)
def test_human_rate(per_s: float, text: str) -> None:
    assert human_rate(per_s) == text


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
    now = datetime(2026, 1, 31, 12, 0, 3, tzinfo=UTC)
    assert human_time(now - timedelta(seconds=ago_s), now) == text
