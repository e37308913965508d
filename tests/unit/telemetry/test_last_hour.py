"""The last hour of a watch, minute by minute."""

import sys

from support.clock import FakeClock
from watcher.telemetry.last_hour import MINUTE_S, MINUTES, SERIES_BYTES, LagSeries, MinuteSeries


def test_a_series_has_the_last_minutes() -> None:
    """Numbers move to the left with time, minutes without any are 0, and an hour later all are."""
    series = MinuteSeries(30.0)
    series.add(30.0, 2)
    series.add(59.9, 3)
    series.add(60.0, 7)
    series.add(3 * MINUTE_S, 1)
    assert series.values(3 * MINUTE_S) == [0.0] * (MINUTES - 4) + [5, 7, 0, 1]
    end_s = MINUTES * MINUTE_S
    assert series.values(end_s) == [7, 0, 1, *[0.0] * (MINUTES - 3)]
    assert series.values(end_s + 2 * MINUTE_S) == [1, *[0.0] * (MINUTES - 1)]
    assert series.values(end_s + 3 * MINUTE_S) == []
    series.add(1e6, 1)
    assert series.values(1e6) == [0.0] * (MINUTES - 1) + [1]


def test_the_lag_grows_while_the_oldest_stays() -> None:
    """Minutes without a note have the age at their end; the wall clock may jump meanwhile."""
    clock = FakeClock(now_s=10 * MINUTE_S)
    lag = LagSeries(clock)
    lag.note(clock.wall() - 5)
    clock.advance(150.0)
    clock.now_ns += 10**15
    lag.note(lag._oldest_at)
    assert [round(each) for each in lag.values()[-4:]] == [0, 65, 125, 155]
    lag.note(None)
    clock.advance(2 * MINUTE_S)
    assert [round(each) for each in lag.values()[-5:]] == [65, 125, 155, 0, 0]
    clock.advance(MINUTES * MINUTE_S)
    assert lag.values() == []


def test_the_greatest_lag_of_a_minute_counts() -> None:
    """What is confirmed and what comes then within a minute do not lower it."""
    clock = FakeClock(now_s=10 * MINUTE_S)
    lag = LagSeries(clock)
    lag.note(clock.wall() - 20)
    clock.advance(10.0)
    lag.note(clock.wall() - 3)
    clock.advance(10.0)
    assert round(lag.values()[-1]) == 30
    clock.advance(MINUTES * MINUTE_S)
    assert [round(each) for each in lag.values()[::59]] == [13 + 100, 13 + MINUTES * MINUTE_S]


def test_an_hour_has_a_fixed_size() -> None:
    """However much happens: 240 bytes of numbers, and the head of their array."""
    series = MinuteSeries(0.0)
    before = sys.getsizeof(series._values)
    for minute in range(10_000):
        series.add(minute * MINUTE_S, 1e9)
    assert sys.getsizeof(series._values) == before < SERIES_BYTES + 128
