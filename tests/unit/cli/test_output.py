"""The line of a change on a terminal."""

from datetime import datetime

from watcher.cli.change_view import ChangeView
from watcher.cli.output import readable


def test_readable_line() -> None:
    change = ChangeView(
        "uid-1", "moved", "b.txt", "a.txt", "file:///b", 6, "2026-01-31T12:00:03.123456789Z", b"{}"
    )
    local = datetime.fromisoformat("2026-01-31T12:00:03+00:00").astimezone()
    assert readable(change).plain == f"{local:%H:%M:%S}  moved          6 B  b.txt  <- a.txt"
