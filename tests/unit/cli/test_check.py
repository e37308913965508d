"""What is said of a configuration on a terminal: its problems, and what a bucket costs."""

from watcher.cli.check import MAX_PREFIXES, _cost_rows, _prefix_rows, problem_lines
from watcher.sources.cost import cost_of
from watcher.spec import BucketSpec, Detail, HintKind, Notifications


def test_each_problem_has_its_own_line() -> None:
    """A semicolon inside a problem does not end its line."""
    text = "configuration is not valid: line 1, a: no; not so; line 2: no; and more"
    assert problem_lines(text) == [
        "configuration is not valid:",
        "  line 1, a: no; not so",
        "  line 2: no",
        "  and more",
    ]


def cost_lines(notifications: Notifications | None) -> list[str]:
    """Return what is said of the cost of a million keys."""
    backstop_s = 21_600.0 if notifications else None
    spec = BucketSpec("landing", notifications=notifications, backstop_interval_s=backstop_s)
    return [f"{title:<10} {text}" for title, text in _cost_rows(cost_of(spec, 1000))]


def test_the_cost_of_listings() -> None:
    assert cost_lines(None) == [
        "requests   1,000 for one listing, every 30 s: 86,400 in 30 days",
        "cost       $432.00 in 30 days for 86,400,000 LIST requests",
        "           at $0.005 for 1,000, the list price of AWS in us-east-1; other stores differ",
    ]


def test_the_cost_of_details() -> None:
    """Without hints it is the only one that grows with the changes; with them it is in theirs."""
    spec = BucketSpec("landing", details=frozenset(Detail))
    assert list(_cost_rows(cost_of(spec, 1)))[2] == (
        "",
        "$0.0008 more for the details of 1,000 objects that are reported",
    )


def test_prefixes() -> None:
    """Many are not shown one by one."""
    assert list(_prefix_rows([])) == []
    few = [f"dt={day:02}/" for day in range(MAX_PREFIXES)]
    assert list(_prefix_rows(few)) == [("prefixes", few[0]), *(("", each) for each in few[1:])]
    assert list(_prefix_rows([*few, "dt=99\n"])) == [
        ("prefixes", "11, from dt=00/"),
        ("", "to dt=99\\n"),
    ]


def test_the_cost_of_listings_and_hints() -> None:
    """While hints arrive, for changes, and while none arrive; only a queue is paid for itself."""
    queue = cost_lines(Notifications(HintKind.QUEUE, "https://queue"))
    assert queue == [
        "requests   1,000 for one listing, every 6 h while hints arrive: 120 in 30 days",
        "           133,920 to the queue in 30 days without changes",
        "cost       $0.65 in 30 days for 120,000 LIST requests and the queue",
        "           at most $0.0012 more for 1,000 objects that are put",
        "           $432.00 in 30 days while no hints arrive, with a listing every 30 s",
        (
            "           at $0.005 for 1,000 LIST and $0.0004 for 1,000 HEAD requests, "
            "$0.40 for 1,000,000 to the queue,"
        ),
        "           the list prices of AWS in us-east-1; other stores differ",
    ]
    stream = cost_lines(Notifications(HintKind.STREAM))
    assert stream[1:3] == [
        "cost       $0.60 in 30 days for 120,000 LIST requests",
        "           at most $0.0004 more for 1,000 objects that are put",
    ]
    assert not any("queue" in line for line in stream)
