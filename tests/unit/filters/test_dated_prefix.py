"""Prefixes with dates: what they may have, and the prefixes of a span of time."""

from datetime import UTC, datetime, timedelta

import pytest

from watcher.filters.dated_prefix import DatedPrefix, PrefixError

HOUR_S = 3600
DAY_S = 24 * HOUR_S


def at(text: str) -> float:
    """Return a moment in UTC as seconds since the epoch."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def span(prefix: str, since: str, until: str) -> tuple[str, ...]:
    """Return the prefixes of a span of time."""
    return DatedPrefix.parse(prefix).expand(at(since), at(until))


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("logs/dt={%Y-%m-%d}/", "logs/dt=2024-02-29/"),
        ("{%Y/%m/%d}/{%H}{%M}-", "2024/02/29/0703-"),
        ("y={%y}/j={%j}/w={%w}{%u}/", "y=24/j=060/w=44/"),
        ("month={%-m}/day={%-d}/h={%-H}/m={%-M}/", "month=2/day=29/h=7/m=3/"),
        ("{%G-W%V}/{%U}/{%W}/", "2024-W09/08/09/"),
        ("{}/{dt}/{ %Y}/%Y/%20d/}{/{%%}{%Y}", "{}/{dt}/{ %Y}/%Y/%20d/}{/%2024"),
        ("{%Y at %%d}", "2024 at %d"),
        ("{{%%}Y}/", "{%Y}/"),
        ("é{%d}è/", "é29è/"),
        ("", ""),
    ],
)
def test_a_prefix_of_a_moment(prefix: str, expected: str) -> None:
    """Only ``{%`` begins a date, and only directives in one are replaced."""
    assert DatedPrefix.parse(prefix).render(at("2024-02-29T07:03:59")) == expected


def test_all_directives_give_what_strftime_does() -> None:
    """Day by day over all kinds of years, with leap days, and weeks of two years."""
    text = "%Y %y %m %d %j %H %M %G %V %u %w %U %W"
    prefix = DatedPrefix.parse("{" + text + "}")
    moment = datetime(1999, 12, 25, 23, 59, 59, tzinfo=UTC)
    for _ in range(366 * 12):
        assert prefix.render(moment.timestamp()) == moment.strftime(text)
        moment += timedelta(days=1)


@pytest.mark.parametrize(
    ("prefix", "literal", "is_dated"),
    [
        ("logs/dt={%Y-%m-%d}/", "logs/dt=", True),
        ("{%d}", "", True),
        ("in/", "in/", False),
        ("in/{%%}/", "in/%/", False),
        ("in/{day}/", "in/{day}/", False),
    ],
)
def test_what_begins_all_prefixes(prefix: str, literal: str, is_dated: bool) -> None:  # noqa: FBT001 - a table
    found = DatedPrefix.parse(prefix)
    assert (found.literal, found.is_dated) == (literal, is_dated)


@pytest.mark.parametrize(
    ("prefix", "problem"),
    [
        ("in/{%Y", "begins a date at character 4 that no } ends; a literal {% is written {{%%}"),
        ("{%Y{%m}", "begins a date at character 1 that no } ends; a literal {% is written {{%%}"),
        ("a{%}", "has a % at character 3 that names nothing; a literal % is written {%%}"),
        ("{%Y-%}", "has a % at character 5 that names nothing; a literal % is written {%%}"),
        ("{%Y %s}", "has %s at character 5: seconds since the epoch are no date"),
        ("{%F}", "has %F at character 2: write %Y-%m-%d"),
        ("{%S}", "has %S at character 2: the smallest unit is a minute"),
        ("{%I}", "has %I at character 2: write %H"),
        ("{%d-%b}", "has %b at character 5, which depends on a language; write numbers"),
        (
            "{%Q}",
            "has %Q at character 2, which is none of %Y %y %m %d %j %H %M %G %V %u %w %U %W",
        ),
        (
            "{%-Y}",
            "has %-Y at character 2, which is none of %-m %-d %-j %-H %-M %-V %-U %-W",
        ),
    ],
)
def test_a_date_that_cannot_be_read(prefix: str, problem: str) -> None:
    with pytest.raises(PrefixError) as error:
        DatedPrefix.parse(prefix)
    assert str(error.value) == problem


@pytest.mark.parametrize(
    ("prefix", "since", "until", "expected"),
    [
        ("{%Y-%m-%d}/", "2026-01-30T10:00", "2026-02-01T11:00", ("30/", "31/", "01/")),
        ("{%Y-%m-%d}/", "2026-01-30T23:30", "2026-02-02T00:30", ("30/", "31/", "01/", "02/")),
        ("{%Y-%m-%d}/", "2024-02-28", "2024-03-01", ("28/", "29/", "01/")),
        ("{%Y-%m-%d}/", "2025-12-31T23:59:59", "2026-01-01", ("31/", "01/")),
        ("{%H}/", "2026-01-30T22:59", "2026-01-31T01:00", ("00/", "01/", "22/", "23/")),
        ("{%Y-%m}/", "2025-11-30", "2026-02-01", ("11/", "12/", "01/", "02/")),
        ("{%G-W%V}/", "2026-12-27", "2027-01-04", ("W52/", "W53/", "W01/")),
        ("{%Y}/x/{%m}/", "2025-12-31", "2026-01-01", ("2025/x/12/", "2026/x/01/")),
        ("m={%-m}", "2026-01-31", "2026-02-01", ("m=1", "m=2")),
        ("m={%-m}", "2026-10-31", "2027-01-01", ("m=1",)),
        ("d={%-d}/", "2026-01-01", "2026-01-11", tuple(f"={day}/" for day in range(1, 12))),
        ("in/", "2025-12-31", "2026-01-05", ("in/",)),
        ("{%d}/", "9999-12-30", "9999-12-31T23:59", ("30/", "31/")),
        ("{%Y}/", "9999-12-31T23:00", "9999-12-31T23:59", ("9999/",)),
        ("{%Y}/", "1970-01-01", "1970-01-02", ("1970/",)),
        ("{%d}/", "2026-01-02", "2026-01-01", ()),
    ],
)
def test_the_prefixes_of_a_span(
    prefix: str, since: str, until: str, expected: tuple[str, ...]
) -> None:
    """Each unit that the span touches; the shorter one of two that begin alike stands for both."""
    found = span(prefix, since, until)
    assert len(found) == len(expected)
    assert all(any(each.endswith(end) for each in found) for end in expected)
    assert list(found) == sorted(found)


def test_moments_outside_of_the_calendar() -> None:
    """A clock that was never set, or is far off, gives the first and the last year."""
    prefix = DatedPrefix.parse("{%Y-%m-%d}/")
    assert prefix.expand(-10 * DAY_S, -9 * DAY_S) == ("1970-01-01/",)
    assert prefix.expand(1e15, 1e15 + DAY_S) == ("9999-12-31/",)


@pytest.mark.parametrize(
    ("prefix", "span_s", "expected"),
    [
        ("{%Y-%m-%d}/", 49 * HOUR_S, 4),
        ("{%Y-%m-%d}/", 48 * HOUR_S, 3),
        ("{%Y-%m-%d-%H}/", 49 * HOUR_S, 50),
        ("{%Y-%m-%d-%H}/", 49.5 * HOUR_S, 51),
        ("{%Y%m%d%H%M}/", 2 * HOUR_S, 121),
        ("{%Y-%m}/", 49 * HOUR_S, 2),
        ("{%G-%V}/", 49 * HOUR_S, 2),
        ("{%u}/", 90 * DAY_S, 7),
        ("d={%-d}", 9 * DAY_S, 10),
        ("d={%-j}", 250 * DAY_S, 251),
    ],
)
def test_the_number_of_prefixes(prefix: str, span_s: float, expected: int) -> None:
    """That of the span of this length that touches most units."""
    found = DatedPrefix.parse(prefix)
    assert found.count_at_most(span_s) == expected
    begins = range(int(at("2026-12-30")), int(at("2027-01-02")), 5400)
    assert max(len(found.expand(begin, begin + span_s)) for begin in begins) <= expected


@pytest.mark.parametrize("prefix", ["d={%-j}", "{%-m}", "{%-d}", "h={%-H}", "{%-m}{%-d}"])
@pytest.mark.parametrize("days", [2, 30, 120])
def test_the_number_of_prefixes_at_any_time_of_the_year(prefix: str, days: int) -> None:
    """Near the new year, ``d=1`` covers a hundred days; in summer it covers none."""
    found, span_s = DatedPrefix.parse(prefix), days * DAY_S
    begins = range(int(at("2024-01-01")), int(at("2025-01-01")), 7 * DAY_S)
    most = max(len(found.expand(begin, begin + span_s)) for begin in begins)
    assert most <= found.count_at_most(span_s)


def test_a_span_with_too_many_units() -> None:
    with pytest.raises(PrefixError, match=r"^is longer than 4000 units of the prefix$"):
        DatedPrefix.parse("{%H%M}/").count_at_most(30 * DAY_S)
