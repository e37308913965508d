"""What a soak calls a leak, and that it says so."""

from support.server import SLACK, Resources
from system.soak.report import MAX_ERROR_CHARS, Report

START = Resources(10, 20, 70_000_000)
WARM = Resources(15, 20, 100_000_000)
LEVELS = 10


def test_what_stays_within_the_slack_is_no_leak() -> None:
    """The warm-up, a single high level, and growth up to the slack are no trouble."""
    grown = Resources(*(level + slack for level, slack in zip(WARM, SLACK, strict=True)))
    levels = [START, *[WARM] * 6, grown, grown, Resources(100, 100, 900_000_000)]
    report = Report(1, START, busy=levels, idle=levels)
    assert report.troubles() == []
    assert report.table().endswith("nothing lost, nothing grown")


def test_what_grows_is_a_leak() -> None:
    """Threads and descriptors that grow with each round are reported, steady memory is not."""
    levels = [
        Resources(15 + 10 * number, 20 + 3 * number, WARM.memory_bytes) for number in range(LEVELS)
    ]
    report = Report(1, START, busy=levels, idle=levels)
    assert report.troubles() == [
        "LEAK threads: 35 in the first third, 95 in the last",
        "LEAK descriptors: 26 in the first third, 44 in the last",
    ]
    assert "FAILED" in report.table()


def test_what_was_lost_is_trouble() -> None:
    """A loss is reported with the name of its watch."""
    report = Report(1, START, busy=[WARM], idle=[WARM] * LEVELS, losses={"07 moto": "a gap"})
    assert report.troubles() == ["LOSS 07 moto: a gap"]


def fail_twice() -> None:
    try:
        raise OSError("the server is gone")
    finally:
        fail("Traceback in the log")


def fail(text: str) -> None:
    raise AssertionError(text)


def test_an_error_that_ends_a_soak_is_trouble() -> None:
    """With what was found before, and what the error was raised during; nothing is hidden."""
    report = Report(1, START, events=7)
    with report.noting("soak"):
        fail_twice()
    (trouble,) = report.troubles()
    assert trouble.startswith("LOSS soak: Traceback (most recent call last):")
    assert trouble.endswith("OSError: the server is gone\nthen: Traceback in the log")
    table = report.table()
    assert "events        7" in table
    assert trouble in table
    assert "FAILED" in table


def test_a_soak_that_has_not_begun_has_a_report() -> None:
    report = Report(1)
    with report.noting("soak"):
        fail("server.listening " + "x" * MAX_ERROR_CHARS)
    assert "LOSS soak: server.listening xxx" in report.table()
    assert len(report.losses["soak"]) == MAX_ERROR_CHARS
