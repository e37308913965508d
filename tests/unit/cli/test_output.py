"""How changes and messages look to people."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from watcher.cli.change_view import ChangeView
from watcher.cli.check import _by_line
from watcher.cli.output import complain, readable

if TYPE_CHECKING:
    import pytest

NOTICE = ChangeView(
    "uid-1", "moved", "b.txt", "a.txt", "file:///b.txt", 6, "2026-01-31T12:00:03.123456789Z", b"{}"
)


def test_readable_line() -> None:
    """A line has local time, type, size, path, and where it came from."""
    local = datetime.fromisoformat("2026-01-31T12:00:03+00:00").astimezone()
    assert readable(NOTICE).plain == f"{local:%H:%M:%S}  moved          6 B  b.txt  <- a.txt"


def test_a_complaint_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """What a server says is escaped, and begins no line by itself; lines of ours stay lines."""
    complain("one\nwatcher: \x1b[2Jforged", "  two")
    assert capsys.readouterr().err == "watcher: one\\nwatcher: \\x1b[2Jforged\n  two\n"


def test_problems_by_line() -> None:
    """On a terminal each problem of a configuration stands on a line of its own, also one whose text has a semicolon."""
    text = "configuration is not valid: line 1, a: no; not so; line 2: no; and more"
    assert _by_line(text) == [
        "configuration is not valid:",
        "  line 1, a: no; not so",
        "  line 2: no",
        "  and more",
    ]
