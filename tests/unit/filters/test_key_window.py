"""Which keys belong to a place while time goes on, and clocks are set."""

from datetime import UTC, datetime

from support.clock import FakeClock
from watcher.clock import NS_PER_S
from watcher.filters.key_window import KeyWindow

HOUR_S = 3600.0
DAILY = "logs/dt={%Y-%m-%d}/"


def clock_at(text: str) -> FakeClock:
    """Return a clock that shows a moment in UTC."""
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return FakeClock(now_ns=int(moment.timestamp()) * NS_PER_S)


def days(window: KeyWindow) -> list[str]:
    """Return the days that belong to the place."""
    return [prefix[8:-1].decode() for prefix in window.now().prefixes]


def test_a_prefix_without_dates_never_moves() -> None:
    clock = clock_at("2026-01-31T12:00")
    window = KeyWindow("in/{x}", 48 * HOUR_S, clock)
    assert not window.is_moving
    assert window.now().prefixes == (b"in/{x}",)
    clock.advance(1e6)
    assert window.now().prefixes == (b"in/{x}",)
    assert (window.admits(b"in/{x}y"), window.admits(b"in/")) == (True, False)
    assert KeyWindow("", 0.0, clock).admits(b"any")


def test_two_days_are_three_prefixes_and_four_before_midnight() -> None:
    clock = clock_at("2026-01-31T22:59:59")
    window = KeyWindow(DAILY, 48 * HOUR_S, clock)
    assert days(window) == ["2026-01-29", "2026-01-30", "2026-01-31"]
    assert window.present_prefix == "logs/dt=2026-01-31/"
    clock.advance(1)
    assert days(window) == ["2026-01-29", "2026-01-30", "2026-01-31", "2026-02-01"]
    assert window.present_prefix == "logs/dt=2026-01-31/"
    assert window.admits(b"logs/dt=2026-02-01/a")
    clock.advance(HOUR_S)
    assert days(window) == ["2026-01-30", "2026-01-31", "2026-02-01"]
    assert not window.admits(b"logs/dt=2026-01-29/a")
    assert not window.admits(b"logs/dt=2026-01-3")


def test_a_clock_that_is_set_back_a_little_moves_nothing() -> None:
    """Else the rows of the next day would go, and all that is in the day before come back."""
    clock = clock_at("2026-02-01T00:05")
    window = KeyWindow(DAILY, 48 * HOUR_S, clock)
    before = window.now()
    clock.advance(-600)
    assert window.now() == before
    clock = clock_at("2026-01-31T23:05")
    window = KeyWindow(DAILY, 48 * HOUR_S, clock)
    before = window.now()
    clock.advance(-600)
    assert window.now() == before
    clock.advance(-600 + 48 * HOUR_S)
    assert days(window) == ["2026-01-31", "2026-02-01", "2026-02-02"]


def test_a_clock_that_is_set_back_far_is_followed() -> None:
    clock = clock_at("2036-02-01T12:00")
    window = KeyWindow(DAILY, 48 * HOUR_S, clock)
    assert days(window)[-1] == "2036-02-01"
    clock.now_ns = clock_at("2026-02-01T12:00").now_ns
    assert days(window) == ["2026-01-30", "2026-01-31", "2026-02-01"]


def test_a_window_goes_on_where_an_earlier_run_has_left_it() -> None:
    clock = clock_at("2026-01-31T23:05")
    until_s = KeyWindow(DAILY, 48 * HOUR_S, clock).now().until_s
    clock.advance(-600)
    window = KeyWindow(DAILY, 48 * HOUR_S, clock)
    window.resume(float("-inf"), until_s)
    assert days(window)[-1] == "2026-02-01"


def test_what_a_longer_lookback_adds_is_of_old() -> None:
    """And all there is, after a clock that was set far back; what is still to come is not."""
    clock = clock_at("2026-01-31T12:00")
    window = KeyWindow(DAILY, 96 * HOUR_S, clock)
    since_s = KeyWindow(DAILY, 24 * HOUR_S, clock).now().since_s
    is_older = window.older_test(since_s)
    found = [is_older(b"logs/dt=2026-01-%d/a" % day) for day in range(26, 32)]
    assert found == [False, True, True, True, False, False]
    assert not is_older(b"logs/dt=2026-02-01/a")
    assert not window.older_test(0.0)(b"logs/dt=2026-01-28/a")
    assert window.older_test(clock.wall() + 48 * HOUR_S)(b"logs/dt=2026-01-31/a")
    assert not window.older_test(clock.wall() + 48 * HOUR_S)(b"logs/dt=2026-02-01/a")


def test_a_newer_prefix_that_an_older_one_covers_is_not_of_old() -> None:
    window = KeyWindow("m={%-m}", 330 * 24 * HOUR_S, clock_at("2026-12-15T00:00"))
    assert window.now().prefixes[0] == b"m=1"
    is_older = window.older_test(clock_at("2026-11-01T00:00").wall())
    assert [is_older(b"m=%d" % month) for month in (1, 2, 10, 11, 12)] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_a_prefix_of_now_that_a_shorter_one_covers() -> None:
    window = KeyWindow("m={%-m}", 60 * 24 * HOUR_S, clock_at("2026-12-01T00:00"))
    assert window.now().prefixes == (b"m=10", b"m=11", b"m=12")
    window = KeyWindow("m={%-m}", 60 * 24 * HOUR_S, clock_at("2027-01-01T00:00"))
    assert window.now().prefixes == (b"m=1",)
    assert window.present_prefix == "m=1"
    assert window.admits(b"m=12/x")
