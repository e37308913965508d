"""The line of a change on a terminal."""

from datetime import datetime

from watcher.cli.change_view import ChangeView
from watcher.cli.output import readable


def test_readable_line() -> None:
    change = ChangeView(
        "uid-1", "moved", "b.txt", "a.txt", "file:///b", 6, "2026-01-31T12:00:03.123456789Z", b"{}"
    )
    local = datetime.fromisoformat("2026-01-31T12:00:03+00:00").astimezone()
    assert readable(change).plain == f"{local:%H:%M:%S}  moved           6 B  b.txt  <- a.txt"


def test_readable_line_of_a_group() -> None:
    """Counts that are zero are left out; the whole place is a dot."""
    change = ChangeView(
        "uid-1",
        "completed",
        "",
        "",
        "file:///data",
        4096,
        "2026-01-31T12:00:03Z",
        b"{}",
        {"entries": 1200, "created": 12, "modified": 0, "deleted": 3},
    )
    line = readable(change).plain
    assert line.endswith("  completed    4.1 kB  .  1,200 entries, 12 created, 3 deleted")
